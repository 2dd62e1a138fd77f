"""`source = true`: the machine's own connections come from the vip while it is here, as a real server sees them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from wires import Net, needs_namespaces, wires

pytestmark = needs_namespaces

CASES = pytest.mark.parametrize(
    ("address", "far", "gateway"),
    [
        ("192.0.2.100/24", "203.0.113.9", "192.0.2.3"),
        ("2001:db8::100/64", "2001:db8:9::9", "2001:db8::3"),
    ],
)


@pytest.fixture
def net() -> Iterator[Net]:
    """The client is a's router, and has an address of the world behind it."""
    with wires() as net:
        net.ip("client", "address", "add", "203.0.113.9/32", "dev", "lo")
        net.ip("client", "address", "add", "2001:db8:9::9/128", "dev", "lo")
        net.ip("client", "link", "set", "lo", "up")
        net.ip("a", "route", "add", "default", "via", "192.0.2.3")
        net.ip("a", "-6", "route", "add", "default", "via", "2001:db8::3")
        yield net


def seen_from(net: Net, server: str) -> str:
    """The address from which a's connection reaches the server."""
    ask = f"import socket; print(socket.create_connection(('{server}', 7), 5).getsockname()[0])"
    answer = (
        "import socket; s = socket.create_server(('::', 7), family=socket.AF_INET6, dualstack_ipv6=True);"
        "print('ready', flush=True); print(s.accept()[1][0])"
    )
    inside = ["ip", "netns", "exec"]
    listening = [*inside, net.ns("client"), "python3", "-c", answer]
    with subprocess.Popen(listening, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            subprocess.run([*inside, net.ns("a"), "python3", "-c", ask], check=True, capture_output=True, timeout=20)
            return process.stdout.readline().strip().removeprefix("::ffff:")
        finally:
            process.kill()


def routes(net: Net, family: str) -> list[str]:
    """What is told of a's routes, without what passes by itself."""
    shown = json.loads(net.ip("a", family, "-json", "route", "show"))
    return sorted(json.dumps({k: v for k, v in route.items() if k != "flags"}, sort_keys=True) for route in shown)


@CASES
def test_connections_come_from_it_while_it_is_here_and_no_longer(
    net: Net, address: str, far: str, gateway: str
) -> None:
    plain = address.split("/")[0]
    family = "-6" if ":" in plain else "-4"
    own, before = seen_from(net, far), routes(net, family)
    assert own in ("192.0.2.1", "2001:db8::1")
    assert net.vip("a", address, "start", "start", "status", source=True) == ["done", "done", "running"]
    assert seen_from(net, far) == plain, "over the default route"
    assert seen_from(net, gateway) == plain, "in its own network"
    assert net.vip("a", address, "status", "stop", "status", source=True) == ["running", "done", "stopped"]
    assert seen_from(net, far) == seen_from(net, gateway) == own
    assert routes(net, family) == before


@CASES
def test_the_machine_keeps_its_default_route_when_someone_removes_the_address(
    net: Net, address: str, far: str, gateway: str
) -> None:
    net.vip("a", address, "start", source=True)
    net.ip("a", "address", "delete", address, "dev", "eth0")
    assert seen_from(net, far) in ("192.0.2.1", "2001:db8::1")


@CASES
def test_a_route_that_someone_changes_gets_its_source_again(net: Net, address: str, far: str, gateway: str) -> None:
    family = "-6" if ":" in address else "-4"
    other = gateway[:-1] + "2"
    words = ["start"]
    for via in (other, gateway):
        words.append(f"ip {family} route replace default via {via}")
        words.append(f"output {via} ip {family} route get {far}")
    said = net.vip("a", address, *words, "status", source=True)
    assert f"via {other} dev eth0" in said[2]
    assert f"src {address.split('/')[0]}" in said[2]
    assert said[-1] == "running"
    assert seen_from(net, far) == address.split("/")[0]


def test_a_route_that_someone_removes_comes_back_with_its_source(net: Net) -> None:
    removed = "ip route delete 128.0.0.0/1"
    back = "output 192.0.2.100 ip route show 128.0.0.0/1"
    assert net.vip("a", "192.0.2.100/24", "start", removed, back, "status", source=True)[3] == "running"


def test_a_vpns_way_to_everywhere_is_left_alone(net: Net) -> None:
    net.card("a", "tun0")
    for half in ("0.0.0.0/1", "128.0.0.0/1"):
        net.ip("a", "route", "add", half, "dev", "tun0")
    net.vip("a", "192.0.2.100/24", "start", "status", source=True)
    assert "dev tun0" in net.ip("a", "route", "get", "203.0.113.9")
    assert "src 192.0.2.100" in net.ip("a", "route", "get", "192.0.2.3")


def test_a_source_that_may_not_be_mended_is_a_failure(net: Net) -> None:
    removed = "ip route delete 128.0.0.0/1"
    said = net.vip("a", "192.0.2.100/24", "start", removed, "lost", "status", source=True, may_mend=False)
    text = "connections to 128.0.0.0/1 have another source address than 192.0.2.100"
    assert said[2:] == [f"lost: {text}", f"failed: {text}"]
