"""Everything a node can ask its host for.

The host performs the effects of one step in their order. `Persist` is a barrier: the later effects of the same
step wait until the record is on disk (and are dropped if it can't be written); the effects of other steps don't wait.
Heartbeats, reports to the arbiter, the wake-up time, announcements, and starts, stops and probes of groups are put
first: a slow disk never holds them up, and no later stop overtakes a start.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

from hamgr.core.messages import ArbiterReport, Body, ClusterState, PastFence


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one node, on every link that leads there. to_incarnation and number as in `Packet`."""

    to: str
    to_incarnation: int
    body: Body
    number: int = 0


@dataclass(frozen=True, slots=True)
class AskArbiter:
    report: ArbiterReport


@dataclass(frozen=True, slots=True)
class Fence:
    """Run all devices of `level` (from 0) of `node`; answer with `FenceFinished(fence, ...)`."""

    fence: int
    node: str
    level: int


@dataclass(frozen=True, slots=True)
class StartGroup:
    group: str


@dataclass(frozen=True, slots=True)
class StopGroup:
    """Stop it, whatever its state; a start or probe that is under way is ended first."""

    group: str


@dataclass(frozen=True, slots=True)
class Probe:
    group: str


@dataclass(frozen=True, slots=True)
class VoteRecord:
    epoch: int
    candidate: str


@dataclass(frozen=True, slots=True)
class StateRecord:
    state: ClusterState


ACKNOWLEDGED = "acknowledged"
"""The outcome of a fencing that no device did: an operator confirmed that the node is off."""


@dataclass(frozen=True, slots=True)
class FenceRecord:
    """outcome "" is the intent, written before the agent starts; else a `FenceOutcome` value, or `ACKNOWLEDGED`.

    operator: who asked for it, or confirmed it; "" when the cluster itself did. votes: by whose votes the coordinator
    decides. attempts: calls of the devices, known with the result.
    """

    fence: int
    node: str
    incarnation: int
    level: int
    epoch: int
    reason: str
    outcome: str = ""
    detail: str = ""
    operator: str = ""
    votes: tuple[str, ...] = ()
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class StandbyRecord:
    standby: bool


@dataclass(frozen=True, slots=True)
class InitialisedRecord:
    """The node has learned the epoch and may vote in later ones."""

    epoch: int


@dataclass(frozen=True, slots=True)
class StagedRecord:
    """A configuration that may be switched to. idle: as in `ConfigStaged`. text: the core never reads it."""

    digest: str
    idle: tuple[str, ...] = ()
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class AppliedRecord:
    """The file of this node was brought to this version."""

    version: int


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """Fencings for people to read, of which the newest are kept; the core never asks for them."""

    fences: tuple[PastFence, ...]
    kept: int


Record: TypeAlias = (
    VoteRecord
    | StateRecord
    | FenceRecord
    | StandbyRecord
    | InitialisedRecord
    | StagedRecord
    | AppliedRecord
    | HistoryRecord
)


@dataclass(frozen=True, slots=True)
class Persist:
    serial: int
    record: Record


@dataclass(frozen=True, slots=True)
class SelfFence:
    """This node runs what it may not run and can't stop it: go silent on all links, reset the machine if possible."""

    reason: str


@dataclass(frozen=True, slots=True)
class FeedWatchdog:
    """Until then (of the node's monotonic clock) what this node runs may go on, and its watchdog may be fed, also if no
    word comes from here any more. Infinity: nothing runs here that must be ended."""

    until: float


class Kind(enum.Enum):
    """The names of announced events: the same in the log, the admin stream, the timeline and the documentation."""

    STARTED = "started"
    LINK_UP = "link-up"
    LINK_DOWN = "link-down"
    NODE_UP = "node-up"
    NODE_SUSPECTED = "node-suspected"
    NODE_OUTSIDE = "node-outside"
    NODE_DEAD = "node-dead"
    NODE_LEFT = "node-left"
    NODE_FENCED = "node-fenced"
    ARBITER_UP = "arbiter-up"
    ARBITER_LOST = "arbiter-lost"
    ARBITER_CHANGED = "arbiter-changed"
    VOTE_ASKED = "vote-asked"
    VOTE_GIVEN = "vote-given"
    VOTE_REFUSED = "vote-refused"
    COORDINATOR = "coordinator"
    QUORUM_LOST = "quorum-lost"
    VIEW = "view"
    FENCE_ASKED = "fence-asked"
    FENCE_CONFIRMED = "fence-confirmed"
    FENCE_FAILED = "fence-failed"
    FENCE_LIMITED = "fence-limited"
    POWER_ON = "power-on"
    POWER_ON_FAILED = "power-on-failed"
    FENCE_ACKNOWLEDGED = "fence-acknowledged"
    FENCE_DEVICE_FAILED = "fence-device-failed"
    FENCE_DEVICE_OK = "fence-device-ok"
    IP_REQUEST = "ip-request"
    IP_REQUEST_RESP = "ip-request-resp"
    TAKEOVER_WAITS = "takeover-waits"
    TAKEOVER_ASKED = "takeover-asked"
    TAKEOVER_CONFIRMED = "takeover-confirmed"
    REBALANCE = "rebalance"
    GROUP_STARTING = "group-starting"
    GROUP_STARTED = "group-started"
    GROUP_STOPPING = "group-stopping"
    GROUP_STOPPED = "group-stopped"
    GROUP_FAILED = "group-failed"
    ADDRESS_CONFLICT = "address-conflict"
    SPLIT_BRAIN = "split-brain"
    STANDBY = "standby"
    PAUSED = "paused"
    LATE = "late"
    HEALTH = "health"
    MAINTENANCE = "maintenance"
    CONFIG = "config"
    VOTERS = "voters"
    QUORUM_OVERRIDE = "quorum-override"
    DISK_FAILED = "disk-failed"
    DISK_OK = "disk-ok"
    SELF_FENCE = "self-fence"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Announce:
    """Something an operator wants to know: one sentence, and the facts by name. node/group/link: whom it concerns."""

    kind: Kind
    text: str
    node: str = ""
    group: str = ""
    link: str = ""
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to `OperatorAsked`: done, or refused with the reason in a sentence."""

    request: int
    done: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Call `step(Tick())` at this time (the node's monotonic clock); replaces the earlier one."""

    time: float


@dataclass(frozen=True, slots=True)
class Exit:
    """The node has left cleanly; the host may end. restart: it starts anew, with the committed configuration."""

    reason: str
    restart: bool = False


@dataclass(frozen=True, slots=True)
class BringConfig:
    """Bring the text of our configuration, which has this digest, to a node that missed it. life: that node's."""

    node: str
    life: int
    digest: str


Effect: TypeAlias = (
    Send
    | AskArbiter
    | BringConfig
    | Fence
    | StartGroup
    | StopGroup
    | Probe
    | Persist
    | SelfFence
    | FeedWatchdog
    | Announce
    | Reply
    | WakeAt
    | Exit
)
