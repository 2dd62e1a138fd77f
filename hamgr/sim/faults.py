"""The faults and wishes of a timeline: one line each, the same in scenarios, schedules and failure reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hamgr.core.events import Verb
from hamgr.sim.power import FenceMode
from hamgr.sim.services import Trouble

if TYPE_CHECKING:
    from hamgr.sim.world import World

ARBITER = "arbiter"


class TimelineError(Exception):
    """A line of a timeline says nothing that the simulator knows; the text names the line and what is allowed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """at: seconds of true time. words: the verb and what it concerns, as in the timeline."""

    at: float
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.at:.3f}s {' '.join(self.words)}"


Action = Callable[["World", tuple[str, ...]], None]


def _seconds(word: str) -> float:
    return float(word.removesuffix("s"))


def _pairs(args: tuple[str, ...]) -> tuple[list[tuple[str, str]], str]:
    """`a b [link]` (both ways) or `a->b [link]` (one way)."""
    if "->" in args[0]:
        sender, to = args[0].split("->")
        return [(sender, to)], args[1] if len(args) > 1 else ""
    one, other = args[:2]
    return [(one, other), (other, one)], args[2] if len(args) > 2 else ""


def _cut(world: World, args: tuple[str, ...]) -> None:
    pairs, link = _pairs(args)
    for sender, to in pairs:
        if ARBITER not in (sender, to):
            world.network.cut(sender, to, link)
        elif world.arbitration is not None and sender != ARBITER:
            world.arbitration.cut(sender)


def _heal(world: World, args: tuple[str, ...]) -> None:
    if not args:
        world.network.heal()
        if world.arbitration is not None:
            world.arbitration.heal()
        return
    for sender, to in _pairs(args)[0]:
        if ARBITER not in (sender, to):
            world.network.heal(sender, to)
        elif world.arbitration is not None and sender != ARBITER:
            world.arbitration.heal(sender)


def _power_off(world: World, args: tuple[str, ...]) -> None:
    machine = world.machines[args[0]]
    machine.power_off("its power failed")


def _kill(world: World, args: tuple[str, ...]) -> None:
    world.machines[args[0]].kill()


def _pause(world: World, args: tuple[str, ...]) -> None:
    world.machines[args[0]].pause(_seconds(args[1]))


def _freeze(world: World, args: tuple[str, ...]) -> None:
    machine = world.machines[args[0]]
    if world.spec.node(machine.name).watchdog_timeout is None:
        machine.freeze(_seconds(args[1]))


def _clock_step(world: World, args: tuple[str, ...]) -> None:
    world.machines[args[0]].wall_offset += _seconds(args[1])


def _replay(world: World, args: tuple[str, ...]) -> None:
    world.network.replay(args[0])


def _fail(world: World, args: tuple[str, ...]) -> None:
    world.machines[args[0]].services[args[1]].fail()


def _fence_ack(world: World, args: tuple[str, ...]) -> None:
    world.operators.confirm_fenced(world.machines[args[0]])


def _rebalance(world: World, args: tuple[str, ...]) -> None:
    world.operators.rebalance(args)


def _override(looks: bool) -> Action:
    return lambda world, args: world.operators.override(world.machines[args[0]], looks)


def _start(world: World, args: tuple[str, ...]) -> None:
    machine = world.machines[args[0]]
    machine.power_on()
    machine.start_daemon()


def _wipe(world: World, args: tuple[str, ...]) -> None:
    if args[0] == ARBITER:
        if world.arbitration is not None and world.may_wipe(ARBITER) and not world.arbitration.up:
            _end_second(world)
            world.arbitration.wipe()
            world.checker.arbiter_wiped()
        return
    machine = world.machines[args[0]]
    if machine.process is None and world.may_wipe(machine.name):
        machine.disk.wipe()
        world.checker.wiped(machine)


def _arbiter_restored(world: World, args: tuple[str, ...]) -> None:
    if world.arbitration is not None and world.may_wipe(ARBITER) and not world.arbitration.up:
        _end_second(world)
        world.arbitration.restore()
        world.checker.arbiter_wiped()


def _arbiter(up: bool) -> Action:
    def act(world: World, args: tuple[str, ...]) -> None:
        if world.arbitration is not None:
            if up:
                world.arbitration.start()
            else:
                world.arbitration.crash()

    return act


def _arbiter_replaced(world: World, args: tuple[str, ...]) -> None:
    by_nodes = world.spec.electorate.is_quorum(world.spec.names)
    if world.arbitration is not None and by_nodes and world.may_wipe(ARBITER) and not world.arbitration.up:
        _end_second(world)
        world.arbitration.replace()
        world.checker.arbiter_has_stored_only_this()


def _end_second(world: World) -> None:
    """The store is lost, for all its processes."""
    if world.second is not None:
        world.second.crash()


def _second(world: World, args: tuple[str, ...]) -> None:
    world.lead(args[0], world.second)


def _astray(world: World, args: tuple[str, ...]) -> None:
    world.lead(args[0], world.stranger)


def _home(world: World, args: tuple[str, ...]) -> None:
    world.lead(args[0], world.arbitration)


def _arbiter_accept(world: World, args: tuple[str, ...]) -> None:
    """An operator who is told the truth: the stranger is never accepted."""
    if world.arbitration is not None:
        world.operators.ask(Verb.ACCEPT_ARBITER, config=world.arbitration.store)


def _arbiter_disk(world: World, args: tuple[str, ...]) -> None:
    if world.arbitration is not None:
        world.arbitration.store_fails = args[0] == "full"


def _disk(full: bool, slow: bool) -> Action:
    def act(world: World, args: tuple[str, ...]) -> None:
        disk = world.machines[args[0]].disk
        disk.full, disk.slow = full, slow

    return act


def _trouble(trouble: Trouble) -> Action:
    def act(world: World, args: tuple[str, ...]) -> None:
        world.machines[args[0]].services[args[1]].trouble = trouble

    return act


def _ask(verb: Verb) -> Action:
    def act(world: World, args: tuple[str, ...]) -> None:
        if verb is Verb.TAKEOVER or verb is Verb.CLEANUP:
            group, node = args
            world.operators.ask(verb, node, group)
        elif verb is Verb.LEAVE:
            world.operators.ask(verb, at=args[0])
        else:
            world.operators.ask(verb, args[0])

    return act


def _confirm(world: World, args: tuple[str, ...]) -> None:
    name = args[0] if args else ""
    is_node = name in world.machines
    world.operators.ask(Verb.CONFIRM, name if is_node else "", "" if is_node else name)


def _maintenance(world: World, args: tuple[str, ...]) -> None:
    verb = Verb.MAINTENANCE_ON if args[0] == "on" else Verb.MAINTENANCE_OFF
    world.operators.ask(verb, at=args[1] if len(args) > 1 else "")


def _push(world: World, args: tuple[str, ...]) -> None:
    world.configs.push(*args)


def _node_add(world: World, args: tuple[str, ...]) -> None:
    world.configs.add(args[0])


def _node_remove(world: World, args: tuple[str, ...]) -> None:
    world.configs.remove(args[0])


def _votes(world: World, args: tuple[str, ...]) -> None:
    world.configs.give_votes(args[0], int(args[1]))


def _push_arbiter(world: World, args: tuple[str, ...]) -> None:
    world.configs.with_arbiter(args[0] == "on")


def _withdraw(world: World, args: tuple[str, ...]) -> None:
    world.configs.withdraw()


def _fence_mode(world: World, args: tuple[str, ...]) -> None:
    world.power.modes[args[0]] = FenceMode(args[1])


def _health(world: World, args: tuple[str, ...]) -> None:
    world.machines[args[0]].set_health(int(args[1]))


def _failback(world: World, args: tuple[str, ...]) -> None:
    """The time of day for the failback of a group comes or goes, on every node."""
    for machine in world.machines.values():
        machine.set_failback(args[0], args[1] == "open")


def _guard(world: World, args: tuple[str, ...]) -> None:
    world.machines[args[0]].set_guard(args[1] == "ok")


def _watchdog_by_hand(world: World, args: tuple[str, ...]) -> None:
    """Somebody edits the file of one node alone."""
    world.machines[args[0]].watchdog_by_hand = None if args[1] == "none" else _seconds(args[1])


def _shut_out(world: World, args: tuple[str, ...]) -> None:
    """Its fence device has shut the node out, and left it running."""
    world.machines[args[0]].shut_out()


def _own_link(world: World, args: tuple[str, ...]) -> None:
    """The kernel says so of a link, and may be wrong: nothing is cut by it."""
    world.machines[args[0]].set_link(args[1], args[2] == "up")


def _loss(world: World, args: tuple[str, ...]) -> None:
    world.network.extra_loss = float(args[0])


_ACTIONS: dict[str, tuple[str, Action]] = {
    "power-off": ("NODE", _power_off),
    "start": ("NODE", _start),
    "kill": ("NODE", _kill),
    "pause": ("NODE TIME", _pause),
    "freeze": ("NODE TIME", _freeze),
    "clock-step": ("NODE TIME", _clock_step),
    "wipe": ("NODE|arbiter", _wipe),
    "replay": ("NODE", _replay),
    "cut": ("PAIR [LINK]", _cut),
    "heal": ("[PAIR]", _heal),
    "loss": ("PART", _loss),
    "health": ("NODE SCORE", _health),
    "failback": ("GROUP open|closed", _failback),
    "own-link": ("NODE LINK up|down", _own_link),
    "guard": ("NODE lost|ok", _guard),
    "watchdog-by-hand": ("NODE TIME|none", _watchdog_by_hand),
    "shut-out": ("NODE", _shut_out),
    "fence-mode": ("NODE MODE", _fence_mode),
    "arbiter-down": ("", _arbiter(up=False)),
    "arbiter-up": ("", _arbiter(up=True)),
    "arbiter-restored": ("", _arbiter_restored),
    "arbiter-replaced": ("", _arbiter_replaced),
    "arbiter-accept": ("", _arbiter_accept),
    "second": ("NODE", _second),
    "astray": ("NODE", _astray),
    "home": ("NODE", _home),
    "arbiter-disk": ("full|ok", _arbiter_disk),
    "disk-full": ("NODE", _disk(full=True, slow=False)),
    "disk-slow": ("NODE", _disk(full=False, slow=True)),
    "disk-ok": ("NODE", _disk(full=False, slow=False)),
    "fail": ("NODE GROUP", _fail),
    "stop-hangs": ("NODE GROUP", _trouble(Trouble.STOP_HANGS)),
    "start-fails": ("NODE GROUP", _trouble(Trouble.START_FAILS)),
    "mend": ("NODE GROUP", _trouble(Trouble.NONE)),
    "standby": ("NODE", _ask(Verb.STANDBY)),
    "online": ("NODE", _ask(Verb.ONLINE)),
    "takeover": ("GROUP NODE", _ask(Verb.TAKEOVER)),
    "rebalance": ("[GROUP]", _rebalance),
    "cleanup": ("GROUP NODE", _ask(Verb.CLEANUP)),
    "fence": ("NODE", _ask(Verb.FENCE)),
    "fence-ack": ("NODE", _fence_ack),
    "confirm": ("[NODE|GROUP]", _confirm),
    "override": ("NODE", _override(looks=True)),
    "override-blindly": ("NODE", _override(looks=False)),
    "leave": ("NODE", _ask(Verb.LEAVE)),
    "maintenance": ("on|off [NODE]", _maintenance),
    "push": ("[GROUP]", _push),
    "push-votes": ("NODE VOTES", _votes),
    "push-arbiter": ("on|off", _push_arbiter),
    "withdraw": ("", _withdraw),
    "node-add": ("NODE", _node_add),
    "node-remove": ("NODE", _node_remove),
}

USAGE = {verb: f"{verb} {usage}".strip() for verb, (usage, _) in _ACTIONS.items()}


def apply(world: World, fault: Fault) -> None:
    """Let it happen now."""
    verb, *args = fault.words
    world.trace.counts[f"fault {verb}"] += 1
    world.trace.tell(world.engine.now, "---", " ".join(fault.words))
    _ACTIONS[verb][1](world, tuple(args))
