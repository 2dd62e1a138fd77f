"""How often nodes were fenced within the last hour, so that no loop of fencings goes on until somebody looks.

A node that hangs at each start would be shot again and again. What counts is a fencing that was confirmed: one that
failed shot nobody, and must go on being tried. The count is a part of the cluster state: whoever is coordinator next
goes on with it. It has ages instead of times, since no two nodes have the same clock; nothing ages between two reigns.
"""

from __future__ import annotations

from hamgr.core.cluster import ClusterSpec
from hamgr.core.messages import Shot

HOUR = 3600.0

KEPT = 100
"""Shots that the cluster state holds at most; the newest."""


class Shots:
    """The shots of the last hour, as one coordinator counts them."""

    def __init__(self, spec: ClusterSpec, inherited: tuple[Shot, ...], now: float) -> None:
        self._spec = spec
        self._shots = [(shot.node, now - shot.age) for shot in inherited]
        self._stamped = inherited

    def note(self, now: float, node: str) -> None:
        self._shots.append((node, now))
        del self._shots[:-KEPT]

    def stamped(self, now: float) -> tuple[Shot, ...]:
        """For the cluster state: the same as before, until one is made, or is an hour old."""
        self._forget(now)
        if [node for node, _at in self._shots] != [shot.node for shot in self._stamped]:
            self._stamped = tuple(Shot(node, int(now - at)) for node, at in self._shots)
        return self._stamped

    def held_back(self, now: float, node: str) -> tuple[float, str]:
        """Until when this node is not fenced again without an operator's word, and why; (now, "") if it may be."""
        self._forget(now)
        its = [at for name, at in self._shots if name == node]
        limits = (
            ("fence_limit", self._spec.fence_limit, its, f"{node} was"),
            ("fence_limit_all", self._spec.fence_limit_all, [at for _name, at in self._shots], "nodes were"),
        )
        until, why = now, ""
        for key, limit, shots, who in limits:
            if limit and len(shots) >= limit and sorted(shots)[-limit] + HOUR > until:
                until = sorted(shots)[-limit] + HOUR
                why = f"{who} fenced {_times(len(shots))} within an hour ({key})"
        return until, why

    def _forget(self, now: float) -> None:
        self._shots = [(node, at) for node, at in self._shots if now < at + HOUR]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
