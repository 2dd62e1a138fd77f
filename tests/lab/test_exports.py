"""NFS from a shared disk: no file that a client has written, and closed, is lost in a failover.

The server is NFS-Ganesha, which runs in user space: the kernel's own would be shared by all machines of the lab.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clusters import FAST, insist, kinds, promised, runs, watched
from nfs_writer import content
from servers import GANESHA, mounted, needs

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP
from hamgr.lab.watch import Prober

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.usefixtures("shared_disk")]

PROGRAM = Path(__file__).with_name("nfs_writer.py")

EXPORT = "/export"

FILES = 5

GROUPS = f"""
[group.files]
nodes = ["a", "b"]
auto_failback = false
{mounted("files")}[[group.files.resource]]
kind = "process"
name = "ganesha"
command = ["@LAB@/ganesha"]
[[group.files.resource]]
kind = "tcp"
address = "127.0.0.1"
port = 2049
[[group.files.resource]]
kind = "vip"
address = "{VIP}/24"
interface = "eth0"
"""


FOREGROUND = """#!/bin/sh
# On a new disk, the directories first.
mkdir -p @HERE@/mnt/export @HERE@/mnt/clients
exec ganesha.nfsd -F -f @LAB@/ganesha.conf -L @HERE@/ganesha.log -p @HERE@/ganesha.pid -N NIV_EVENT
"""


@pytest.fixture
def server(lab: Callable[..., Lab]) -> Lab:
    needs(("ganesha.nfsd", "nfs-ganesha nfs-ganesha-vfs"), ("nfs-cp", "libnfs-utils"))
    scripts = {"ganesha": FOREGROUND, "ganesha.conf": GANESHA}
    cluster = lab(**FAST, groups=GROUPS, scripts=scripts, shared_disk="64M")
    cluster.wait(runs(cluster, files="a"), 40, "the NFS server to run on a")
    return cluster


@contextmanager
def writing(cluster: Lab) -> Iterator[Prober]:
    program = [sys.executable, str(PROGRAM), VIP, EXPORT, str(cluster.layout.directory / "journal")]
    with Prober([cluster.client.command(program)], cluster.environment, 0.02) as writer:
        yield writer


def wait_for_files(writer: Prober) -> None:
    for _ in range(FILES):
        asked = time.monotonic()
        writer.wait_for(lambda answer, asked=asked: answer.sent >= asked, 40, "a file to be written and read back")


@promised()
def assert_all_files_are_there(cluster: Lab, owner: str) -> None:
    names = (cluster.layout.directory / "journal").read_text().split()
    listed = cluster.client.exec(["nfs-ls", f"nfs://{VIP}{EXPORT}?version=4"]).stdout
    assert set(names) - set(listed.split()) == set()
    exported = [f"{cluster.layout.here}/mnt{EXPORT}/{name}" for name in names]
    assert cluster.node(owner).exec(["cat", *exported]).stdout == "".join(map(content, names))


def test_files_are_written_through_a_power_off_a_standby_and_a_server_that_dies(server: Lab) -> None:
    with watched(server), writing(server) as writer:
        wait_for_files(writer)
        server.node("a").power_off()
        server.wait(runs(server, files="b"), 40, "the NFS server to run on b")
        wait_for_files(writer)
        server.node("b").exec(["pkill", "-9", "ganesha.nfsd"])
        server.wait(lambda: kinds(server, "b").count("group-started") == 2, 20, "the NFS server to be started again")
        wait_for_files(writer)
        server.node("a").power_on()
        server.wait(lambda: server.status("a")["quorate"], 20, "a to be back")
        insist(server, "b", "standby", "b")
        server.wait(runs(server, files="a"), 40, "the NFS server to run on a again")
        wait_for_files(writer)
    assert_all_files_are_there(server, "a")
