"""A route that moves with its group."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.resources.kernel import Kernel
from hamgr.resources.mends import Mends
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings
from hamgr.resources.routes import MAIN, Routes
from hamgr.resources.wanted import Wanted, shown, target


class RouteResource:
    """Options: as `hamgr.resources.kinds.route` declares them."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        options = config.options
        via, source = str(options.get("via", "")), str(options.get("source", ""))
        self._wanted = Wanted(
            target(str(options["to"]), via or source),
            ipaddress.ip_address(via) if via else None,
            str(options.get("interface", "")),
            ipaddress.ip_address(source) if source else None,
            int(str(options.get("metric", 0))),
            int(str(options.get("table", MAIN))),
            bool(options.get("replace", False)),
        )
        self._surroundings = surroundings
        self._failed: Callable[[str], None] = lambda why: None
        self._tools: tuple[Kernel, Routes] | None = None
        self._here = False
        self._mends = Mends()
        self.reason = ""

    def watch(self, failed: Callable[[str], None]) -> None:
        self._failed = failed

    async def prepare(self) -> None:
        return

    def _open(self) -> tuple[Kernel, Routes]:
        if self._tools is None:
            try:
                kernel = Kernel.join()
                try:
                    routes = Routes.join()
                except OSError:
                    kernel.leave()
                    raise
            except OSError as error:
                raise ResourceError(f"can't ask the kernel for its routes: {error.strerror}") from error
            kernel.watch_cards(self._changed)
            routes.watch(self._changed)
            self._tools = kernel, routes
        return self._tools

    async def start(self) -> None:
        kernel, routes = self._open()
        for other in self._wanted.add(kernel, routes):
            text = f"the route {shown(kernel, other)} was replaced by {self._wanted} (replace = true)"
            self._surroundings.tell(Kind.WARNING, text)
        self._here = True

    async def stop(self) -> None:
        kernel, routes = self._open()
        self._here = False
        self._wanted.remove(kernel, routes)

    async def status(self) -> ResourceStatus:
        kernel, routes = self._open()
        if self._here:
            self._changed()
        right, others = self._wanted.found(kernel, routes)
        if right:
            self._here = True
            self.reason = ""
            return ResourceStatus.RUNNING
        self.reason = f"there is no route {self._wanted}"
        if others:
            self.reason += f", but {shown(kernel, others[0])}"
        return ResourceStatus.STOPPED

    def _changed(self) -> None:
        """A route or an interface came, went or changed."""
        if not self._here:
            return
        kernel, routes = self._open()
        try:
            if self._wanted.found(kernel, routes)[0]:
                return
            if not self._surroundings.may_mend():
                self._lose(f"someone removed the route {self._wanted}")
            elif how_often := self._mends.too_many(asyncio.get_running_loop().time()):
                self._lose(f"someone removes the route {self._wanted} again and again: {how_often}")
            else:
                self._wanted.add(kernel, routes)
                text = f"someone removed the route {self._wanted}; hamgr put it back"
                self._surroundings.tell(Kind.WARNING, text)
        except ResourceError as error:
            self._lose(f"the route {self._wanted} is gone: {error}")

    def _lose(self, why: str) -> None:
        self._here = False
        self._failed(why)

    async def close(self) -> None:
        if self._tools is not None:
            kernel, routes = self._tools
            kernel.unwatch_cards(self._changed)
            routes.unwatch(self._changed)
            kernel.leave()
            routes.leave()
            self._tools = None
