"""MariaDB on a shared disk: no commit that a client was told of is lost in any failover.

A power-off in the lab kills all processes of the machine and takes from the shared disk what was not synced to it (see
`hamgr.lab.shareddisk`); the file behind that disk stands for a disk array, whose own cache outlives both machines.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from clusters import FAST, insist, promised, runs, watched
from servers import DATABASE, DATABASE_FILES, SCHEMA, WEB, WEB_PORT, needs

from hamgr.lab.lab import Lab
from hamgr.lab.plan import SHARED_DISK, VIP, VIP_OF_B
from hamgr.lab.watch import Prober

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.usefixtures("shared_disk")]

FAILOVERS = int(os.environ.get("HAMGR_FAILOVERS", "3"))

COMMITS = 50

PROGRAMS = (("mariadbd", "mariadb-server-core"), ("mariadb", "mariadb-client-core"))

PROGRAM = Path(__file__).with_name("sql_writer.py")

BY_OCF_AGENTS = f"""
[group.db]
nodes = ["a", "b"]
auto_failback = false
restarts = 0
failure_timeout = "1s"
[[group.db.resource]]
kind = "ocf"
agent = "ocf:heartbeat:IPaddr2"
parameters = {{ ip = "{VIP}", cidr_netmask = 24, nic = "eth0" }}
[[group.db.resource]]
kind = "ocf"
agent = "ocf:heartbeat:Filesystem"
parameters = {{ device = "@DISK@", directory = "@HERE@/mnt", fstype = "ext4" }}
[[group.db.resource]]
kind = "ocf"
agent = "ocf:heartbeat:mysql"
monitor_interval = "500ms"
[group.db.resource.parameters]
binary = "/usr/sbin/mariadbd"
client_binary = "mariadb"
config = "@LAB@/my.cnf"
user = "root"
group = "root"
datadir = "@HERE@/mnt/mysql"
log = "@HERE@/mariadb.log"
pid = "/run/db/pid"
socket = "/run/db/sock"
"""

MY_CNF = """
[mariadbd]
user = root
bind-address = 0.0.0.0
skip-name-resolve
init-file = @LAB@/schema.sql
innodb-flush-log-at-trx-commit = 1
innodb-buffer-pool-size = 8M
innodb-log-file-size = 8M
key-buffer-size = 1M
aria-pagecache-buffer-size = 1M
"""

OWN_RUN_AND_FIRST_DATABASE = """
mount -t tmpfs tmpfs /run  # What the agents keep there belongs to one boot of one machine.
mkdir -p $HERE/mnt
[ $NODE = a ] && ! [ -e $HERE/prepared ] || exit 0
mount @DISK@ $HERE/mnt
mariadb-install-db --no-defaults --user=root --datadir=$HERE/mnt/mysql --skip-test-db
umount $HERE/mnt
touch $HERE/prepared
"""

SHOP = f"""
[group.shop]
nodes = ["b", "a"]
after = ["db"]
auto_failback = false
[[group.shop.resource]]
kind = "vip"
address = "{VIP_OF_B}/24"
interface = "eth0"
[[group.shop.resource]]
kind = "lsb"
name = "shop"
script = "@LAB@/shop"
"""

NEEDS_THE_DATABASE = f"""#!/bin/sh
# A web server that can't be started, and can't be stopped, without its database.
[ "$1" = status ] || mariadb --no-defaults --host={VIP} --user=writer --password=written --execute="SELECT 1" || exit 1
exec @LAB@/web "$1"
"""


@dataclass(frozen=True)
class Written:
    """What the writer tried, and what of it was acknowledged: (number, attempt)."""

    tried: frozenset[tuple[int, int]]
    acknowledged: frozenset[tuple[int, int]]

    @classmethod
    def read(cls, journal: Path) -> Written:
        lines = [line.split() for line in journal.read_text().splitlines()]
        marks = {what: frozenset((int(n), int(m)) for kind, n, m in lines if kind == what) for what in ("try", "ack")}
        return cls(marks["try"], marks["ack"])


def other(node: str) -> str:
    return "b" if node == "a" else "a"


def cut_the_power(cluster: Lab, owner: str) -> None:
    cluster.node(owner).power_off()


def kill_the_server(cluster: Lab, owner: str) -> None:
    cluster.node(owner).exec(["pkill", "-9", "mariadbd"])


def stand_by(cluster: Lab, owner: str) -> None:
    """Accepted once the other node is known to be able to run it."""
    insist(cluster, owner, "standby", owner)


def kill_the_daemon(cluster: Lab, owner: str) -> None:
    """The machine lives and MariaDB runs on, until the survivor has the BMC switch the machine off."""
    cluster.node(owner).kill_daemon(signal.SIGKILL)


FAULTS = (cut_the_power, kill_the_server, stand_by, cut_the_power, kill_the_daemon)


def make_whole(cluster: Lab, node: str) -> None:
    """Bring a node back to where it can take the database again."""
    if not cluster.node(node).is_on():
        cluster.node(node).power_on()
    cluster.wait(lambda: cluster.status(node)["quorate"], 20, f"{node} to be back")
    insist(cluster, other(node), "online", node)
    insist(cluster, other(node), "cleanup", "db", "--node", node)


@contextmanager
def writing(cluster: Lab) -> Iterator[Prober]:
    """A client that writes row after row through the shared address."""
    program = [sys.executable, str(PROGRAM), VIP, str(journal(cluster))]
    with Prober([cluster.client.command(program)], cluster.environment, 0.005) as writer:
        yield writer


def journal(cluster: Lab) -> Path:
    return cluster.layout.directory / "journal"


def wait_for_commits(cluster: Lab, writer: Prober, node: str, timeout: float = 40.0) -> None:
    """Wait until this node has acknowledged so many rows from now on that a lost one would be among many."""
    asked = time.monotonic()

    def so_many() -> bool:
        recent = itertools.takewhile(lambda answer: answer.sent >= asked, reversed(writer.answers()))
        return sum(answer.node == node for answer in recent) >= COMMITS

    cluster.wait(so_many, timeout, f"{COMMITS} commits that {node} acknowledges")


def sql(cluster: Lab, statement: str) -> list[list[str]]:
    """What a client is answered through the shared address."""
    client = ["mariadb", "--no-defaults", f"--host={VIP}", "--user=writer", "--password=written", "--batch"]
    asked = cluster.client.exec([*client, "--skip-column-names", f"--execute={statement}"])
    return [line.split("\t") for line in asked.stdout.splitlines()]


@promised()
def assert_nothing_is_lost(cluster: Lab) -> None:
    """Every acknowledged row is there, each try at most once, and nothing that was not tried. A number is there twice
    only by two tries: the acknowledgement of the first was lost."""
    written = Written.read(journal(cluster))
    rows = [(int(n), int(m)) for n, m in sql(cluster, "SELECT number, attempt FROM lab.written ORDER BY id")]
    assert [row for row, times in Counter(rows).items() if times > 1] == []
    assert written.acknowledged - set(rows) == set(), "acknowledged, and lost"
    assert set(rows) - written.tried == set(), "never tried"
    numbers = [number for number, _ in sorted(written.acknowledged)]
    assert numbers == list(range(1, len(numbers) + 1)), "one acknowledgement for each number"
    keys = [int(key) for (key,) in sql(cluster, "SELECT id FROM lab.written FORCE INDEX (PRIMARY) ORDER BY id")]
    assert all(earlier < later for earlier, later in itertools.pairwise(keys))
    assert sql(cluster, "SELECT COUNT(*) FROM lab.written FORCE INDEX (once)") == [[str(len(keys))]]
    assert sql(cluster, "CHECK TABLE lab.written EXTENDED")[-1][-2:] == ["status", "OK"]


@promised()
def assert_the_disk_is_whole(cluster: Lab, owner: str) -> None:
    """Stopped cleanly, InnoDB's pages and the file system have no fault."""
    cluster.node(owner).kill_daemon(signal.SIGTERM)
    cluster.node(other(owner)).power_off()
    cluster.wait(lambda: not cluster.layout.daemon_pid(owner).exists(), 20, "the group to be stopped")
    here = cluster.layout.here
    look = f"mount -o ro {SHARED_DISK} {here}/mnt; innochecksum {here}/mnt/mysql/lab/written.ibd; umount {here}/mnt"
    cluster.node(owner).exec(["sh", "-ec", look])
    checked = subprocess.run(["e2fsck", "-fn", cluster.layout.disk_image], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.fixture
def mariadb(lab: Callable[..., Lab]) -> Callable[..., Lab]:
    """A lab with MariaDB on a shared disk, and what else is given."""
    needs(*PROGRAMS)

    def up(groups: str = "", **scripts: str) -> Lab:
        files = {**DATABASE_FILES, **scripts}
        return lab(**FAST, groups=DATABASE + groups, scripts=files, shared_disk="192M")

    return up


@pytest.fixture
def database(mariadb: Callable[..., Lab]) -> Lab:
    """MariaDB, its data and the shared address on a."""
    cluster = mariadb()
    cluster.wait(runs(cluster, db="a"), 60, "the database to run on a")
    return cluster


@pytest.mark.timeout(60 + 40 * FAILOVERS)
def test_no_acknowledged_row_is_lost_in_any_failover(database: Lab) -> None:
    """HAMGR_FAILOVERS says how many; the faults take turns."""
    with watched(database), writing(database) as writer:
        owner = "a"
        for fault in itertools.islice(itertools.cycle(FAULTS), FAILOVERS):
            wait_for_commits(database, writer, owner)
            fault(database, owner)
            left, owner = owner, other(owner)
            wait_for_commits(database, writer, owner)
            make_whole(database, left)
    assert_nothing_is_lost(database)
    assert_the_disk_is_whole(database, owner)


@pytest.mark.skipif(not Path("/usr/lib/ocf/resource.d/heartbeat/mysql").exists(), reason="missing resource-agents")
def test_mariadb_run_by_ocf_agents_loses_nothing_either(lab: Callable[..., Lab]) -> None:
    needs(*PROGRAMS)
    files = {"my.cnf": MY_CNF, "schema.sql": SCHEMA}
    boot = OWN_RUN_AND_FIRST_DATABASE
    cluster = lab(**FAST, groups=BY_OCF_AGENTS, scripts=files, boot=boot, shared_disk="192M")
    cluster.wait(runs(cluster, db="a"), 60, "the database to run on a")
    with watched(cluster), writing(cluster) as writer:
        for owner, fault in (("a", cut_the_power), ("b", stand_by)):
            wait_for_commits(cluster, writer, owner)
            fault(cluster, owner)
            wait_for_commits(cluster, writer, other(owner))
            make_whole(cluster, owner)
    assert_nothing_is_lost(cluster)


def test_in_maintenance_hamgrd_is_restarted_and_no_writer_notices(database: Lab) -> None:
    hamgr = ["hamgr", "--config", str(database.layout.config), "maintenance"]
    with watched(database), writing(database) as writer:
        wait_for_commits(database, writer, "a")
        database.node("b").exec([*hamgr, "on"])
        for node in "ab":
            database.node(node).kill_daemon(signal.SIGTERM)
            database.wait(
                lambda node=node: not database.layout.daemon_pid(node).exists(), 10, f"{node}'s hamgrd to end"
            )
            wait_for_commits(database, writer, "a")
            database.node(node).start_daemon()
            database.wait(lambda node=node: database.status(node)["quorate"], 20, f"{node} to be back")
        insist(database, "b", "maintenance", "off")
        database.wait(runs(database, db="a"), 20, "the database to be known as a's again")
        wait_for_commits(database, writer, "a")
    written = Written.read(journal(database))
    assert written.tried == written.acknowledged, "a try that failed"
    assert_nothing_is_lost(database)


def test_a_shop_starts_after_its_database_and_stops_before_it(mariadb: Callable[..., Lab]) -> None:
    """The shop's script fails when the database does not answer, and a group that fails to stop has its node fenced."""
    cluster = mariadb(SHOP, web=WEB, shop=NEEDS_THE_DATABASE)

    def failures(node: str) -> list[str]:
        return [event.text for event in cluster.events(node) if event.kind == "group-failed"]

    with watched(cluster, f"http://{VIP_OF_B}:{WEB_PORT}/") as prober:
        cluster.wait(runs(cluster, db="a", shop="b"), 60, "both to run, the shop on the other node")
        insist(cluster, "b", "standby", "a")
        cluster.wait(runs(cluster, db="b", shop="b"), 30, "the database to have moved, and the shop to have waited")
        prober.wait_for_page("b")
        assert failures("b") == []
        insist(cluster, "b", "online", "a")
        cluster.wait(lambda: cluster.status("a")["quorate"], 20, "a to be ready")
        cluster.node("b").power_off()
        cluster.wait(runs(cluster, db="a", shop="a"), 40, "both to run on a")
        prober.wait_for_page("a")
    assert failures("a") == []
