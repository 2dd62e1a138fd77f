"""How healthy this node is: the ping targets that answer, the checks that succeed, less what keeps clients away.

What hinders counts once, however many resources it hinders: two hundred addresses on one dead cable are one dead cable.
"""

from __future__ import annotations

from collections.abc import Callable


class Health:
    """changed: called with the score, its reasons, and what of them hinders, when one of them changed."""

    def __init__(self, changed: Callable[[int, str, str], None]) -> None:
        self._changed = changed
        self._pings = (0, "")
        self._checks = (0, "")
        self._hindrances: dict[tuple[str, str], str] = {}
        self._last = (0, "")

    def pinged(self, score: int, detail: str) -> None:
        """The ping targets give this score."""
        self._pings = score, detail
        self._judge()

    def checked(self, score: int, detail: str) -> None:
        """The node's own checks give this score; detail: what is wrong, "" for nothing."""
        self._checks = score, detail
        self._judge()

    def hindered(self, group: str, resource: str, reason: str) -> None:
        """Clients can't reach the resource on this node, for this reason; "": they can."""
        if reason:
            self._hindrances[group, resource] = reason
        else:
            self._hindrances.pop((group, resource), None)
        self._judge()

    def _judge(self) -> None:
        score = self._pings[0] + self._checks[0]
        reasons = dict.fromkeys(self._hindrances.values())
        details = [detail for detail in (self._checks[1], self._pings[1]) if detail]
        found = score - len(reasons), "; ".join([*reasons, *details])
        if found != self._last:
            self._last = found
            self._changed(found[0], found[1] or "nothing hinders clients", "; ".join(reasons))
