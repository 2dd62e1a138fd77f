"""The scripts of Debian's package heartbeat, unchanged: an address, a file system, apache and mail, on two nodes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from clusters import FAST, insist, kinds, runs, watched
from servers import needs

from hamgr.lab.lab import Lab
from hamgr.lab.plan import SHARED_DISK, VIP

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.usefixtures("shared_disk")]

SHELLFUNCS = Path("/etc/ha.d/shellfuncs")
"""Of the package resource-agents; Heartbeat's scripts read it, and call its OCF agents."""

GROUP = f"""
[group.data]
nodes = ["a", "b"]
[[group.data.resource]]
kind = "heartbeat"
script = "IPaddr"
args = ["{VIP}/24/eth0"]
monitor_interval = "500ms"
[[group.data.resource]]
kind = "heartbeat"
script = "Filesystem"
args = ["{SHARED_DISK}", "@HERE@/data", "ext4"]
monitor_interval = "500ms"
[[group.data.resource]]
kind = "heartbeat"
script = "SendArp"
args = ["{VIP}/eth0"]
[[group.data.resource]]
kind = "heartbeat"
script = "MailTo"
args = ["root", "Takeover"]
[[group.data.resource]]
kind = "heartbeat"
script = "apache"
args = ["@LAB@/apache.conf"]
monitor_interval = "500ms"
[[group.data.resource]]
kind = "heartbeat"
script = "@LAB@/ours"
args = ["one", "two"]
"""

OURS = """#!/bin/sh
# As administrators wrote them: no status, no care for a second start.
. $HA_FUNCS
case $3 in
  start) mkdir @HERE@/ours && ha_log "info: $1 $2 on $HA_CURHOST" ;;
  stop) rmdir @HERE@/ours ;;
esac
"""

APACHE = """
ServerName lab
Listen 80
PidFile @HERE@/apache.pid
ErrorLog @HERE@/apache.log
User www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule status_module /usr/lib/apache2/modules/mod_status.so
<Location /server-status>
  SetHandler server-status
  Require all granted
</Location>
"""
"""The agent asks for /server-status."""

MAIL = """#!/bin/sh
echo "$@" >>@HERE@/mail
cat >>@HERE@/mail
"""

BOOT = """
rm -rf $HERE/ours; mkdir -p $HERE/data /run/resource-agents
mount -t tmpfs none /run/resource-agents
mount --bind HA_DIR /etc/ha.d
mount -t tmpfs none /usr/local/sbin
cp $LAB/mail /usr/local/sbin/mail
"""


@pytest.fixture(scope="module")
def ha_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/etc/ha.d as Debian's heartbeat and resource-agents bring it."""
    if not SHELLFUNCS.exists():
        pytest.skip(f"missing {SHELLFUNCS} (resource-agents)")
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            pytest.skip(f"missing {tool}: the scripts are those of Debian's package heartbeat")
    here = tmp_path_factory.mktemp("heartbeat")
    fetched = subprocess.run(
        ["apt-get", "download", "heartbeat"], cwd=here, capture_output=True, text=True, check=False
    )
    if fetched.returncode != 0:
        pytest.skip(f"Debian's package heartbeat can't be had: {fetched.stderr.strip()[-200:]}")
    (package,) = here.glob("heartbeat_*.deb")
    subprocess.run(["dpkg", "-x", package, here / "x"], check=True)
    shutil.copy(SHELLFUNCS, here / "x/etc/ha.d")
    return here / "x/etc/ha.d"


def test_heartbeats_own_scripts_fail_over(lab, ha_dir: Path) -> None:
    needs(("apache2", "apache2-bin"), ("curl", "curl"))
    boot = BOOT.replace("HA_DIR", str(ha_dir))
    scripts = {"ours": OURS, "apache.conf": APACHE, "mail": MAIL}
    cluster: Lab = lab(**FAST, groups=GROUP, boot=boot, scripts=scripts, shared_disk="16M")
    cluster.wait(runs(cluster, data="a"), 20, "data to run on a")
    file = f"{cluster.layout.here}/data/file"
    page = ["curl", "-sf", f"http://{VIP}/server-status?auto"]
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        assert "ServerVersion" in cluster.client.exec(page).stdout
        cluster.node("a").exec(["sh", "-ec", f"echo written on a >{file}; sync -f {file}"])
        cluster.node("a").power_off()
        cluster.wait(runs(cluster, data="b"), 20, "data to run on b")
        assert cluster.node("b").exec(["cat", file]).stdout == "written on a\n"
        assert "ServerVersion" in cluster.client.exec(page).stdout
        assert "-s Takeover" in (cluster.layout.disk("b") / "mail").read_text()
        cluster.node("a").power_on()
        cluster.wait(runs(cluster, data="a"), 30, "data to go home")
        insist(cluster, "a", "standby", "a")
        cluster.wait(runs(cluster, data="b"), 20, "data to run on b again")
    assert kinds(cluster, "b").count("fence-confirmed") == 1
    assert "group-failed" not in kinds(cluster, "b")
