"""What has been read of ha.cf so far: the draft, and what a later line needs of the earlier ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hamgr.config.heartbeat.draft import Draft
from hamgr.config.heartbeat.here import Here
from hamgr.config.heartbeat.lines import Line
from hamgr.config.model import DEFAULT_BAUD


@dataclass(slots=True)
class Medium:
    """A heartbeat link to be. addresses: of `ucast`, each with its line. table: the link's own keys."""

    line: Line
    kind: str
    device: str
    table: dict[str, str | int | bool]
    addresses: list[tuple[str, Line]] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """port, baud: of the links from here on. nodes: by their first line. stonith: lines that wait for all nodes to be
    known."""

    draft: Draft
    here: Here
    directory: Path
    port: int = 0
    baud: int = DEFAULT_BAUD
    nodes: dict[str, Line] = field(default_factory=dict)
    media: list[Medium] = field(default_factory=list)
    stonith: list[Line] = field(default_factory=list)
    pings: list[Line] = field(default_factory=list)
    times: dict[str, tuple[float, Line]] = field(default_factory=dict)
    watchdog: tuple[str, Line] | None = None
    auto_failback: bool | None = None
    ipfail: bool = False

    def __post_init__(self) -> None:
        self.port = self.port or self.here.port

    @property
    def node(self) -> str:
        """Which of the nodes so far this machine is; "" for none."""
        return next((name for name in self.here.names if name in self.nodes), "")

    def wrong(self, line: Line, found: str, allowed: str) -> None:
        self.draft.wrong(line, found, allowed)

    def note(self, line: Line, text: str) -> None:
        self.draft.note(line, text)
