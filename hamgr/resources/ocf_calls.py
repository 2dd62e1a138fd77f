"""The calls of an OCF agent for one resource: what it is told, what it answers, and what it leaves on this node.

It leaves the mark that we started it since the boot, and attributes: agents note them with Pacemaker's programs, for
which there are stand-ins at the front of their PATH (hamgr/resources/crm).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hamgr.config.model import ResourceConfig
from hamgr.guard import orders
from hamgr.resources.kinds.ocf import agent_of, level_of, parameters_of
from hamgr.resources.ocf_agent import NOT_INSTALLED, RUN_DIRECTORY, SUCCESS, environment, explain
from hamgr.resources.program import ENVIRONMENT, CantRun, Finished, Unkilled, run
from hamgr.resources.resource import ResourceError, Surroundings

NOTHING: Mapping[str, str] = MappingProxyType({})

PROBE = "0"
"""The interval by which agents know a probe (ocf_is_probe): nobody says that the resource should run here."""

STAND_INS = Path(__file__).parent / "crm"

ROLES = {"promoted": "Master", "running": "Slave"}
"""As agents are told them: by the names of the time before they were renamed."""

CALLS_STAND_INS = {"PATH": f"{STAND_INS}:{ENVIRONMENT['PATH']}", "HA_SBIN_DIR": str(STAND_INS)}

INFINITY = 1_000_000
"""Pacemaker's, among scores."""


class Calls:
    def __init__(self, config: ResourceConfig, surroundings: Surroundings, meta: Mapping[str, str] = NOTHING) -> None:
        """meta: what Pacemaker calls meta attributes, beside those that every agent is told."""
        self.agent = agent_of(config.options)
        self.instance = f"{surroundings.group}.{config.name}" if surroundings.group else config.name
        """By this name agents keep their files. Names have no dots, so those of two groups can't meet."""
        self.role = ""
        """What we know of it: "running", "promoted" or ""."""
        self._config = config
        self._parameters = parameters_of(config.options)
        self._level = level_of(config.options)
        self._around = surroundings
        self._meta = meta
        self._unkilled = Unkilled()
        self._started = False
        self._run_directory = RUN_DIRECTORY

    async def prepare(self) -> None:
        otherwise = self._around.state_dir / "resource-agents"
        self._run_directory = await asyncio.to_thread(_made, RUN_DIRECTORY, otherwise)

    async def settled(self) -> None:
        """Wait a little for the end of what was killed. Raises ResourceError when it does not end."""
        await self._unkilled.gone()

    async def call(self, action: str, meta: Mapping[str, str] = NOTHING) -> tuple[int, str]:
        """The exit code of an action, and what it means in a sentence. A missing agent is one that is not installed.
        Raises ResourceError when the agent is there and can't be run."""
        try:
            answer = await self._run(action, meta)
        except CantRun as error:
            if await asyncio.to_thread(self.agent.path.exists):
                raise
            return NOT_INSTALLED, f"{self.agent} {action}: {error}"
        return answer.code, f"{self.agent} {action}: {explain(answer.code, answer.output)}"

    async def succeed(self, action: str, meta: Mapping[str, str] = NOTHING) -> None:
        """Raises ResourceError."""
        code, said = await self.call(action, meta)
        if code != SUCCESS:
            raise ResourceError(said)

    async def monitor(self) -> tuple[int, str]:
        """A probe, as long as nothing is known to run. Raises ResourceError also when nobody knows what will run."""
        interval = f"{self._config.monitor_interval * 1000:.0f}" if self.role else PROBE
        role = {"role": ROLES[self.role]} if self.role in ROLES and "promotable" in self._meta else {}
        answer = await self.call("monitor", {"interval": interval, **role})
        if hanging := self._unkilled.reason:
            raise ResourceError(hanging)
        return answer

    def emergency(self, action: str = "stop") -> list[orders.Order]:
        """A stop, or a demotion, without us."""
        return [orders.run(self._config.stop_timeout, self._environment(action, {}).items(), self._command(action))]

    def _command(self, action: str) -> list[str]:
        return [str(self.agent.path), action]

    async def _run(self, action: str, meta: Mapping[str, str]) -> Finished:
        changes = None if action == "monitor" else self._unkilled
        return await run(self._command(action), self._environment(action, meta), unkilled=changes)

    def _environment(self, action: str, meta: Mapping[str, str]) -> dict[str, str]:
        wait = {"start": self._config.start_timeout, "promote": self._config.start_timeout}
        wait |= {"stop": self._config.stop_timeout, "demote": self._config.stop_timeout}
        seconds = wait.get(action, self._config.monitor_timeout)
        told = {"name": action, "timeout": f"{seconds * 1000:.0f}", "on_node": self._around.node, **self._meta, **meta}
        level = {"OCF_CHECK_LEVEL": str(self._level)} if action == "monitor" else {}
        about = environment(self.agent, self.instance, self._parameters, self._run_directory, told)
        return {**ENVIRONMENT, **about, **level, **self._for_stand_ins()}

    def _for_stand_ins(self) -> dict[str, str]:
        return {
            **CALLS_STAND_INS,
            "HAMGR_NODE": self._around.node,
            "HAMGR_NODES": " ".join(self._around.nodes),
            "HAMGR_ROLE": self.role,
            "HAMGR_ATTRIBUTES": str(self._attributes),
            "HAMGR_ATTRIBUTES_FOREVER": str(self._around.state_dir / "attributes"),
        }

    # -- whether it was started here ----------------------------------------------------------------------------

    @property
    def _mark(self) -> Path:
        """Is there from before a start until after a stop; the boot empties its directory."""
        return self._run_directory / f"hamgr-{self.instance}.started"

    async def started_here(self) -> None:
        """Raises ResourceError."""
        self._started = True
        try:
            await asyncio.to_thread(self._mark.touch)
        except OSError as error:
            raise ResourceError(f"{self._mark} can't be written: {error.strerror}") from error

    async def stopped_here(self) -> None:
        self._started = False
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._mark.unlink, missing_ok=True)

    async def nothing_can_run(self, code: int) -> bool:
        return code == NOT_INSTALLED and not self._started and not await asyncio.to_thread(self._mark.exists)

    # -- attributes ---------------------------------------------------------------------------------------------

    @property
    def _attributes(self) -> Path:
        """Those that a boot forgets."""
        return self._run_directory / "hamgr-attributes"

    async def promotion_score(self) -> int | None:
        """What the agent last set with `crm_master` or `crm_attribute --promotion`; None when there is none."""
        try:
            text = await asyncio.to_thread((self._attributes / f"master-{self.instance}").read_text)
        except (OSError, UnicodeDecodeError):
            return None
        return _score(text.strip())


def _score(text: str) -> int | None:
    infinite = {"INFINITY": INFINITY, "+INFINITY": INFINITY, "-INFINITY": -INFINITY}
    try:
        return infinite[text] if text in infinite else max(-INFINITY, min(INFINITY, int(text[:20])))
    except ValueError:
        return None


def _made(wanted: Path, otherwise: Path) -> Path:
    """The directory, made; another one where we may not make it."""
    for directory in (wanted, otherwise):
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            return directory
    return otherwise
