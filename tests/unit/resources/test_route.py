"""Routes: those that move with a group, and those that a node always has."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from wires import Net, needs_namespaces, wires

pytestmark = needs_namespaces

ROUTES = pytest.mark.parametrize(
    "options",
    [
        {"to": "192.0.2.2/32", "interface": "eth1"},
        {"to": "203.0.113.0/24", "via": "192.0.2.3"},
        {"to": "default", "via": "192.0.2.3", "metric": 50, "source": "192.0.2.1"},
        {"to": "203.0.113.9", "via": "192.0.2.3", "table": 1000},
        {"to": "2001:db8:9::/48", "via": "2001:db8::3"},
        {"to": "2001:db8::2", "interface": "eth1"},
        {"to": "default", "via": "2001:db8::3", "interface": "eth0", "metric": 7},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
TO = {"to": "203.0.113.0/24", "via": "192.0.2.3"}


@pytest.fixture
def net() -> Iterator[Net]:
    with wires() as net:
        net.plug("a", "eth1")
        yield net


def is_ipv6(options: dict[str, object]) -> bool:
    return ":" in f"{options['to']}{options.get('via')}"


def shown(net: Net, options: dict[str, object]) -> list[dict[str, object]]:
    family = "-6" if is_ipv6(options) else "-4"
    words = ["route", "show", "table", str(options.get("table", "main"))]
    to = str(options["to"]).removesuffix("/32")
    return [route for route in json.loads(net.ip("a", family, "-json", *words)) if route["dst"] == to]


@ROUTES
def test_a_route_comes_and_goes_as_often_as_one_likes(net: Net, options: dict[str, object]) -> None:
    said = net.resource("route", "a", "status", "start", "start", "status", **options)
    assert said == ["stopped", "done", "done", "running"]
    (route,) = shown(net, options)
    assert route.get("gateway") == options.get("via")
    assert route["dev"] == options.get("interface", "eth0")
    assert route.get("prefsrc") == options.get("source")
    assert route.get("metric", 0) == options.get("metric", 1024 if is_ipv6(options) else 0)
    said = net.resource("route", "a", "status", "stop", "stop", "status", "no news", **options)
    assert said == ["running", "done", "done", "stopped", "done"]
    assert options.get("table") == 1000 or shown(net, options) == []


def test_an_equal_route_that_is_there_is_no_error(net: Net) -> None:
    net.ip("a", "route", "add", "203.0.113.0/24", "via", "192.0.2.3")
    assert net.resource("route", "a", "status", "start", "stop", "status", **TO) == [
        "running",
        "done",
        "done",
        "stopped",
    ]


def test_another_route_in_its_place_is_told_and_not_touched(net: Net) -> None:
    net.ip("a", "route", "add", "203.0.113.0/24", "via", "192.0.2.2")
    assert net.resource("route", "a", "start", "stop", **TO) == [
        "error: another route is in the place of 203.0.113.0/24 via 192.0.2.3: 203.0.113.0/24 via 192.0.2.2 dev eth0;"
        " replace = true would replace it",
        "done",
    ]
    assert [route["gateway"] for route in shown(net, TO)] == ["192.0.2.2"]


def test_another_route_in_its_place_is_replaced_when_the_configuration_says_so(net: Net) -> None:
    net.ip("a", "route", "add", "203.0.113.0/24", "via", "192.0.2.2")
    said = net.resource("route", "a", "start", "news", "status", replace=True, **TO)
    text = "the route 203.0.113.0/24 via 192.0.2.2 dev eth0 was replaced by 203.0.113.0/24 via 192.0.2.3"
    assert said == ["done", f"warning: {text} (replace = true)", "running"]
    assert [route["gateway"] for route in shown(net, TO)] == ["192.0.2.3"]


def test_another_metric_is_another_route(net: Net) -> None:
    net.ip("a", "route", "add", "203.0.113.0/24", "via", "192.0.2.2", "metric", "9")
    assert net.resource("route", "a", "start", "status", "stop", **TO) == ["done", "running", "done"]
    assert len(shown(net, TO)) == 1


def test_a_route_that_someone_removes_is_put_back_and_told(net: Net) -> None:
    said = net.resource("route", "a", "start", "ip route delete 203.0.113.0/24", "news", "status", **TO)
    assert said[2:] == ["warning: someone removed the route 203.0.113.0/24 via 192.0.2.3; hamgr put it back", "running"]


def test_a_route_that_someone_replaced_is_a_failure_and_says_by_what(net: Net) -> None:
    changed = "ip route replace 203.0.113.0/24 via 192.0.2.2"
    said = net.resource("route", "a", "start", changed, "lost", "status", **TO)
    assert said[2].startswith("lost: the route 203.0.113.0/24 via 192.0.2.3 is gone: another route is in the place of ")
    assert said[3] == "stopped"


def test_a_route_that_may_not_be_mended_is_a_failure(net: Net) -> None:
    said = net.resource("route", "a", "start", "ip route delete 203.0.113.0/24", "lost", may_mend=False, **TO)
    assert said[2] == "lost: someone removed the route 203.0.113.0/24 via 192.0.2.3"


def test_an_interface_that_is_down_or_gone_is_named(net: Net) -> None:
    options = {"to": "192.0.2.2", "interface": "eth1"}
    down = "ip link set eth1 down"
    said = net.resource("route", "a", "start", down, "lost", "start", "ip link delete eth1", "start", "stop", **options)
    assert said[2] == "lost: the route 192.0.2.2/32 dev eth1 is gone: interface eth1 is down"
    assert said[3] == "error: interface eth1 is down"
    assert said[5:] == ["error: interface eth1 does not exist", "done"]


def test_a_kept_route_is_added_put_back_and_left_behind(net: Net) -> None:
    options = {"to": "192.0.2.2", "interface": "eth1"}
    said = net.resource("kept", "a", "start", "ip route delete 192.0.2.2", "news", **options)
    assert said[2] == "warning: route peer: someone removed 192.0.2.2/32 dev eth1; hamgr put it back"
    assert [route["dev"] for route in shown(net, options)] == ["eth1"]
    assert net.resource("kept", "a", "start", "no news", **options) == ["done", "done"], "it is found as it was left"


def test_a_kept_route_waits_for_its_interface_and_follows_it(net: Net) -> None:
    options = {"to": "192.0.2.2", "interface": "eth1"}
    shows = "output eth1 ip route show 192.0.2.2"
    net.ip("a", "link", "set", "eth1", "name", "late0", "down")
    late = ("ip link set late0 name eth1", "ip link set eth1 up")
    said = net.resource(
        "kept", "a", "start", "news", *late, "news", shows, "ip link set eth1 down", "news", late[1], shows, **options
    )
    assert said[1] == "warning: route peer: 192.0.2.2/32 dev eth1 is not there: interface eth1 does not exist"
    assert said[4] == said[7] == "warning: route peer: 192.0.2.2/32 dev eth1 is not there: interface eth1 is down"


def test_a_kept_route_does_not_fight_for_ever(net: Net) -> None:
    options = {"to": "192.0.2.2", "interface": "eth1"}
    words = ["ip route delete 192.0.2.2", "news"] * 6
    said = net.resource("kept", "a", "start", *words, **options)
    assert "someone removes it again and again: 6 times within " in said[-1]
    assert shown(net, options) == []
