"""A disk that all nodes reach, as a disk array would give it: one file, with a loop device of its own for each node.

`python -m hamgr.lab.shareddisk DIRECTORY SIZE USE NODE...` makes the file, with an empty ext4 on it or
initialised for a heartbeat link, attaches it, prints "ready" (or "failed: why"), and detaches it when its standard
input ends, which is when the lab's world has died.

Loop devices are the only part of a lab that no namespace holds, so this process stands outside of them. It keeps no
device open: the kernel drops a device's cache with the last one who has it open, and a node must read what the other
wrote. Two nodes that mount it at once spoil it, as they would a real one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hamgr.disk.device import Device
from hamgr.disk.making import make
from hamgr.lab.files import CLUSTER
from hamgr.lab.namespaces import LabError
from hamgr.lab.plan import Layout, Options

# loop(4) and linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CLR_FD = 0x4C01
_LOOP_CONFIG = struct.Struct("=II 52x I 64s 112x 64x")
"""struct loop_config: fd, block size, then of struct loop_info64 only the flags and the file's name."""

# linux/ext4.h: what follows is not written, as after a power failure.
_EXT4_IOC_SHUTDOWN = 0x8004587D
_EXT4_GOING_FLAGS_NOLOGFLUSH = 2

EXT4, LINK = "ext4", "link"
"""What the disk is for."""

PROVEN_MS = 3000
RELEASE_TIMEOUT = 5.0
_RELEASE_CHECK = 0.005


def provide(layout: Layout, options: Options, environment: Mapping[str, str]) -> tuple[subprocess.Popen[str], int]:
    """Start the process that provides the disk, which lasts for as long as anybody holds the returned descriptor."""
    use = LINK if options.needs_hamgr_disk else EXT4
    command = [sys.executable, "-m", "hamgr.lab.shareddisk", str(layout.directory), options.shared_disk, use]
    inside, lifeline = os.pipe()
    with layout.log("shareddisk").open("ab") as log:
        provider = subprocess.Popen(
            [*command, *options.node_names],
            stdin=inside,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
            start_new_session=True,
            cwd="/",
        )
    os.close(inside)
    assert provider.stdout is not None
    said = provider.stdout.readline().strip()
    if said != "ready":
        os.close(lifeline)
        provider.communicate()
        raise LabError(f"the lab did not come up: {said.removeprefix('failed: ') or 'no shared disk'}")
    return provider, lifeline


def attach(image: Path) -> str:
    """A loop device over the file: its path."""
    with _open("/dev/loop-control", os.O_RDWR) as control, _open(image, os.O_RDWR) as file:
        while True:
            device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            try:
                with _open(device, os.O_RDWR) as loop:
                    name = str(image).encode()[-63:]
                    fcntl.ioctl(loop, _LOOP_CONFIGURE, _LOOP_CONFIG.pack(file, 0, 0, name))
                return device
            except OSError as error:
                if error.errno != errno.EBUSY:  # Another took it first: ask for the next.
                    raise


def detach(device: str) -> None:
    """Let go of the file, now or when the last one who has the device open closes it."""
    with contextlib.suppress(OSError), _open(device, os.O_RDWR) as loop:
        fcntl.ioctl(loop, _LOOP_CLR_FD)


def lose_power(device: Path, pid: int) -> None:
    """Forget what a machine (its first process) has not yet written to this device: what was not synced is lost.

    The kernel around the lab goes on when a machine's processes die, and would write it out.
    """
    number = device.stat().st_rdev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            with contextlib.suppress(OSError), _open(f"/proc/{pid}/root{fields[4]}", os.O_RDONLY) as mounted:
                fcntl.ioctl(mounted, _EXT4_IOC_SHUTDOWN, struct.pack("I", _EXT4_GOING_FLAGS_NOLOGFLUSH))


def await_release(device: Path) -> None:
    """Wait until no file system is mounted on it: the last mount goes a moment after the machine's last process."""
    deadline = time.monotonic() + RELEASE_TIMEOUT
    while True:
        try:
            with _open(device, os.O_RDONLY | os.O_EXCL):
                return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise LabError(f"{device} is still in use by a machine that is off: {error.strerror}") from error
        time.sleep(_RELEASE_CHECK)


@contextlib.contextmanager
def _open(path: Path | str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def main() -> None:
    layout, size, use, nodes = Layout(Path(sys.argv[1])), sys.argv[2], sys.argv[3], sys.argv[4:]
    devices: list[str] = []
    try:
        commands = [["truncate", f"--size={size}"]]
        if use == EXT4:
            commands.append(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0"])
        for command in commands:
            subprocess.run([*command, str(layout.disk_image)], check=True, capture_output=True, text=True)
        for node in nodes:
            devices.append(attach(layout.disk_image))
            layout.shared_disk(node).symlink_to(devices[-1])
        if use == LINK:
            with Device(devices[0]) as disk:
                make(disk, CLUSTER, nodes, PROVEN_MS, force=False)
        print("ready", flush=True)
        sys.stdin.read()
    except subprocess.CalledProcessError as error:
        print(f"failed: {error.cmd[0]}: {error.stderr.strip()}", flush=True)
    except OSError as error:
        print(f"failed: the shared disk: {error.filename or 'a loop device'}: {error.strerror}", flush=True)
    finally:
        for device in devices:
            detach(device)


if __name__ == "__main__":
    main()
