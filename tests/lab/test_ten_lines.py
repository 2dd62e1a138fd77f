"""docs/example-small.toml itself, on two machines that run systemd and Debian's nginx.service, asked by a client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import watched
from servers import needs

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP, Fencing, bmc_address, node_address

SMALL = Path(__file__).parents[2] / "docs" / "example-small.toml"
SYSTEMD, UNIT = Path("/lib/systemd/system"), "nginx.service"
GROUP = f"hamgr-lab-{os.getpid()}"
"""Of control groups; each machine's systemd has one of its own."""

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="booting a systemd needs root"),
    pytest.mark.timeout(240),
]

BOOT = """
# Beside hamgrd a systemd, as the first process of a namespace within the machine's; both see the same /run.
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
mount -t tmpfs -o mode=755 tmpfs /var/www/html
mkdir -p /run/dbus /run/lock /run/cgroup /var/lib/nginx /var/log/nginx
hostname >/var/www/html/index.html
install -m 600 @LAB@/key /run/cluster.key
mount -t cgroup2 cgroup2 /run/cgroup
mkdir -p "/run/cgroup/GROUP-$NODE"
(
  echo 0 >"/run/cgroup/GROUP-$NODE/cgroup.procs"
  exec setsid unshare --fork --pid --mount --cgroup --kill-child -- sh -e @LAB@/systemd
) &
# What a real machine has by itself when its hamgrd starts.
until busctl --timeout=1 status org.freedesktop.systemd1 >/dev/null 2>&1; do sleep 0.05; done
hamgr --config @LAB@/small.toml init --node "$NODE"
setsid hamgrd --config @LAB@/small.toml --node "$NODE" &
""".replace("GROUP", GROUP)

START_SYSTEMD = """
# Of the units of this machine it sees nginx alone: nothing else of it may be started here.
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
umount /run/cgroup
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /etc/systemd
mkdir /etc/systemd/system
cd /etc/systemd/system
cp /lib/systemd/system/nginx.service .
for target in sysinit basic network network-online remote-fs nss-lookup shutdown; do
  printf '[Unit]\\nDefaultDependencies=no\\n' >$target.target
done
printf '[Unit]\\nDefaultDependencies=no\\nWants=dbus.service\\n' >default.target
printf '[Unit]\\nDefaultDependencies=no\\n[Socket]\\nListenStream=/run/dbus/system_bus_socket\\n' >dbus.socket
cat >dbus.service <<X
[Unit]
DefaultDependencies=no
Requires=dbus.socket
[Service]
Type=notify
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
X
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=hamgr-test SYSTEMD_LOG_TARGET=console \\
  SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system /lib/systemd/systemd --system --show-status=no
"""

SYSTEMD_OBJECT = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
KILL = ("busctl", "call", *SYSTEMD_OBJECT, "KillUnit", "ssi", UNIT, "all", "9")

REMOVE = """
mount -t cgroup2 cgroup2 /mnt
for group in /mnt/"$1"-*; do
  [ ! -e "$group" ] || find "$group" -depth -type d -exec rmdir {} +
done
"""


def small_toml() -> str:
    """The file with the addresses of the lab, and the secrets where the machines of the lab have them."""
    text = SMALL.read_text()
    for here, there in (
        ('"10.0.0.100"', f'"{VIP}"'),
        ('"10.0.0.1"', f'"{node_address("a", "lan")}"'),
        ('"10.0.0.2"', f'"{node_address("b", "lan")}"'),
        ('"10.0.9.21"', f'"{bmc_address("a")}"'),
        ('"10.0.9.22"', f'"{bmc_address("b")}"'),
        ("/etc/hamgr/cluster.key", "/run/cluster.key"),
        ("/etc/hamgr/bmc", "@LAB@/bmc.password"),
    ):
        assert here in text
        text = text.replace(here, there)
    return text


@pytest.fixture
def no_control_groups() -> Iterator[None]:
    """None is left; a control group can be removed only when all its processes are gone, and so after the lab."""
    yield
    remove = ["unshare", "--mount", "sh", "-ec", REMOVE, "sh", GROUP]
    deadline = time.monotonic() + 10
    while subprocess.run(remove, capture_output=True).returncode != 0 and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.fixture
def ten_lines(no_control_groups: None, lab, tmp_path: Path) -> Lab:
    needs(("nginx", "nginx-light"), ("dbus-daemon", "dbus"), ("busctl", "systemd"), ("/lib/systemd/systemd", "systemd"))
    if not (SYSTEMD / UNIT).exists():
        pytest.skip(f"missing {UNIT} (nginx-light)")
    key = tmp_path / "key"
    subprocess.run([Path(sys.executable).parent / "hamgr", "key", "new", key], check=True, capture_output=True)
    scripts = {"small.toml": small_toml(), "key": key.read_text(), "systemd": START_SYSTEMD}
    return lab(daemons=False, arbiter=False, fencing=Fencing.IPMI, boot=BOOT, scripts=scripts)


def on(lab: Lab, node: str, *words: str) -> str:
    done = lab.node(node).exec(list(words), check=False)
    return done.stdout if done.returncode == 0 else ""


def group(lab: Lab, node: str) -> dict[str, Any]:
    shown = on(lab, node, "hamgr", "status", "--json")
    return json.loads(shown)["groups"][0] if shown else {}


def events(lab: Lab, node: str) -> list[str]:
    lines = on(lab, node, "hamgr", "watch", "--past", "100", "--no-follow", "--json").splitlines()
    return [json.loads(line)["kind"] for line in lines]


def test_ten_lines_keep_nginx_running(ten_lines: Lab) -> None:
    lab = ten_lines

    def runs_on(node: str, seen_from: str) -> bool:
        found = group(lab, seen_from)
        return (found.get("owner"), found.get("state")) == (node, "started")

    lab.wait(lambda: runs_on("a", "b"), 60, "nginx to run on a")
    with watched(lab, f"http://{VIP}/") as prober:
        prober.wait_for_page("a", timeout=20)

        on(lab, "a", *KILL)
        lab.wait(lambda: events(lab, "a").count("group-started") == 2, 9, "a restart, before the monitor's next look")
        assert "group-failed" in events(lab, "a")

        lab.node("a").power_off()
        lab.wait(lambda: runs_on("b", "b"), 60, "nginx to run on b")
        prober.wait_for_page("b", timeout=20)
