"""An arbiter of enrolled clusters for tests, in this process, with nodes that join it and speak to it for real."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from arbiter import server
from arbiter.config import ArbiterConfig, load
from arbiter.hosting import Host, service_of
from arbiter.registry import Registry
from hamgr.config.addresses import split_port
from hamgr.config.model import ArbiterConfig as NodesArbiter
from hamgr.core.messages import ArbiterAnswer, ArbiterReport
from hamgr.links import joining
from hamgr.links.arbiter import ArbiterSession
from hamgr.links.codec import Codec
from hamgr.links.identity import Identity, write_identity
from hamgr.links.seal import Key
from hamgr.links.token import parse_token

DEADLINE = 10.0
REPORT = ArbiterReport(1, 4, nodes=("a", "b"), alive=("a",), deadtime=5.0, settle=0.1)


def free_ports(count: int) -> list[int]:
    with_sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in with_sockets]
    for one in with_sockets:
        one.close()
    return ports


def write_config(directory: Path, more: str = "") -> Path:
    tls, join = free_ports(2)
    path = directory / "arbiter.toml"
    path.write_text(
        f'state_dir = "{directory}/state"\ntls_listen = "127.0.0.1:{tls}"\njoin_listen = "127.0.0.1:{join}"\n'
        f'{more}\n[enroll]\naddresses = ["127.0.0.1"]\n'
    )
    return path


@asynccontextmanager
async def hosting(path: Path, **changes: object) -> AsyncIterator[Host]:
    config: ArbiterConfig = replace(load(path), **changes)  # type: ignore[arg-type]
    registry = Registry(config.state_dir)
    registry.ensure_authority()
    host = Host(config, {}, service_of(config), registry)
    try:
        await host.open()
        yield host
    finally:
        await host.close()


async def command(path: Path, *words: str) -> int:
    """A command of hamgr-arbiter, as an operator gives it beside the one that serves."""
    return await asyncio.to_thread(server.main, [*words, "--config", str(path)])


async def token(path: Path, capsys: object, cluster: str, *words: str) -> str:
    capsys.readouterr()  # type: ignore[attr-defined]
    assert await command(path, "enroll", cluster, *words) == 0
    return str(capsys.readouterr().out.split()[2])  # type: ignore[attr-defined]


async def joined(text: str, node: str, key: str = "") -> Identity:
    return await asyncio.to_thread(joining.join, parse_token(text), node, key or joining.fresh_key())


class Member:
    """A node's session with its identity, by the real client."""

    def __init__(self, directory: Path, identity: Identity, life: int = 1) -> None:
        self.file = directory / f"{identity.cluster}-{identity.node}-{life}.identity"
        write_identity(self.file, identity)
        host, port = split_port(identity.sessions[0])
        assert port is not None
        self.answers: asyncio.Queue[ArbiterAnswer] = asyncio.Queue()
        self.lost: asyncio.Queue[str] = asyncio.Queue()
        codec = Codec(identity.cluster, identity.node, {1: Key(bytes(32))}, 1, life)
        where = NodesArbiter(host, port, identity=self.file)
        self.session = ArbiterSession(
            where, codec, lambda answer, _where: self.answers.put_nowait(answer), self.lost.put_nowait
        )
        self._sent = 0

    async def answer(self, report: ArbiterReport = REPORT) -> ArbiterAnswer:
        """The answer to this report, which is given a number of its own."""
        self._sent += 1
        self.session.send(replace(report, sent_us=self._sent))
        async with asyncio.timeout(DEADLINE):
            while True:
                answer = await self.answers.get()
                if answer.echo_us == self._sent:
                    return answer

    async def why_lost(self) -> str:
        return await asyncio.wait_for(self.lost.get(), DEADLINE)


@asynccontextmanager
async def speaking(*members: Member) -> AsyncIterator[None]:
    for member in members:
        await member.session.start()
    try:
        yield
    finally:
        for member in members:
            await member.session.close()
