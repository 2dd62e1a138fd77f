"""Fences a node: all devices of a level, each tried, timed and read back, away from the heartbeat loop.

Success of a device is its agent's `off` with exit code 0 and then its `status` with exit code 2, which is
off (FenceAgentAPI.md of ClusterLabs). Only agents of our own are excused, whose `off` has found it out itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_exponential

from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.core.events import FenceOutcome
from hamgr.fencing.metadata import parse
from hamgr.fencing.parameters import problems
from hamgr.fencing.process import AgentExit, AgentNotRun, agent_stdin, run_process
from hamgr.fencing.secrets import without_secrets
from hamgr.fencing.warm import WarmWorker, WorkerLost
from hamgr.selfdescription import MetadataError

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two attempts of one device."""

METADATA_TIMEOUT = 5.0
_DETAIL_LIMIT = 400
READS_BACK_ITSELF = frozenset({"fence_hamgr_ipmi", "fence_hamgr_ssh", "fence_hamgr_disk", "fence_hamgr_scsi"})
"""Our agents whose `off` succeeds only with proof, and says with which. After IPMI's, asking again would cost 20 ms; a
victim of SSH can't be asked any more."""

_STATUS_OFF = 2
_UNKNOWN_TEXT = "outcome unknown"


@dataclass(frozen=True, slots=True)
class FenceResult:
    """Of a whole level. attempts: calls of `off`, all devices together."""

    outcome: FenceOutcome
    detail: str
    seconds: float
    attempts: int


@dataclass(frozen=True, slots=True)
class MonitorResult:
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call. code: None if it was not run or had no end. wrong: why it failed, in one line; "" if not."""

    code: int | None
    stdout: str
    wrong: str
    seconds: float

    @property
    def power(self) -> str:
        """Of a status: "on" or "off"; "" when it failed."""
        return "" if self.wrong else "off" if self.code == _STATUS_OFF else "on"


@dataclass(frozen=True, slots=True)
class _Attempt:
    outcome: FenceOutcome
    detail: str
    again: bool = True


class FenceRunner:
    """Runs the fence agents of one configuration on this node. Several fences may run at once, of a victim one."""

    def __init__(self, config: Config, node: str) -> None:
        self._config = config
        self._node = node
        self._worker = WarmWorker()
        self._without_status: set[str] = set()
        self._without_on: set[str] = set()
        self._one_at_a_time: dict[str, asyncio.Lock] = {}
        self._paths: dict[str, Path] = {}
        self._scripts = {Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))}

    @property
    def worker_pid(self) -> int | None:
        return self._worker.pid

    async def start(self) -> None:
        """Start the warm worker and learn what the agents can do. Never fails: a fence will say what is wrong."""
        await self._worker.start()
        agents = {device.agent: device for device in self._config.fence_devices}
        await asyncio.gather(*(self._learn(device) for device in agents.values()))

    async def wait_warm(self, timeout: float) -> None:
        """Until the worker is there (again). Raises TimeoutError."""
        await self._worker.wait_ready(timeout)

    async def close(self) -> None:
        """End the worker and the agents it runs."""
        await self._worker.close()

    def switches_on(self, device: FenceDeviceConfig) -> bool:
        """Unless its agent says of itself that it knows no `on`."""
        return device.agent not in self._without_on

    async def fence(self, node: str, level: int) -> FenceResult:
        """Switch this node off by this level (from 0, as the core counts).

        Two reigns of this node may want it one after the other. The second waits, and does not take the first one's
        result: that may have been read before the victim came back, ran and fell silent again.
        """
        async with self._one_at_a_time.setdefault(node, asyncio.Lock()):
            return await self._fence(node, level)

    async def _fence(self, node: str, level: int) -> FenceResult:
        began = time.monotonic()
        try:
            devices = self._config.devices(node, level)
        except IndexError:
            detail = f"{node} has no fence level {level + 1}: add a [fence.NAME] with node = {node!r}"
            return FenceResult(FenceOutcome.FAILED, detail, time.monotonic() - began, 0)
        # At once, not one by one: with two power supplies, both must be off at the same moment.
        results = await asyncio.gather(*(self._fence_by(device) for device in devices))
        outcomes = {attempt.outcome for attempt, _ in results}
        if outcomes == {FenceOutcome.CONFIRMED}:
            outcome = FenceOutcome.CONFIRMED
        else:
            outcome = FenceOutcome.UNKNOWN if FenceOutcome.UNKNOWN in outcomes else FenceOutcome.FAILED
        detail = "; ".join(
            f"{device.name}: {attempt.detail}" for device, (attempt, _) in zip(devices, results, strict=True)
        )
        seconds = time.monotonic() - began
        log.log(
            logging.INFO if outcome is FenceOutcome.CONFIRMED else logging.ERROR,
            "fencing %s (level %d) %s after %.3f s: %s", node, level + 1, outcome.value, seconds, detail,
        )  # fmt: skip
        return FenceResult(outcome, detail, seconds, sum(count for _, count in results))

    async def monitor(self, device: FenceDeviceConfig) -> MonitorResult:
        """Ask whether the device answers; switches nothing."""
        answer = await self.ask(device, "monitor")
        return MonitorResult(not answer.wrong, answer.wrong or "answers", answer.seconds)

    async def ask(self, device: FenceDeviceConfig, action: str, timeout: float | None = None) -> Answer:
        """One call that fences nobody: monitor, status, metadata, or on."""
        began = time.monotonic()
        try:
            ended = await self._call(device, action, timeout)
        except (AgentNotRun, WorkerLost) as error:
            return Answer(None, "", str(error), time.monotonic() - began)
        # FenceAgentAPI.md: 2 is a device that works, with its machine off.
        good = ended.code == 0 or (ended.code == _STATUS_OFF and action in ("monitor", "status"))
        return Answer(ended.code, ended.stdout, "" if good else self._said(device, action, ended), ended.seconds)

    async def _fence_by(self, device: FenceDeviceConfig) -> tuple[_Attempt, int]:
        """The last attempt and their number; an earlier unknown outcome stays unknown, unless off was confirmed."""
        unknown = False

        async def attempt() -> _Attempt:
            nonlocal unknown
            result = await self._attempt(device)
            unknown = unknown or result.outcome is FenceOutcome.UNKNOWN
            return result

        def announce(state: RetryCallState) -> None:
            assert state.outcome is not None
            log.warning(
                "fence device %s, attempt %d of %d: %s; trying again",
                device.name, state.attempt_number, device.attempts, state.outcome.result().detail,
            )  # fmt: skip

        retrying = AsyncRetrying(
            retry=retry_if_result(lambda result: result.again and result.outcome is not FenceOutcome.CONFIRMED),
            stop=stop_after_attempt(max(1, device.attempts)),
            wait=wait_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            before_sleep=announce,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        last: _Attempt = await retrying(attempt)
        if unknown and last.outcome is FenceOutcome.FAILED:
            last = _Attempt(FenceOutcome.UNKNOWN, f"{last.detail}; an earlier attempt may still take effect")
        return last, retrying.statistics["attempt_number"]

    async def _attempt(self, device: FenceDeviceConfig) -> _Attempt:
        try:
            path = await self._path(device.agent)
            off = await self._call(device, "off")
        except AgentNotRun as error:
            return _Attempt(FenceOutcome.FAILED, str(error), again=False)
        except WorkerLost as error:
            return _Attempt(FenceOutcome.UNKNOWN, str(error))
        if off.code != 0:
            unsure = off.code is None or off.code < 0 or _UNKNOWN_TEXT in off.stderr
            outcome = FenceOutcome.UNKNOWN if unsure else FenceOutcome.FAILED
            return _Attempt(outcome, self._said(device, "off", off))
        if path.name in READS_BACK_ITSELF and path.parent in self._scripts:
            return _Attempt(FenceOutcome.CONFIRMED, f"off, {_proof(off.stdout)}")
        if device.agent in self._without_status:
            return _Attempt(FenceOutcome.CONFIRMED, f"{device.agent} says off; it has no status action to read back")
        try:
            status = await self._call(device, "status")
        except (AgentNotRun, WorkerLost) as error:
            return _Attempt(FenceOutcome.UNKNOWN, f"off succeeded but could not be read back: {error}")
        if status.code == _STATUS_OFF:
            return _Attempt(FenceOutcome.CONFIRMED, "off, read back")
        if status.code == 0:
            return _Attempt(FenceOutcome.FAILED, f"{device.agent} reported success, but its status says on")
        said = self._said(device, "status", status)
        return _Attempt(FenceOutcome.UNKNOWN, f"off succeeded but could not be read back: {said}")

    async def _learn(self, device: FenceDeviceConfig) -> None:
        try:
            ended = await self._call(device, "metadata", METADATA_TIMEOUT)
        except (AgentNotRun, WorkerLost) as error:
            log.error("fence device %s cannot work: %s", device.name, error)
            return
        if ended.code != 0:
            return  # an agent that does not describe itself must read back, and is taken as it is
        try:
            metadata = parse(ended.stdout)
        except MetadataError as error:
            log.warning("fence agent %s: %s", device.agent, error)
            return
        # Only an agent that describes itself, and leaves status out, is excused from the reading back.
        if "status" not in metadata.actions:
            self._without_status.add(device.agent)
            log.warning("%s has no status action: its off is believed without being read back", device.agent)
        if "on" not in metadata.actions:
            self._without_on.add(device.agent)
        for same in self._config.fence_devices:
            for option, found, allowed in problems(metadata, same.options) if same.agent == device.agent else ():
                log.error("fence device %s: option %s: found %s, allowed %s", same.name, option, found, allowed)

    async def _call(self, device: FenceDeviceConfig, action: str, timeout: float | None = None) -> AgentExit:
        path = await self._path(device.agent)
        limit = device.timeout if timeout is None else timeout
        stdin = agent_stdin(device, action)
        if path.name in self._worker.agents and path.parent in self._scripts:
            return await self._worker.call(path.name, stdin, limit)
        try:
            return await run_process([str(path)], stdin, limit)
        except AgentNotRun:
            self._paths.pop(device.agent, None)
            raise

    async def _path(self, agent: str) -> Path:
        """The executable, found once: a disk that hangs later must keep nobody from fencing. Raises AgentNotRun."""
        path = self._paths.get(agent)
        if path is None:
            path = self._paths[agent] = await asyncio.to_thread(self.locate, agent)
        return path

    def locate(self, agent: str) -> Path:
        """The executable: a path as it is, else beside our own programs, in agent_dirs, on PATH. Raises AgentNotRun."""
        if "/" in agent:
            candidates = [Path(agent)]
        else:
            candidates = [directory / agent for directory in (*self._scripts, *self._config.agent_dirs)]
            found = shutil.which(agent)
            candidates += [Path(found)] if found else []
        present = [path for path in candidates if path.is_file()]
        for path in present:
            if os.access(path, os.X_OK):
                return path
        if present:
            raise AgentNotRun(f"fence agent {present[0]} is not executable: chmod 0755 it")
        places = ", ".join(sorted({str(path.parent) for path in candidates}))
        raise AgentNotRun(f"fence agent {agent} not found on {self._node}: looked in {places} and on PATH")

    def _said(self, device: FenceDeviceConfig, action: str, ended: AgentExit) -> str:
        """How a call failed, in one line, without any secret."""
        said = " ".join((ended.stderr.strip() or ended.stdout.strip()).split())
        said = without_secrets(said, device.options)
        how = f"killed after {device.timeout:g} s without an answer" if ended.code is None else f"exit {ended.code}"
        return f"{device.agent} {action}: {how}" + (f": {said[-_DETAIL_LIMIT:]}" if said else "")


def _proof(stdout: str) -> str:
    """What one of `READS_BACK_ITSELF` says after "Off: "."""
    return stdout.strip().removeprefix("Off: ") or "read back"
