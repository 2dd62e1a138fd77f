"""A machine with a real systemd, where hamgr is installed as the README says: its programs, and its units unchanged."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from booted import Booted

ROOT = Path(__file__).parents[3]
PROGRAMS = {"hamgr": "hamgr.cli.main", "hamgrd": "hamgr.daemon", "hamgr-arbiter": "arbiter.server"}
AGENTS = {"fence_hamgr_null": "fence_agents.null"}
HOME = "/run/hamgr-test"
PYTHON = f"{HOME}/python/bin/python{sysconfig.get_python_version()}"
"""The interpreter may lie where a hardened service must not look, as in /root or /tmp: it is seen here, too."""

PREPARE = """
ip link set lo up
mkdir -p /run/etc/upper /run/etc/work HOME/python HOME/packages HOME/source
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /usr/local/sbin
mount --bind "BASE" HOME/python
mount --bind "PACKAGES" HOME/packages
mount --bind "SOURCE" HOME/source
mkdir -p /etc/hamgr
echo a > /etc/hostname
"""

LAUNCHER = f"""#!/bin/sh
export LD_LIBRARY_PATH={HOME}/python/lib PYTHONPATH={HOME}/source:{HOME}/packages:{HOME}/source/tests/unit/arbiter
exec {PYTHON} MODULE "$@"
"""

STARTED = "-c 'import sys; from MODULE import main; sys.exit(main())'"
"""As pip's scripts do."""

JOURNAL_SOCKET = """IgnoreOnIsolate=yes
[Socket]
ListenStream=/run/systemd/journal/stdout
ListenDatagram=/run/systemd/journal/socket
SocketMode=0666
PassCredentials=yes
"""
JOURNAL = """IgnoreOnIsolate=yes
Requires=systemd-journald.socket
[Service]
Type=notify
ExecStart=/lib/systemd/systemd-journald
Sockets=systemd-journald.socket
StandardOutput=null
"""


class Shipped(Booted):
    """Nothing of it is on this machine's disk: /etc, /var/lib and /usr/local/sbin are its own, in memory. Its name is
    a."""

    def __init__(self, directory: Path) -> None:
        paths = {"BASE": sys.base_prefix, "PACKAGES": sysconfig.get_path("purelib"), "SOURCE": str(ROOT), "HOME": HOME}
        prepare = PREPARE
        for word, path in paths.items():
            prepare = prepare.replace(word, path)
        super().__init__(directory, prepare)

    def install(self) -> None:
        """After the boot."""
        for name, module in {**PROGRAMS, **AGENTS}.items():
            self.place(f"/usr/local/sbin/{name}", LAUNCHER.replace("MODULE", STARTED.replace("MODULE", module)), 0o755)
        self.place("/usr/local/sbin/hamgr-python", LAUNCHER.replace("MODULE", ""), 0o755)
        if not self.there("/etc/machine-id").exists():
            self.place("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.place("/etc/systemd/journald.conf", "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n")
        self.write("systemd-journald.socket", JOURNAL_SOCKET)
        self.write("systemd-journald.service", JOURNAL)
        for unit in (ROOT / "contrib").glob("*.service"):
            self.place(f"/etc/systemd/system/{unit.name}", unit.read_text())
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "start", "systemd-journald")

    def there(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def place(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.there(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def says(self, command: str) -> str:
        """What a command, as an administrator types it, prints."""
        return self.run(*shlex.split(command))

    def tries(self, command: str) -> subprocess.CompletedProcess[str]:
        return self._enter(*shlex.split(command))

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.says(f"systemctl show --property={name} --value {unit}").strip()

    def pid(self, unit: str) -> int:
        return int(self.shown(unit, "MainPID"))

    def journal(self, unit: str) -> str:
        self.says("journalctl --sync")
        return self.says(f"journalctl --no-pager --output=cat --unit={unit}")

    def newest_lines(self) -> str:
        return self.says("journalctl --no-pager --output=cat --lines=20")

    def forget_journal(self) -> None:
        self.says("journalctl --rotate")
        self.says("journalctl --vacuum-time=1us")

    def processes(self, unit: str) -> list[int]:
        """All that is left in the unit's control group."""
        listed = self.there(f"/sys/fs/cgroup/system.slice/{unit}.service/cgroup.procs")
        return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}: {self.newest_lines()}"
            time.sleep(0.05)


def why_not_shipped() -> str:
    """As `why_not` of a systemd alone."""
    if not os.access("/lib/systemd/systemd-journald", os.X_OK):
        return "needs systemd-journald (package systemd)"
    return "" if "overlay" in Path("/proc/filesystems").read_text() else "needs the kernel's overlay file system"
