"""What hangs in the kernel can't be killed, and may yet do its work: its resource does not count as stopped before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hung_disk import HungDisk, why_no_hung_disk

from hamgr.config.model import ResourceConfig
from hamgr.resources.command import Command
from hamgr.resources.lsb import Lsb
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

pytestmark = [pytest.mark.lab, pytest.mark.skipif(why_no_hung_disk() != "", reason=why_no_hung_disk())]

SCRIPT = "#!/bin/sh\n[ $1 != start ] || echo >{disk}/started\n[ $1 != status ] || exit 3\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HungDisk]:
    source = tmp_path / "source"
    source.mkdir()
    with HungDisk(source, tmp_path / "slow") as slow:
        yield slow
        slow.go_on()


def lsb(tmp_path: Path, disk: HungDisk) -> Lsb:
    script = tmp_path / "service"
    script.write_text(SCRIPT.format(disk=disk.at))
    script.chmod(0o755)
    return Lsb(ResourceConfig("service", "lsb", {"script": str(script)}), Surroundings(state_dir=tmp_path))


def command(tmp_path: Path, disk: HungDisk) -> Command:
    options = {"start": ["touch", f"{disk.at}/started"], "stop": ["true"], "check": ["sh", "-c", "exit 3"]}
    config = ResourceConfig("service", "command", {**options, "stopped_code": 3})  # type: ignore[dict-item]
    return Command(config, Surroundings(state_dir=tmp_path))


@pytest.mark.parametrize("make", [lsb, command])
async def test_a_start_that_hangs_in_the_kernel_keeps_its_resource_from_being_stopped(
    make: Callable[[Path, HungDisk], Lsb | Command], tmp_path: Path, disk: HungDisk
) -> None:
    service = make(tmp_path, disk)
    assert await service.status() is ResourceStatus.STOPPED
    disk.hang()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await service.start()
    assert await service.status() is ResourceStatus.FAILED
    assert "of an earlier operation was killed, but hangs in the kernel" in service.reason
    with pytest.raises(ResourceError, match="hangs in the kernel: see its disk"):
        await service.stop()
    disk.go_on()
    await service.stop()
    assert await service.status() is ResourceStatus.STOPPED
