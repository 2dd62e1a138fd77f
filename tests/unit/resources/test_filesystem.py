"""File systems on real block devices (loop), in the mount namespace of the test's own process tree."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.guard import ending
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.mounts import Device, below, parse, top
from hamgr.resources.processes import users_of
from hamgr.resources.resource import Guarded, Resource, ResourceError, ResourceStatus, Surroundings

RUNNING, STOPPED, FAILED = ResourceStatus.RUNNING, ResourceStatus.STOPPED, ResourceStatus.FAILED


def run(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout.strip()


def why_no_disk() -> str:
    if os.geteuid() != 0:
        return "block devices and mounts need root"
    for tool, package in (("losetup", "mount"), ("mkfs.ext4", "e2fsprogs")):
        if shutil.which(tool) is None:
            return f"needs {tool}: apt-get install {package}"
    return "" if os.path.exists("/dev/loop-control") else "needs loop devices"


needs_disk = pytest.mark.skipif(why_no_disk() != "", reason=why_no_disk())
pytestmark = pytest.mark.root


class Disk:
    """A block device with ext4 on it, and a directory to mount it on."""

    def __init__(self, here: Path) -> None:
        self.directory = here / "data here"  # names have blanks in them
        self.directory.mkdir()
        self.image = here / "image"
        with self.image.open("wb") as file:
            file.truncate(8 << 20)
        run("mkfs.ext4", "-q", "-L", "hamgr-test", self.image)
        self.device = run("losetup", "--find", "--show", self.image)
        self.told: list[str] = []
        self._surroundings = Surroundings(group="g", state_dir=here / "state", tell=self._tell)
        self._here = here
        self._started: list[subprocess.Popen[bytes]] = []

    def resource(self, stop_timeout: float = 20.0, **options: object) -> Resource:
        given = {"device": self.device, "directory": str(self.directory), "fstype": "ext4", **options}
        config = ResourceConfig("fs", "filesystem", given, stop_timeout=stop_timeout)  # type: ignore[arg-type]
        return RESOURCE_KINDS["filesystem"].build(config, self._surroundings)

    def _tell(self, kind: Kind, text: str) -> None:
        self.told.append(text)

    def user(self, code: str) -> subprocess.Popen[bytes]:
        """A Python program that has done this, and goes on."""
        text = f"{code}\nprint('ready', flush=True)\nimport time\ntime.sleep(1000)"
        process = subprocess.Popen([sys.executable, "-c", text, str(self.directory)], stdout=subprocess.PIPE, cwd="/")
        self._started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        for mount in reversed(parse(Path("/proc/self/mountinfo").read_text())):
            if mount.directory.startswith(f"{self._here}/"):
                subprocess.run(["umount", mount.directory], check=False)
        run("blockdev", "--setrw", self.device)  # the number will be another's
        run("losetup", "--detach", self.device)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    try:
        yield made
    finally:
        made.close()


def is_mounted(directory: Path) -> bool:
    return top(parse(Path("/proc/self/mountinfo").read_text()), str(directory)) is not None


@needs_disk
async def test_the_guard_unmounts_it_as_soon_as_nobody_uses_it(disk: Disk) -> None:
    fs = disk.resource()
    assert isinstance(fs, Guarded)
    await fs.start()
    user = disk.user("import os, sys; os.chdir(sys.argv[1])")
    asyncio.get_running_loop().call_later(0.3, user.kill)
    (said,) = await asyncio.to_thread(ending.end, fs.emergency())
    assert said.endswith("ended with 0")
    assert not is_mounted(disk.directory)
    (said,) = await asyncio.to_thread(ending.end, fs.emergency())
    assert said.endswith("ended with 0"), "it is not mounted, which is no failure"


@needs_disk
async def test_a_file_system_is_mounted_and_unmounted(disk: Disk) -> None:
    fs = disk.resource()
    assert await fs.status() is STOPPED
    await fs.start()
    await fs.start()
    assert await fs.status() is RUNNING
    assert (disk.directory / "lost+found").is_dir()
    await fs.stop()
    await fs.stop()
    assert await fs.status() is STOPPED


@needs_disk
async def test_an_image_file_is_a_device_too(disk: Disk) -> None:
    fs = disk.resource(device=str(disk.image), options="loop,noatime")
    await fs.start()
    assert await fs.status() is RUNNING
    await fs.stop()
    assert await fs.status() is STOPPED


@needs_disk
async def test_a_probe_reads_the_device_itself(disk: Disk) -> None:
    fs = disk.resource(probe=True)
    await fs.start()
    assert await fs.status() is RUNNING
    await fs.stop()


@needs_disk
async def test_fsck_comes_before_the_mount_and_its_verdict_counts(disk: Disk) -> None:
    fs = disk.resource(fsck=True)
    await fs.start()
    await fs.stop()
    run("dd", "if=/dev/zero", f"of={disk.device}", "bs=1M", "count=1")
    with pytest.raises(ResourceError, match=r"fsck of /dev/loop.* ended with 8: .*; repair it by hand"):
        await fs.start()
    assert not is_mounted(disk.directory)


@needs_disk
async def test_what_is_mounted_elsewhere_on_this_machine_is_not_mounted_again(disk: Disk, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run("mount", disk.device, elsewhere)
    fs = disk.resource()
    assert await fs.status() is FAILED
    with pytest.raises(ResourceError, match=f"{disk.device} is mounted on {elsewhere}, not on "):
        await fs.start()
    assert not is_mounted(disk.directory)


@needs_disk
async def test_a_stop_lets_the_device_go_wherever_it_is_mounted(disk: Disk, tmp_path: Path) -> None:
    """Another node is about to mount it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    fs = disk.resource()
    await fs.start()
    run("mount", disk.device, elsewhere)
    await fs.stop()
    assert not is_mounted(disk.directory)
    assert not is_mounted(elsewhere)
    assert any(f"was mounted on {elsewhere} as well: unmounted" in text for text in disk.told)


@needs_disk
async def test_what_is_mounted_below_it_goes_first(disk: Disk) -> None:
    fs = disk.resource()
    await fs.start()
    inner = disk.directory / "inner"
    inner.mkdir()
    run("mount", "-t", "tmpfs", "none", inner)
    await fs.stop()
    assert await fs.status() is STOPPED


@needs_disk
async def test_another_file_system_on_its_directory_is_a_failure_and_left_alone(disk: Disk) -> None:
    run("mount", "-t", "tmpfs", "none", disk.directory)
    fs = disk.resource()
    assert await fs.status() is FAILED
    with pytest.raises(ResourceError, match=f"none is mounted on {disk.directory}, not {disk.device}"):
        await fs.start()
    await fs.stop()
    assert is_mounted(disk.directory)


USES = {
    "an open file": "f = open(__import__('sys').argv[1] + '/file', 'w')",
    "a working directory": "import os, sys; os.chdir(sys.argv[1])",
    "a mapped file": (
        "import mmap, sys; f = open(sys.argv[1] + '/file', 'w+b'); f.truncate(4096);"
        " m = mmap.mmap(f.fileno(), 4096); f.close()"
    ),
    "an open file, in a mount namespace of its own": (
        "import ctypes; assert ctypes.CDLL(None).unshare(0x20000) == 0;"
        " f = open(__import__('sys').argv[1] + '/file', 'w')"
    ),
}


@needs_disk
@pytest.mark.parametrize("use", USES)
async def test_who_uses_it_is_asked_to_end(disk: Disk, use: str) -> None:
    fs = disk.resource()
    await fs.start()
    user = disk.user(USES[use])
    found = users_of(top(parse(Path("/proc/self/mountinfo").read_text()), str(disk.directory)))  # type: ignore[arg-type]
    assert [process.pid for process in found] == [user.pid]
    await fs.stop()
    assert await fs.status() is STOPPED
    if "namespace" not in use:  # its own copy of the mount may be private, and keeps ours from nothing
        assert await asyncio.to_thread(user.wait, 10) == -15
        assert disk.told == [f"{disk.directory} is busy: used by {found[0]}; asked to end (SIGTERM)"]


@needs_disk
async def test_who_ignores_sigterm_is_killed(disk: Disk) -> None:
    fs = disk.resource(stop_timeout=4.0)
    await fs.start()
    user = disk.user(f"import signal; signal.signal(15, signal.SIG_IGN)\n{USES['an open file']}")
    await fs.stop()
    assert await fs.status() is STOPPED
    assert await asyncio.to_thread(user.wait, 10) == -9
    assert [told.rpartition("; ")[2] for told in disk.told] == ["asked to end (SIGTERM)", "killed"]


@needs_disk
async def test_without_force_the_users_are_named_and_live(disk: Disk) -> None:
    fs = disk.resource(stop_timeout=1.0, force_unmount=False)
    await fs.start()
    user = disk.user(USES["an open file"])
    with pytest.raises(
        ResourceError, match=rf"can't be unmounted: umount ended with 32: .*; used by .* \(pid {user.pid}\)"
    ):
        await fs.stop()
    assert user.poll() is None
    assert await fs.status() is RUNNING, "it is never unmounted lazily"


@needs_disk
async def test_what_no_process_holds_is_said_and_does_not_wait_for_ever(disk: Disk) -> None:
    fs = disk.resource(stop_timeout=1.0)
    await fs.start()
    inner = disk.directory / "swapped"
    with inner.open("wb") as file:
        file.truncate(1 << 20)
    loop = run("losetup", "--find", "--show", inner)
    began = time.monotonic()
    try:
        with pytest.raises(ResourceError, match="no process uses it: look for an NFS export, a swap file or a loop"):
            await fs.stop()
    finally:
        run("losetup", "--detach", loop)
    assert time.monotonic() - began < 10
    await fs.stop()


@needs_disk
async def test_a_write_protected_disk_is_no_start(disk: Disk) -> None:
    run("blockdev", "--setro", disk.device)
    fs = disk.resource()
    with pytest.raises(ResourceError, match="is read-only: the disk is write-protected"):
        await fs.start()
    await fs.stop()
    assert await fs.status() is STOPPED
    read_only = disk.resource(options="ro")
    await read_only.start()
    assert await read_only.status() is RUNNING
    await read_only.stop()


@needs_disk
async def test_a_file_system_that_turned_read_only_has_failed(disk: Disk) -> None:
    """What the kernel does after an error on the disk (errors=remount-ro)."""
    fs = disk.resource()
    await fs.start()
    run("mount", "-o", "remount,ro", disk.directory)
    assert await fs.status() is FAILED
    await fs.stop()


@needs_disk
async def test_a_directory_that_is_missing_is_made(disk: Disk) -> None:
    disk.directory.rmdir()
    fs = disk.resource()
    await fs.start()
    assert is_mounted(disk.directory)
    await fs.stop()


@needs_disk
async def test_what_is_missing_is_named(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=f"{tmp_path}/file can't be made as a directory: File exists"):
        await disk.resource(directory=f"{tmp_path}/file").start()
    with pytest.raises(ResourceError, match="/dev/hamgr/none is not here: is the disk attached"):
        await disk.resource(device="/dev/hamgr/none").start()
    with pytest.raises(ResourceError, match="LABEL=no-such-label is not here"):
        await disk.resource(device="LABEL=no-such-label").start()
    for options in ({"fstype": "xfs"}, {"options": "nonsense"}):
        with pytest.raises(ResourceError, match=r"mount of .* on .* ended with 32: .*wrong fs type, bad option"):
            await disk.resource(**options).start()
    assert await disk.resource().status() is STOPPED


def test_a_mountinfo_line_is_understood() -> None:
    text = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
        r"40 22 7:0 /a /srv/data\040here ro,noatime shared:9 master:1 - ext4 /dev/loop0 rw" + "\n"
        "41 40 0:33 / /srv/data\\040here/x/y rw - tmpfs  rw\n"
        "42 40 0:34 / /srv/data\\040here/x rw - nfs4 server:/export rw,vers=4.2\n"
    )
    root, data, _, nfs = mounts = parse(text)
    assert (root.device, root.read_only) == ((8, 1), False)
    assert (data.directory, data.root, data.read_only) == ("/srv/data here", "/a", True)
    assert (nfs.source, nfs.fstype) == ("server:/export", "nfs4")
    assert [mount.directory for mount in below(mounts, "/srv/data here")] == [
        "/srv/data here/x/y",
        "/srv/data here/x",
    ]
    assert top(mounts, "/srv") is None


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ("LABEL=data", "/dev/disk/by-label/data"),
        ("LABEL=my data/1", "/dev/disk/by-label/my\\x20data\\x2f1"),
        ('LABEL="Börse-2"', "/dev/disk/by-label/Börse-2"),
        ("UUID=1234-ABCD", "/dev/disk/by-uuid/1234-ABCD"),
        ("/dev/vg/lv", "/dev/vg/lv"),
        ("server:/export", ""),
        ("//server/share", ""),
        ("tmpfs", ""),
    ],
)
def test_devices_are_found_where_udev_puts_them(named: str, path: str) -> None:
    assert Device(named).path == path


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("device", "sda1"),
        ("device", "/srv/disk"),
        ("device", "LABLE=x"),
        ("directory", "srv"),
        ("directory", "/"),
        ("options", "bind"),
        ("options", "rw, noatime"),
    ],
)
def test_a_wrong_option_is_a_mistake(option: str, value: str) -> None:
    check: Callable[[str], str] = next(o.check for o in RESOURCE_KINDS["filesystem"].options if o.name == option)  # type: ignore[assignment]
    assert check(value)


def test_what_this_machine_lacks_is_told_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    facts = list(RESOURCE_KINDS["filesystem"].problems_here({"device": "/dev/x", "directory": f"{tmp_path}/file"}))
    assert facts == [("directory", f'"{tmp_path}/file", which is none', "a directory, or nothing there yet")]
    assert not list(RESOURCE_KINDS["filesystem"].problems_here({"device": "/dev/x", "directory": f"{tmp_path}/none"}))
