"""A bad network between a fence agent and its BMC: a UDP relay that can hold back, lose, change and see packets."""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Way = Callable[[bytes], list[tuple[float, bytes]]]
"""What becomes of a packet: the packets that go on, each with its delay in seconds."""

ASF, IPMI = 0x06, 0x07
"""Classes of RMCP packets, the fourth byte (IPMI 2.0, 13.1.3)."""


def passes(packet: bytes) -> list[tuple[float, bytes]]:
    return [(0.0, packet)]


class Relay:
    """To the BMC by `there`, and back by `back`; both may be changed at any time."""

    def __init__(self, port: int) -> None:
        self.there: Way = passes
        self.back: Way = passes
        self._inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._inside.connect(("127.0.0.1", port))
        self._outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outside.bind(("127.0.0.1", 0))
        self._stop, self._stopped = socket.socketpair()
        self._client: tuple[str, int] | None = None
        self._later: list[tuple[float, int, bool, bytes]] = []
        self._order = itertools.count()
        self._thread = threading.Thread(target=self._run, name="relay")

    @property
    def port(self) -> int:
        port: int = self._outside.getsockname()[1]
        return port

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.close()
        self._thread.join()
        for open_socket in (self._inside, self._outside, self._stopped):
            open_socket.close()

    def _run(self) -> None:
        while True:
            wait = max(0.0, self._later[0][0] - time.monotonic()) if self._later else None
            ready, _, _ = select.select([self._inside, self._outside, self._stopped], [], [], wait)
            if self._stopped in ready:
                return
            if self._outside in ready:
                packet, self._client = self._outside.recvfrom(4096)
                self._hold(True, self.there(packet))
            if self._inside in ready:
                self._hold(False, self.back(self._inside.recv(4096)))
            while self._later and self._later[0][0] <= time.monotonic():
                _, _, inwards, packet = heapq.heappop(self._later)
                if inwards:
                    self._inside.send(packet)
                elif self._client is not None:
                    self._outside.sendto(packet, self._client)

    def _hold(self, inwards: bool, packets: list[tuple[float, bytes]]) -> None:
        for delay, packet in packets:
            heapq.heappush(self._later, (time.monotonic() + delay, next(self._order), inwards, packet))


@contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    relay = Relay(port)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
