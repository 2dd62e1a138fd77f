"""Asks the fence agents of this machine, for `hamgr check`, what they think of the options in the file.

Their metadata tells what options there are, and their action validate-all, where they have it, whether the options go
together. Neither talks to a device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from hamgr.config.kinds import Fact
from hamgr.config.local import find_agent
from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.fencing.metadata import Metadata, parse
from hamgr.fencing.parameters import problems
from hamgr.fencing.process import AgentExit, AgentNotRun, agent_stdin, run_process
from hamgr.fencing.secrets import without_secrets
from hamgr.selfdescription import MetadataError

TIMEOUT = 10.0
"""Seconds for one call; an agent of fence-agents takes 0.1 to 1."""

AT_ONCE = 4
"""Calls at the same time."""

_DETAIL_LIMIT = 300


def examine(config: Config) -> list[Fact]:
    """Every objection: its key in the file, what was found, what is allowed."""
    return asyncio.run(_examine(config))


async def _examine(config: Config) -> list[Fact]:
    turns = asyncio.Semaphore(AT_ONCE)
    paths = {device.agent: find_agent(config, device.agent) for device in config.fence_devices}
    asked = {agent: asyncio.create_task(_metadata(path, turns)) for agent, path in paths.items() if path is not None}
    found = await asyncio.gather(
        *(_of_device(d, paths[d.agent], asked[d.agent], turns) for d in config.fence_devices if d.agent in asked)
    )
    return [(f"fence.{device}.{key}", what, allowed) for device, facts in found for key, what, allowed in facts]


async def _of_device(
    device: FenceDeviceConfig, path: Path | None, asked: asyncio.Task[Metadata | str], turns: asyncio.Semaphore
) -> tuple[str, list[Fact]]:
    assert path is not None
    metadata = await asked
    if isinstance(metadata, str):
        return device.name, [("agent", metadata, "a fence agent with the ClusterLabs API")]
    found = [(f"options.{name}", what, allowed) for name, what, allowed in problems(metadata, device.options)]
    if device.unfence and "on" not in metadata.actions:
        found.append(("unfence", "true", f"false: {device.agent} has no action on that could let {device.node} in"))
    if not found and "validate-all" in metadata.actions:
        found += await _validate(device, path, turns)
    return device.name, found


async def _metadata(path: Path, turns: asyncio.Semaphore) -> Metadata | str:
    """Or why there is none."""
    ended = await _call(path, "action=metadata\n", turns)
    if isinstance(ended, str):
        return ended
    try:
        return parse(ended.stdout)
    except MetadataError as error:
        return f"{path.name}, and {error}"


async def _validate(device: FenceDeviceConfig, path: Path, turns: asyncio.Semaphore) -> Iterable[Fact]:
    ended = await _call(path, agent_stdin(device, "validate-all"), turns)
    if isinstance(ended, str):
        return [("options", ended, "options that it can check")]
    if ended.code == 0:
        return []
    said = without_secrets(_reason(ended.stderr), device.options)[:_DETAIL_LIMIT]
    return [("options", f"what {device.agent} refuses: {said or 'it does not say why'}", "what it accepts")]


def _reason(stderr: str) -> str:
    """In one line. Agents of the fence-agents package say it twice, behind "Failed:", among warnings of Python's."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reasons = [line.partition("Failed:")[2].strip() for line in lines if "Failed:" in line] or lines
    return "; ".join(dict.fromkeys(reasons))


async def _call(path: Path, stdin: str, turns: asyncio.Semaphore) -> AgentExit | str:
    try:
        async with turns:
            ended = await run_process([str(path)], stdin, TIMEOUT)
    except AgentNotRun as error:
        return str(error)
    return f"{path.name}, which does not end within {TIMEOUT:g} s" if ended.code is None else ended
