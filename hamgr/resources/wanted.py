"""A route that a configuration wants: what it is on this machine, and whether it is there."""

from __future__ import annotations

import errno
import ipaddress
import logging
from dataclasses import dataclass

from hamgr.resources.kernel import IPAddress, Kernel
from hamgr.resources.resource import ResourceError
from hamgr.resources.routes import COPY, IPV6_METRIC, MAIN, IPNetwork, Route, Routes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """interface "": the one by which `via` is reached. replace: another route with the same target and metric is not in
    the way, but goes."""

    to: IPNetwork
    via: IPAddress | None = None
    interface: str = ""
    source: IPAddress | None = None
    metric: int = 0
    table: int = MAIN
    replace: bool = False

    def __str__(self) -> str:
        parts = ["default" if not self.to.prefixlen else str(self.to)]
        parts += [f"via {self.via}"] if self.via is not None else []
        parts += [f"dev {self.interface}"] if self.interface else []
        return " ".join(parts)

    def route(self, kernel: Kernel) -> Route:
        """As it is added. Raises ResourceError when its interface is missing or down."""
        index = 0
        if self.interface:
            card = kernel.card(self.interface)
            if card is None:
                raise ResourceError(f"interface {self.interface} does not exist")
            if not card.up:
                raise ResourceError(f"interface {self.interface} is down")
            index = card.index
        # The kernel's own numbers, so that what it has can be compared with what we want.
        metric = self.metric or (IPV6_METRIC if self.to.version == 6 else 0)
        return Route(self.to, self.via, index, self.source, metric, self.table)

    def found(self, kernel: Kernel, routes: Routes) -> tuple[list[Route], list[Route]]:
        """The routes that are as it is wanted, and those that stand in its place. Raises ResourceError."""
        try:
            table = routes.table(self.to.version, self.table)
        except OSError as error:
            raise ResourceError(f"can't read the routes: {error.strerror}") from error
        metric = self.metric or (IPV6_METRIC if self.to.version == 6 else 0)
        there = [route for route in table if route.key == (self.to, metric) and route.protocol != COPY]
        right = [route for route in there if self._matches(kernel, route)]
        return right, [route for route in there if route not in right]

    def _matches(self, kernel: Kernel, route: Route) -> bool:
        there = not self.interface or kernel.name(route.index) == self.interface
        return there and route.via == self.via and route.source == self.source

    def add(self, kernel: Kernel, routes: Routes) -> list[Route]:
        """Have it there; returns what stood in its place. Raises ResourceError."""
        right, others = self.found(kernel, routes)
        if right:
            return []
        route = self.route(kernel)
        if others and not self.replace:
            raise ResourceError(
                f"another route is in the place of {self}: {shown(kernel, others[0])}; replace = true would replace it"
            )
        try:
            if others:
                routes.replace(route)
            else:
                routes.add(route)
        except OSError as error:
            raise ResourceError(f"can't add the route {self}: {error.strerror}") from error
        return others

    def remove(self, kernel: Kernel, routes: Routes) -> None:
        """Have it gone. Raises ResourceError."""
        for route in self.found(kernel, routes)[0]:
            try:
                routes.remove(route)
            except OSError as error:
                if error.errno not in (errno.ESRCH, errno.ENODEV):
                    raise ResourceError(f"can't remove the route {self}: {error.strerror}") from error


def shown(kernel: Kernel, route: Route) -> str:
    """A route as ip-route(8) writes it."""
    parts = ["default" if not route.to.prefixlen else str(route.to)]
    parts += [f"via {route.via}"] if route.via is not None else []
    parts += [f"dev {kernel.name(route.index)}"] if route.index else []
    parts += [f"src {route.source}"] if route.source is not None else []
    return " ".join(parts)


def target(text: str, via: str = "") -> IPNetwork:
    """ "default" (of the family of `via`), a network, or an address. ValueError: none of them."""
    if text == "default":
        return ipaddress.ip_network("::/0" if ":" in via else "0.0.0.0/0")
    return ipaddress.ip_network(text)
