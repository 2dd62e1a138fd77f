"""Debian's OCF agents, unchanged: their meta-data checks the file, and each lives through two starts and two stops."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hamgr.config.local import check_local, examine_local
from hamgr.config.model import ResourceConfig
from hamgr.config.toml import load
from hamgr.links.keyfile import write_key_file
from hamgr.resources import ocf_calls
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.resource import Resource, ResourceError, ResourceStatus, Surroundings

AGENTS = Path("/usr/lib/ocf/resource.d/heartbeat")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="agents expect to be root"),
    pytest.mark.skipif(not AGENTS.is_dir(), reason="needs Debian's agents (resource-agents)"),
]

CONFIG = """
[cluster]
name = "t"
key_file = "{dir}/key"
state_dir = "{dir}/state"
[link.one]
kind = "udp"
interface = "lo"
[node.a]
address = {{ one = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2" }}
[fence.a]
node = "a"
agent = "fence_hamgr_null"
[group.web]
[[group.web.resource]]
kind = "ocf"
"""

Declare = Callable[[str], ResourceConfig]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """`declare('agent = "ocf:heartbeat:Dummy"')`: a resource that the configuration and its agent approve of."""
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(ocf_calls, "RUN_DIRECTORY", tmp_path / "run")
    write_key_file(tmp_path / "key")

    def make(keys: str) -> ResourceConfig:
        path = tmp_path / "hamgr.toml"
        path.write_text(CONFIG.format(dir=tmp_path) + keys)
        config = load(path, RESOURCE_KINDS)
        assert check_local(config, "a", RESOURCE_KINDS) == []
        assert examine_local(config, "a", RESOURCE_KINDS) == []
        return config.groups[0].resources[0]

    return make


def build(config: ResourceConfig, tmp_path: Path) -> Resource:
    around = Surroundings(node="a", nodes=("a", "b"), group="web", state_dir=tmp_path / "state")
    return RESOURCE_KINDS["ocf"].build(config, around)


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program} ({package})")


class Life:
    """A resource through two starts and two stops; what is true in between is for the test to see."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    async def begin(self) -> None:
        await self._resource.prepare()
        assert await self._resource.status() is ResourceStatus.STOPPED
        await self._resource.start()
        await self._resource.start()
        assert await self._resource.status() is ResourceStatus.RUNNING

    async def end(self) -> None:
        await self._resource.stop()
        await self._resource.stop()
        assert await self._resource.status() is ResourceStatus.STOPPED


async def test_dummy(declare: Declare, tmp_path: Path) -> None:
    config = declare('agent = "ocf:heartbeat:Dummy"\n')
    assert (config.start_timeout, config.monitor_interval) == (20, 10)
    life = Life(build(config, tmp_path))
    await life.begin()
    assert (tmp_path / "run" / "Dummy-web.ocf.state").exists()
    await life.end()


async def test_stateful(declare: Declare, tmp_path: Path) -> None:
    resource = build(declare('agent = "ocf:heartbeat:Stateful"\npromotable = true\n'), tmp_path)
    state = tmp_path / "run" / "Stateful-web.ocf.state"
    score = tmp_path / "run" / "hamgr-attributes" / "master-web.ocf"
    life = Life(resource)
    await life.begin()
    assert (state.read_text(), score.read_text()) == ("master\n", "10\n")
    await life.end()
    assert (state.read_text(), score.read_text()) == ("slave\n", "5\n")
    await resource.close()


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"hamgr-ocf-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in (
            ["link", "add", "eth0", "type", "veth", "peer", "name", "eth1"],
            ["address", "add", "192.0.2.1/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["link", "set", "eth1", "up"],
        ):
            subprocess.run(["ip", "-n", name, *words], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@needs("ip", "iproute2")
async def test_ipaddr2(declare: Declare, tmp_path: Path, namespace: str) -> None:
    def addresses() -> str:
        return subprocess.run(["ip", "-n", namespace, "address"], capture_output=True, text=True, check=True).stdout

    keys = f'ip = "192.0.2.100", cidr_netmask = 24, nic = "eth0", network_namespace = "{namespace}"'
    life = Life(build(declare(f'agent = "heartbeat:IPaddr2"\nparameters = {{ {keys} }}\n'), tmp_path))
    await life.begin()
    assert "192.0.2.100/24" in addresses()
    await life.end()
    assert "192.0.2.100" not in addresses()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A loop device with an ext4 file system."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    done = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no loop device here: {done.stderr.strip()}")
    name = done.stdout.strip()
    try:
        subprocess.run(["mkfs.ext4", "-q", name], check=True)
        yield name
    finally:
        subprocess.run(["umount", name], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["losetup", "--detach", name], check=True)


@needs("mkfs.ext4", "e2fsprogs")
@needs("fuser", "psmisc")
@needs("modprobe", "kmod")
async def test_filesystem(declare: Declare, tmp_path: Path, device: str) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    keys = f'device = "{device}", directory = "{mounted}", fstype = "ext4"'
    config = declare(f'agent = "heartbeat/Filesystem"\nparameters = {{ {keys} }}\ncheck_level = 20\n')
    assert (config.start_timeout, config.monitor_timeout, config.monitor_interval) == (60, 40, 20)
    life = Life(build(config, tmp_path))
    await life.begin()
    assert mounted.is_mount()
    (mounted / "file").write_text("written")
    user = subprocess.Popen(["sleep", "1000"], cwd=mounted)  # noqa: ASYNC220
    try:
        await life.end()  # whoever uses it is killed
        assert user.wait(timeout=10) < 0
    finally:
        user.kill()
        user.wait()
    assert not mounted.is_mount()


@pytest.fixture
def web() -> Iterator[tuple[int, Path]]:
    """A free port, and a directory that a web server can read, whoever it becomes."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        home.chmod(0o755)
        (home / "index.html").write_text("it works\n")
        yield port, home


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=10) as answer:
        return str(answer.read().decode())


@needs("nginx", "nginx-light")
async def test_nginx(declare: Declare, tmp_path: Path, web: tuple[int, Path]) -> None:
    port, home = web
    configuration = home / "nginx.conf"
    configuration.write_text(
        f"user root;\npid {home}/nginx.pid;\nerror_log {home}/error.log;\n"
        "events { worker_connections 16; }\n"
        f"http {{\n  access_log off;\n  server {{\n    listen 127.0.0.1:{port};\n    root {home};\n  }}\n}}\n"
    )
    status = f'status10url = "http://127.0.0.1:{port}/index.html", status10regex = "it works"'
    keys = f'configfile = "{configuration}", httpd = "{shutil.which("nginx")}", port = {port}, {status}'
    config = declare(f'agent = "ocf:heartbeat:nginx"\nparameters = {{ {keys} }}\ncheck_level = 10\n')
    assert (config.start_timeout, config.stop_timeout, config.monitor_interval) == (40, 60, 30)
    life = Life(build(config, tmp_path))
    await life.begin()
    assert page(port) == "it works\n"
    await life.end()
    with pytest.raises(OSError, match="refused"):
        page(port)


@needs("apache2", "apache2-bin")
@needs("wget", "wget")
async def test_apache(declare: Declare, tmp_path: Path, web: tuple[int, Path]) -> None:
    port, home = web
    modules = ("mpm_event", "authz_core", "authz_host", "status")
    configuration = home / "apache.conf"
    configuration.write_text(
        "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in modules)
        + f'ServerRoot "{home}"\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {home}/apache.pid\n'
        f"ErrorLog {home}/error.log\nDocumentRoot {home}\nUser www-data\nGroup www-data\n"
        "<Location /server-status>\nSetHandler server-status\nRequire local\n</Location>\n"
    )
    keys = f'configfile = "{configuration}", httpd = "/usr/sbin/apache2", port = {port}'
    status = f'statusurl = "http://127.0.0.1:{port}/server-status"'
    config = declare(f'agent = "ocf:heartbeat:apache"\nparameters = {{ {keys}, {status} }}\n')
    assert (config.start_timeout, config.stop_timeout, config.monitor_interval) == (40, 60, 10)
    life = Life(build(config, tmp_path))
    await life.begin()
    assert page(port) == "it works\n"
    await life.end()


@needs("nginx", "nginx-light")
async def test_a_missing_configuration_is_told_in_the_agents_words(tmp_path: Path) -> None:
    options = {"agent": "ocf:heartbeat:nginx", "parameters": {"configfile": str(tmp_path / "none")}}
    resource = build(ResourceConfig("web", "ocf", options), tmp_path)
    assert await resource.status() is ResourceStatus.STOPPED
    with pytest.raises(ResourceError, match=r"^ocf:heartbeat:nginx start: not (installed|configured) \([56]\): .*none"):
        await resource.start()
    await resource.stop()
