"""A disk that hangs on command: a directory served by a real sftp-server through sshfs, which is stopped and continued.

Whatever touches a file on it meanwhile waits in the kernel, as on an NFS server that went away.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

SERVER = "/usr/lib/openssh/sftp-server"
MOUNT_TIMEOUT = 10.0


def why_no_hung_disk() -> str:
    """Why this machine can't have one; "" if it can."""
    for tool, package in (("sshfs", "sshfs"), ("fusermount3", "fuse3"), (SERVER, "openssh-sftp-server")):
        if shutil.which(tool) is None:
            return f"needs {tool}: apt-get install {package}"
    return "" if os.access("/dev/fuse", os.W_OK) else "needs /dev/fuse"


class HungDisk:
    """`at` shows the files of `source`; as a context manager it is mounted inside and gone after."""

    def __init__(self, source: Path, at: Path, options: str = "dir_cache=no") -> None:
        self._source = source
        self._options = options
        self.at = at
        self._server: subprocess.Popen[bytes] | None = None
        self._mounter: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> HungDisk:
        self.at.mkdir()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._server = subprocess.Popen([SERVER], stdin=ours, stdout=ours)
            options = ["-o", f"passive,{self._options}"]
            command = ["sshfs", f":{self._source}", str(self.at), "-f", *options]
            self._mounter = subprocess.Popen(command, stdin=theirs, stdout=theirs)
        deadline = time.monotonic() + MOUNT_TIMEOUT
        while not os.path.ismount(self.at):
            assert time.monotonic() < deadline, f"{self.at} was not mounted"
            assert self._mounter.poll() is None, "sshfs ended"
            time.sleep(0.01)
        return self

    def hang(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def die(self) -> None:
        """From now on every read and write fails."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._server.send_signal(number)

    def __exit__(self, *_exception: object) -> None:
        self.go_on()
        subprocess.run(["fusermount3", "-u", "-z", str(self.at)], check=False)
        for process in (self._mounter, self._server):
            assert process is not None
            process.kill()
            process.wait()
