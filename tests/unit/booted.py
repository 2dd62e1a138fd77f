"""A real systemd, booted as the first process of namespaces of its own, with units that a test writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from hamgr.resources.units import Places

SYSTEMD = Path("/lib/systemd/systemd")
DBUS = "/usr/bin/dbus-daemon"
BOOT_TIMEOUT = 30.0
"""Seconds, on a busy machine; an idle one takes half a second."""

ENTER = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/dbus /run/cgroup
mount -t cgroup2 cgroup2 /run/cgroup
mkdir "/run/cgroup/$1"
echo $$ > "/run/cgroup/$1/cgroup.procs"
exec unshare --cgroup -- sh -c "$2"
"""
"""A cgroup of its own first, so that the new cgroup namespace ends there: nothing of this machine's is in sight."""

BOOT = """
set -e
umount /run/cgroup
rmdir /run/cgroup
PREPARE
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /etc/systemd
mkdir -p /etc/systemd/system
for target in sysinit basic network network-online shutdown multi-user; do
  printf '[Unit]\\nDefaultDependencies=no\\n' > "/etc/systemd/system/$target.target"
done
cat > /etc/systemd/system/test.target <<X
[Unit]
DefaultDependencies=no
Requires=dbus.socket
Wants=dbus.service
X
cat > /etc/systemd/system/dbus.socket <<X
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/dbus/system_bus_socket
X
cat > /etc/systemd/system/dbus.service <<X
[Unit]
DefaultDependencies=no
Requires=dbus.socket
[Service]
Type=notify
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
X
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=hamgr-test SYSTEMD_LOG_TARGET=console \\
  SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system \\
  /lib/systemd/systemd --system --unit=test.target --show-status=no
"""
"""Of the units of this machine it sees none: nothing of it may be started here."""

REMOVE = """
set -e
mount --make-rprivate /
mount -t cgroup2 cgroup2 /mnt
[ ! -e "/mnt/$1" ] || find "/mnt/$1" -depth -type d -exec rmdir {} +
"""


def why_not() -> str:
    """Why systemd can't be booted here; "" when it can be tried."""
    if os.geteuid() != 0:
        return "booting a systemd needs root"
    if not SYSTEMD.exists():
        return f"needs {SYSTEMD} (package systemd)"
    if not os.access(DBUS, os.X_OK):
        return f"needs {DBUS} (package dbus)"
    missing = [tool for tool in ("setpriv", "unshare", "nsenter", "mount") if shutil.which(tool) is None]
    return f"needs {', '.join(missing)}" if missing else ""


class NotBooted(Exception):
    """This machine lets no systemd be booted in namespaces."""


class Booted:
    """One systemd. What it sees of the file system lies under `root`. prepare: a script that runs before it, in its
    namespaces."""

    def __init__(self, directory: Path, prepare: str = "") -> None:
        self._boot = BOOT.replace("PREPARE", prepare)
        self._cgroup = f"hamgr-test-{os.getpid()}"
        self._log = directory / "systemd.log"
        self._unshare: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self._pid}/root")

    @property
    def places(self) -> Places:
        run = self.root / "run"
        return Places(run / "dbus/system_bus_socket", run / "systemd/private", run / "systemd/system")

    def boot(self) -> None:
        """Raises NotBooted."""
        # Whoever kills the tests kills it too.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--fork"]
        with self._log.open("wb") as log:
            self._unshare = subprocess.Popen(
                [*command, "--kill-child", "--", "sh", "-c", ENTER, "sh", self._cgroup, self._boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + BOOT_TIMEOUT
        while not self._up():
            if self._unshare.poll() is not None or time.monotonic() > deadline:
                raise NotBooted(" ".join(self._log.read_text(errors="replace").split())[-300:] or "it never came up")
            time.sleep(0.02)

    def _up(self) -> bool:
        assert self._unshare is not None
        if not self._pid:
            children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text().split()
            self._pid = int(children[0]) if children else 0
        # The first process joins the bus when the bus is up, and can be asked there from then on.
        asked = ("busctl", "--timeout=1", "status", "org.freedesktop.systemd1")
        return self._pid != 0 and self.places.bus.exists() and self._enter(*asked).returncode == 0

    def _enter(self, *command: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--pid", "--net", "--ipc", "--uts", "--"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=60)

    def run(self, *command: str) -> str:
        """Run a program beside it."""
        done = self._enter(*command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def write(self, unit: str, text: str) -> None:
        """A unit file, without the dependencies on a whole system."""
        (self.root / "etc/systemd/system" / unit).write_text(f"[Unit]\nDefaultDependencies=no\n{text}\n")

    def end(self) -> None:
        """Nothing of it is left: its processes die with the first of them, and its control groups are removed."""
        if self._unshare is not None:
            self._unshare.kill()
            self._unshare.wait()
        deadline = time.monotonic() + 10
        remove = ["unshare", "--mount", "sh", "-c", REMOVE, "sh", self._cgroup]
        while subprocess.run(remove, capture_output=True).returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.05)
