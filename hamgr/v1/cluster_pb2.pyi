from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Standing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STANDING_UNKNOWN: _ClassVar[Standing]
    STANDING_MEMBER: _ClassVar[Standing]
    STANDING_LEFT: _ClassVar[Standing]
    STANDING_FENCED: _ClassVar[Standing]
    STANDING_ACKNOWLEDGED: _ClassVar[Standing]

class GroupState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_STATE_UNKNOWN: _ClassVar[GroupState]
    GROUP_STATE_STOPPED: _ClassVar[GroupState]
    GROUP_STATE_STARTING: _ClassVar[GroupState]
    GROUP_STATE_STARTED: _ClassVar[GroupState]
    GROUP_STATE_STOPPING: _ClassVar[GroupState]
    GROUP_STATE_FAILED: _ClassVar[GroupState]
    GROUP_STATE_STOP_FAILED: _ClassVar[GroupState]
STANDING_UNKNOWN: Standing
STANDING_MEMBER: Standing
STANDING_LEFT: Standing
STANDING_FENCED: Standing
STANDING_ACKNOWLEDGED: Standing
GROUP_STATE_UNKNOWN: GroupState
GROUP_STATE_STOPPED: GroupState
GROUP_STATE_STARTING: GroupState
GROUP_STATE_STARTED: GroupState
GROUP_STATE_STOPPING: GroupState
GROUP_STATE_FAILED: GroupState
GROUP_STATE_STOP_FAILED: GroupState

class Packet(_message.Message):
    __slots__ = ("cluster", "sender", "to", "incarnation", "to_incarnation", "link", "sequence", "number", "timing", "heartbeat", "vote_request", "vote_reply", "view_update", "order", "report", "farewell", "farewell_ack", "learn_request", "learn_reply", "forward", "forward_reply", "retransmit_request", "resync", "config_part", "config_verdict", "fence_news", "drbd_outdate", "drbd_outdated", "arbiter_report", "arbiter_answer", "fence_trial_asked", "fence_trial_told", "inquiry", "inquiry_told")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    TO_INCARNATION_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    VOTE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    VOTE_REPLY_FIELD_NUMBER: _ClassVar[int]
    VIEW_UPDATE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_ACK_FIELD_NUMBER: _ClassVar[int]
    LEARN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    LEARN_REPLY_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    FORWARD_REPLY_FIELD_NUMBER: _ClassVar[int]
    RETRANSMIT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    CONFIG_PART_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERDICT_FIELD_NUMBER: _ClassVar[int]
    FENCE_NEWS_FIELD_NUMBER: _ClassVar[int]
    DRBD_OUTDATE_FIELD_NUMBER: _ClassVar[int]
    DRBD_OUTDATED_FIELD_NUMBER: _ClassVar[int]
    ARBITER_REPORT_FIELD_NUMBER: _ClassVar[int]
    ARBITER_ANSWER_FIELD_NUMBER: _ClassVar[int]
    FENCE_TRIAL_ASKED_FIELD_NUMBER: _ClassVar[int]
    FENCE_TRIAL_TOLD_FIELD_NUMBER: _ClassVar[int]
    INQUIRY_FIELD_NUMBER: _ClassVar[int]
    INQUIRY_TOLD_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    sender: str
    to: str
    incarnation: int
    to_incarnation: int
    link: str
    sequence: int
    number: int
    timing: Timing
    heartbeat: Heartbeat
    vote_request: VoteRequest
    vote_reply: VoteReply
    view_update: ViewUpdate
    order: Order
    report: Report
    farewell: Farewell
    farewell_ack: FarewellAck
    learn_request: LearnRequest
    learn_reply: LearnReply
    forward: Forward
    forward_reply: ForwardReply
    retransmit_request: RetransmitRequest
    resync: Resync
    config_part: ConfigPart
    config_verdict: ConfigVerdict
    fence_news: FenceNews
    drbd_outdate: DrbdOutdate
    drbd_outdated: DrbdOutdated
    arbiter_report: ArbiterReport
    arbiter_answer: ArbiterAnswer
    fence_trial_asked: FenceTrialAsked
    fence_trial_told: FenceTrialTold
    inquiry: Inquiry
    inquiry_told: InquiryTold
    def __init__(self, cluster: _Optional[str] = ..., sender: _Optional[str] = ..., to: _Optional[str] = ..., incarnation: _Optional[int] = ..., to_incarnation: _Optional[int] = ..., link: _Optional[str] = ..., sequence: _Optional[int] = ..., number: _Optional[int] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., vote_request: _Optional[_Union[VoteRequest, _Mapping]] = ..., vote_reply: _Optional[_Union[VoteReply, _Mapping]] = ..., view_update: _Optional[_Union[ViewUpdate, _Mapping]] = ..., order: _Optional[_Union[Order, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., farewell: _Optional[_Union[Farewell, _Mapping]] = ..., farewell_ack: _Optional[_Union[FarewellAck, _Mapping]] = ..., learn_request: _Optional[_Union[LearnRequest, _Mapping]] = ..., learn_reply: _Optional[_Union[LearnReply, _Mapping]] = ..., forward: _Optional[_Union[Forward, _Mapping]] = ..., forward_reply: _Optional[_Union[ForwardReply, _Mapping]] = ..., retransmit_request: _Optional[_Union[RetransmitRequest, _Mapping]] = ..., resync: _Optional[_Union[Resync, _Mapping]] = ..., config_part: _Optional[_Union[ConfigPart, _Mapping]] = ..., config_verdict: _Optional[_Union[ConfigVerdict, _Mapping]] = ..., fence_news: _Optional[_Union[FenceNews, _Mapping]] = ..., drbd_outdate: _Optional[_Union[DrbdOutdate, _Mapping]] = ..., drbd_outdated: _Optional[_Union[DrbdOutdated, _Mapping]] = ..., arbiter_report: _Optional[_Union[ArbiterReport, _Mapping]] = ..., arbiter_answer: _Optional[_Union[ArbiterAnswer, _Mapping]] = ..., fence_trial_asked: _Optional[_Union[FenceTrialAsked, _Mapping]] = ..., fence_trial_told: _Optional[_Union[FenceTrialTold, _Mapping]] = ..., inquiry: _Optional[_Union[Inquiry, _Mapping]] = ..., inquiry_told: _Optional[_Union[InquiryTold, _Mapping]] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("stamp_us", "echo_us", "held_us")
    STAMP_US_FIELD_NUMBER: _ClassVar[int]
    ECHO_US_FIELD_NUMBER: _ClassVar[int]
    HELD_US_FIELD_NUMBER: _ClassVar[int]
    stamp_us: int
    echo_us: int
    held_us: int
    def __init__(self, stamp_us: _Optional[int] = ..., echo_us: _Optional[int] = ..., held_us: _Optional[int] = ...) -> None: ...

class Stamp(_message.Message):
    __slots__ = ("epoch", "view")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    view: int
    def __init__(self, epoch: _Optional[int] = ..., view: _Optional[int] = ...) -> None: ...

class RosterEntry(_message.Message):
    __slots__ = ("node", "incarnation", "standing", "reset_ms")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    RESET_MS_FIELD_NUMBER: _ClassVar[int]
    node: str
    incarnation: int
    standing: Standing
    reset_ms: int
    def __init__(self, node: _Optional[str] = ..., incarnation: _Optional[int] = ..., standing: _Optional[_Union[Standing, str]] = ..., reset_ms: _Optional[int] = ...) -> None: ...

class Pin(_message.Message):
    __slots__ = ("group", "node")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    group: str
    node: str
    def __init__(self, group: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class ClusterState(_message.Message):
    __slots__ = ("stamp", "coordinator", "roster", "pins", "maintenance", "config", "proposed", "pushing", "shots", "owners", "voters", "coming_voters", "arbiter", "next_arbiter")
    STAMP_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    MAINTENANCE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    PROPOSED_FIELD_NUMBER: _ClassVar[int]
    PUSHING_FIELD_NUMBER: _ClassVar[int]
    SHOTS_FIELD_NUMBER: _ClassVar[int]
    OWNERS_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    COMING_VOTERS_FIELD_NUMBER: _ClassVar[int]
    ARBITER_FIELD_NUMBER: _ClassVar[int]
    NEXT_ARBITER_FIELD_NUMBER: _ClassVar[int]
    stamp: Stamp
    coordinator: str
    roster: _containers.RepeatedCompositeFieldContainer[RosterEntry]
    pins: _containers.RepeatedCompositeFieldContainer[Pin]
    maintenance: bool
    config: ConfigStamp
    proposed: ConfigStamp
    pushing: bool
    shots: _containers.RepeatedCompositeFieldContainer[Shot]
    owners: _containers.RepeatedCompositeFieldContainer[Pin]
    voters: Electorate
    coming_voters: Electorate
    arbiter: bytes
    next_arbiter: bytes
    def __init__(self, stamp: _Optional[_Union[Stamp, _Mapping]] = ..., coordinator: _Optional[str] = ..., roster: _Optional[_Iterable[_Union[RosterEntry, _Mapping]]] = ..., pins: _Optional[_Iterable[_Union[Pin, _Mapping]]] = ..., maintenance: _Optional[bool] = ..., config: _Optional[_Union[ConfigStamp, _Mapping]] = ..., proposed: _Optional[_Union[ConfigStamp, _Mapping]] = ..., pushing: _Optional[bool] = ..., shots: _Optional[_Iterable[_Union[Shot, _Mapping]]] = ..., owners: _Optional[_Iterable[_Union[Pin, _Mapping]]] = ..., voters: _Optional[_Union[Electorate, _Mapping]] = ..., coming_voters: _Optional[_Union[Electorate, _Mapping]] = ..., arbiter: _Optional[bytes] = ..., next_arbiter: _Optional[bytes] = ...) -> None: ...

class Electorate(_message.Message):
    __slots__ = ("nodes", "arbiter", "tie")
    class NodesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NODES_FIELD_NUMBER: _ClassVar[int]
    ARBITER_FIELD_NUMBER: _ClassVar[int]
    TIE_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.ScalarMap[str, int]
    arbiter: int
    tie: str
    def __init__(self, nodes: _Optional[_Mapping[str, int]] = ..., arbiter: _Optional[int] = ..., tie: _Optional[str] = ...) -> None: ...

class Shot(_message.Message):
    __slots__ = ("node", "age")
    NODE_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    node: str
    age: int
    def __init__(self, node: _Optional[str] = ..., age: _Optional[int] = ...) -> None: ...

class ConfigStamp(_message.Message):
    __slots__ = ("version", "digest", "added", "removed")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    version: int
    digest: bytes
    added: str
    removed: str
    def __init__(self, version: _Optional[int] = ..., digest: _Optional[bytes] = ..., added: _Optional[str] = ..., removed: _Optional[str] = ...) -> None: ...

class Echo(_message.Message):
    __slots__ = ("node", "incarnation", "sent_us")
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    node: str
    incarnation: int
    sent_us: int
    def __init__(self, node: _Optional[str] = ..., incarnation: _Optional[int] = ..., sent_us: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("sent_us", "epoch", "coordinator", "stored", "initialised", "load", "leaving", "echoes", "running", "keys", "config", "staged", "applied", "hears", "mesh", "reset_ms", "settled")
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    INITIALISED_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    ECHOES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STAGED_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    HEARS_FIELD_NUMBER: _ClassVar[int]
    MESH_FIELD_NUMBER: _ClassVar[int]
    RESET_MS_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    sent_us: int
    epoch: int
    coordinator: str
    stored: Stamp
    initialised: bool
    load: int
    leaving: bool
    echoes: _containers.RepeatedCompositeFieldContainer[Echo]
    running: _containers.RepeatedScalarFieldContainer[str]
    keys: _containers.RepeatedCompositeFieldContainer[OpenKey]
    config: bytes
    staged: bytes
    applied: int
    hears: _containers.RepeatedScalarFieldContainer[str]
    mesh: _containers.RepeatedScalarFieldContainer[str]
    reset_ms: int
    settled: Stamp
    def __init__(self, sent_us: _Optional[int] = ..., epoch: _Optional[int] = ..., coordinator: _Optional[str] = ..., stored: _Optional[_Union[Stamp, _Mapping]] = ..., initialised: _Optional[bool] = ..., load: _Optional[int] = ..., leaving: _Optional[bool] = ..., echoes: _Optional[_Iterable[_Union[Echo, _Mapping]]] = ..., running: _Optional[_Iterable[str]] = ..., keys: _Optional[_Iterable[_Union[OpenKey, _Mapping]]] = ..., config: _Optional[bytes] = ..., staged: _Optional[bytes] = ..., applied: _Optional[int] = ..., hears: _Optional[_Iterable[str]] = ..., mesh: _Optional[_Iterable[str]] = ..., reset_ms: _Optional[int] = ..., settled: _Optional[_Union[Stamp, _Mapping]] = ...) -> None: ...

class OpenKey(_message.Message):
    __slots__ = ("number", "print")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PRINT_FIELD_NUMBER: _ClassVar[int]
    number: int
    print: int
    def __init__(self, number: _Optional[int] = ..., print: _Optional[int] = ...) -> None: ...

class VoteRequest(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class VoteReply(_message.Message):
    __slots__ = ("epoch", "granted", "voted_for", "state")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    VOTED_FOR_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    granted: bool
    voted_for: str
    state: ClusterState
    def __init__(self, epoch: _Optional[int] = ..., granted: _Optional[bool] = ..., voted_for: _Optional[str] = ..., state: _Optional[_Union[ClusterState, _Mapping]] = ...) -> None: ...

class ViewUpdate(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: ClusterState
    def __init__(self, state: _Optional[_Union[ClusterState, _Mapping]] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("epoch", "view", "number", "run", "keep")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    view: int
    number: int
    run: _containers.RepeatedScalarFieldContainer[str]
    keep: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, epoch: _Optional[int] = ..., view: _Optional[int] = ..., number: _Optional[int] = ..., run: _Optional[_Iterable[str]] = ..., keep: _Optional[_Iterable[str]] = ...) -> None: ...

class GroupReport(_message.Message):
    __slots__ = ("group", "state", "barred", "detail", "unready", "soon")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BARRED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    UNREADY_FIELD_NUMBER: _ClassVar[int]
    SOON_FIELD_NUMBER: _ClassVar[int]
    group: str
    state: GroupState
    barred: bool
    detail: str
    unready: str
    soon: bool
    def __init__(self, group: _Optional[str] = ..., state: _Optional[_Union[GroupState, str]] = ..., barred: _Optional[bool] = ..., detail: _Optional[str] = ..., unready: _Optional[str] = ..., soon: _Optional[bool] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("epoch", "number", "probed", "groups", "standby", "unfit", "health")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROBED_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    UNFIT_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    number: int
    probed: bool
    groups: _containers.RepeatedCompositeFieldContainer[GroupReport]
    standby: bool
    unfit: str
    health: int
    def __init__(self, epoch: _Optional[int] = ..., number: _Optional[int] = ..., probed: _Optional[bool] = ..., groups: _Optional[_Iterable[_Union[GroupReport, _Mapping]]] = ..., standby: _Optional[bool] = ..., unfit: _Optional[str] = ..., health: _Optional[int] = ...) -> None: ...

class Farewell(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FarewellAck(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LearnRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LearnReply(_message.Message):
    __slots__ = ("epoch", "state")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    state: ClusterState
    def __init__(self, epoch: _Optional[int] = ..., state: _Optional[_Union[ClusterState, _Mapping]] = ...) -> None: ...

class Forward(_message.Message):
    __slots__ = ("request", "verb", "node", "group", "operator", "config", "epoch", "groups")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    request: int
    verb: str
    node: str
    group: str
    operator: str
    config: bytes
    epoch: int
    groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request: _Optional[int] = ..., verb: _Optional[str] = ..., node: _Optional[str] = ..., group: _Optional[str] = ..., operator: _Optional[str] = ..., config: _Optional[bytes] = ..., epoch: _Optional[int] = ..., groups: _Optional[_Iterable[str]] = ...) -> None: ...

class RetransmitRequest(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, missing: _Optional[_Iterable[int]] = ...) -> None: ...

class Resync(_message.Message):
    __slots__ = ("upto",)
    UPTO_FIELD_NUMBER: _ClassVar[int]
    upto: int
    def __init__(self, upto: _Optional[int] = ...) -> None: ...

class ConfigPart(_message.Message):
    __slots__ = ("push", "index", "count", "data", "check_only")
    PUSH_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CHECK_ONLY_FIELD_NUMBER: _ClassVar[int]
    push: int
    index: int
    count: int
    data: bytes
    check_only: bool
    def __init__(self, push: _Optional[int] = ..., index: _Optional[int] = ..., count: _Optional[int] = ..., data: _Optional[bytes] = ..., check_only: _Optional[bool] = ...) -> None: ...

class ConfigVerdict(_message.Message):
    __slots__ = ("push", "taken", "judged", "problems", "notes")
    PUSH_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    JUDGED_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    push: int
    taken: int
    judged: bool
    problems: _containers.RepeatedScalarFieldContainer[str]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, push: _Optional[int] = ..., taken: _Optional[int] = ..., judged: _Optional[bool] = ..., problems: _Optional[_Iterable[str]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class PastFence(_message.Message):
    __slots__ = ("by", "number", "node", "epoch", "reason", "outcome", "detail", "operator", "votes", "level", "devices", "attempts", "asked_at", "finished_at")
    BY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    by: str
    number: int
    node: str
    epoch: int
    reason: str
    outcome: str
    detail: str
    operator: str
    votes: _containers.RepeatedScalarFieldContainer[str]
    level: int
    devices: _containers.RepeatedScalarFieldContainer[str]
    attempts: int
    asked_at: float
    finished_at: float
    def __init__(self, by: _Optional[str] = ..., number: _Optional[int] = ..., node: _Optional[str] = ..., epoch: _Optional[int] = ..., reason: _Optional[str] = ..., outcome: _Optional[str] = ..., detail: _Optional[str] = ..., operator: _Optional[str] = ..., votes: _Optional[_Iterable[str]] = ..., level: _Optional[int] = ..., devices: _Optional[_Iterable[str]] = ..., attempts: _Optional[int] = ..., asked_at: _Optional[float] = ..., finished_at: _Optional[float] = ...) -> None: ...

class Known(_message.Message):
    __slots__ = ("by", "number")
    BY_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    by: str
    number: int
    def __init__(self, by: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class FenceTrialAsked(_message.Message):
    __slots__ = ("request", "device")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    request: int
    device: str
    def __init__(self, request: _Optional[int] = ..., device: _Optional[str] = ...) -> None: ...

class FenceTrialTold(_message.Message):
    __slots__ = ("request", "card", "problem")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    request: int
    card: bytes
    problem: str
    def __init__(self, request: _Optional[int] = ..., card: _Optional[bytes] = ..., problem: _Optional[str] = ...) -> None: ...

class Inquiry(_message.Message):
    __slots__ = ("request", "about", "groups")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    request: int
    about: str
    groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request: _Optional[int] = ..., about: _Optional[str] = ..., groups: _Optional[_Iterable[str]] = ...) -> None: ...

class InquiryTold(_message.Message):
    __slots__ = ("request", "card", "problem")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    request: int
    card: bytes
    problem: str
    def __init__(self, request: _Optional[int] = ..., card: _Optional[bytes] = ..., problem: _Optional[str] = ...) -> None: ...

class DrbdOutdate(_message.Message):
    __slots__ = ("request", "resource")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    request: int
    resource: str
    def __init__(self, request: _Optional[int] = ..., resource: _Optional[str] = ...) -> None: ...

class DrbdOutdated(_message.Message):
    __slots__ = ("request", "code", "text")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    request: int
    code: int
    text: str
    def __init__(self, request: _Optional[int] = ..., code: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class FenceNews(_message.Message):
    __slots__ = ("known", "fences")
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    known: _containers.RepeatedCompositeFieldContainer[Known]
    fences: _containers.RepeatedCompositeFieldContainer[PastFence]
    def __init__(self, known: _Optional[_Iterable[_Union[Known, _Mapping]]] = ..., fences: _Optional[_Iterable[_Union[PastFence, _Mapping]]] = ...) -> None: ...

class ForwardReply(_message.Message):
    __slots__ = ("request", "done", "text")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    request: int
    done: bool
    text: str
    def __init__(self, request: _Optional[int] = ..., done: _Optional[bool] = ..., text: _Optional[str] = ...) -> None: ...

class ArbiterReport(_message.Message):
    __slots__ = ("sent_us", "epoch", "coordinator", "initialised", "claim", "alive", "health", "load", "state", "nodes", "tie_breaker", "deadtime", "settle", "vote_seen", "votes", "arbiter_votes", "store", "stored", "config", "applied")
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    INITIALISED_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    TIE_BREAKER_FIELD_NUMBER: _ClassVar[int]
    DEADTIME_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    VOTE_SEEN_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    ARBITER_VOTES_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    sent_us: int
    epoch: int
    coordinator: str
    initialised: bool
    claim: int
    alive: _containers.RepeatedScalarFieldContainer[str]
    health: int
    load: int
    state: ClusterState
    nodes: _containers.RepeatedScalarFieldContainer[str]
    tie_breaker: str
    deadtime: float
    settle: float
    vote_seen: int
    votes: _containers.RepeatedScalarFieldContainer[int]
    arbiter_votes: int
    store: bytes
    stored: Stamp
    config: bytes
    applied: int
    def __init__(self, sent_us: _Optional[int] = ..., epoch: _Optional[int] = ..., coordinator: _Optional[str] = ..., initialised: _Optional[bool] = ..., claim: _Optional[int] = ..., alive: _Optional[_Iterable[str]] = ..., health: _Optional[int] = ..., load: _Optional[int] = ..., state: _Optional[_Union[ClusterState, _Mapping]] = ..., nodes: _Optional[_Iterable[str]] = ..., tie_breaker: _Optional[str] = ..., deadtime: _Optional[float] = ..., settle: _Optional[float] = ..., vote_seen: _Optional[int] = ..., votes: _Optional[_Iterable[int]] = ..., arbiter_votes: _Optional[int] = ..., store: _Optional[bytes] = ..., stored: _Optional[_Union[Stamp, _Mapping]] = ..., config: _Optional[bytes] = ..., applied: _Optional[int] = ...) -> None: ...

class ArbiterAnswer(_message.Message):
    __slots__ = ("echo_us", "voter", "epoch", "coordinator", "vote_epoch", "voted_for", "stored", "refused", "state", "keys", "why", "store", "undead")
    ECHO_US_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    VOTE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    VOTED_FOR_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    UNDEAD_FIELD_NUMBER: _ClassVar[int]
    echo_us: int
    voter: bool
    epoch: int
    coordinator: str
    vote_epoch: int
    voted_for: str
    stored: Stamp
    refused: str
    state: ClusterState
    keys: _containers.RepeatedCompositeFieldContainer[OpenKey]
    why: str
    store: bytes
    undead: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, echo_us: _Optional[int] = ..., voter: _Optional[bool] = ..., epoch: _Optional[int] = ..., coordinator: _Optional[str] = ..., vote_epoch: _Optional[int] = ..., voted_for: _Optional[str] = ..., stored: _Optional[_Union[Stamp, _Mapping]] = ..., refused: _Optional[str] = ..., state: _Optional[_Union[ClusterState, _Mapping]] = ..., keys: _Optional[_Iterable[_Union[OpenKey, _Mapping]]] = ..., why: _Optional[str] = ..., store: _Optional[bytes] = ..., undead: _Optional[_Iterable[str]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
