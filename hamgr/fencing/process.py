"""Runs one agent as a plain process of its own session, with bounded output and a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hamgr.config.model import FenceDeviceConfig
from hamgr.spawn import by_shell, why_not_loaded

OUTPUT_LIMIT = 64 * 1024
"""Bytes of stdout, and of stderr, that are kept; an agent that says more is read on, and not kept."""


@dataclass(frozen=True, slots=True)
class AgentExit:
    """How a call of an agent ended. code: negative for a signal, None if it was killed at its time-out."""

    code: int | None
    stdout: str
    stderr: str
    seconds: float


class AgentNotRun(Exception):
    """The agent could not be started: missing or not executable. Trying again won't help."""


def kill_group(leader: int) -> None:
    """SIGKILL to an agent and everything it started. The leader must not have been reaped."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


async def _drain(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(OUTPUT_LIMIT):
        kept += chunk[: OUTPUT_LIMIT - len(kept)]
    return bytes(kept)


def agent_stdin(device: FenceDeviceConfig, action: str) -> str:
    """What an agent reads for one call (FenceAgentAPI.md): its options, whom it is about, and what to do."""
    options = {name: value for name, value in device.options.items() if name not in ("action", "option", "nodename")}
    lines = {**options, "nodename": device.node, "action": action}
    return "".join(f"{name}={value}\n" for name, value in lines.items())


async def run_process(argv: Sequence[str], stdin: str, timeout: float) -> AgentExit:
    """Run to its end, or kill its process group after timeout seconds. Raises AgentNotRun."""
    began = time.monotonic()
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *by_shell(argv), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
    except OSError as error:
        raise AgentNotRun(f"{argv[0]}: {error.strerror}") from None
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # one that reads nothing, or could not be loaded
        process.stdin.write(stdin.encode())
    process.stdin.close()
    output = asyncio.gather(_drain(process.stdout), _drain(process.stderr), process.wait())
    timed_out = False
    try:
        await asyncio.wait_for(asyncio.shield(output), timeout)
    except TimeoutError:
        timed_out = True
    finally:
        # Also after a cancellation: an agent never outlives the call that started it.
        if not output.done():
            kill_group(process.pid)
    stdout, stderr, code = await output
    said = stderr.decode(errors="replace")
    if not timed_out and (reason := why_not_loaded(argv[0], code, said)):
        raise AgentNotRun(f"{argv[0]}: {reason}")
    return AgentExit(
        None if timed_out else code, stdout.decode(errors="replace"), said, time.monotonic() - began
    )
