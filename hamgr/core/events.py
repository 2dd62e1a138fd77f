"""Everything that can happen to a node. `Node.step(now, event)` takes one at a time."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from hamgr.core.cluster import GroupState
from hamgr.core.messages import ArbiterAnswer, Packet


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that the node asked for with `WakeAt` has come (or any earlier or later time: it is harmless)."""


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """An authenticated packet, addressed to this node, came over a link."""

    link: str
    packet: Packet


@dataclass(frozen=True, slots=True)
class ArbiterAnswered:
    """where: the address that answered."""

    answer: ArbiterAnswer
    where: str = ""


@dataclass(frozen=True, slots=True)
class ArbiterLost:
    """The session with the arbiter broke, or can't be opened."""

    reason: str


class FenceOutcome(enum.Enum):
    """Only CONFIRMED counts: the devices of the level read back *off*. UNKNOWN is not fenced."""

    CONFIRMED = "confirmed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FenceFinished:
    fence: int
    """The number of the `Fence` effect that this answers."""
    node: str
    outcome: FenceOutcome
    detail: str = ""
    attempts: int = 1
    """Calls of the devices' `off`, all together."""


@dataclass(frozen=True, slots=True)
class ResourceReported:
    """A probe, start, stop or monitor of a group came to an end (or the group failed while it was started)."""

    group: str
    state: GroupState
    detail: str = ""


class Verb(enum.Enum):
    """What an operator can ask for. The values are the words of the command line and of the protocol."""

    STANDBY = "standby"
    ONLINE = "online"
    TAKEOVER = "takeover"
    FENCE = "fence"
    CONFIRM_FENCED = "fence-ack"
    CONFIRM = "confirm"
    CLEANUP = "cleanup"
    REBALANCE = "rebalance"
    MAINTENANCE_ON = "maintenance-on"
    MAINTENANCE_OFF = "maintenance-off"
    LEAVE = "leave"
    PUSH = "config-push"
    WITHDRAW = "config-withdraw"
    ACCEPT_ARBITER = "arbiter-accept"
    OVERRIDE = "quorum-override"


@dataclass(frozen=True, slots=True)
class OperatorAsked:
    """Answered by exactly one `Reply` effect with the same request number.

    STANDBY node (with one of `SELECTIONS` but "all" as group: only those groups leave it, now, and it stays online) ·
    ONLINE node · TAKEOVER group (all if "", or one of `SELECTIONS`) to node · FENCE node · CONFIRM_FENCED node ·
    MAINTENANCE_ON/OFF of the whole cluster ·
    CONFIRM what is proposed for node, or for group, or all ("" and "") ·
    CLEANUP group on node (forget its failures) ·
    REBALANCE: begin with the next move that makes the nodes more even, which must be that of group to node (unless it
    is ""); only `groups` are moved, if there are any · LEAVE (this node stops its groups and says farewell).
    ACCEPT_ARBITER the arbiter's store with the identity `config`.
    PUSH the configuration with the digest `config`, which every node that is there has staged (node: one that it adds
    or removes, or the arbiter when that goes). WITHDRAW: a push that is not committed yet.
    OVERRIDE: this node goes on without a quorum, while all of `nodes` are surely off.
    operator: who asks, kept in the record of a confirmed fence.
    """

    request: int
    verb: Verb
    node: str = ""
    group: str = ""
    operator: str = ""
    config: str = ""
    nodes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigStaged:
    """The text of a configuration is on this node's disk. idle: the groups that must be stopped before it is switched
    to, since the text removes or changes them."""

    digest: str
    idle: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Paused:
    """The host's loop did not run for this long (SIGSTOP, VM freeze, starvation): seconds."""

    duration: float


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The host knows something of a link itself, without waiting for silence: its carrier or address went or came."""

    link: str
    up: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """The health of this node changed: the sum of the weights of the ping targets that answer, less one for each thing
    that keeps clients from it. detail: which targets do not answer, and what else; hindrance: what else alone."""

    score: int
    detail: str = ""
    hindrance: str = ""


@dataclass(frozen=True, slots=True)
class FailbackClosed:
    """The groups that don't fail back now: it is not the time of day for it."""

    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Persisted:
    serial: int


@dataclass(frozen=True, slots=True)
class PersistFailed:
    """A record could not be written (and nothing behind its barrier was done)."""

    serial: int
    reason: str


@dataclass(frozen=True, slots=True)
class GroupUnready:
    """Why the group can't be started on this node yet; "" when it can. It says nothing of one that runs.

    soon: it is about to be ready: a group that runs nowhere may wait for it, one that would be stopped for it does not.
    """

    group: str
    reason: str
    soon: bool = False


@dataclass(frozen=True, slots=True)
class GuardChanged:
    """reason: why nothing ends what runs here if this daemon dies, and nothing feeds the watchdog; "" for none."""

    reason: str


@dataclass(frozen=True, slots=True)
class ShutOut:
    """This node was fenced by a device that leaves it running: it found out by itself that it was. Nothing of what it
    runs may go on."""

    reason: str


Event: TypeAlias = (
    Tick | PacketReceived | ArbiterAnswered | ArbiterLost | FenceFinished | ResourceReported | OperatorAsked | Paused
    | LinkChanged | HealthChanged | GroupUnready | GuardChanged | ShutOut | FailbackClosed | ConfigStaged
    | Persisted | PersistFailed
)
