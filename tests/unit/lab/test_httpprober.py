"""What one question over HTTP gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hamgr.lab import httpprober


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[int]:
    """A server that says this to everybody, on the port given; without an answer it says nothing and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\na is here\n", ("http", "a")),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\na\n", ("http-error", "502")),
        (b"HTTP/1.1 200 OK\r\n\r\n", ("http-error", "200")),
        (b"", ("http-silence", "lost")),
    ],
)
async def test_an_answer_counts_only_when_it_is_good_and_whole(answer: bytes, said: tuple[str, str]) -> None:
    async with server(answer) as port:
        assert await httpprober.ask("127.0.0.1", port, "/") == said


async def test_a_server_that_is_gone_is_silence() -> None:
    async with server(b"") as port:
        pass
    assert await httpprober.ask("127.0.0.1", port, "/") == ("http-silence", "ConnectionRefusedError")


async def test_a_server_that_hangs_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpprober, "PATIENCE", 0.05)
    listener = await asyncio.start_server(lambda reader, writer: asyncio.Event().wait(), "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        assert await httpprober.ask("127.0.0.1", port, "/") == ("http-silence", "timeout")
