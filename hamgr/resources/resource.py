"""What a resource is: something that a group starts, stops and watches, and what a kind of them declares of itself."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hamgr.config.kinds import Fact
from hamgr.config.model import DEFAULT_STATE_DIR, OptionValue, ResourceConfig
from hamgr.core.effects import Kind
from hamgr.guard.orders import Order


class ResourceStatus(enum.Enum):
    """FAILED: neither cleanly running nor cleanly stopped; something of it may be active."""

    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


class ResourceError(Exception):
    """An operation on a resource did not do what it should; the text says why."""


class Resource(Protocol):
    """One resource of a group. Every operation may be cancelled at any await, and called again later."""

    async def prepare(self) -> None:
        """Make ready what takes time, before the first start. Does not fail: what is missing now may come."""

    async def start(self) -> None:
        """Be running when this returns, also if it was running before. Raises ResourceError."""

    async def stop(self) -> None:
        """Be stopped when this returns, also if it was stopped before. Raises ResourceError."""

    async def status(self) -> ResourceStatus:
        """What is true now. Raises ResourceError when it can't be told."""

    async def close(self) -> None:
        """Let go of sockets and processes, without starting or stopping anything."""


@runtime_checkable
class Explaining(Protocol):
    """A resource that can say more than its last status."""

    reason: str
    """Why it does not run; "" when it does."""


@runtime_checkable
class Looking(Protocol):
    """A resource that only looks at what another one runs: it owns nothing, whatever it finds."""

    looks_at: str
    """Where, for messages."""


@runtime_checkable
class Watching(Protocol):
    """A resource that notices its own end at once, and does not wait to be asked."""

    def watch(self, failed: Callable[[str], None]) -> None:
        """Call `failed` with the reason, in the loop's thread, whenever it ends. Called once, before `prepare`.

        It may be called at any time, also for a stop that was asked for: the group counts it only while it runs.
        """


@runtime_checkable
class Guarded(Protocol):
    """A resource that the guard can end when hamgrd can't."""

    def emergency(self) -> Sequence[Order]:
        """What to do for that, whether it runs or not, in the right order (`hamgr.guard.orders`)."""


@runtime_checkable
class Lasting(Protocol):
    """A resource of which something goes on when it is stopped, and when the daemon has ended."""

    async def end(self) -> None:
        """End that too. Raises ResourceError."""


def _tell_nobody(kind: Kind, text: str) -> None:
    return


def _never() -> bool:
    return False


def _always() -> bool:
    return True


def _ready(resource: str, reason: str, soon: bool) -> None:
    return


def _unhindered(resource: str, reason: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a resource runs. tell: announces something to the operators, once each time it is called; may be called
    from the loop's thread only. group_nodes: where its group may run. candidate: whether it may ever run here.
    hands_off: whether nothing may be started or stopped now, as in maintenance.

    may_mend: whether a running resource may now put back by itself what someone took away from it: the group runs here
    by a valid order, and nobody works on the cluster. To be asked right before; if not, the resource has failed.
    hindered: to be called with the name of the resource and what keeps clients from it on this node, whether it runs
    here or not, and with "" when nothing does: the node counts as less healthy.
    unready: to be called with the name of the resource and why it can't be started on this node yet, and with "" when
    it can: until then the group is not brought here; with True, when it is about to be ready, that holds only for a
    group that runs elsewhere.
    node_addresses: of all nodes on all links, each with the node that has it.
    """

    cluster: str = ""
    node: str = ""
    nodes: tuple[str, ...] = ()
    group: str = ""
    state_dir: Path = DEFAULT_STATE_DIR
    tell: Callable[[Kind, str], None] = _tell_nobody
    group_nodes: tuple[str, ...] = ()
    candidate: bool = True
    hands_off: Callable[[], bool] = _never
    may_mend: Callable[[], bool] = _always
    hindered: Callable[[str, str], None] = _unhindered
    unready: Callable[[str, str, bool], None] = _ready
    node_addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a kind. type: as in `hamgr.config.kinds.Option`. check: what is allowed, as a phrase, when the value
    is wrong; "" when it is right."""

    name: str
    type: type
    required: bool = False
    default: Any = None
    check: Callable[[Any], str] | None = None


def no_facts(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    return ()


def no_warnings(options: Mapping[str, OptionValue]) -> Iterable[tuple[str, str]]:
    return ()


def no_advice(options: Mapping[str, OptionValue]) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A kind of resource: its keys, and how one is made; the rest as in `hamgr.config.kinds.Kind`.

    only_looks: it starts and stops nothing of its own, and tells how another resource does.
    """

    options: tuple[Option, ...]
    build: Callable[[ResourceConfig, Surroundings], Resource]
    problems_here: Callable[[Mapping[str, OptionValue]], Iterable[Fact]] = no_facts
    advised_timeouts: Callable[[Mapping[str, OptionValue]], Mapping[str, float]] = no_advice
    thorough_problems_here: Callable[[Mapping[str, OptionValue]], Iterable[Fact]] = no_facts
    warnings_here: Callable[[Mapping[str, OptionValue]], Iterable[tuple[str, str]]] = no_warnings
    only_looks: bool = False
