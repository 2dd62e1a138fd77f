"""Serial links over real pseudo-terminals, which socat joins."""

from __future__ import annotations

import asyncio
import io
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hamgr.config.model import LinkConfig
from hamgr.links.codec import RejectReason
from hamgr.links.framing import enframe
from hamgr.links.link import LinkError, Local
from hamgr.links.serial import SerialLink

DEADLINE = 15.0


class Cable:
    """A null-modem cable: two device names that socat joins. `noise` is a way to put bytes on it."""

    def __init__(self, directory: Path) -> None:
        self.ends = {"a": str(directory / "ttyA"), "b": str(directory / "ttyB")}
        self._socat: subprocess.Popen[bytes] | None = None

    def plug(self) -> None:
        ends = [f"pty,raw,echo=0,link={end}" for end in self.ends.values()]
        self._socat = subprocess.Popen(["socat", *ends])
        deadline = time.monotonic() + DEADLINE
        while not all(os.path.exists(end) for end in self.ends.values()):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def unplug(self) -> None:
        assert self._socat is not None
        self._socat.send_signal(signal.SIGTERM)
        self._socat.wait()
        self._socat = None

    def close(self) -> None:
        if self._socat is not None:
            self.unplug()


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    if shutil.which("socat") is None:
        pytest.skip("needs socat: apt-get install socat")
    laid = Cable(tmp_path)
    laid.plug()
    yield laid
    laid.close()


def speak(device: str) -> io.FileIO:
    """A device to write to, as it is."""
    return io.FileIO(device, "w")


class End:
    """One end of the link, and what it heard; the listener too."""

    def __init__(self, node: str, cable: Cable, baud: int = 115200) -> None:
        self.heard: list[bytes] = []
        self.told: list[tuple[bool, str]] = []
        self.failures = 0
        self.noise = 0
        config = LinkConfig("wire", "serial", ("a", "b"), devices=cable.ends, baud=baud)
        self.link = SerialLink(config, Local(node), self)

    def received(self, link: str, frame: bytes, source: str) -> RejectReason | None:
        if not frame:
            self.noise += 1
            return RejectReason.MALFORMED
        self.heard.append(frame)
        return None

    def failed(self, link: str, reason: str) -> None:
        self.failures += 1

    def changed(self, link: str, up: bool, detail: str) -> None:
        self.told.append((up, detail))

    @property
    def up(self) -> bool:
        return bool(self.told) and self.told[-1][0]


@asynccontextmanager
async def opened(*ends: End) -> AsyncIterator[None]:
    try:
        for end in ends:
            await end.link.open()
        yield
    finally:
        for end in ends:
            await end.link.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.01)


async def test_frames_go_both_ways(cable: Cable) -> None:
    a, b = End("a", cable), End("b", cable)
    async with opened(a, b):
        frames = [random.Random(n).randbytes(n * 50 + 1) for n in range(10)]
        for number, frame in enumerate(frames):
            a.link.send("b", frame, str(number))
            b.link.send("a", frame, str(number))
        await until(lambda: len(a.heard) == len(b.heard) == 10)
        assert a.heard == b.heard == frames
    assert a.told == [(True, f"{cable.ends['a']} at 115200 baud")]


async def test_a_slow_line_carries_the_newest_of_each_kind_and_heartbeats_first(cable: Cable) -> None:
    a, b = End("a", cable, baud=9600), End("b", cable, baud=9600)
    async with opened(a, b):
        for number in range(100):
            for slot in ("Order", "Report", "Heartbeat"):
                a.link.send("b", f"{slot} {number:03}".encode() + bytes(90), slot)
        await until(lambda: len(b.heard) == 4)
    said = [frame[:13].rstrip(b"\0").decode() for frame in b.heard]
    assert said == ["Order 000", "Heartbeat 099", "Report 099", "Order 099"]


async def test_more_heartbeats_than_the_line_can_carry_leave_room_for_the_rest(cable: Cable) -> None:
    a, b = End("a", cable, baud=9600), End("b", cable, baud=9600)
    async with opened(a, b):
        a.link.send("b", b"beat" + bytes(150), "Heartbeat")
        a.link.send("b", b"order", "Order")
        a.link.send("b", b"report", "Report")
        async with asyncio.timeout(DEADLINE):
            while b"report" not in b.heard:
                a.link.send("b", b"beat" + bytes(150), "Heartbeat")
                await asyncio.sleep(0.02)  # a keepalive far too short for this line
    assert [frame.rstrip(b"\0") for frame in b.heard[:4]] == [b"beat", b"order", b"beat", b"report"]


async def test_a_line_gets_no_more_than_it_can_carry(cable: Cable) -> None:
    a, b = End("a", cable, baud=9600), End("b", cable, baud=9600)
    async with opened(a, b):
        began = time.monotonic()
        for number in range(6):
            a.link.send("b", bytes(180), str(number))
        await until(lambda: len(b.heard) == 6)
        took = time.monotonic() - began
    # Six frames of 188 bytes and more at 960 bytes a second; the last is on its way when its own time begins.
    assert took > 5 * 188 / 960


async def test_noise_is_counted_and_the_next_frame_found(cable: Cable) -> None:
    b = End("b", cable)
    async with opened(b):
        with speak(cable.ends["a"]) as line:
            line.write(b"\xff\0\x80garbage" + enframe(b"one") + enframe(b"lost")[:4] + enframe(b"two"))
            await until(lambda: b"two" in b.heard)
        assert b.heard == [b"one", b"two"]
        assert b.noise >= 2


async def test_a_megabyte_of_garbage_is_survived(cable: Cable) -> None:
    b = End("b", cable)
    async with opened(b):
        garbage = random.Random(1).randbytes(1 << 20)
        with speak(cable.ends["a"]) as line:
            await asyncio.to_thread(line.write, garbage)
            line.write(enframe(b"the end"))
            await until(lambda: b"the end" in b.heard)
        assert b.heard == [b"the end"]


async def test_a_cable_that_is_pulled_is_told_and_used_again_when_it_is_back(cable: Cable) -> None:
    a, b = End("a", cable), End("b", cable)
    async with opened(a, b):
        cable.unplug()
        await until(lambda: not a.up and not b.up)
        a.link.send("b", b"into the void", "Heartbeat")
        assert a.failures == 1
        cable.plug()
        await until(lambda: a.up and b.up)
        a.link.send("b", b"again", "Heartbeat")
        await until(lambda: b.heard == [b"again"])


async def test_a_device_that_comes_late_is_waited_for(cable: Cable) -> None:
    cable.unplug()
    a = End("a", cable)
    async with opened(a):
        assert a.told == [(False, f"waits for {cable.ends['a']}: No such file or directory")]
        cable.plug()
        await until(lambda: a.up)


async def test_a_peer_that_does_not_read_keeps_nobody_waiting(cable: Cable) -> None:
    a = End("a", cable)
    async with opened(a):
        began = time.monotonic()
        for number in range(500):
            a.link.send("b", bytes(1000), str(number % 80))
        assert time.monotonic() - began < 5
        assert len(a.link._waiting) <= 64


async def test_a_line_that_another_program_uses_is_waited_for(cable: Cable) -> None:
    first, second = End("a", cable), End("a", cable)
    async with opened(first, second):
        assert second.told == [(False, f"waits for {cable.ends['a']}: another program uses it")]
        await first.link.close()
        await until(lambda: second.up)


async def test_what_is_no_device_is_an_error(tmp_path: Path, cable: Cable) -> None:
    cable.close()
    Path(cable.ends["a"]).write_text("")
    with pytest.raises(LinkError, match="ttyA is no device"):
        await End("a", cable).link.open()
