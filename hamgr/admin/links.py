"""What `hamgr links` asks: how well each link carries each peer, and how punctual this daemon itself is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from hamgr.core.status import Status
from hamgr.lateness import Lateness
from hamgr.links.codec import RejectReason
from hamgr.links.quality import Quality
from hamgr.links.transport import LinkState, Transport
from hamgr.realtime import RealTime
from hamgr.v1 import admin_pb2 as pb

UNTRUE = (RejectReason.UNAUTHENTICATED, RejectReason.OTHER_SPEAKER)
"""Frames of somebody who is not who he says to be."""


class Scores(Protocol):
    """The daemon's pinger, or its health checks."""

    def status(self) -> list[tuple[str, bool, int, str]]:
        """Of each group of targets, or check: name, whether it answers or succeeds, weight, detail."""


class LinksDesk:
    """Gathers the report from the daemon's parts."""

    def __init__(
        self,
        status: Callable[[], Status],
        transport: Transport,
        lateness: Lateness,
        pings: Scores | None = None,
        checks: Scores | None = None,
    ) -> None:
        self._status = status
        self._transport = transport
        self._lateness = lateness
        self._pings = pings
        self._checks = checks
        self.realtime = RealTime()

    def report(self) -> pb.LinksReport:
        status, transport = self._status(), self._transport
        up = {(node.name, link.link): link.up for node in status.nodes for link in node.links}
        now_us = time.monotonic_ns() // 1000
        pings = [
            pb.PingTarget(name=name, reachable=reachable, weight=weight, detail=detail)
            for name, reachable, weight, detail in (self._pings.status() if self._pings is not None else ())
        ]
        checks = [
            pb.HealthCheck(name=name, good=good, weight=weight, detail=detail)
            for name, good, weight, detail in (self._checks.status() if self._checks is not None else ())
        ]
        return pb.LinksReport(
            node=status.node,
            links=[self._own(name, state) for name, state in transport.states.items()],
            peers=[
                _peer(peer, link, up.get((peer, link), False), quality, now_us)
                for (peer, link), quality in transport.quality.items()
            ],
            lateness=self._late(),
            pings=pings,
            checks=checks,
            health=sum(ping.weight for ping in pings if ping.reachable)
            + sum(check.weight for check in checks if check.good),
        )

    def _own(self, name: str, state: LinkState) -> pb.OwnLink:
        count = self._transport.counters.of(name)
        return pb.OwnLink(
            link=name,
            kind=state.config.kind,
            up=state.up,
            detail=state.detail,
            authentication_failures=sum(count.rejected.get(reason, 0) for reason in UNTRUE),
            rejected={reason.value: number for reason, number in count.rejected.items()},
            send_failures=count.send_failures,
        )

    def _late(self) -> pb.Lateness:
        late = self._lateness
        return pb.Lateness(
            count=late.count,
            p50=late.percentile(0.5),
            p99=late.percentile(0.99),
            p999=late.percentile(0.999),
            max=late.max,
            realtime=self.realtime.scheduled,
            detail=self.realtime.detail,
            counts=late.counts,
        )


def _peer(peer: str, link: str, up: bool, quality: Quality, now_us: int) -> pb.PeerLink:
    return pb.PeerLink(
        peer=peer,
        link=link,
        up=up,
        heard_ago=(now_us - quality.heard_us) / 1e6 if quality.heard_us else None,
        loss=quality.loss,
        round_trip=quality.round_trip,
        jitter=quality.jitter,
        bytes_in=quality.bytes_in,
        bytes_out=quality.bytes_out,
        frames_in=quality.frames_in,
        frames_out=quality.frames_out,
        lost=quality.lost,
    )
