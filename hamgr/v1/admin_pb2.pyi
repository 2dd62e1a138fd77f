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
    __slots__ = ("link", "up", "heard_ago")
    LINK_FIELD_NUMBER: _ClassVar[int]
    UP_FIELD_NUMBER: _ClassVar[int]
    HEARD_AGO_FIELD_NUMBER: _ClassVar[int]
    link: str
    up: bool
    heard_ago: float
    def __init__(self, link: _Optional[str] = ..., up: _Optional[bool] = ..., heard_ago: _Optional[float] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("name", "state", "incarnation", "standby", "links", "unfit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    UNFIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    incarnation: int
    standby: bool
    links: _containers.RepeatedCompositeFieldContainer[LinkStatus]
    unfit: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., incarnation: _Optional[int] = ..., standby: _Optional[bool] = ..., links: _Optional[_Iterable[_Union[LinkStatus, _Mapping]]] = ..., unfit: _Optional[str] = ...) -> None: ...

class GroupStatus(_message.Message):
    __slots__ = ("name", "owner", "state", "target", "waits", "states")
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
    name: str
    owner: str
    state: str
    target: str
    waits: _containers.RepeatedScalarFieldContainer[str]
    states: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., state: _Optional[str] = ..., target: _Optional[str] = ..., waits: _Optional[_Iterable[str]] = ..., states: _Optional[_Mapping[str, str]] = ...) -> None: ...

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

class ArbiterStatus(_message.Message):
    __slots__ = ("configured", "connected", "answered_ago", "voter", "detail")
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_AGO_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    configured: bool
    connected: bool
    answered_ago: float
    voter: bool
    detail: str
    def __init__(self, configured: _Optional[bool] = ..., connected: _Optional[bool] = ..., answered_ago: _Optional[float] = ..., voter: _Optional[bool] = ..., detail: _Optional[str] = ...) -> None: ...

class ClusterStatus(_message.Message):
    __slots__ = ("cluster", "node", "incarnation", "role", "epoch", "coordinator", "quorate", "votes", "majority", "lease_left", "standby", "arbiter", "nodes", "groups", "fences", "waits", "warnings")
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
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[str] = ..., incarnation: _Optional[int] = ..., role: _Optional[str] = ..., epoch: _Optional[int] = ..., coordinator: _Optional[str] = ..., quorate: _Optional[bool] = ..., votes: _Optional[int] = ..., majority: _Optional[int] = ..., lease_left: _Optional[float] = ..., standby: _Optional[bool] = ..., arbiter: _Optional[_Union[ArbiterStatus, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[NodeStatus, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[GroupStatus, _Mapping]]] = ..., fences: _Optional[_Iterable[_Union[FenceStatus, _Mapping]]] = ..., waits: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

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

class StandbyRequest(_message.Message):
    __slots__ = ("node", "online", "operator")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    node: str
    online: bool
    operator: str
    def __init__(self, node: _Optional[str] = ..., online: _Optional[bool] = ..., operator: _Optional[str] = ...) -> None: ...

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

class Answer(_message.Message):
    __slots__ = ("done", "text")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    done: bool
    text: str
    def __init__(self, done: _Optional[bool] = ..., text: _Optional[str] = ...) -> None: ...
