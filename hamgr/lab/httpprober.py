"""Asks a URL every few milliseconds, each time over a connection of its own, and prints each answer.

`python -m hamgr.lab.httpprober URL INTERVAL`: a line is "http SENT RECEIVED WORD" as of `hamgr.lab.prober`, with the
first word of what a good answer (200) says, which is who answered. Any other answer is "http-error SENT RECEIVED
STATUS"; no answer within `PATIENCE` is "http-silence SENT RECEIVED WHY". Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

PATIENCE = 1.0
"""Seconds for a whole question and its answer. A first packet that was lost is sent again after one second."""

MOST_AT_ONCE = 100
"""Questions on the way: while all hang, no more are asked."""

_LONGEST_ANSWER = 4096
_CONNECTION_LOST = "lost"


async def ask(host: str, port: int, path: str) -> tuple[str, str]:
    """One question: (kind, word) of the line that is printed."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
                answer = await reader.read(_LONGEST_ANSWER)
                while not reader.at_eof() and len(answer) < _LONGEST_ANSWER:
                    answer += await reader.read(_LONGEST_ANSWER)
            finally:
                writer.close()
    except TimeoutError:
        return "http-silence", "timeout"
    except OSError as error:
        return "http-silence", type(error).__name__
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2:
        return "http-silence", _CONNECTION_LOST
    status = words[1].decode(errors="replace")
    said = body.decode(errors="replace").split()
    return ("http", said[0]) if status == "200" and said else ("http-error", status)


async def probe(url: str, interval: float) -> None:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    path = parts.path or "/"
    asking: set[asyncio.Task[None]] = set()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)

    async def one() -> None:
        sent = time.monotonic()
        kind, word = await ask(host, port, path)
        print(f"{kind} {sent:.6f} {time.monotonic():.6f} {word}", flush=True)

    while not ended.is_set():
        if len(asking) < MOST_AT_ONCE:
            task = asyncio.create_task(one())
            asking.add(task)
            task.add_done_callback(asking.discard)
        await asyncio.sleep(interval)


if __name__ == "__main__":
    asyncio.run(probe(sys.argv[1], float(sys.argv[2])))
