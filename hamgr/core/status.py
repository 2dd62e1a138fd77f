"""What a node can tell of itself and of the cluster, as values: `Node.status(now)` returns a `Status`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hamgr.core.balance import Move
from hamgr.core.cluster import GroupState


def runs_another(one: str, other: str) -> bool:
    """Are these the digests of two configurations, both known?"""
    return "" not in (one, other) and one != other


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """One link to one peer. heard_ago: seconds since its last verified packet; None if never. detail: why our own side
    of it does not work, "" while it does."""

    link: str
    up: bool
    heard_ago: float | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """state: one of "online", "suspect", "dead", "fenced", "left", "acknowledged", "unseen", "joining", "self"."""

    name: str
    state: str
    incarnation: int
    standby: bool
    links: tuple[LinkStatus, ...] = ()
    unfit: str = ""
    health: int | None = None
    """Its ping score, where it is known: on itself, and on the coordinator."""
    config: str = ""
    """The digest of the configuration that it runs with, while it is heard; "" when it is not known."""
    votes: int = 1


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """owner: the node that runs it, "" for none. state: on its owner, or the most telling one. waits: sentences
    that say what a start waits for (the takeover rule's missing clause), empty when nothing is awaited."""

    name: str
    owner: str
    state: GroupState
    target: str = ""
    waits: tuple[str, ...] = ()
    states: dict[str, str] = field(default_factory=dict)
    home: str = ""
    """The node that is preferred for it."""
    enabled: bool = True
    why: tuple[str, ...] = ()
    """Why it runs, or is to run, on its target, and why not on each of the others, as the coordinator knows; another
    node says what it knows of that."""


@dataclass(frozen=True, slots=True)
class Balance:
    """moves: those that would make the nodes as even as they can be, found as they are asked for. fixed: why some
    groups stay. hindrance: why nothing can be moved just now."""

    moves: Iterator[Move]
    fixed: tuple[str, ...] = ()
    hindrance: str = ""


@dataclass(frozen=True, slots=True)
class FenceStatus:
    """A fencing under way, or the last one of its node. level: from 0.

    outcome: "running", "delayed", "confirmed", "failed", "unknown" "limited" (it was fenced too often)
    or "asked" (a human must say that it shall be).
    """

    node: str
    outcome: str
    level: int
    attempts: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FenceDeviceStatus:
    """A fence device of `node`, as this node found it when it last tried it, without switching anything.

    detail: what is wrong with it. tried_ago: seconds."""

    name: str
    node: str
    good: bool
    detail: str
    tried_ago: float


@dataclass(frozen=True, slots=True)
class ArbiterStatus:
    """configured False: there is none. answered_ago: seconds, None if never."""

    configured: bool
    connected: bool
    answered_ago: float | None
    voter: bool
    detail: str = ""
    votes: int = 0
    address: str = ""
    """Of the one that answered last; several addresses may be configured."""
    store: str = ""
    """The identity of its votes' store. accepted: whose votes count; "" until one has voted."""
    accepted: str = ""
    why: str = ""
    """Why it gave its vote to this node, which is coordinator by it."""


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """The process that ends what the node runs when its daemon can't. pid 0: there is none now, for this `reason`.
    watchdog: the device that it feeds, "" without one. timeout: its, in seconds."""

    pid: int
    watchdog: str = ""
    timeout: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """role: "coordinator", "follower", "candidate", "learning" or "leaving". lease_left: seconds, negative when it ran
    out. votes: those behind the coordinator, as this node sees it. waits: what the node as a whole waits for, in
    sentences."""

    cluster: str
    node: str
    incarnation: int
    role: str
    epoch: int
    coordinator: str
    quorate: bool
    votes: int
    majority: int
    lease_left: float
    standby: bool
    arbiter: ArbiterStatus
    nodes: tuple[NodeStatus, ...]
    groups: tuple[GroupStatus, ...]
    fences: tuple[FenceStatus, ...]
    waits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    maintenance: bool = False
    """Nothing is started, stopped or fenced until an operator ends it."""
    pushing: bool = False
    """A configuration is on its way to all nodes, and the maintenance ends with that."""
    all_votes: int = 0
    """Of all nodes and the arbiter together."""
    override: str = ""
    """Without a quorum, by an operator's word: whose, in place of whom; "" as a rule."""
    electorate: str = ""
    """Who votes, and what is a quorum, in a sentence."""
    devices: tuple[FenceDeviceStatus, ...] = ()
    """The host's knowledge, not the core's: those of other nodes that were tried from here."""
    guard: GuardStatus | None = None
    """The host's, too; None where none is configured."""
