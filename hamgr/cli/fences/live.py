"""`fence-test --live NODE`: shoots a node for real, and watches the cluster recover."""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from hamgr.admin.convert import event_from_proto, status_from_proto
from hamgr.cli import typed_name
from hamgr.cli.client import ANSWER_TIMEOUT, STATUS_TIMEOUT, admin, operator
from hamgr.cli.commands import DONE, FAILED, USAGE
from hamgr.config.table import either
from hamgr.core.cluster import GroupState
from hamgr.core.effects import Kind
from hamgr.core.events import FenceOutcome
from hamgr.core.status import Status
from hamgr.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from hamgr.admin.events import LoggedEvent
    from hamgr.config.model import Config

LOOK_EVERY = 0.02
"""Seconds between two looks at the status."""

_ACTIVE = (GroupState.STARTED.value, GroupState.STARTING.value)


@dataclass(frozen=True, slots=True)
class Row:
    """after: seconds since the order."""

    after: float
    who: str
    what: str
    text: str


@dataclass(slots=True)
class Story:
    """What happened, and what was wrong with it. before: the status before the order."""

    node: str
    before: Status
    rows: list[Row] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    fenced: bool = False
    _owners: dict[str, str] = field(default_factory=dict)

    def saw(self, status: Status, after: float) -> Iterator[Row]:
        """Look at a status: who owns what now, and whether somebody does beside another."""
        for group in status.groups:
            active = sorted(node for node, state in group.states.items() if state in _ACTIVE)
            if len(active) > 1:
                self._wrong(f"group {group.name} had two owners: {' and '.join(active)}")
            owner = group.owner if group.state is GroupState.STARTED else ""
            if owner and owner != self._owners.get(group.name, self._owner_before(group.name)):
                yield self._told(Row(after, status.node, "status", f"group {group.name} runs on {owner}"))
            if owner:
                self._owners[group.name] = owner

    def heard(self, event: LoggedEvent, after: float) -> Row:
        said = event.announce
        if said.kind is Kind.FENCE_CONFIRMED and said.node == self.node:
            self.fenced = True
        if said.kind is Kind.GROUP_STARTING and self._owner_before(said.group) == self.node and not self.fenced:
            self._wrong(f"group {said.group} of {self.node} was started before {self.node} was confirmed off")
        return self._told(Row(after, event.reporter, said.kind.value, said.text))

    def recovered(self, status: Status) -> bool:
        """Does everything run again that ran before, and not on the node that was shot (in that life)?"""
        life = {one.name: one.incarnation for one in self.before.nodes}[self.node]
        again = any(one.name == self.node and one.incarnation != life for one in status.nodes)
        ran = [group.name for group in self.before.groups if group.owner]
        return all(
            group.state is GroupState.STARTED and group.owner and (again or group.owner != self.node)
            for group in status.groups
            if group.name in ran
        )

    def _owner_before(self, group: str) -> str:
        return next((one.owner for one in self.before.groups if one.name == group), "")

    def _told(self, row: Row) -> Row:
        self.rows.append(row)
        return row

    def _wrong(self, text: str) -> None:
        if text not in self.wrong:
            self.wrong.append(text)


def live(args: argparse.Namespace, config: Config, own: str, socket: Path) -> int:
    """Raises NotAnswering."""
    node = args.live
    if node not in config.spec.names:
        print(f"fence-test: --live: found {node!r}, allowed {either(config.spec.names)}", file=sys.stderr)
        return USAGE
    with admin(socket) as stub:
        before = status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))
        if why := hindrance(config, before, node):
            print(f"fence-test: --live {node}: refused: {why}", file=sys.stderr)
            return FAILED
        if not args.yes and not _confirmed(before, node):
            return FAILED if sys.stdin.isatty() else USAGE
        story = Story(node, before)
        began = time.monotonic()
        reason = _shoot_and_watch(args, stub, story, began, _order(config, before, node, own, stub))
    return _told(args, story, reason, time.monotonic() - began)


def hindrance(config: Config, status: Status, node: str) -> str:
    """Why it is not the moment to shoot; "" if nothing is known against it."""
    if node == status.node:
        return "no node shoots itself: say it on another"
    if config.spec.node(node).fence_levels == 0:
        return f"{node} has no fence device"
    if status.maintenance:
        return "in maintenance nothing is fenced: hamgr maintenance off"
    if not status.quorate:
        return "without a quorum nobody is fenced"
    state = next((one.state for one in status.nodes if one.name == node), "not known")
    if state != "online":
        return f"{node} is {state}; it must be online, so that its end can be seen"
    alone = [one.name for one in status.groups if one.owner == node and _only_on(config, one.name, node)]
    return f"no other node may run {', '.join(alone)}" if alone else ""


def _only_on(config: Config, group: str, node: str) -> bool:
    return set(config.spec.group(group).nodes or config.spec.names) == {node}


def _confirmed(status: Status, node: str) -> bool:
    runs = [group.name for group in status.groups if group.owner == node]
    what = f"Its groups ({', '.join(runs)}) stop at once, and start elsewhere." if runs else "It runs no group."
    warning = (
        f"{node} will lose its power NOW, without a shutdown: what it has not written is lost. {what}\n"
        f"Afterwards it stays off until somebody switches it on."
    )
    return typed_name.confirms("fence-test", warning, "node", node)


Order = Callable[[], tuple[bool, str]]


def _order(config: Config, before: Status, node: str, own: str, stub: Any) -> Order:
    """By the coordinator, as `hamgr fence` does; if it is the victim, this node switches it off itself, and the cluster
    finds it dead."""

    def by_coordinator() -> tuple[bool, str]:
        answer = stub.Fence(pb.FenceRequest(node=node, operator=f"fence-test of {operator()}"), timeout=ANSWER_TIMEOUT)
        return answer.done, answer.text

    def by_hand() -> tuple[bool, str]:
        return asyncio.run(_switch_off(config, node, own))

    return by_hand if before.coordinator == node else by_coordinator


async def _switch_off(config: Config, node: str, own: str) -> tuple[bool, str]:
    from hamgr.fencing.runner import FenceRunner

    runner = FenceRunner(config, own)
    details = []
    try:
        await runner.start()
        for level in range(config.spec.node(node).fence_levels):
            result = await runner.fence(node, level)
            details.append(result.detail)
            if result.outcome is FenceOutcome.CONFIRMED:
                return True, f"{node} was the coordinator, so it was switched off from here: {result.detail}"
    finally:
        await runner.close()
    return False, "; ".join(details)


def _shoot_and_watch(args: argparse.Namespace, stub: Any, story: Story, began: float, order: Order) -> str:
    """ "" when the cluster has recovered, else why not."""
    events: queue.Queue[LoggedEvent] = queue.Queue()
    answers: queue.Queue[tuple[bool, str]] = queue.Queue()
    stream = stub.Watch(pb.WatchRequest(past=0, follow=True))
    stream.initial_metadata()  # from now on nothing is missed
    threading.Thread(target=_follow, args=(stream, events), daemon=True).start()
    threading.Thread(target=_give, args=(order, answers), daemon=True).start()
    show = _silent if args.json else _print
    answered = False
    try:
        while time.monotonic() - began < args.timeout:
            status = status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))
            now = time.monotonic()
            while not events.empty():
                event = events.get()
                show(story.heard(event, event.monotonic - began))
            for row in story.saw(status, now - began):
                show(row)
            if not answered and not answers.empty():
                answered, text = answers.get()
                if not answered:
                    return text
                row = Row(now - began, story.before.node, "answer", text)
                story.rows.append(row)
                show(row)
            if answered and _gone(status, story) and story.recovered(status):
                return ""
            time.sleep(LOOK_EVERY)
    finally:
        stream.cancel()
    return f"not everything runs again after {args.timeout:g} s"


def _gone(status: Status, story: Story) -> bool:
    """Did the cluster take notice? A coordinator that is shot is in the status until it is missed."""
    before = next(one for one in story.before.nodes if one.name == story.node)
    now = next((one for one in status.nodes if one.name == story.node), before)
    return now.state not in ("online", "suspect") or now.incarnation != before.incarnation


def _follow(stream: Any, events: queue.Queue[LoggedEvent]) -> None:
    try:
        for event in stream:
            events.put(event_from_proto(event))
    except grpc.RpcError:
        return  # cancelled at the end; if hamgrd ended, the next look at the status says so


def _give(order: Order, answers: queue.Queue[tuple[bool, str]]) -> None:
    try:
        answers.put(order())
    except (grpc.RpcError, OSError) as error:
        answers.put((False, f"the order broke off: {error}"))


def _silent(_row: Row) -> None:
    """With --json all is told at the end."""


def _print(row: Row) -> None:
    print(f"{row.after * 1000:+10.1f} ms  {row.who}  {row.what}  {row.text}", flush=True)


def _told(args: argparse.Namespace, story: Story, reason: str, seconds: float) -> int:
    good = not reason and not story.wrong
    if args.json:
        rows = [{"after": round(r.after, 6), "who": r.who, "what": r.what, "text": r.text} for r in story.rows]
        shown = {"node": story.node, "good": good, "seconds": round(seconds, 6), "reason": reason}
        print(json.dumps(shown | {"wrong": story.wrong, "timeline": rows}))
        return DONE if good else FAILED
    for wrong in story.wrong:
        print(f"WRONG: {wrong}")
    if reason:
        print(f"NOT RECOVERED: {reason}")
    else:
        print(f"all that ran runs again {seconds * 1000:.0f} ms after the order" + ("; no group had two owners" * good))
        print(f"{story.node} is off: switch it on again")
    return DONE if good else FAILED
