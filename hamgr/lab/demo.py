"""`hamgr lab demo`: a power-off, a fail-back and a split brain in a real cluster, shown with their
milliseconds.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TextIO

from hamgr.core.effects import Kind
from hamgr.lab import timeline
from hamgr.lab.answers import ARP_VIEW, Outage, Overlap
from hamgr.lab.lab import PROBE_INTERVAL, Lab
from hamgr.lab.namespaces import search_path
from hamgr.lab.observe import EventRecord, NotAnswering
from hamgr.lab.plan import CLIENT, VIP, Options
from hamgr.lab.timeline import Row
from hamgr.lab.watch import Prober

PATIENCE = 15.0
"""Seconds for each step; all steps together stay under the promised minute."""

_SETTLED = 0.3
"""Seconds of answers that end a story; shorter than the time between two stories' outages."""


def run(directory: Path | None, out: TextIO) -> int:
    """Show it. 0: all that was shown was as promised; 1: something was not, and is said."""
    service = shutil.which("nginx", path=search_path(sys.executable)) is not None
    options = Options(keepalive="200ms", warntime="500ms", deadtime="1s", initdead="3s", service=service)
    # A terminated demo must leave nothing behind: turned into an exception, it ends the lab's `with` block.
    signal.signal(signal.SIGTERM, _terminate)
    began = time.monotonic()
    page = Page(out)
    page.say("Bringing up two nodes, their BMCs, an arbiter and a client, in namespaces of their own ...")
    with Lab(options, directory) as lab, lab.watch_vip() as prober:
        demo = Demo(lab, prober, page)
        demo.show_start()
        demo.show_power_off()
        demo.show_fail_back()
        demo.show_split()
    page.title("Result")
    page.say(f"It took {time.monotonic() - began:.0f} s; the lab is gone again.")
    return 1 if page.failed else 0


class Page:
    """What the viewer sees: plain text, with colour on a terminal only."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        terminal = out.isatty()
        self._colour = terminal and "NO_COLOR" not in os.environ
        self._width = shutil.get_terminal_size((120, 24)).columns if terminal else 160
        self.failed = False

    def title(self, text: str) -> None:
        self.say("")
        self.say(self._paint("1", text))

    def say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def table(self, story: list[Row], origin: float) -> None:
        for line in timeline.table(story, origin, self._width - 2):
            self.say(f"  {line}")

    def check(self, holds: bool, text: str) -> None:
        """Say whether what was promised holds."""
        self.say(f"  {self._paint('32', 'ok    ') if holds else self._paint('31;1', 'WRONG ')} {text}")
        self.failed = self.failed or not holds

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text


class Demo:
    """The acts of the demo, each on a cluster as the one before left it."""

    def __init__(self, lab: Lab, prober: Prober, page: Page) -> None:
        self._lab = lab
        self._prober = prober
        self._page = page

    def show_start(self) -> None:
        lab, page = self._lab, self._page
        lab.wait_for_owner("a", PATIENCE)
        self._prober.wait_for_answer("a", PATIENCE)
        lab.wait(lambda: self._all_online("b"), PATIENCE, "both nodes to be online")
        page.title("The cluster")
        for node in lab.options.node_names:
            status = lab.status(node)
            page.say(f"  {node}: {status['role']}, epoch {status['epoch']}, quorate: {status['quorate']}")
        page.say(
            f"  {VIP} belongs to {' and '.join(lab.owners())}; the client asks it every "
            f"{1000 * PROBE_INTERVAL:.0f} ms{self._web_answer()}"
        )
        page.check(lab.owners() == ["a"], "a alone has the address")

    def show_power_off(self) -> None:
        lab, page = self._lab, self._page
        page.title("a loses its power (its BMC keeps answering)")
        origin = time.monotonic()
        lab.node("a").power_off()
        heard = self._last_heartbeat("b", "a")
        answer = self._prober.wait_for_answer("b", PATIENCE)
        outage = self._settle(origin)
        events = lab.events("b")
        story = timeline.rows(events, origin, answer.received + _SETTLED)
        story.append(Row(origin, "lab", "power-off", "a's links go dark and its processes die"))
        story.append(Row(heard, "b", "last-heartbeat", "the last that b heard of a, on any link"))
        story += self._address_row("b", origin)
        story.append(Row(answer.received, CLIENT, "first-answer", "from b"))
        page.table(story, origin)
        self._say_outage(outage)
        confirmed = timeline.first(events, Kind.FENCE_CONFIRMED, origin, node="a")
        starting = timeline.first(events, Kind.GROUP_STARTING, origin)
        page.check(_in_order(confirmed, starting), "b started nothing before a was confirmed off")
        page.check(lab.owners() == ["b"], f"b alone has the address{self._web_answer()}")
        self._check_no_overlap()

    def show_fail_back(self) -> None:
        lab, page = self._lab, self._page
        page.title("a gets its power back")
        origin = time.monotonic()
        lab.node("a").power_on()
        answer = self._prober.wait_for_answer("a", PATIENCE)
        outage = self._settle(origin)
        story = timeline.rows(self._events(), origin, answer.received + _SETTLED)
        story.append(Row(origin, "lab", "power-on", "a boots"))
        story += self._address_row("a", origin)
        story.append(Row(answer.received, CLIENT, "first-answer", "from a"))
        page.table(story, origin)
        self._say_outage(outage)
        page.check(lab.owners() == ["a"], f"a has its address back{self._web_answer()}")
        self._check_no_overlap()

    def show_split(self) -> None:
        lab, page = self._lab, self._page
        page.title("a and b lose each other on both links; both live, and the client reaches both")
        lab.wait(lambda: self._all_online("a") and self._all_online("b"), PATIENCE, "both nodes to be online")
        origin = time.monotonic()
        lab.separate("a", "b")
        lab.wait(lambda: len(self._living()) == 1, PATIENCE, "one node to be fenced")
        (winner,) = self._living()
        (loser,) = set(lab.options.node_names) - {winner}
        answer = self._prober.wait_for_answer(winner, PATIENCE)
        outage = self._settle(origin)
        story = timeline.rows(lab.events(winner), origin, time.monotonic())
        story.append(Row(origin, "lab", "links-cut", "a and b no longer hear each other"))
        page.table(story, origin)
        self._say_outage(outage)
        page.check(answer.node == winner and lab.owners() == [winner], f"{winner} won and alone has the address")
        confirmed = timeline.first(lab.events(winner), Kind.FENCE_CONFIRMED, origin, node=loser)
        page.check(confirmed is not None, f"{loser} was fenced, and is off")
        self._check_no_overlap()

    def _all_online(self, node: str) -> bool:
        states = {peer["state"] for peer in self._lab.status(node)["nodes"]}
        return states <= {"online", "self"}

    def _living(self) -> list[str]:
        machines = self._lab.machines()
        return [node for node in self._lab.options.node_names if machines[node] is not None]

    def _events(self) -> list[EventRecord]:
        events = []
        for node in self._living():
            try:
                events += self._lab.events(node)
            except NotAnswering as error:
                self._page.check(False, str(error))
        return events

    def _last_heartbeat(self, observer: str, silent: str) -> float:
        """When `observer` last heard of `silent`, by its own status."""
        status = self._lab.status(observer)
        asked = time.monotonic()
        (peer,) = [node for node in status["nodes"] if node["name"] == silent]
        return asked - min(float(link["heard_ago"]) for link in peer["links"] if "heard_ago" in link)

    def _address_row(self, node: str, since: float) -> list[Row]:
        """When the address was there, by the first ARP answer for it."""
        seen = [a for a in self._prober.answers() if a.kind == ARP_VIEW and a.node == node and a.sent >= since]
        return [Row(seen[0].received, "switch", "address-added", f"{node} answers ARP for {VIP}")] if seen else []

    def _settle(self, since: float) -> Outage | None:
        """Wait for steady answers; the longest outage since `since`, which it may have begun."""
        start = time.monotonic()
        self._prober.wait_for(lambda answer: answer.sent > start + _SETTLED, PATIENCE, "steady answers")
        outages = [outage for outage in self._prober.outages() if outage.start >= since - _SETTLED]
        return max(outages, key=lambda outage: outage.duration(time.monotonic()), default=None)

    def _say_outage(self, outage: Outage | None) -> None:
        if outage is None:
            self._page.say("  The client noticed nothing: no gap in its answers.")
        else:
            self._page.say(f"  The client was without an answer for {1000 * outage.duration(time.monotonic()):.0f} ms.")

    def _check_no_overlap(self) -> None:
        overlaps = self._prober.owners_overlapping()
        self._page.check(not overlaps, f"at no moment did two nodes have the address{_first(overlaps)}")

    def _web_answer(self) -> str:
        """What the web server behind the address says, for the viewer; "" without one."""
        if not self._lab.options.service:
            return ""
        url = f"http://{VIP}/"
        fetch = f"urlopen({url!r}, timeout=2).read().decode().strip()"
        ask = f"from urllib.request import urlopen; print({fetch})"
        done = self._lab.client.exec([sys.executable, "-c", ask], check=False)
        return f"; {url} says {done.stdout.strip()!r}" if done.returncode == 0 else "; nginx is not there yet"


def _in_order(one: EventRecord | None, other: EventRecord | None) -> bool:
    return one is not None and other is not None and one.time <= other.time


def _first(overlaps: Sequence[Overlap]) -> str:
    return f" (first: {overlaps[0]})" if overlaps else ""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
