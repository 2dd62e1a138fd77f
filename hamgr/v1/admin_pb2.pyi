from hamgr.v1 import cluster_pb2 as _cluster_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LinkStatus(_message.Message):
    __slots__ = ("link", "up", "heard_ago", "detail")
    LINK_FIELD_NUMBER: _ClassVar[int]
    UP_FIELD_NUMBER: _ClassVar[int]
    HEARD_AGO_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    link: str
    up: bool
    heard_ago: float
    detail: str
    def __init__(self, link: _Optional[str] = ..., up: _Optional[bool] = ..., heard_ago: _Optional[float] = ..., detail: _Optional[str] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("name", "state", "incarnation", "standby", "links", "unfit", "health", "config", "votes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    UNFIT_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    incarnation: int
    standby: bool
    links: _containers.RepeatedCompositeFieldContainer[LinkStatus]
    unfit: str
    health: int
    config: str
    votes: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., incarnation: _Optional[int] = ..., standby: _Optional[bool] = ..., links: _Optional[_Iterable[_Union[LinkStatus, _Mapping]]] = ..., unfit: _Optional[str] = ..., health: _Optional[int] = ..., config: _Optional[str] = ..., votes: _Optional[int] = ...) -> None: ...

class GroupStatus(_message.Message):
    __slots__ = ("name", "owner", "state", "target", "waits", "states", "home", "disabled", "why")
    class StatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: str
    state: str
    target: str
    waits: _containers.RepeatedScalarFieldContainer[str]
    states: _containers.ScalarMap[str, str]
    home: str
    disabled: bool
    why: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., state: _Optional[str] = ..., target: _Optional[str] = ..., waits: _Optional[_Iterable[str]] = ..., states: _Optional[_Mapping[str, str]] = ..., home: _Optional[str] = ..., disabled: _Optional[bool] = ..., why: _Optional[_Iterable[str]] = ...) -> None: ...

class FenceStatus(_message.Message):
    __slots__ = ("node", "outcome", "level", "attempts", "reason", "detail")
    NODE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    node: str
    outcome: str
    level: int
    attempts: int
    reason: str
    detail: str
    def __init__(self, node: _Optional[str] = ..., outcome: _Optional[str] = ..., level: _Optional[int] = ..., attempts: _Optional[int] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class FenceDeviceStatus(_message.Message):
    __slots__ = ("name", "node", "good", "detail", "tried_ago")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    TRIED_AGO_FIELD_NUMBER: _ClassVar[int]
    name: str
    node: str
    good: bool
    detail: str
    tried_ago: float
    def __init__(self, name: _Optional[str] = ..., node: _Optional[str] = ..., good: _Optional[bool] = ..., detail: _Optional[str] = ..., tried_ago: _Optional[float] = ...) -> None: ...

class GuardStatus(_message.Message):
    __slots__ = ("pid", "watchdog", "watchdog_timeout", "reason")
    PID_FIELD_NUMBER: _ClassVar[int]
    WATCHDOG_FIELD_NUMBER: _ClassVar[int]
    WATCHDOG_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    pid: int
    watchdog: str
    watchdog_timeout: float
    reason: str
    def __init__(self, pid: _Optional[int] = ..., watchdog: _Optional[str] = ..., watchdog_timeout: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class ArbiterStatus(_message.Message):
    __slots__ = ("configured", "connected", "answered_ago", "voter", "detail", "votes", "why", "address", "store", "accepted")
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_AGO_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    configured: bool
    connected: bool
    answered_ago: float
    voter: bool
    detail: str
    votes: int
    why: str
    address: str
    store: str
    accepted: str
    def __init__(self, configured: _Optional[bool] = ..., connected: _Optional[bool] = ..., answered_ago: _Optional[float] = ..., voter: _Optional[bool] = ..., detail: _Optional[str] = ..., votes: _Optional[int] = ..., why: _Optional[str] = ..., address: _Optional[str] = ..., store: _Optional[str] = ..., accepted: _Optional[str] = ...) -> None: ...

class ClusterStatus(_message.Message):
    __slots__ = ("cluster", "node", "incarnation", "role", "epoch", "coordinator", "quorate", "votes", "majority", "lease_left", "standby", "arbiter", "nodes", "groups", "fences", "waits", "warnings", "maintenance", "pushing", "devices", "guard", "all_votes", "override", "electorate")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    QUORATE_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    MAJORITY_FIELD_NUMBER: _ClassVar[int]
    LEASE_LEFT_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    ARBITER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MAINTENANCE_FIELD_NUMBER: _ClassVar[int]
    PUSHING_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    ALL_VOTES_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    ELECTORATE_FIELD_NUMBER: _ClassVar[int]
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
    nodes: _containers.RepeatedCompositeFieldContainer[NodeStatus]
    groups: _containers.RepeatedCompositeFieldContainer[GroupStatus]
    fences: _containers.RepeatedCompositeFieldContainer[FenceStatus]
    waits: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    maintenance: bool
    pushing: bool
    devices: _containers.RepeatedCompositeFieldContainer[FenceDeviceStatus]
    guard: GuardStatus
    all_votes: int
    override: str
    electorate: str
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[str] = ..., incarnation: _Optional[int] = ..., role: _Optional[str] = ..., epoch: _Optional[int] = ..., coordinator: _Optional[str] = ..., quorate: _Optional[bool] = ..., votes: _Optional[int] = ..., majority: _Optional[int] = ..., lease_left: _Optional[float] = ..., standby: _Optional[bool] = ..., arbiter: _Optional[_Union[ArbiterStatus, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[NodeStatus, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[GroupStatus, _Mapping]]] = ..., fences: _Optional[_Iterable[_Union[FenceStatus, _Mapping]]] = ..., waits: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., maintenance: _Optional[bool] = ..., pushing: _Optional[bool] = ..., devices: _Optional[_Iterable[_Union[FenceDeviceStatus, _Mapping]]] = ..., guard: _Optional[_Union[GuardStatus, _Mapping]] = ..., all_votes: _Optional[int] = ..., override: _Optional[str] = ..., electorate: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: str
    def __init__(self, group: _Optional[str] = ...) -> None: ...

class ExplainReply(_message.Message):
    __slots__ = ("group", "by", "epoch", "arbiter", "problem")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ARBITER_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    group: GroupStatus
    by: str
    epoch: int
    arbiter: str
    problem: str
    def __init__(self, group: _Optional[_Union[GroupStatus, _Mapping]] = ..., by: _Optional[str] = ..., epoch: _Optional[int] = ..., arbiter: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class PlanRebalanceRequest(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, groups: _Optional[_Iterable[str]] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("group", "source", "target", "why", "along", "halted")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    ALONG_FIELD_NUMBER: _ClassVar[int]
    HALTED_FIELD_NUMBER: _ClassVar[int]
    group: str
    source: str
    target: str
    why: str
    along: _containers.RepeatedScalarFieldContainer[str]
    halted: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, group: _Optional[str] = ..., source: _Optional[str] = ..., target: _Optional[str] = ..., why: _Optional[str] = ..., along: _Optional[_Iterable[str]] = ..., halted: _Optional[_Iterable[str]] = ...) -> None: ...

class RebalancePlan(_message.Message):
    __slots__ = ("moves", "fixed", "hindrance", "problem")
    MOVES_FIELD_NUMBER: _ClassVar[int]
    FIXED_FIELD_NUMBER: _ClassVar[int]
    HINDRANCE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    moves: _containers.RepeatedCompositeFieldContainer[Move]
    fixed: _containers.RepeatedScalarFieldContainer[str]
    hindrance: str
    problem: str
    def __init__(self, moves: _Optional[_Iterable[_Union[Move, _Mapping]]] = ..., fixed: _Optional[_Iterable[str]] = ..., hindrance: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class RebalanceRequest(_message.Message):
    __slots__ = ("groups", "group", "node", "operator")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedScalarFieldContainer[str]
    group: str
    node: str
    operator: str
    def __init__(self, groups: _Optional[_Iterable[str]] = ..., group: _Optional[str] = ..., node: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("past", "follow")
    PAST_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    past: int
    follow: bool
    def __init__(self, past: _Optional[int] = ..., follow: _Optional[bool] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("number", "time", "monotonic", "reporter", "kind", "node", "group", "link", "text", "facts")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    MONOTONIC_FIELD_NUMBER: _ClassVar[int]
    REPORTER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    number: int
    time: float
    monotonic: float
    reporter: str
    kind: str
    node: str
    group: str
    link: str
    text: str
    facts: _containers.ScalarMap[str, str]
    def __init__(self, number: _Optional[int] = ..., time: _Optional[float] = ..., monotonic: _Optional[float] = ..., reporter: _Optional[str] = ..., kind: _Optional[str] = ..., node: _Optional[str] = ..., group: _Optional[str] = ..., link: _Optional[str] = ..., text: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ...) -> None: ...

class LinksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerLink(_message.Message):
    __slots__ = ("peer", "link", "up", "heard_ago", "loss", "round_trip", "jitter", "bytes_in", "bytes_out", "frames_in", "frames_out", "lost")
    PEER_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    UP_FIELD_NUMBER: _ClassVar[int]
    HEARD_AGO_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_IN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_OUT_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    peer: str
    link: str
    up: bool
    heard_ago: float
    loss: float
    round_trip: float
    jitter: float
    bytes_in: int
    bytes_out: int
    frames_in: int
    frames_out: int
    lost: int
    def __init__(self, peer: _Optional[str] = ..., link: _Optional[str] = ..., up: _Optional[bool] = ..., heard_ago: _Optional[float] = ..., loss: _Optional[float] = ..., round_trip: _Optional[float] = ..., jitter: _Optional[float] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., frames_in: _Optional[int] = ..., frames_out: _Optional[int] = ..., lost: _Optional[int] = ...) -> None: ...

class OwnLink(_message.Message):
    __slots__ = ("link", "kind", "up", "detail", "authentication_failures", "rejected", "send_failures")
    class RejectedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    LINK_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    UP_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATION_FAILURES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    SEND_FAILURES_FIELD_NUMBER: _ClassVar[int]
    link: str
    kind: str
    up: bool
    detail: str
    authentication_failures: int
    rejected: _containers.ScalarMap[str, int]
    send_failures: int
    def __init__(self, link: _Optional[str] = ..., kind: _Optional[str] = ..., up: _Optional[bool] = ..., detail: _Optional[str] = ..., authentication_failures: _Optional[int] = ..., rejected: _Optional[_Mapping[str, int]] = ..., send_failures: _Optional[int] = ...) -> None: ...

class Lateness(_message.Message):
    __slots__ = ("count", "p50", "p99", "p999", "max", "realtime", "detail", "counts")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    P999_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    REALTIME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    count: int
    p50: float
    p99: float
    p999: float
    max: float
    realtime: bool
    detail: str
    counts: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, count: _Optional[int] = ..., p50: _Optional[float] = ..., p99: _Optional[float] = ..., p999: _Optional[float] = ..., max: _Optional[float] = ..., realtime: _Optional[bool] = ..., detail: _Optional[str] = ..., counts: _Optional[_Iterable[int]] = ...) -> None: ...

class PingTarget(_message.Message):
    __slots__ = ("name", "reachable", "weight", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    reachable: bool
    weight: int
    detail: str
    def __init__(self, name: _Optional[str] = ..., reachable: _Optional[bool] = ..., weight: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class HealthCheck(_message.Message):
    __slots__ = ("name", "good", "weight", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    good: bool
    weight: int
    detail: str
    def __init__(self, name: _Optional[str] = ..., good: _Optional[bool] = ..., weight: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class LinksReport(_message.Message):
    __slots__ = ("node", "links", "peers", "lateness", "pings", "health", "checks")
    NODE_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    LATENESS_FIELD_NUMBER: _ClassVar[int]
    PINGS_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    node: str
    links: _containers.RepeatedCompositeFieldContainer[OwnLink]
    peers: _containers.RepeatedCompositeFieldContainer[PeerLink]
    lateness: Lateness
    pings: _containers.RepeatedCompositeFieldContainer[PingTarget]
    health: int
    checks: _containers.RepeatedCompositeFieldContainer[HealthCheck]
    def __init__(self, node: _Optional[str] = ..., links: _Optional[_Iterable[_Union[OwnLink, _Mapping]]] = ..., peers: _Optional[_Iterable[_Union[PeerLink, _Mapping]]] = ..., lateness: _Optional[_Union[Lateness, _Mapping]] = ..., pings: _Optional[_Iterable[_Union[PingTarget, _Mapping]]] = ..., health: _Optional[int] = ..., checks: _Optional[_Iterable[_Union[HealthCheck, _Mapping]]] = ...) -> None: ...

class KeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadKeysRequest(_message.Message):
    __slots__ = ("operator", "force")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    operator: str
    force: bool
    def __init__(self, operator: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class KeyStatus(_message.Message):
    __slots__ = ("number", "method", "active", "known_to", "unknown_to", "sealed_by")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TO_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_TO_FIELD_NUMBER: _ClassVar[int]
    SEALED_BY_FIELD_NUMBER: _ClassVar[int]
    number: int
    method: str
    active: bool
    known_to: _containers.RepeatedScalarFieldContainer[str]
    unknown_to: _containers.RepeatedScalarFieldContainer[str]
    sealed_by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, number: _Optional[int] = ..., method: _Optional[str] = ..., active: _Optional[bool] = ..., known_to: _Optional[_Iterable[str]] = ..., unknown_to: _Optional[_Iterable[str]] = ..., sealed_by: _Optional[_Iterable[str]] = ...) -> None: ...

class KeysReport(_message.Message):
    __slots__ = ("file", "keys")
    FILE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    file: str
    keys: _containers.RepeatedCompositeFieldContainer[KeyStatus]
    def __init__(self, file: _Optional[str] = ..., keys: _Optional[_Iterable[_Union[KeyStatus, _Mapping]]] = ...) -> None: ...

class StandbyRequest(_message.Message):
    __slots__ = ("node", "online", "operator", "groups")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    node: str
    online: bool
    operator: str
    groups: str
    def __init__(self, node: _Optional[str] = ..., online: _Optional[bool] = ..., operator: _Optional[str] = ..., groups: _Optional[str] = ...) -> None: ...

class TakeoverRequest(_message.Message):
    __slots__ = ("group", "node", "operator")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    group: str
    node: str
    operator: str
    def __init__(self, group: _Optional[str] = ..., node: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class FenceRequest(_message.Message):
    __slots__ = ("node", "operator")
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    node: str
    operator: str
    def __init__(self, node: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class ConfirmFencedRequest(_message.Message):
    __slots__ = ("node", "operator")
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    node: str
    operator: str
    def __init__(self, node: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class FenceHistoryRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class FenceHistory(_message.Message):
    __slots__ = ("fences",)
    FENCES_FIELD_NUMBER: _ClassVar[int]
    fences: _containers.RepeatedCompositeFieldContainer[_cluster_pb2.PastFence]
    def __init__(self, fences: _Optional[_Iterable[_Union[_cluster_pb2.PastFence, _Mapping]]] = ...) -> None: ...

class ConfirmRequest(_message.Message):
    __slots__ = ("name", "operator")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    operator: str
    def __init__(self, name: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class CleanupRequest(_message.Message):
    __slots__ = ("group", "node", "operator")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    group: str
    node: str
    operator: str
    def __init__(self, group: _Optional[str] = ..., node: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ("operator",)
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    operator: str
    def __init__(self, operator: _Optional[str] = ...) -> None: ...

class AcceptArbiterRequest(_message.Message):
    __slots__ = ("store", "operator")
    STORE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    store: str
    operator: str
    def __init__(self, store: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class OverrideQuorumRequest(_message.Message):
    __slots__ = ("off", "operator")
    OFF_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    off: _containers.RepeatedScalarFieldContainer[str]
    operator: str
    def __init__(self, off: _Optional[_Iterable[str]] = ..., operator: _Optional[str] = ...) -> None: ...

class MaintenanceRequest(_message.Message):
    __slots__ = ("on", "operator")
    ON_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    on: bool
    operator: str
    def __init__(self, on: _Optional[bool] = ..., operator: _Optional[str] = ...) -> None: ...

class StageConfigRequest(_message.Message):
    __slots__ = ("text", "check_only", "operator")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHECK_ONLY_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    text: bytes
    check_only: bool
    operator: str
    def __init__(self, text: _Optional[bytes] = ..., check_only: _Optional[bool] = ..., operator: _Optional[str] = ...) -> None: ...

class ConfigVerdictOfNode(_message.Message):
    __slots__ = ("node", "problems", "notes")
    NODE_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    node: str
    problems: _containers.RepeatedScalarFieldContainer[str]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node: _Optional[str] = ..., problems: _Optional[_Iterable[str]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class StageConfigReply(_message.Message):
    __slots__ = ("digest", "verdicts")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    verdicts: _containers.RepeatedCompositeFieldContainer[ConfigVerdictOfNode]
    def __init__(self, digest: _Optional[str] = ..., verdicts: _Optional[_Iterable[_Union[ConfigVerdictOfNode, _Mapping]]] = ...) -> None: ...

class SwitchConfigRequest(_message.Message):
    __slots__ = ("digest", "operator")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    digest: str
    operator: str
    def __init__(self, digest: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class WithdrawConfigRequest(_message.Message):
    __slots__ = ("operator",)
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    operator: str
    def __init__(self, operator: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("done", "text")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    done: bool
    text: str
    def __init__(self, done: _Optional[bool] = ..., text: _Optional[str] = ...) -> None: ...

class FenceDrbdPeerRequest(_message.Message):
    __slots__ = ("resource", "peer", "patience")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    resource: str
    peer: str
    patience: float
    def __init__(self, resource: _Optional[str] = ..., peer: _Optional[str] = ..., patience: _Optional[float] = ...) -> None: ...

class FenceDrbdPeerReply(_message.Message):
    __slots__ = ("code", "text")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    code: int
    text: str
    def __init__(self, code: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class TestFencesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FenceTrial(_message.Message):
    __slots__ = ("tester", "device", "json", "problem")
    TESTER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    tester: str
    device: str
    json: str
    problem: str
    def __init__(self, tester: _Optional[str] = ..., device: _Optional[str] = ..., json: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class TestAlertsRequest(_message.Message):
    __slots__ = ("alert", "operator")
    ALERT_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    alert: str
    operator: str
    def __init__(self, alert: _Optional[str] = ..., operator: _Optional[str] = ...) -> None: ...

class AlertResult(_message.Message):
    __slots__ = ("alert", "way", "done", "text", "seconds")
    ALERT_FIELD_NUMBER: _ClassVar[int]
    WAY_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    alert: str
    way: str
    done: bool
    text: str
    seconds: float
    def __init__(self, alert: _Optional[str] = ..., way: _Optional[str] = ..., done: _Optional[bool] = ..., text: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class TestAlertsReply(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[AlertResult]
    def __init__(self, results: _Optional[_Iterable[_Union[AlertResult, _Mapping]]] = ...) -> None: ...
