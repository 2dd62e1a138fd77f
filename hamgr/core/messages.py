"""What travels between nodes, and between a node and the arbiter, as plain values.

`hamgr.links.codec` turns a `Packet` into authenticated bytes and back; the simulator passes it as it is.
Every message is idempotent: the sender repeats it each keepalive until the receiver's state shows its effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from hamgr.core.cluster import GroupState
from hamgr.core.electorate import Electorate, Electorates


class Standing(Enum):
    """What the coordinators have recorded of a node's incarnation in the replicated cluster state."""

    UNKNOWN = "unknown"
    MEMBER = "member"
    LEFT = "left"
    FENCED = "fenced"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """The age of a cluster state: later epochs, then later views, are newer."""

    epoch: int = 0
    view: int = 0


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One node in the cluster state: its last admitted incarnation (0: none known) and how that one stands."""

    node: str
    incarnation: int = 0
    standing: Standing = Standing.UNKNOWN
    reset_ms: int = 0
    """While it is a member: what its heartbeats said under this name; 0 while nobody may count on its watchdog."""


@dataclass(frozen=True, slots=True)
class ConfigStamp:
    """A configuration that was pushed. version: grows by one with each; 0: there is none. digest: of its text. added:
    the node that it adds, "" for none; removed: the one that it removes."""

    version: int = 0
    digest: str = ""
    added: str = ""
    removed: str = ""


@dataclass(frozen=True, slots=True)
class Shot:
    """A confirmed fencing of this node within the last hour (`hamgr.core.shots`). age: seconds, when the state was
    stamped."""

    node: str
    age: int


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What every voter keeps on disk of the last view it accepted.

    A coordinator gives no start order to a member before a quorum has stored a state that names it; so whoever
    is elected later, by any quorum, learns of every node that could run something.
    """

    stamp: Stamp = Stamp()
    coordinator: str = ""
    roster: tuple[RosterEntry, ...] = ()
    pins: tuple[tuple[str, str], ...] = ()
    """(group, node): an operator asked for this group to run there (takeover), until that node leaves."""
    maintenance: bool = False
    """Nothing is started, stopped or fenced, until an operator ends it."""
    config: ConfigStamp = ConfigStamp()
    """The last configuration that was committed (`hamgr.core.pushing`): every node is to run it."""
    proposed: ConfigStamp = ConfigStamp()
    pushing: bool = False
    """The maintenance was begun by a push, and ends with it: not everybody may run the same configuration."""
    shots: tuple[Shot, ...] = ()
    owners: tuple[tuple[str, str], ...] = ()
    """(group, node): where a group that a human moves was let run last."""
    electorates: Electorates = Electorates()
    """Who votes (`hamgr.core.voters`); in a two_node cluster nobody is written down."""
    arbiter: str = ""
    """The store whose votes are the arbiter's (`hamgr.core.accepting`); "" until one voted."""
    next_arbiter: str = ""
    """The store that takes its place; while there is one, no arbiter's vote counts."""


@dataclass(frozen=True, slots=True)
class Echo:
    """'I heard your heartbeat that you stamped `sent_us`, in your life `incarnation`.'"""

    node: str
    incarnation: int
    sent_us: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent to all on every link each keepalive. sent_us: the sender's monotonic clock in microseconds.

    coordinator: whom the sender follows in `epoch` ("" for none). stored: the stamp of the cluster state that the
    sender has on disk. load: the sum of the priorities of the groups that it runs. running: those groups, for the
    status on every node; nothing is decided by it. config: the digest of the configuration that the sender runs with.
    staged: of the one that it has on disk and could switch to, as long as what that changes is stopped there. applied:
    the version of the last pushed one that its file was brought to. hears: the sender, and whom it hears
    and is heard by (empty: it does not say, as of two nodes). mesh: the largest set of nodes that all hear each other,
    with the sender in it; empty when it is all that it hears. reset_ms: milliseconds from the last proof of a
    quorum behind it until its watchdog has surely reset the machine, whatever hangs there (its lease, its stops and the
    time-out of the watchdog, as it runs with them); 0 when none is armed. settled: (coordinator) the stamp of the
    newest cluster state of this epoch that a quorum has stored.
    """

    sent_us: int
    epoch: int
    coordinator: str = ""
    stored: Stamp = Stamp()
    initialised: bool = True
    load: int = 0
    leaving: bool = False
    echoes: tuple[Echo, ...] = ()
    running: tuple[str, ...] = ()
    config: str = ""
    staged: str = ""
    applied: int = 0
    hears: tuple[str, ...] = ()
    mesh: tuple[str, ...] = ()
    reset_ms: int = 0
    settled: Stamp = Stamp()


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """The sender asks for the receiver's vote as coordinator of `epoch`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class VoteReply:
    """voted_for: whom the sender's vote of `epoch` went to; state: its stored cluster state, with a granted vote."""

    epoch: int
    granted: bool
    voted_for: str = ""
    state: ClusterState = ClusterState()


@dataclass(frozen=True, slots=True)
class ViewUpdate:
    """The coordinator's newest cluster state; acknowledged by `Heartbeat.stored` once it is on disk."""

    state: ClusterState


@dataclass(frozen=True, slots=True)
class Order:
    """The coordinator says which groups the receiver shall run; every other group it shall release (ip-request).

    keep: groups that already run there and may go on, but that the takeover rule does not let be started now, not even
    again after a failure. number: grows with each change for this receiver; older orders, or those of another epoch,
    are refused.
    """

    epoch: int
    view: int
    number: int
    run: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupReport:
    """State of one group, as probed or acted on by its node in the epoch of the report.

    barred: the node says that it can't run the group now (it failed there too often). unready: why it can't be started
    there yet, as when a copy of its data is not good enough; "" when it can. soon: it is about to be ready.
    """

    group: str
    state: GroupState
    barred: bool = False
    detail: str = ""
    unready: str = ""
    soon: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A member's answer to its coordinator (ip-request-resp): its groups after order `number` was taken up.

    probed: every group's state was found by probing, or by an action, within this epoch.
    """

    epoch: int
    number: int
    probed: bool
    groups: tuple[GroupReport, ...] = ()
    standby: bool = False
    unfit: str = ""
    """Why this node can't run anything (for example a full disk); "" when it can."""
    health: int = 0
    """Its ping score: the weights of the ping targets that answer it; higher is better."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """The sender leaves cleanly: nothing runs here, and nothing will in this incarnation."""


@dataclass(frozen=True, slots=True)
class FarewellAck:
    """The sender has recorded the farewell of the receiver's incarnation."""


@dataclass(frozen=True, slots=True)
class LearnRequest:
    """A node with a new or wiped state directory asks for the epoch before it may vote."""


@dataclass(frozen=True, slots=True)
class LearnReply:
    epoch: int
    state: ClusterState = ClusterState()


@dataclass(frozen=True, slots=True)
class Forward:
    """An operator's request on its way to the coordinator (or to the node that it concerns).

    verb: one of the values of `hamgr.core.events.Verb`. operator: who asked, for the record. config: a digest. epoch:
    that of the node at which it was asked, then. groups: (rebalance) the only ones that are moved.
    """

    request: int
    verb: str
    node: str = ""
    group: str = ""
    operator: str = ""
    config: str = ""
    epoch: int = 0
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForwardReply:
    request: int
    done: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class RetransmitRequest:
    """The sender never got the receiver's control messages of these numbers."""

    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Resync:
    """What the receiver misses of the sender's control messages up to this number does not come again: it is too old,
    or a later message says the same and more. The sender's present state follows."""

    upto: int


@dataclass(frozen=True, slots=True)
class ConfigPart:
    """A part of a configuration that is pushed (`hamgr.admin.parcel`); the core knows nothing of it. push: grows with
    each push of a life. check_only: it is to be checked, and not to be kept."""

    push: int
    index: int
    count: int
    data: bytes
    check_only: bool = False


@dataclass(frozen=True, slots=True)
class ConfigVerdict:
    """taken: how many parts of it the sender has. judged: it has all, and says what is wrong (nothing: it keeps it)."""

    push: int
    taken: int
    judged: bool = False
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PastFence:
    """One run of one fence level, or one operator's word that a node is off, as every node keeps it
    (`hamgr.admin.history`); the core knows nothing of it.

    by, number: the node that did it, and a number that grows with each of its fencings. operator: who asked for it;
    "" when the cluster itself did. votes: by whose votes `by` was coordinator of `epoch`. level: from 1; 0 without one.
    attempts: calls of the devices' `off`, all together. asked_at, finished_at: seconds since 1970, by the clock of
    `by`. outcome: a `FenceOutcome` value, or "acknowledged".
    """

    by: str
    number: int
    node: str
    epoch: int
    reason: str
    outcome: str
    detail: str = ""
    operator: str = ""
    votes: tuple[str, ...] = ()
    level: int = 0
    devices: tuple[str, ...] = ()
    attempts: int = 0
    asked_at: float = 0.0
    finished_at: float = 0.0


@dataclass(frozen=True, slots=True)
class FenceNews:
    """known: of each node, the number of the newest of its fencings that the sender has. fences: some that the receiver
    did not have, the oldest of each node first, without a gap."""

    known: tuple[tuple[str, int], ...]
    fences: tuple[PastFence, ...] = ()


@dataclass(frozen=True, slots=True)
class DrbdOutdate:
    """The receiver's copy of a DRBD resource is to be marked as outdated (`hamgr.admin.drbd`)."""

    request: int
    resource: str


@dataclass(frozen=True, slots=True)
class DrbdOutdated:
    """code: how drbdadm ended; -1 when it did not run to its end."""

    request: int
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class FenceTrialAsked:
    """The receiver is to try a fence device, without switching anything (`hamgr.admin.fences`)."""

    request: int
    device: str


@dataclass(frozen=True, slots=True)
class FenceTrialTold:
    """card: what was found (`hamgr.fencing.postcard`). problem: why it was not tried; "" if it was."""

    request: int
    card: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """The receiver, which is taken for the coordinator, is asked what it knows (`hamgr.admin.inquiries`)."""

    request: int
    about: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InquiryTold:
    """card: what it knows. problem: why it says nothing; "" if it does."""

    request: int
    card: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ArbiterReport:
    """A node's report to the arbiter, each keepalive and at once when it claims an epoch.

    claim: the epoch that it asks the arbiter's vote for (0: none). alive: the nodes that it hears and that hear
    it, with itself. epoch/coordinator: what it follows now. health: ping score, higher is better. load: see
    Heartbeat. state: its newest cluster state, for the arbiter to store as any voter does.
    nodes: all configured nodes in rank order. deadtime, settle: seconds. vote_seen: the latest epoch of which the
    arbiter told this life that its vote is on disk. votes: of each of `nodes`, in their order (empty: one each).
    arbiter_votes: what the arbiter's vote counts.
    """

    sent_us: int
    epoch: int
    coordinator: str = ""
    initialised: bool = True
    claim: int = 0
    alive: tuple[str, ...] = ()
    health: int = 0
    load: int = 0
    state: ClusterState = ClusterState()
    nodes: tuple[str, ...] = ()
    tie_breaker: str = ""
    deadtime: float = 10.0
    settle: float = 1.0
    vote_seen: int = 0
    votes: tuple[int, ...] = ()
    arbiter_votes: int = 1
    store: str = ""
    """The identity of the arbiter's store that counts for this node (or is about to); "" for any."""
    stored: Stamp = Stamp()
    """Of its cluster state, which is not sent as long as it takes the arbiter to have it."""
    config: str = ""
    applied: int | None = None
    """As in Heartbeat; None from a node that does not say."""

    @property
    def electorate(self) -> Electorate:
        votes = self.votes or (1,) * len(self.nodes)
        return Electorate(dict(zip(self.nodes, votes, strict=True)), self.arbiter_votes)


@dataclass(frozen=True, slots=True)
class ArbiterAnswer:
    """The arbiter's answer to a report, each report at once; again, unasked, when a settle time ended.

    echo_us: `sent_us` of the newest report of this node's incarnation. voter: False while the arbiter's own
    record of this cluster is new and it has not yet learned the epoch (it neither votes nor supports).
    epoch: the highest epoch that it knows of. coordinator: whom it supports in that epoch, because it voted for
    it or because that coordinator reported itself ("" for none).
    vote_epoch, voted_for: its last vote, on disk. stored: the stamp of the state it has on disk.
    refused: why a claim was not granted, in a sentence; "" when no claim is refused (it may still wait to settle).
    state: the stored cluster state, sent with a granted claim (vote_epoch == claim and voted_for == you), and to a node
    that has not learned the epoch. why: the reason why it was granted, in a sentence; "" if the arbiter that gave the
    vote has been restarted since.
    """

    echo_us: int
    voter: bool
    epoch: int
    coordinator: str = ""
    vote_epoch: int = 0
    voted_for: str = ""
    stored: Stamp = Stamp()
    refused: str = ""
    state: ClusterState = ClusterState()
    why: str = ""
    store: str = ""
    """The identity of the store in which the votes are kept; "" when it is not told."""
    undead: tuple[str, ...] = ()
    """The nodes that count as off, and told the arbiter after that that they run groups."""


Body: TypeAlias = (
    Heartbeat
    | VoteRequest
    | VoteReply
    | ViewUpdate
    | Order
    | Report
    | Farewell
    | FarewellAck
    | LearnRequest
    | LearnReply
    | Forward
    | ForwardReply
    | RetransmitRequest
    | Resync
    | ConfigPart
    | ConfigVerdict
    | FenceNews
    | DrbdOutdate
    | DrbdOutdated
    | FenceTrialAsked
    | FenceTrialTold
    | Inquiry
    | InquiryTold
    | ArbiterReport
    | ArbiterAnswer
)


def slot(body: Body) -> str:
    """What a message is about: a newer one of the same slot says the same and more, and makes it void."""
    if isinstance(body, Forward):
        # Two nodes' requests may have the same number when the coordinator passes them on.
        return f"Forward {body.request} {body.verb} {body.group}"
    if isinstance(body, ForwardReply):
        return f"ForwardReply {body.request}"
    return type(body).__name__


@dataclass(frozen=True, slots=True)
class Packet:
    """A message with its address. incarnation: the sender's life. to_incarnation: the receiver's, as the sender
    knows it (0: unknown, allowed for heartbeats only); a packet for an earlier life is refused. number: control
    messages between two lives are numbered from 1; a heartbeat says the newest number that was given, 0 is none."""

    sender: str
    incarnation: int
    to: str
    to_incarnation: int
    body: Body
    number: int = 0
