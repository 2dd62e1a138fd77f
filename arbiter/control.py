"""How the commands of hamgr-arbiter speak to the one that serves here: a line of JSON each way, over a Unix socket.

It lies in the state directory, which nobody else may enter. Paths of sockets are short (unix(7)), so it is named by way
of the directory's descriptor.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOCKET = "control.sock"
PATIENCE = 30.0
"""Seconds that a command waits for its answer."""

LONGEST = 1 << 24

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class NobodyServes(Exception):
    """No hamgr-arbiter serves with this state directory now."""


@contextmanager
def _short(state_dir: Path) -> Iterator[str]:
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


class Control:
    """The serving end. handler: gives the answer to a request."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def listen(self, state_dir: Path) -> None:
        """Whoever has the store's lock is the only one here: a socket that is there already is of a dead one."""
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (state_dir / SOCKET).unlink(missing_ok=True)
        with _short(state_dir) as path:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(path)
        os.chmod(state_dir / SOCKET, 0o600)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LONGEST)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._handler(json.loads(await reader.readline()))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ValueError, OSError, TimeoutError):
            pass  # a command that was given up
        finally:
            writer.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()


def ask(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Raises NobodyServes."""
    try:
        with _short(state_dir) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(LONGEST)
        found: dict[str, Any] = json.loads(line)
    except (OSError, ValueError):
        raise NobodyServes from None
    return found
