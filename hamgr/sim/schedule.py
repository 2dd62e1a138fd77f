"""A seed's faults, all drawn before the run begins: so a run can be repeated with some of them left out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from hamgr.core.cluster import ClusterSpec, Placement
from hamgr.sim.faults import Fault
from hamgr.sim.shape import Wanted

CHANGING = 0.15
"""The share of runs that are about changes of the configuration: in the others few come to their end."""

FORGETTING = 0.3
"""The share of runs of four and more nodes in which voters forget what they voted, and little else happens: each such
story takes its time."""

EPISODE = 5.0
"""Seconds from one episode to the next, on average. Episodes overlap."""


def random_faults(rng: random.Random, spec: ClusterSpec, duration: float, wanted: Wanted) -> list[Fault]:
    """Episodes over `duration` seconds: each is a fault and, mostly, its end."""
    drawn = _Drawn(rng, spec)
    episodes = drawn.changes() if rng.random() < CHANGING else drawn.episodes()
    if wanted.voters:
        episodes = drawn.losses()
    at = rng.uniform(0.0, 12.0)
    found: list[Fault] = []
    pace = rng.choice((0.5, 1.0, 1.0, 2.0)) * EPISODE
    pause = 0.0
    if wanted.forgetful or (len(spec.nodes) >= FEWEST_APART and rng.random() < FORGETTING):
        episodes, at, pause = drawn.forgetting(), at + EPISODE, 7 * EPISODE
    while at < duration:
        episode = rng.choices(list(episodes), list(episodes.values()))[0]
        found += [Fault(round(at + later, 3), tuple(line.split())) for later, line in episode()]
        at += pause + rng.expovariate(1.0 / pace)
    return sorted((fault for fault in found if fault.at < duration), key=lambda fault: fault.at)


FEWEST_APART = 4
"""Of fewer nodes a voter that forgot asks everybody, so that nobody's claim can be out of its reach."""

Lines = Iterator[tuple[float, str]]


class _Drawn:
    """The episodes, each a generator of (seconds after its beginning, line of a timeline)."""

    def __init__(self, rng: random.Random, spec: ClusterSpec) -> None:
        self._rng = rng
        self._spec = spec

    def episodes(self) -> dict[Callable[[], Lines], int]:
        """Each with its weight."""
        found: dict[Callable[[], Lines], int] = {
            self._power: 4,
            self._kill: 4,
            self._pause: 5,
            self._freeze: 2,
            self._clock_step: 1,
            self._replay: 2,
            self._isolate: 4,
            self._partition: 4,
            self._cut: 5,
            self._chain: 1,
            self._loss: 2,
            self._fence_mode: 3,
            self._disk: 2,
            self._wipe: 1,
            self._group: 4,
            self._stop_hangs: 2,
            self._start_fails: 1,
            self._cleanup: 2,
            self._standby: 2,
            self._takeover: 2,
            self._leave: 2,
            self._fence: 1,
            self._fence_ack: 2,
            self._everybody: 1,
            self._gateway: 2,
            self._flap: 1,
            self._own_link: 2,
            self._maintenance: 2,
            self._push: 4,
            self._burnt: 3,
        }
        if self._spec.last_man_standing is not None or self._spec.auto_tie_breaker:
            found |= {self._rolling: 8}
        if not self._spec.two_node:
            found |= {self._override: 3}
        if any(group.placement is Placement.SPREAD for group in self._spec.groups):
            found |= {self._rebalance: 6}
        if self._spec.arbiter:
            found |= {self._arbiter_down: 4, self._arbiter_cut: 3, self._arbiter_disk: 1, self._arbiter_wipe: 1}
            found |= {self._arbiter_restored: 1, self._arbiter_replaced: 1, self._astray: 2, self._second: 3}
        if any(node.watchdog_timeout is not None for node in self._spec.nodes):
            found |= {self._disarmed: 3, self._watchdog_by_hand: 2, self._guard_lost: 1}
        return found

    def changes(self) -> dict[Callable[[], Lines], int]:
        harm = {self._kill: 1, self._power: 1, self._pause: 1, self._cut: 2, self._isolate: 1, self._group: 1}
        return {self._push: 12, self._burnt: 12, **harm}

    def forgetting(self) -> dict[Callable[[], Lines], int]:
        return {self._forgets_apart: 12, self._wipe: 1, self._leave: 1}

    def losses(self) -> dict[Callable[[], Lines], int]:
        found: dict[Callable[[], Lines], int] = {
            self._rolling: 12,
            self._kill: 1,
            self._pause: 1,
            self._freeze: 1,
            self._partition: 3,
            self._cut: 1,
            self._disk: 1,
            self._wipe: 2,
            self._leave: 1,
            self._everybody: 1,
            self._fence_ack: 2,
            self._push: 1,
            self._burnt: 8,
            self._loss: 1,
            self._override: 8,
        }
        if self._spec.arbiter:
            found |= {self._arbiter_down: 2, self._arbiter_cut: 2, self._arbiter_disk: 1, self._arbiter_wipe: 1}
        return found

    def _node(self) -> str:
        return self._rng.choice(self._spec.names)

    def _group_name(self) -> str:
        return self._rng.choice(self._spec.groups).name

    def _time(self, low: float, high: float) -> float:
        return round(self._rng.uniform(low, high), 2)

    def _power(self) -> Lines:
        node = self._node()
        yield 0.0, f"power-off {node}"
        yield self._time(0.5, 25.0), f"start {node}"

    def _kill(self) -> Lines:
        node = self._node()
        yield 0.0, f"kill {node}"
        yield self._rng.choice((0.1, self._time(0.1, 20.0))), f"start {node}"

    def _rolling(self) -> Lines:
        """One node after another is lost; then they boot together, and hear those who are left, or not."""
        names = list(self._spec.names)
        self._rng.shuffle(names)
        lost = names[: self._rng.randint(1, len(names))]
        at = 0.0
        for node in lost:
            yield at, f"power-off {node}"
            at += self._time(1.0, 15.0)
        boots = at + self._time(0.0, 10.0)
        heals = boots + self._time(0.0, 20.0)
        if self._rng.random() < 0.6:
            for one in lost:
                for other in names[len(lost) :]:
                    yield boots - 0.1, f"cut {one} {other}"
                    yield heals, f"heal {one} {other}"
        for node in lost:
            yield boots + self._rng.choice((0.0, self._time(0.0, 5.0))), f"start {node}"

    def _override(self) -> Lines:
        """All but some are lost, with the arbiter; an operator goes on with one. The others come back, or apart."""
        names = list(self._spec.names)
        self._rng.shuffle(names)
        kept = names[: self._rng.choice((1, 1, 2))]
        lost = [name for name in names if name not in kept]
        at = 0.0
        for node in lost:
            yield at, f"power-off {node}"
            at += self._rng.choice((0.0, self._time(0.0, 8.0)))
        arbiter = self._rng.choice(("down", "cut")) if self._spec.arbiter else ""
        if arbiter == "down":
            yield self._time(0.0, at + 2.0), "arbiter-down"
        for node in kept if arbiter == "cut" else ():
            yield self._time(0.0, at + 2.0), f"cut {node} arbiter"
        for _ in range(4):
            at += self._time(1.0, 12.0)
            yield at, f"override {kept[0]}"
        apart = self._rng.random() < 0.6
        for node in lost:
            for other in kept if apart else ():
                yield at, f"cut {node} {other}"
            yield at + self._time(0.0, 8.0), f"start {node}"
        if arbiter == "down":
            yield at + self._time(0.0, 8.0), "arbiter-up"
        end = at + self._time(2.0, 30.0)
        for node in kept:
            yield end, f"heal {node} arbiter"
            for other in lost:
                yield end, f"heal {node} {other}"

    def _pause(self) -> Lines:
        lease = self._spec.timing.lease
        span = self._rng.choice((self._time(0.1, 2.0), self._time(1.0, lease), self._time(lease, 3 * lease)))
        yield 0.0, f"pause {self._node()} {span}s"

    def _freeze(self) -> Lines:
        yield 0.0, f"freeze {self._node()} {self._time(0.5, 3 * self._spec.timing.lease)}s"

    def _clock_step(self) -> Lines:
        yield 0.0, f"clock-step {self._node()} {self._rng.choice((-86400, -2, 2, 3600))}s"

    def _replay(self) -> Lines:
        yield 0.0, f"replay {self._node()}"

    def _isolate(self) -> Lines:
        node = self._node()
        link = self._rng.choice(("", "", *self._spec.link_names))
        pairs = [f"{node} {other}" for other in self._spec.names if other != node]
        if self._spec.arbiter and not link and self._rng.random() < 0.4:
            pairs.append(f"{node} arbiter")
        end = self._time(1.0, 25.0)
        for pair in pairs:
            yield 0.0, f"cut {pair} {link}"
            yield end, f"heal {pair}"

    def _partition(self) -> Lines:
        names = list(self._spec.names)
        self._rng.shuffle(names)
        size = self._rng.randint(1, len(names) - 1)
        one_way = self._rng.random() < 0.3
        end = self._time(1.0, 25.0)
        for left in names[:size]:
            for right in names[size:]:
                pair = f"{left}->{right}" if one_way else f"{left} {right}"
                yield 0.0, f"cut {pair}"
                yield end, f"heal {pair}"

    def _cut(self) -> Lines:
        one, other = self._rng.sample(self._spec.names, 2)
        pair = self._rng.choice((f"{one} {other}", f"{one}->{other}"))
        link = self._rng.choice(("", *self._spec.link_names))
        yield 0.0, f"cut {pair} {link}"
        yield self._time(0.5, 20.0), f"heal {pair}"

    def _chain(self) -> Lines:
        """Each hears only its neighbours."""
        names = list(self._spec.names)
        self._rng.shuffle(names)
        end = self._time(2.0, 20.0)
        for index, one in enumerate(names):
            for other in names[index + 2 :]:
                yield 0.0, f"cut {one} {other}"
                yield end, f"heal {one} {other}"

    def _loss(self) -> Lines:
        yield 0.0, f"loss {self._rng.choice((0.2, 0.5, 0.8))}"
        yield self._time(1.0, 15.0), "loss 0"

    def _fence_mode(self) -> Lines:
        node = self._node()
        yield 0.0, f"fence-mode {node} {self._rng.choice(('fail', 'hang', 'late'))}"
        yield self._time(5.0, 40.0), f"fence-mode {node} ok"

    def _disk(self) -> Lines:
        node = self._node()
        yield 0.0, f"{self._rng.choice(('disk-full', 'disk-slow'))} {node}"
        yield self._time(1.0, 20.0), f"disk-ok {node}"

    def _wipe(self) -> Lines:
        node = self._node()
        yield 0.0, self._rng.choice((f"kill {node}", f"power-off {node}"))
        yield 0.1, f"wipe {node}"
        yield self._time(0.2, 10.0), f"start {node}"

    def _forgets_apart(self) -> Lines:
        """The coordinator is lost. A voter forgets what it has just voted, asks the others, and then their company
        changes: some go over to the claimant that has the old vote, and know no more of the new one's."""
        spec, rng = self._spec, self._rng
        # Mostly those who lead, and who claim first, by their rank.
        lost, *names = spec.names if rng.random() < 0.8 else rng.sample(spec.names, len(spec.names))
        claimant, *names = names if rng.random() < 0.8 else rng.sample(names, len(names))
        voter, waverer, *rest = rng.sample(names, len(names))
        of_arbiter = spec.arbiter and rng.random() < 0.5
        if of_arbiter:
            rest = [voter, *rest]
        rest.append(lost)
        elected = spec.timing.deadtime
        apart, forgets = elected - self._time(0.0, 1.5), elected + self._time(0.0, 1.5)
        yield 0.0, rng.choice((f"kill {lost}", f"power-off {lost}"))
        for other in rest:
            yield apart, f"cut {claimant} {other}"
        yield apart, f"cut {claimant}->{waverer}"
        if of_arbiter:
            yield apart, f"cut {waverer} arbiter"
            yield forgets, "arbiter-down"
            yield forgets, rng.choice(("wipe arbiter", "arbiter-restored"))
            yield forgets, f"cut {claimant} arbiter"
            yield forgets, f"heal {waverer} arbiter"
            yield forgets + self._time(0.0, 0.1), "arbiter-up"
        else:
            for other in (waverer, *rest):
                yield apart, f"cut {voter}->{other}"
                yield forgets, f"heal {voter} {other}"
            yield forgets, f"kill {voter}"
            yield forgets, f"wipe {voter}"
            yield forgets, f"cut {claimant} {voter}"
            yield forgets + self._time(0.0, 0.2), f"start {voter}"
        yield forgets + self._time(0.0, 3.0), f"start {lost}"
        goes_over = forgets + self._time(0.5, 3.0)
        for other in (*rest, *(() if of_arbiter else (voter,))):
            yield goes_over, f"cut {waverer} {other}"
        yield goes_over + self._time(0.0, 0.5), f"heal {claimant} {waverer}"
        if of_arbiter:
            yield goes_over + self._time(0.0, 0.5), f"cut {waverer} arbiter"
        end = goes_over + self._time(5.0, 25.0)
        for one in (claimant, waverer):
            yield end, f"heal {one} arbiter"
            for other in (voter, *rest):
                yield end, f"heal {one} {other}"

    def _group(self) -> Lines:
        yield 0.0, f"fail {self._node()} {self._group_name()}"

    def _stop_hangs(self) -> Lines:
        node, group = self._node(), self._group_name()
        yield 0.0, f"stop-hangs {node} {group}"
        if self._rng.random() < 0.5:
            yield 1.0, f"standby {node}"
        yield self._time(5.0, 30.0), f"mend {node} {group}"
        yield self._time(30.0, 40.0), f"online {node}"

    def _start_fails(self) -> Lines:
        node, group = self._node(), self._group_name()
        yield 0.0, f"start-fails {node} {group}"
        yield self._time(5.0, 30.0), f"mend {node} {group}"

    def _cleanup(self) -> Lines:
        """A group fails until its node is barred, and an operator forgives it at once or later."""
        node, group = self._node(), self._group_name()
        yield 0.0, f"start-fails {node} {group}"
        yield 0.1, f"fail {node} {group}"
        yield 1.0, f"mend {node} {group}"
        for _ in range(self._rng.randint(1, 8)):
            yield self._time(0.5, 12.0), f"cleanup {group} {node}"

    def _standby(self) -> Lines:
        node = self._node()
        yield 0.0, f"standby {node}"
        yield self._time(1.0, 25.0), f"online {node}"

    def _takeover(self) -> Lines:
        yield 0.0, f"takeover {self._group_name()} {self._node()}"

    def _rebalance(self) -> Lines:
        """A node is away for a while, and then the nodes are made even again, while other things happen."""
        node = self._node()
        yield 0.0, self._rng.choice((f"power-off {node}", f"standby {node}", f"leave {node}"))
        back = self._time(8.0, 20.0)
        yield back, f"start {node}"
        yield back, f"online {node}"
        which = self._rng.choice(("", "", self._group_name()))
        yield back + self._time(0.0, 12.0), f"rebalance {which}"

    def _leave(self) -> Lines:
        node = self._node()
        yield 0.0, f"leave {node}"
        yield self._time(3.0, 30.0), f"start {node}"

    def _fence(self) -> Lines:
        yield 0.0, f"fence {self._node()}"

    def _fence_ack(self) -> Lines:
        """The BMC dies with its machine, and an operator helps."""
        node = self._node()
        yield 0.0, f"fence-mode {node} {self._rng.choice(('fail', 'hang'))}"
        yield 0.0, f"power-off {node}"
        yield self._time(1.0, 15.0), f"fence-ack {node}"
        end = self._time(15.0, 40.0)
        yield end, f"start {node}"
        yield end, f"fence-mode {node} ok"

    def _everybody(self) -> Lines:
        """The power of all fails, and comes back for one after another."""
        for node in self._spec.names:
            yield 0.0, f"power-off {node}"
            yield self._time(1.0, 10.0), f"start {node}"

    def _gateway(self) -> Lines:
        """A gateway goes for some or for all, who notice it one after another, and comes back."""
        some = self._rng.sample(self._spec.names, self._rng.randint(1, len(self._spec.names)))
        end = self._time(2.0, 40.0)
        for node in some:
            yield self._time(0.0, 1.0), f"health {node} {self._rng.randint(1, 3)}"
            yield end + self._time(0.0, 1.0), f"health {node} 0"

    def _flap(self) -> Lines:
        node = self._node()
        for turn in range(10):
            yield turn + self._time(0.0, 0.9), f"health {node} {turn % 2}"

    def _own_link(self) -> Lines:
        """The kernel says that a link is down, rightly or not."""
        node, link = self._node(), self._rng.choice(self._spec.link_names)
        if self._rng.random() < 0.5:
            for other in self._spec.names:
                if other != node:
                    yield 0.0, f"cut {node} {other} {link}"
                    yield 10.0, f"heal {node} {other}"
        yield self._time(0.0, 0.1), f"own-link {node} {link} down"
        yield self._time(1.0, 20.0), f"own-link {node} {link} up"

    def _maintenance(self) -> Lines:
        """Somebody works on the cluster: daemons are restarted, groups fail, and all of it is left alone."""
        node, end = self._node(), self._time(5.0, 30.0)
        yield 0.0, "maintenance on"
        work = (f"leave {node}", f"kill {node}", f"fail {node} {self._group_name()}")
        yield self._time(1.0, 4.0), self._rng.choice(work)
        yield end - 1.0, f"start {node}"
        yield end, "maintenance off"
        yield end + 5.0, "maintenance off"

    def _disarmed(self) -> Lines:
        """A daemon ends in maintenance, and disarms its watchdog, while the others are about to end that."""
        node, end = self._node(), self._time(0.5, 6.0)
        for other in self._rng.sample(self._spec.names, self._rng.randint(0, len(self._spec.names))):
            yield 0.0, f"disk-slow {other}"
            yield end + 5.0, f"disk-ok {other}"
        yield 0.0, "maintenance on"
        if self._rng.random() < 0.7:
            yield end, "maintenance off"
        yield max(0.1, end + self._rng.choice((0.0, 0.1, self._time(-3.0, 2.0)))), f"leave {node}"
        yield end + self._time(20.0, 60.0), f"start {node}"
        yield end + 62.0, "maintenance off"

    def _watchdog_by_hand(self) -> Lines:
        node = self._node()
        yield 0.0, f"watchdog-by-hand {node} {self._rng.choice(('none', '1.0s', '20.0s'))}"
        yield 0.0, self._rng.choice((f"kill {node}", f"leave {node}", f"power-off {node}"))
        back = self._rng.choice((0.1, self._time(1.0, 20.0)))
        yield back, f"start {node}"
        yield back + self._time(2.0, 20.0), f"kill {node}"

    def _guard_lost(self) -> Lines:
        node = self._node()
        yield 0.0, f"guard {node} lost"
        yield self._time(0.1, 20.0), f"guard {node} ok"

    def _push(self) -> Lines:
        """A configuration is pushed, and mostly something happens meanwhile; to slow disks, so that it can."""
        slow = self._rng.random() < 0.6
        for node in self._spec.names if slow else ():
            yield 0.0, f"disk-slow {node}"
            yield 12.0, f"disk-ok {node}"
        node = self._node()
        what = self._rng.choice(("push", f"push {self._group_name()}", f"node-remove {node}"))
        if what.startswith("node-remove"):
            # What runs there must go first, or the machine.
            yield 0.0, self._rng.choice((f"standby {node}", f"leave {node}", f"fence {node}"))
            yield self._time(3.0, 8.0), what
            yield self._time(10.0, 30.0), f"node-add {node}"
        else:
            yield 0.0, what
        for _ in range(self._rng.choice((0, 1, 1, 2))):
            node, at = self._node(), self._time(0.0, 10.0 if slow else 4.0)
            harm = (f"kill {node}", f"kill {node}", f"power-off {node}", f"pause {node} {self._time(0.5, 6.0)}s")
            yield at, self._rng.choice(harm)
            yield at + self._rng.choice((0.1, self._time(0.1, 15.0))), f"start {node}"

    def _burnt(self) -> Lines:
        """A machine is lost and taken out, or misses what is pushed meanwhile; it comes back with its old file."""
        lost, *others = self._rng.sample(self._spec.names, len(self._spec.names))
        yield 0.0, f"power-off {lost}"
        at = self._time(3.0, 12.0)
        for node in self._spec.names if self._rng.random() < 0.4 else ():
            yield at, f"disk-slow {node}"
            yield at + 12.0, f"disk-ok {node}"
        changes = ["push", f"push-votes {self._rng.choice(others)} {self._rng.randint(0, 3)}", f"node-remove {lost}"]
        if self._spec.arbiter:
            changes += ["push-arbiter off", "push-arbiter on"]
        for _ in range(self._rng.randint(1, 3)):
            other = self._rng.choice(others)
            yield at, self._rng.choice((f"node-remove {lost}", *changes, f"node-remove {other}", f"node-add {lost}"))
            if self._rng.random() < 0.5:
                harmed = at + self._time(0.0, 4.0)
                yield harmed, self._rng.choice((f"kill {other}", f"power-off {other}", f"pause {other} 3.0s"))
                yield harmed + self._rng.choice((0.1, self._time(1.0, 20.0))), f"start {other}"
            if self._rng.random() < 0.3:
                yield at + self._rng.choice((0.7, self._time(0.0, 9.0))), "withdraw"
            at += self._time(2.0, 14.0)
        if self._rng.random() < 0.3:
            yield at, f"wipe {lost}"
        apart = [other for other in others if self._rng.random() < 0.4]
        end = at + self._time(5.0, 20.0)
        for other in apart:
            yield at, f"cut {lost} {other}"
            yield end, f"heal {lost} {other}"
        yield at + 0.1, f"start {lost}"
        for other in self._rng.sample(others, self._rng.choice((0, 0, 1))):
            yield at + self._time(0.0, 6.0), f"power-off {other}"
            yield end + self._time(0.0, 9.0), f"start {other}"

    def _arbiter_down(self) -> Lines:
        yield 0.0, "arbiter-down"
        yield self._rng.choice((0.05, self._time(0.1, 25.0))), "arbiter-up"

    def _arbiter_cut(self) -> Lines:
        node = self._node()
        yield 0.0, f"cut {node} arbiter"
        yield self._time(0.5, 20.0), f"heal {node} arbiter"

    def _arbiter_disk(self) -> Lines:
        yield 0.0, "arbiter-disk full"
        yield self._time(1.0, 15.0), "arbiter-disk ok"

    def _arbiter_restored(self) -> Lines:
        """The arbiter's disk is lost, and a backup of it put back; mostly the nodes lose each other meanwhile."""
        yield 0.0, "arbiter-down"
        yield 0.1, "arbiter-restored"
        yield self._time(0.2, 10.0), "arbiter-up"
        lost = self._time(0.0, 10.0)
        if self._rng.random() < 0.6:
            for line in self._partition():
                yield lost + line[0], line[1]

    def _arbiter_replaced(self) -> Lines:
        """A new host with a new store; sooner or later somebody says that it is the arbiter now."""
        yield 0.0, "arbiter-down"
        yield 0.1, "arbiter-replaced"
        end = self._time(0.2, 10.0)
        yield end, "arbiter-up"
        for _ in range(self._rng.randint(0, 3)):
            yield end + self._time(0.1, 10.0), "arbiter-accept"

    def _second(self) -> Lines:
        """Nodes turn to another process over the same store, and back; they lose each other, or a process dies."""
        end = self._time(1.0, 30.0)
        for node in self._rng.sample(self._spec.names, self._rng.randint(1, len(self._spec.names))):
            yield self._time(0.0, 1.0), f"second {node}"
            yield end + self._time(0.0, 1.0), f"home {node}"
        if self._rng.random() < 0.3:
            yield self._time(0.5, 5.0), "arbiter-down"
            yield self._time(5.0, 20.0), "arbiter-up"
        if self._rng.random() < 0.6:
            for line in self._partition():
                yield line[0] + 0.5, line[1]

    def _astray(self) -> Lines:
        """The arbiter's address leads some nodes to another store, and mostly they lose each other meanwhile."""
        some = self._rng.sample(self._spec.names, self._rng.randint(1, len(self._spec.names)))
        end = self._time(1.0, 30.0)
        for node in some:
            yield self._time(0.0, 1.0), f"astray {node}"
            yield end + self._time(0.0, 1.0), f"home {node}"
        if self._rng.random() < 0.6:
            for line in self._partition():
                yield line[0] + 0.5, line[1]

    def _arbiter_wipe(self) -> Lines:
        yield 0.0, "arbiter-down"
        yield 0.1, "wipe arbiter"
        yield self._time(0.2, 10.0), "arbiter-up"
