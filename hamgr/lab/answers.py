"""What the answers of a watched VIP say: who held it when, how long nobody did, and whether two did.

Pure functions of recorded answers; all times are seconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CLIENT_VIEW = "udp"
ARP_VIEW = "arp"
HTTP_VIEW = "http"
SHORTEST_HAND_OVER = 0.010
"""Seconds. Giving the address to the other node and back takes four orders over the network, each acted upon.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """`node` answered at `received` what was asked at `sent`; kind: "udp" (the client), "arp" (the witness)
    or "http" (a client of the web service; "http-error" and "http-silence" are no answers).
    """

    kind: str
    sent: float
    received: float
    node: str

    @classmethod
    def parse(cls, line: str) -> Answer:
        kind, sent, received, node = line.split()
        return cls(kind, float(sent), float(received), node)


@dataclass(frozen=True, slots=True)
class Outage:
    """No answer came between `start` and `end`, the answers around it. end None: none came since."""

    start: float
    end: float | None
    before: str
    after: str

    def duration(self, now: float) -> float:
        """Seconds; up to `now` while it lasts."""
        return (now if self.end is None else self.end) - self.start


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two nodes held the address at once: `other` answered at `time`, between two answers of `node`."""

    kind: str
    node: str
    other: str
    time: float


def outages(answers: Sequence[Answer], longest_gap: float, until: float, kind: str = CLIENT_VIEW) -> list[Outage]:
    """The gaps between neighbouring answers of a kind longer than `longest_gap` seconds, up to `until`."""
    seen = sorted((a for a in answers if a.kind == kind), key=lambda answer: answer.received)
    found = [
        Outage(one.received, other.received, one.node, other.node)
        for one, other in itertools.pairwise(seen)
        if other.received - one.received > longest_gap
    ]
    if seen and until - seen[-1].received > longest_gap:
        found.append(Outage(seen[-1].received, None, seen[-1].node, ""))
    return found


def overlaps(answers: Iterable[Answer]) -> list[Overlap]:
    """Every moment at which two nodes held the address.

    The witness's ARP question goes to all nodes at once: two nodes that answer the same one both hold it. The
    client reaches one at a time: going from a to b and back to a sooner than any hand-over takes is two
    owners.
    """
    found = []
    ordered = sorted(answers, key=lambda answer: (answer.sent, answer.received))
    witness = [answer for answer in ordered if answer.kind == ARP_VIEW]
    for one, other in itertools.pairwise(witness):
        if one.sent == other.sent and one.node != other.node:
            found.append(Overlap(ARP_VIEW, one.node, other.node, other.received))
    client = [answer for answer in ordered if answer.kind == CLIENT_VIEW]
    for one, other, again in zip(client, client[1:], client[2:], strict=False):
        if one.node == again.node != other.node and again.sent - one.sent < SHORTEST_HAND_OVER:
            found.append(Overlap(CLIENT_VIEW, one.node, other.node, other.received))
    return found
