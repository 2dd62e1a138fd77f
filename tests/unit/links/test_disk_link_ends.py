"""Disk links over real loop devices, two of which are one disk: frames, and what happens to the disk under them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hamgr.config.model import LinkConfig
from hamgr.disk.device import Device, header_for
from hamgr.disk.making import make
from hamgr.disk.records import BLOCK, BLOCKS, decode_lease, lease_place
from hamgr.lab.shareddisk import detach
from hamgr.links.codec import MAX_FRAME, RejectReason
from hamgr.links.disk import DiskLink
from hamgr.links.link import Local

DEADLINE = 15.0
POLL = 0.02


class End:
    """One node's link, and what it heard; the listener too."""

    def __init__(self, node: str, device: str, cluster: str = "t") -> None:
        self.heard: list[bytes] = []
        self.told: list[tuple[bool, str]] = []
        self.failures = 0
        config = LinkConfig("disk", "disk", ("a", "b"), devices={node: device}, poll=POLL)
        self.link = DiskLink(config, Local(node, cluster=cluster), self)

    def received(
        self, link: str, frame: bytes, source: str, speakers: frozenset[str] | None = None
    ) -> RejectReason | None:
        self.heard.append(frame)
        return None

    def failed(self, link: str, reason: str) -> None:
        self.failures += 1

    def changed(self, link: str, up: bool, detail: str) -> None:
        self.told.append((up, detail))

    @property
    def up(self) -> bool:
        return bool(self.told) and self.told[-1][0]

    @property
    def detail(self) -> str:
        return self.told[-1][1] if self.told else ""


@pytest.fixture
def disk(two_ends: tuple[str, str]) -> tuple[str, str]:
    with Device(two_ends[0]) as device:
        make(device, "t", ("a", "b"), 1000, force=False)
    return two_ends


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


def beat_of(device: str, slot: int) -> int:
    with Device(device) as opened_device:
        uuid = header_for(opened_device, "t").uuid
        lease = decode_lease(opened_device.read(lease_place(slot)), uuid, slot)
        return lease.beat if lease is not None else 0


def overwrite(device: str, place: int, content: bytes) -> None:
    with Device(device) as opened_device:
        opened_device.write(place, content)


async def test_frames_go_both_ways_in_their_order(disk: tuple[str, str]) -> None:
    a, b = End("a", disk[0]), End("b", disk[1])
    async with opened(a, b):
        await until(lambda: a.up and b.up)
        frames = [random.Random(n).randbytes(n * 50 + 1) for n in range(50)]
        for number, frame in enumerate(frames):
            a.link.send("b", frame, str(number))
            b.link.send("a", frame[::-1], str(number))
        await until(lambda: len(a.heard) == len(b.heard) == len(frames))
    assert b.heard == frames
    assert a.heard == [frame[::-1] for frame in frames]


async def test_the_longest_frames_go_through_one_batch_after_the_other(disk: tuple[str, str]) -> None:
    a, b = End("a", disk[0]), End("b", disk[1])
    async with opened(a, b):
        await until(lambda: a.up and b.up)
        frames = [random.Random(n).randbytes(MAX_FRAME) for n in range(4)]
        for number, frame in enumerate(frames):
            a.link.send("b", frame, str(number))
        await until(lambda: len(b.heard) >= 2)
        heard = {bytes(frame) for frame in b.heard}
    assert heard <= set(frames)


async def test_a_newer_frame_takes_the_place_of_one_that_still_waits(disk: tuple[str, str]) -> None:
    a, b = End("a", disk[0]), End("b", disk[1])
    async with opened(a, b):
        await until(lambda: a.up and b.up)
        for number in range(100):
            a.link.send("b", str(number).encode(), "Heartbeat")
        await until(lambda: b"99" in b.heard)
    assert len(b.heard) < 100


async def test_a_frame_that_was_sent_just_before_the_end_still_arrives(disk: tuple[str, str]) -> None:
    a, b = End("a", disk[0]), End("b", disk[1])
    async with opened(b):
        async with opened(a):
            await until(lambda: a.up and b.up)
            a.link.send("b", b"farewell", "Farewell")
        await until(lambda: b.heard == [b"farewell"])


async def test_a_node_that_starts_anew_is_heard_again(disk: tuple[str, str]) -> None:
    b = End("b", disk[1])
    async with opened(b):
        for life in (b"1", b"2", b"3"):
            a = End("a", disk[0])
            async with opened(a):
                await until(lambda a=a: a.up and b.up)  # type: ignore[misc]
                await until_heard(a, b, life)


async def until_heard(a: End, b: End, frame: bytes) -> None:
    async with asyncio.timeout(DEADLINE):
        while frame not in b.heard:
            a.link.send("b", frame, "Heartbeat")
            await asyncio.sleep(POLL)


async def test_the_lease_moves_while_the_loop_runs_and_stands_when_the_link_is_closed(disk: tuple[str, str]) -> None:
    a = End("a", disk[0])
    async with opened(a):
        await until(lambda: a.up)
        first = await asyncio.to_thread(beat_of, disk[1], 0)
        await until(lambda: beat_of(disk[1], 0) > first + 3)
    last = beat_of(disk[1], 0)
    await asyncio.sleep(5 * POLL)
    assert beat_of(disk[1], 0) == last


async def test_a_disk_of_another_cluster_is_not_used(disk: tuple[str, str]) -> None:
    a = End("a", disk[0], cluster="office")
    async with opened(a):
        await until(lambda: "is of cluster 't', ours is 'office'" in a.detail)
        a.link.send("b", b"frame", "Heartbeat")
    assert a.failures == 1
    assert beat_of(disk[1], 0) == 0


async def test_a_disk_that_is_not_there_or_not_ours_yet_is_used_when_it_is(two_ends: tuple[str, str]) -> None:
    a = End("a", two_ends[0])
    async with opened(a):
        await until(lambda: "has no hamgr header: `hamgr disk init" in a.detail)
        with Device(two_ends[1]) as device:
            make(device, "t", ("a", "b"), 1000, force=False)
        await until(lambda: a.up)


async def test_a_node_without_a_slot_is_told_how_it_gets_one(disk: tuple[str, str]) -> None:
    c = End("c", disk[0])
    async with opened(c):
        await until(lambda: "has no slot for c: `hamgr disk init" in c.detail)


async def test_a_disk_that_someone_overwrites_is_left_alone_from_then_on(disk: tuple[str, str]) -> None:
    a = End("a", disk[0])
    async with opened(a):
        await until(lambda: a.up)
        await asyncio.to_thread(overwrite, disk[1], 0, b"MKFS" * BLOCK * 2)
        await until(lambda: not a.up)
        assert "has no hamgr header" in a.detail
        await asyncio.to_thread(overwrite, disk[1], 0, b"\x5a" * BLOCK * BLOCKS)
        await asyncio.sleep(10 * POLL)
        with Device(disk[1]) as device:
            assert device.read(0, BLOCKS) == b"\x5a" * BLOCK * BLOCKS


async def test_a_corrupted_ring_and_lease_are_refused_and_what_follows_is_read(disk: tuple[str, str]) -> None:
    a, b = End("a", disk[0]), End("b", disk[1])
    async with opened(a, b):
        await until(lambda: a.up and b.up)
        await until_heard(a, b, b"before")
        for _ in range(20):
            await asyncio.to_thread(overwrite, disk[1], lease_place(0), random.randbytes(BLOCK))
        await asyncio.to_thread(overwrite, disk[1], 64, random.randbytes(64 * BLOCK))
        await until_heard(a, b, b"after")
        assert set(b.heard) == {b"before", b"after"}


async def test_a_disk_that_is_taken_away_is_told_of(disk: tuple[str, str], tmp_path: Path) -> None:
    a, b = End("a", disk[0]), End("b", disk[1])
    async with opened(a, b):
        await until(lambda: a.up and b.up)
        # The file behind both ends goes short: the kernel answers with I/O errors, as of a LUN that was unmapped.
        os.truncate(tmp_path / "disk.img", 0)
        await until(lambda: not a.up and not b.up)
        detach(disk[0])


async def test_a_worker_that_dies_is_started_again_and_repeats_no_number(disk: tuple[str, str]) -> None:
    a, b = End("a", disk[0]), End("b", disk[1])
    async with opened(a, b):
        await until(lambda: a.up and b.up)
        await until_heard(a, b, b"before")
        os.kill(worker_of(disk[0]), signal.SIGKILL)
        await until(lambda: not a.up)
        await until(lambda: a.up)
        await until_heard(a, b, b"after")


async def test_a_worker_that_hangs_is_told_of_and_holds_nothing_up(disk: tuple[str, str]) -> None:
    a, b = End("a", disk[0]), End("b", disk[1])
    async with opened(a, b):
        await until(lambda: a.up and b.up)
        worker = worker_of(disk[0])
        os.kill(worker, signal.SIGSTOP)
        await until(lambda: not a.up)
        assert "has not answered for" in a.detail
        os.kill(worker, signal.SIGCONT)
        await until(lambda: a.up)


def worker_of(device: str) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"hamgr.disk.worker" in words and device.encode() in words:
            return int(process.name)
    raise AssertionError(f"no worker for {device}")
