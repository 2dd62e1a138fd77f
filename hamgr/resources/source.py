"""Source address routes: while a vip is here, the machine's own connections come from it (as OCF's IPsrcaddr).

The default route, and the one of the vip's network, are not touched: for each, two routes to its halves, with the other
source address, go before it by their longer prefix. So there is a default route at every moment, and whoever replaces
it (a DHCP client, say) finds it as it was. When the address goes, the kernel itself removes its IPv4 routes, and from
IPv6 ones their source. It keeps all that there is to know, too: a restarted daemon reads it.
"""

from __future__ import annotations

import dataclasses
import errno

from hamgr.resources.kernel import IPAddress
from hamgr.resources.routes import COPY, Route, Routes


class SourceRoutes:
    """Of one vip."""

    def __init__(self, routes: Routes, address: IPAddress) -> None:
        self._routes = routes
        self._address = address

    def missing(self, index: int) -> list[Route]:
        """The halves that should be there, and are not; index: of the vip's interface. Raises OSError."""
        copies = self._copies()
        return [half for half in self._wanted(index) if not any(half.same(copy) for copy in copies)]

    def settle(self, index: int) -> None:
        """Have all halves there, and no others. Raises OSError."""
        wanted = self._wanted(index)
        copies = self._copies()
        for copy in copies:
            if not any(copy.same(half) for half in wanted):
                self._remove(copy)
        for half in wanted:
            if not any(half.same(copy) for copy in copies):
                self._routes.add(half)

    def remove(self) -> None:
        """Raises OSError."""
        for copy in self._copies():
            self._remove(copy)

    def _wanted(self, index: int) -> list[Route]:
        table = self._routes.table(self._address.version)
        others = {route.key for route in table if route.protocol != COPY}
        best: dict[object, Route] = {}
        for route in table:
            if route.protocol != COPY and self._concerned(route):
                found = best.setdefault(route.to, route)
                if route.metric < found.metric:
                    best[route.to] = route
        halves = [
            dataclasses.replace(route, to=half, source=self._address, protocol=COPY)
            for route in best.values()
            if route.index == index and route.source != self._address
            for half in route.to.subnets()
        ]
        # Somebody's own route to a half (a VPN's, say) goes before the whole as well, and shall.
        return [half for half in halves if half.key not in others]

    def _concerned(self, route: Route) -> bool:
        length = route.to.prefixlen
        near = route.via is None and 0 < length < self._address.max_prefixlen and self._address in route.to
        return length == 0 or near

    def _copies(self) -> list[Route]:
        return [
            route
            for route in self._routes.table(self._address.version)
            if route.protocol == COPY and route.source in (self._address, None)
        ]

    def _remove(self, copy: Route) -> None:
        try:
            self._routes.remove(copy)
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise
