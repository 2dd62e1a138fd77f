"""What is known of other machines that say they have an address of ours, and when operators are told of it.

The address is kept, and defended (RFC 5227, 2.4, (c)): the takeover rule has made sure that no node of the cluster has
it, so whoever it is, is somebody else, or was not really off.
"""

from __future__ import annotations

REMIND_INTERVAL = 300.0
"""Seconds after which a conflict that goes on is told again."""

QUIET_TIME = 25.0
"""Seconds without a word from the other machine after which the conflict is over; it is asked every 10 s."""

DEFEND_INTERVAL = 10.0
"""Seconds between two announcements against another's (RFC 5227, 2.4): two that insist must not flood the network."""

NEVER = float("-inf")


class Conflicts:
    """Of one address on one interface. Times are seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._heard: dict[bytes, float] = {}
        self._told: dict[bytes, float] = {}
        self._defended = NEVER

    def heard(self, mac: bytes, now: float) -> str:
        """Another machine said that it has the address: "new", "again" when it is time to tell it again, or ""."""
        self._heard[mac] = now
        since = now - self._told.get(mac, NEVER)
        if since < REMIND_INTERVAL:
            return ""
        new = mac not in self._told
        self._told[mac] = now
        return "new" if new else "again"

    def defend(self, now: float) -> bool:
        """Whether an announcement against it is due."""
        due = now - self._defended >= DEFEND_INTERVAL
        if due:
            self._defended = now
        return due

    def ended(self, now: float) -> list[bytes]:
        """The machines that have fallen silent since the last call."""
        silent = [mac for mac, at in self._heard.items() if now - at >= QUIET_TIME]
        for mac in silent:
            del self._heard[mac], self._told[mac]
        return silent
