"""The cluster as the core knows it: nodes, groups and timing, without addresses, devices or scripts.

The configuration (`hamgr.config`) builds a `ClusterSpec`; every duration is in seconds as float.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass, field

from hamgr.core.electorate import ARBITER, LOWEST, Electorate, Electorates

MIN_DURATION = 0.010
"""The smallest allowed timing value, in seconds."""

MAX_NODES = 16

SELECTIONS = ("all", "local", "foreign", "failback")
"""Heartbeat's words for some of the groups (hb_standby, hb_takeover): `local` ones are at home on the node that is
named, that is, prefer it; `foreign` ones are at home elsewhere; `failback` ones go home. No group has such a name."""


class GroupState(enum.Enum):
    """What a node knows of one group on itself. Only STOPPED says that nothing of the group is active."""

    UNKNOWN = "unknown"
    STOPPED = "stopped"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    FAILED = "failed"
    STOP_FAILED = "stop-failed"


class QuorumLoss(enum.Enum):
    """What a node does with its groups when its lease ran out: stop them, or leave them as they are."""

    STOP = "stop"
    FREEZE = "freeze"


class Mode(enum.Enum):
    """Who decides that a lost node is fenced, and that a group moves to another one: the cluster itself; the cluster,
    when a human has confirmed what it proposes; or a human, step by step."""

    AUTOMATIC = "automatic"
    ASK = "ask"
    MANUAL = "manual"


class Algorithm(enum.Enum):
    """What the arbiter's vote counts (the names are those of corosync-qdevice): one vote, which decides between two
    halves; or one less than all nodes together, so that the last node that the arbiter gives it to is a quorum."""

    FFSPLIT = "ffsplit"
    LAST_MAN_STANDING = "lms"


class Placement(enum.Enum):
    """Of the nodes that a group may run on: the one that is named first, or the one that has least to do; then it stays
    where it is as long as it can."""

    PREFER = "prefer"
    SPREAD = "spread"


@dataclass(frozen=True, slots=True)
class Timing:
    """The cluster's deadlines, in seconds. `hamgr.config` checks them against one another.

    keepalive: between two heartbeats. warntime: silence after which a node is suspected. deadtime: silence on
    all links after which it is dead. initdead: how long a starting node waits for the others before it has nodes
    fenced that it never heard. lease: how long a node may keep groups without hearing its quorum.
    settle: how long the arbiter waits for the other side's claim.
    """

    keepalive: float = 1.0
    warntime: float = 5.0
    deadtime: float = 10.0
    initdead: float = 30.0
    lease: float = 25.0
    settle: float = 1.0


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A configured node. fence_levels: how many fence levels it has (0: it can't be fenced). votes: 0 has no say.
    capacity: how much it has of what groups need (`hamgr.core.capacity`).

    watchdog_timeout: seconds after which its hardware watchdog resets it when not fed; None without one. Where it is
    set, nothing may be started before the watchdog is fed (`GuardChanged`): a reset that never comes is relied on.
    fence_delays: of each of its fence levels, seconds before it is tried for the first time; not given is none.
    """

    name: str
    fence_levels: int = 1
    watchdog_timeout: float | None = None
    votes: int = 1
    fence_delays: tuple[float, ...] = ()
    capacity: tuple[tuple[str, int], ...] = ()

    def level_delay(self, level: int) -> float:
        """level: from 0."""
        return self.fence_delays[level] if level < len(self.fence_delays) else 0.0


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A resource group. nodes: where it may run, best first (empty: every node, in the order of the file).

    restarts: how often a failed group is restarted on the spot before it moves. failure_timeout: seconds after
    which a node on which it failed may be tried again. stop_timeout: seconds, the whole group.
    together_with: groups on whose node it runs; it follows them. apart_from: groups on whose node it never runs; it
    gives way to them. after: groups that are started before it is, and not stopped before it is.
    stickiness: another node's health that is better by up to so many points is no reason to leave the one that has it.
    enabled: if not, it runs nowhere. mode: unless automatic, it is not started on another node than the one that it ran
    on before a human says so. takeover_delay: (automatic) seconds that a human is given before it starts elsewhere when
    its node is lost. placement: which of its nodes it gets. needs: how much it takes of what nodes have.
    """

    name: str
    nodes: tuple[str, ...] = ()
    auto_failback: bool = True
    priority: int = 1
    restarts: int = 1
    failure_timeout: float = 600.0
    start_timeout: float = 60.0
    stop_timeout: float = 60.0
    together_with: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    stickiness: int = 0
    enabled: bool = True
    mode: Mode = Mode.AUTOMATIC
    takeover_delay: float = 0.0
    placement: Placement = Placement.PREFER
    needs: tuple[tuple[str, int], ...] = ()

    @property
    def asks(self) -> bool:
        """A human is asked, or given time, before it starts on another node."""
        return self.mode is not Mode.AUTOMATIC or self.takeover_delay > 0

    @property
    def leaders(self) -> frozenset[str]:
        """The groups that must be placed before this one."""
        return frozenset((*self.together_with, *self.apart_from, *self.after))


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A heartbeat link. nodes: whom it joins (empty: all)."""

    name: str
    nodes: tuple[str, ...] = ()

    def joins(self, one: str, other: str) -> bool:
        return not self.nodes or (one in self.nodes and other in self.nodes)


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """All that the core is configured with. The order of `nodes` is their rank: the first is preferred.

    two_node: exactly two nodes and no arbiter; each is a quorum alone and fencing decides the race.
    wait_for_all: (two_node, auto_tie_breaker) a started node claims nothing alone, or with half of the votes, before it
    has heard the others once.
    auto_tie_breaker: the node whose half of an even cluster is a quorum; "lowest": the first that votes; "": none.
    last_man_standing: seconds after which a node that is surely off has no vote anymore; None: it keeps it.
    fence_delay: (two_node) seconds by which the side that runs less waits before it shoots.
    fence_delay_random: (two_node) at most so many seconds, by chance, that each side waits besides.
    mode: unless automatic, nobody is fenced before a human says so; the groups have modes of their own.
    takeover_delay: (automatic) seconds that a human is given before a lost node is fenced.
    fence_limit: how often one node is fenced within an hour before a human must ask for more; 0: as often as need be.
    fence_limit_all: the same for all nodes together.
    fence_retry: seconds between two rounds over all fence levels of a node.
    health_delay: seconds for which no node's health score may have changed before a difference moves a group.
    """

    name: str
    nodes: tuple[NodeSpec, ...]
    groups: tuple[GroupSpec, ...] = ()
    timing: Timing = field(default_factory=Timing)
    links: tuple[LinkSpec, ...] = ()
    arbiter: bool = False
    two_node: bool = False
    wait_for_all: bool = True
    auto_tie_breaker: str = ""
    last_man_standing: float | None = None
    on_quorum_loss: QuorumLoss = QuorumLoss.STOP
    tie_breaker: str = ""
    algorithm: Algorithm = Algorithm.FFSPLIT
    fence_delay: float = 2.0
    fence_delay_random: float = 0.0
    mode: Mode = Mode.AUTOMATIC
    takeover_delay: float = 0.0
    fence_limit: int = 0
    fence_limit_all: int = 0
    fence_retry: float = 5.0
    health_delay: float = 10.0
    watchdog_margin: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)

    def in_placing_order(self) -> tuple[GroupSpec, ...]:
        """The groups, each behind those that it looks at; else in the order of the file.

        Raises ValueError, with the names of a circle, when two look at each other.
        """
        placed: dict[str, GroupSpec] = {}
        waiting = list(self.groups)
        while waiting:
            ready = next((group for group in waiting if group.leaders <= placed.keys()), None)
            if ready is None:
                raise ValueError(" and ".join(group.name for group in waiting))
            placed[ready.name] = ready
            waiting.remove(ready)
        return tuple(placed.values())

    @property
    def electorate(self) -> Electorate:
        """The voters as they are configured."""
        return self.electorate_of(self.voters)

    @property
    def voters(self) -> frozenset[str]:
        """Whoever votes by the configuration, when nobody is taken out."""
        return frozenset((*self.names, ARBITER) if self.arbiter else self.names)

    def electorate_of(self, voters: Collection[str]) -> Electorate:
        """These voters, with the votes that the configuration gives them."""
        nodes = {node.name: node.votes for node in self.nodes if node.name in voters}
        tie = next(iter(nodes), "") if self.auto_tie_breaker == LOWEST else self.auto_tie_breaker
        many = self.algorithm is Algorithm.LAST_MAN_STANDING
        of_arbiter = (max(1, sum(nodes.values()) - 1) if many else 1) if ARBITER in voters else 0
        return Electorate(nodes, of_arbiter, self.two_node, tie if tie in nodes else "")

    def electorates(self, recorded: Electorates) -> Electorates:
        """The voters that count for a node with this configuration and this record in its cluster state.

        In a two_node cluster nobody is taken out. Who is in no file anymore has no vote: files are changed by hand
        while the cluster is stopped.
        """
        if self.two_node or not recorded.current:
            return Electorates(self.electorate)
        return recorded.only(self.voters)

    def lead(self, shooter: str, victim: str) -> float:
        """Seconds by which a node shoots before the other of two, when it is to be the first; 0 if it never is, or if
        there is no race."""
        if not self.two_node:
            return 0.0
        return max(0.0, self.fence_delay + self.node(shooter).level_delay(0) - self.node(victim).level_delay(0))

    @property
    def link_names(self) -> tuple[str, ...]:
        return tuple(link.name for link in self.links)

    def links_between(self, one: str, other: str) -> tuple[str, ...]:
        return tuple(link.name for link in self.links if link.joins(one, other))

    def rank(self, name: str) -> int:
        return self.names.index(name)

    def node(self, name: str) -> NodeSpec:
        return self.nodes[self.rank(name)]

    def group(self, name: str) -> GroupSpec:
        return next(group for group in self.groups if group.name == name)
