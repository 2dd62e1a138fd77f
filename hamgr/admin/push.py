"""What `hamgr config push` asks: a configuration goes to every node, each checks it, and all switch to it or none.

This desk carries the text and judges it; that all switch or none is the core's part (`hamgr.core.pushing`). Who was not
there is brought the text later (`hamgr.core.catchup`), and takes it without a judgement of what changes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hamgr.admin.parcel import MOST_PARTS, Incoming, TooLong, pack
from hamgr.admin.peers import Links
from hamgr.config.change import Change, change, impossible
from hamgr.config.local import check_local
from hamgr.config.model import Config
from hamgr.config.problems import ConfigError, Problem
from hamgr.config.toml import digest, parse
from hamgr.core.effects import Record, StagedRecord
from hamgr.core.electorate import ARBITER
from hamgr.core.events import ConfigStaged, Event, Verb
from hamgr.core.messages import ConfigPart, ConfigVerdict, Packet
from hamgr.core.status import Status
from hamgr.placing import unwritable
from hamgr.resources.kinds import RESOURCE_KINDS

log = logging.getLogger(__name__)

REPEAT = 1.5
"""Seconds after which a part that was not acknowledged is sent again: a slow line needs about one for both ways."""

AGAIN = 60.0
"""Seconds after which a node that did not take what it missed is brought it again."""

PATIENCE = 45.0
"""Seconds without any progress after which a node is given up."""

LONGEST_PROBLEMS = 1500
"""Characters of one node's problems that go back over a slow line."""

GONE = ("left", "fenced", "acknowledged")


class Core(Protocol):
    """The daemon's node, as this desk needs it."""

    def status(self) -> Status: ...

    def post(self, event: Event) -> None: ...

    def active(self, group: str) -> bool:
        """May anything of the group be running here?"""
        ...

    def missed(self) -> str:
        """The digest of the configuration that the cluster switched to without this node; "" for none."""
        ...

    async def ask(self, verb: Verb, node: str, group: str, operator: str, config: str = "") -> tuple[bool, str]: ...


class Disk(Protocol):
    def write(self, record: Record, done: Callable[[str], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one node says of a configuration. problems: none when it is good. notes: what will happen there."""

    node: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Staged:
    """digest: "" when it could not even be read."""

    digest: str
    verdicts: tuple[Verdict, ...]


class PushDesk:
    """One node's part of all pushes: those that begin here, and those that come from others."""

    def __init__(
        self,
        config: Config,
        node: str,
        core: Core,
        links: Links,
        disk: Disk,
        tell: Callable[[str], None] = log.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """tell: the operators, of what keeps a node from taking what it missed."""
        self._config = config
        self._node = node
        self._core = core
        self._links = links
        self._disk = disk
        self._tell = tell
        self._clock = clock
        self._pushes = itertools.count(1)
        self._incoming: dict[str, tuple[int, Incoming]] = {}
        """Sender -> its life, and its newest parcel."""
        self._judged: dict[str, ConfigVerdict] = {}
        """Sender -> what was said of that parcel."""
        self._answers: dict[tuple[str, int], asyncio.Queue[ConfigVerdict]] = {}
        self._changes: dict[str, Change] = {}
        self._refused: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}
        """Node, with its life -> when it did not take what was brought, and why."""
        self._bringing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- a push that begins here --------------------------------------------------------------------------------

    async def stage(self, text: bytes, check_only: bool) -> Staged:
        """Have every node check it, and keep it (not with check_only)."""
        try:
            new = await asyncio.to_thread(parse, text, self._config.path, RESOURCE_KINDS)
            parts = pack(next(self._pushes), text, check_only)
        except ConfigError as error:
            return Staged("", (Verdict(self._node, tuple(map(str, error.problems))),))
        except TooLong as error:
            return Staged("", (Verdict(self._node, (str(error),)),))
        self._changes = {new.digest: change(self._config, new)}
        nodes = {node.name: node for node in self._core.status().nodes}
        removed = self._changes[new.digest].removed
        verdicts = await asyncio.gather(
            self._judge_and_keep(text, check_only),
            *(
                self._deliver(name, node.incarnation, node.state, name in removed, parts)
                for name, node in nodes.items()
                if name != self._node
            ),
        )
        return Staged(new.digest, tuple(verdicts))

    async def switch(self, digest_of_text: str, operator: str) -> tuple[bool, str]:
        """Ask the cluster to switch to what was staged: done, and a sentence."""
        found = self._changes.get(digest_of_text)
        if found is None:
            return False, "this configuration was not staged here last: push it again"
        node = "".join((*found.added, *found.removed)) or (ARBITER if found.without_arbiter else "")
        return await self._core.ask(Verb.PUSH, node, "", operator, digest_of_text)

    async def _deliver(self, name: str, life: int, state: str, removed: bool, parts: list[ConfigPart]) -> Verdict:
        if state in GONE and removed:
            return Verdict(name, notes=(f"it is {state}, and belongs to the cluster no more",))
        if state in GONE and not self._config.spec.two_node:
            return Verdict(name, notes=(f"it is {state}: it is brought there when it is back",))
        if state in GONE:
            why = "of two nodes without an arbiter each is a quorum by its own file, so both must be there"
            return Verdict(name, (f"it is {state}: {why}",))
        if state in ("dead", "unseen"):
            how = f"start hamgrd there, or have it off: hamgr fence {name}, or hamgr fence ack {name}"
            return Verdict(name, (f"it is {state}, and may be running something: {how}",))
        return await self._carry(name, life, parts)

    async def _carry(self, name: str, life: int, parts: list[ConfigPart]) -> Verdict:
        key = (name, parts[0].push)
        answers = self._answers[key] = asyncio.Queue()
        taken, patience = 0, PATIENCE
        try:
            while patience > 0:
                self._links.send(name, life, parts[min(taken, len(parts) - 1)])
                try:
                    async with asyncio.timeout(REPEAT):
                        answer = await answers.get()
                        while answer.taken <= taken and not answer.judged:
                            answer = await answers.get()
                except TimeoutError:
                    patience -= REPEAT
                    present = self._life(name)
                    if present not in (0, life):
                        life, taken = present, 0  # it started anew, and knows nothing of the parts
                    continue
                if answer.judged:
                    return Verdict(name, answer.problems, answer.notes)
                taken, patience = answer.taken, PATIENCE
        finally:
            del self._answers[key]
        return Verdict(name, (f"no answer for {PATIENCE:g} s",))

    # -- who missed one -----------------------------------------------------------------------------------------

    def bring(self, name: str, life: int, wanted: str) -> None:
        """Bring a node the text of the file that we run, which has this digest."""
        refused_at, _why = self._refused.get((name, life), (float("-inf"), ()))
        if name not in self._bringing and self._clock() >= refused_at + AGAIN:
            self._bringing.add(name)
            self._spawn(self._bring(name, life, wanted))

    async def _bring(self, name: str, life: int, wanted: str) -> None:
        try:
            text = await asyncio.to_thread(self._config.path.read_bytes)
            if digest(text) != wanted:
                raise ValueError(f"{self._config.path} was changed by hand: push it, or put back what hamgrd runs")
            problems = (await self._carry(name, life, pack(next(self._pushes), text, False))).problems
        except (OSError, ValueError, TooLong) as error:
            problems = (str(error),)
        finally:
            self._bringing.discard(name)
        _at, told = self._refused.pop((name, life), (0.0, ()))
        if problems:
            self._refused[(name, life)] = (self._clock(), problems)
        if problems and problems != told:
            self._tell(f"{name} missed configuration {wanted}, and does not take it: {'; '.join(problems)}")

    def _life(self, name: str) -> int:
        return next(node.incarnation for node in self._core.status().nodes if node.name == name)

    # -- what comes from others ---------------------------------------------------------------------------------

    def takes(self, packet: Packet) -> bool:
        """Is the packet this desk's? If so, it is dealt with."""
        match packet.body:
            case ConfigPart() as part:
                self._part(packet.sender, packet.incarnation, part)
            case ConfigVerdict() as verdict:
                queue = self._answers.get((packet.sender, verdict.push))
                if queue is not None:
                    queue.put_nowait(verdict)
            case _:
                return False
        return True

    def _part(self, sender: str, life: int, part: ConfigPart) -> None:
        known_life, incoming = self._incoming.get(sender, (0, Incoming(0, 0, True)))
        if (known_life, incoming.push) != (life, part.push):
            older = known_life == life and part.push < incoming.push
            if older or part.index != 0 or not 0 < part.count <= MOST_PARTS:
                return
            incoming = Incoming(part.push, part.count, part.check_only)
            self._incoming[sender] = (life, incoming)
            self._judged.pop(sender, None)
        if incoming.take(part):
            self._spawn(self._finish(sender, life, incoming))
        else:
            answer = self._judged.get(sender) or ConfigVerdict(incoming.push, len(incoming.parts))
            self._links.send(sender, life, answer)

    async def _finish(self, sender: str, life: int, incoming: Incoming) -> None:
        try:
            verdict = await self._judge_and_keep(incoming.text(), incoming.check_only)
        except ValueError as error:
            verdict = Verdict(self._node, (f"the text did not arrive well: {error}",))
        answer = ConfigVerdict(incoming.push, incoming.count, True, _cut(verdict.problems), verdict.notes)
        if self._incoming.get(sender) == (life, incoming):
            self._judged[sender] = answer
            self._links.send(sender, life, answer)

    # -- on this node -------------------------------------------------------------------------------------------

    async def _judge_and_keep(self, text: bytes, check_only: bool) -> Verdict:
        """Check a configuration as this node's, and have it on disk. What the cluster switched to without us is no
        question anymore: it is taken unless this node could not run it."""
        missed = digest(text) == self._core.missed()
        try:
            # A thread: the checks look at files, and a disk may hang.
            problems, found = await asyncio.to_thread(self._judge, text, missed)
        except ConfigError as error:
            return Verdict(self._node, tuple(map(str, error.problems)))
        except OSError as error:
            return Verdict(self._node, (f"it could not be checked: {error}",))
        leaves = self._node in found.removed
        idle = tuple(group.name for group in self._config.groups) if leaves else found.idle
        if not missed:
            problems = [*problems, *self._running(idle, leaves)]
        if problems:
            return Verdict(self._node, tuple(map(str, problems)))
        notes = tuple(f"group {group} is started anew: it gets another resource" for group in found.restarted)
        if leaves:
            notes = ("it leaves the cluster, and its hamgrd ends",)
        if not check_only:
            staged = digest(text)
            if reason := await self._keep(StagedRecord(staged, idle, text)):
                return Verdict(self._node, (f"it can't be kept: {reason}",))
            self._core.post(ConfigStaged(staged, idle))
        return Verdict(self._node, (), notes)

    def _judge(self, text: bytes, missed: bool) -> tuple[list[Problem], Change]:
        path = self._config.path
        new = parse(text, path, RESOURCE_KINDS)
        found = change(self._config, new)
        problems = [] if missed else impossible(self._config, new)
        if self._node not in found.removed:
            problems += check_local(new, self._node, RESOURCE_KINDS)
        if why := unwritable(path):
            problems.append(Problem(path, "the file", why, "a file that hamgrd can replace"))
        return problems, found

    def _running(self, idle: tuple[str, ...], leaves: bool) -> list[Problem]:
        path = self._config.path
        running = [name for name in idle if self._core.active(name)]
        if leaves and running:
            found = f"{', '.join(running)} running on a node that is removed"
            return [Problem(path, f"node.{self._node}", found, f"none (hamgr standby {self._node})")]
        allowed = "it stopped everywhere: push it with enabled = false first, then this"
        return [
            Problem(path, f"group.{name}", f"resources that change or go while it runs on {self._node}", allowed)
            for name in running
        ]

    async def _keep(self, record: StagedRecord) -> str:
        """Have it on disk; "" or why that failed."""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._disk.write(record, lambda reason: None if done.done() else done.set_result(reason))
        return await done

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a push ended unexpectedly", exc_info=task.exception())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _cut(problems: tuple[str, ...]) -> tuple[str, ...]:
    kept: list[str] = []
    room = LONGEST_PROBLEMS
    for problem in problems:
        if len(problem) > room:
            return (*kept, f"... and {len(problems) - len(kept)} more: hamgr check there tells all")
        kept.append(problem)
        room -= len(problem)
    return tuple(kept)
