"""Status and events as text for a human at three in the morning. Pure: values in, text out."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hamgr.core.cluster import GroupState
from hamgr.core.effects import Announce
from hamgr.core.status import GroupStatus, GuardStatus, LinkStatus, NodeStatus, Status, runs_another

_GOOD_STATES = ("online", "self")
_RED, _GREEN, _YELLOW = "31", "32", "33"


def render(status: Status, colour: bool = False) -> str:
    """The whole status. The first line says whether all is well, or what is wrong."""
    wrong = list(_wrong(status))
    first = f"{status.cluster}: {'all is well' if not wrong else '; '.join(wrong)}"
    lines = [_paint(first, _RED if wrong else _GREEN, colour), ""]
    coordinator = status.coordinator or "nobody"
    quorum = "has quorum" if status.quorate else "NO QUORUM"
    if status.override:
        quorum = "NO QUORUM, BUT AN OVERRIDE"
    lines.append(
        f"seen from {status.node} ({status.role}{', standby' if status.standby else ''}): {quorum} "
        f"({status.votes} of {status.all_votes} votes, {status.majority} needed), "
        f"coordinator {coordinator}, epoch {status.epoch}"
    )
    lines += ["", "groups"]
    lines += [f"  {_group(group)}" for group in status.groups] or ["  none configured"]
    lines += ["", "nodes"]
    pinged = any(node.health for node in status.nodes)
    weighted = any(node.votes != 1 for node in status.nodes) or status.arbiter.votes > 1
    lines += [f"  {_node(node, pinged, weighted)}" for node in status.nodes]
    if status.arbiter.configured:
        lines.append(f"  arbiter  {_arbiter(status, weighted)}")
    if status.guard is not None:
        lines.append(f"  guard of {status.node}  {_guard(status.guard)}")
    if status.fences:
        lines += ["", "fencing"]
        for fence in status.fences:
            detail = f": {fence.detail}" if fence.detail else ""
            lines.append(
                f"  {fence.node}  {fence.outcome} (level {fence.level + 1}, attempts {fence.attempts}; "
                f"{fence.reason}){detail}"
            )
    bad = [device for device in status.devices if not device.good]
    if bad:
        lines += ["", "fence devices that do not work from here"]
        lines += [f"  {one.name} of {one.node}, tried {one.tried_ago:.0f} s ago: {one.detail}" for one in bad]
    waits = [*status.waits, *(f"{group.name}: {wait}" for group in status.groups for wait in group.waits)]
    for title, texts in (("waiting", waits), ("warnings", status.warnings), ("what you can do", _advice(status))):
        if texts:
            lines += ["", _paint(title, _YELLOW, colour), *(f"  {text}" for text in dict.fromkeys(texts))]
    return "\n".join(lines) + "\n"


def event_line(when: float, reporter: str, announce: Announce) -> str:
    """One line of `hamgr watch`: 15:04:05.123 b  fence-confirmed  a is off (fence bmc-a, 21 ms)."""
    milliseconds = int(when * 1000)
    clock = time.strftime("%H:%M:%S", time.localtime(milliseconds // 1000))
    return f"{clock}.{milliseconds % 1000:03d} {reporter}  {announce.kind.value}  {announce.text}"


def _wrong(status: Status) -> Iterator[str]:
    if status.maintenance:
        why = "a configuration is pushed" if status.pushing else "MAINTENANCE"
        yield f"{why}, nothing is started, stopped or fenced"
    if status.override:
        yield f"OVERRIDE: {status.override}"
    if not status.quorate:
        yield "NO QUORUM, nothing is started"
    for group in status.groups:
        wanted = GroupState.STARTED if group.enabled else GroupState.STOPPED
        if group.state is not wanted or (group.enabled and not group.owner):
            yield f"group {group.name} is {group.state.value}{f' on {group.owner}' if group.owner else ''}"
    own = next((node.config for node in status.nodes if node.state == "self"), "")
    for node in status.nodes:
        if node.state not in _GOOD_STATES:
            yield f"node {node.name} is {node.state}"
        if node.unfit:
            yield f"node {node.name} can't run groups ({node.unfit})"
        if runs_another(own, node.config):
            yield f"node {node.name} runs another configuration file"
        for link in node.links:
            if not link.up and node.state in _GOOD_STATES:
                yield f"link {link.link} to {node.name} is down"
    if status.arbiter.configured and not status.arbiter.connected:
        yield "the arbiter does not answer"
    if status.guard is not None and not status.guard.pid:
        yield f"nothing guards what {status.node} runs"
    for fence in status.fences:
        if fence.outcome in ("failed", "unknown"):
            yield f"node {fence.node} could not be fenced"
        elif fence.outcome == "asked":
            yield f"a human must decide on the fencing of {fence.node}"
        elif fence.outcome == "limited":
            yield f"node {fence.node} is not fenced again by itself"
    for device in status.devices:
        if not device.good:
            yield f"fence device {device.name} of {device.node} does not work from {status.node}"


def _advice(status: Status) -> list[str]:
    """Commands, whole, that can help with what is wrong."""
    advice = []
    for fence in status.fences:
        if fence.outcome in ("failed", "unknown"):
            advice.append(f"make sure with your own eyes that {fence.node} is off, then: hamgr fence ack {fence.node}")
        elif fence.outcome == "asked":
            name = fence.node
            advice.append(f"have {name} fenced: hamgr fence {name}; if it is off: hamgr fence ack {name}")
        elif fence.outcome == "limited":
            advice.append(f"find out why {fence.node} fails again and again, then fence it: hamgr fence {fence.node}")
    if bad := [device.name for device in status.devices if not device.good]:
        advice.append(f"mend {', '.join(bad)}, then try it from {status.node}: fence-test")
    for group in status.groups:
        for where, state in group.states.items():
            if state == GroupState.FAILED.value:
                advice.append(f"mend {group.name} on {where}, then: hamgr cleanup {group.name} --node {where}")
    if status.maintenance and not status.pushing:
        advice.append("when the work is done: hamgr maintenance off")
    for node in status.nodes:
        if node.standby:
            advice.append(f"let {node.name} run groups again: hamgr online {node.name}")
    if status.role == "learning":
        advice.append("is this cluster new, and never ran? Stop hamgrd here, then: hamgr init; start hamgrd")
    return advice


def _group(group: GroupStatus) -> str:
    where = f"on {group.owner}" if group.owner else "nowhere"
    target = f", to run on {group.target}" if group.target and group.target != group.owner else ""
    disabled = "" if group.enabled else ", disabled"
    return f"{group.name}  {group.state.value} {where}{target}{disabled}"


def explained(group: GroupStatus, by: str, epoch: int, arbiter: str) -> list[str]:
    """Where a group runs, and why there and not elsewhere, as the node `by` says. arbiter: why that has its vote."""
    waits = [sentence for sentence in group.waits if sentence not in group.why]
    by_arbiter = [f"{by} decides, by the arbiter's vote of epoch {epoch}: {arbiter}"] if arbiter else []
    return [_group(group), *(f"  {sentence}" for sentence in (*group.why, *waits, *by_arbiter))]


def _node(node: NodeStatus, pinged: bool, weighted: bool) -> str:
    links = [_link(link) for link in node.links]
    parts = [f"{node.name}  {node.state}"]
    parts += [_votes(node.votes)] if weighted else []
    parts += [f"health {node.health}"] if pinged and node.health is not None else []
    parts += ["standby"] if node.standby else []
    parts += ["links: " + ", ".join(links)] if links else []
    parts += [f"unfit: {node.unfit}"] if node.unfit else []
    return "  ".join(parts)


def _link(link: LinkStatus) -> str:
    why = f": {link.detail}" if link.detail else ""
    return f"{link.link} {'up' if link.up else 'DOWN'}{_ago(link.heard_ago)}{why}"


def _votes(votes: int) -> str:
    return f"{votes} vote{'' if votes == 1 else 's'}"


def _arbiter(status: Status, weighted: bool) -> str:
    arbiter = status.arbiter
    state = "connected" if arbiter.connected else "NOT CONNECTED"
    state += f"  {_votes(arbiter.votes)}" if weighted else ""
    learning = "" if arbiter.voter else ", does not vote yet"
    where = f" at {arbiter.address}" if arbiter.address and arbiter.connected else ""
    detail = f": {arbiter.detail}" if arbiter.detail else ""
    why = f"; its vote is with {status.node}: {arbiter.why}" if arbiter.why else ""
    return state + where + _ago(arbiter.answered_ago) + learning + detail + why


def _guard(guard: GuardStatus) -> str:
    watchdog = f", watchdog {guard.watchdog} ({guard.timeout:g} s)" if guard.watchdog else ""
    return f"runs (process {guard.pid}){watchdog}" if guard.pid else f"MISSING: {guard.reason}{watchdog}"


def _ago(seconds: float | None) -> str:
    return " (never heard)" if seconds is None else f" ({seconds:.1f} s ago)"


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
