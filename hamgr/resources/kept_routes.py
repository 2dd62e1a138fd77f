"""Keeps the routes that this node shall always have (`[route.NAME]`), while hamgrd runs; after it they stay.

They are the ways to the other nodes: neither a restart of hamgrd nor a maintenance may cut them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Sequence

from hamgr.config.model import RouteConfig
from hamgr.core.effects import Kind
from hamgr.resources.kernel import Kernel
from hamgr.resources.mends import MEND_WINDOW, Mends
from hamgr.resources.resource import ResourceError
from hamgr.resources.routes import Routes
from hamgr.resources.wanted import Wanted, shown, target

log = logging.getLogger(__name__)

AGAIN_INTERVAL = 10.0
"""Seconds until a route that can't be added is tried again, if no event of the kernel comes first: its gateway may be
reached by then."""


class KeptRoutes:
    """tell: announces a sentence to the operators."""

    def __init__(self, routes: Sequence[RouteConfig], tell: Callable[[Kind, str], None]) -> None:
        self._wanted = [(route.name, _wanted(route)) for route in routes]
        self._tell = tell
        self._tools: tuple[Kernel, Routes] | None = None
        self._mends = {wanted: Mends() for _, wanted in self._wanted}
        self._seen: set[Wanted] = set()
        self._told: dict[Wanted, str] = {}
        self._rests_until: dict[Wanted, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Add what is missing, now and whenever something changes. Raises OSError."""
        if not self._wanted:
            return
        kernel, routes = Kernel.join(), Routes.join()
        self._tools = kernel, routes
        kernel.watch_cards(self._settle)
        routes.watch(self._settle)
        self._settle()

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waits = [self._keep(name, wanted) for name, wanted in self._wanted]
        if wait := min((wait for wait in waits if wait), default=0.0):
            self._timer = asyncio.get_running_loop().call_later(wait, self._settle)

    def _keep(self, name: str, wanted: Wanted) -> float:
        """Have it there; returns in how many seconds to try again, 0 when it is there."""
        assert self._tools is not None
        kernel, routes = self._tools
        now = asyncio.get_running_loop().time()
        try:
            if wanted.found(kernel, routes)[0]:
                self._is_there(name, wanted)
                return 0.0
            if (rest := self._rests_until.get(wanted, now) - now) > 0:
                return rest
            wanted.route(kernel)  # without its interface nobody has removed it
            removed = wanted in self._seen and wanted not in self._told
            if removed and (how_often := self._mends[wanted].too_many(now)):
                self._rests_until[wanted] = now + MEND_WINDOW
                why = f"someone removes it again and again: {how_often}; hamgr tries again in {MEND_WINDOW:g} s"
                self._say(name, wanted, why)
                return MEND_WINDOW
            for other in wanted.add(kernel, routes):
                self._tell(Kind.WARNING, f"route {name}: {shown(kernel, other)} was replaced by {wanted}")
        except ResourceError as error:
            self._say(name, wanted, str(error))
            return AGAIN_INTERVAL
        if removed:
            self._tell(Kind.WARNING, f"route {name}: someone removed {wanted}; hamgr put it back")
        self._is_there(name, wanted)
        return 0.0

    def _is_there(self, name: str, wanted: Wanted) -> None:
        if wanted not in self._seen or self._told.pop(wanted, ""):
            log.info("route %s: %s is there", name, wanted)
        self._seen.add(wanted)

    def _say(self, name: str, wanted: Wanted, why: str) -> None:
        """Once for each reason."""
        if self._told.get(wanted) != why:
            self._told[wanted] = why
            self._tell(Kind.WARNING, f"route {name}: {wanted} is not there: {why}")

    def close(self) -> None:
        """The routes stay."""
        if self._timer is not None:
            self._timer.cancel()
        if self._tools is not None:
            kernel, routes = self._tools
            kernel.unwatch_cards(self._settle)
            routes.unwatch(self._settle)
            kernel.leave()
            routes.leave()
            self._tools = None


def _wanted(route: RouteConfig) -> Wanted:
    return Wanted(
        target(route.to, route.via or route.source),
        ipaddress.ip_address(route.via) if route.via else None,
        route.interface,
        ipaddress.ip_address(route.source) if route.source else None,
        route.metric,
        route.table,
        route.replace,
    )
