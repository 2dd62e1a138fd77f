"""Every directive of ha.cf: what becomes of it, and what is said of one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hadir import TWO_NODES, ha_dir, machine, mistakes, notes, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hamgr.config.heartbeat.build import config_of
from hamgr.config.heartbeat.directives import DIRECTIVES
from hamgr.config.heartbeat.values import seconds
from hamgr.config.model import Config, WatchdogConfig
from hamgr.config.problems import ConfigError
from hamgr.resources.kinds import RESOURCE_KINDS


def link(name: str) -> Callable[[Config], Any]:
    return lambda config: next(link for link in config.links if link.name == name)


@pytest.mark.parametrize(
    ("line", "found", "expected"),
    [
        ("keepalive 200ms", lambda c: c.spec.timing.keepalive, 0.2),
        ("keepalive 1.7", lambda c: c.spec.timing.keepalive, 1.7),
        ("keepalive 500000us", lambda c: c.spec.timing.keepalive, 0.5),
        ("deadtime 12s", lambda c: c.spec.timing.deadtime, 12.0),
        ("warntime 7", lambda c: c.spec.timing.warntime, 7.0),
        ("initdead 120", lambda c: c.spec.timing.initdead, 120.0),
        ("# nothing", lambda c: c.spec.timing.keepalive, 1.0),
        ("# nothing", lambda c: c.spec.timing.deadtime, 30.0),
        ("deadtime 8", lambda c: c.spec.timing.warntime, 4.0),
        ("deadtime 8", lambda c: c.spec.timing.initdead, 16.0),
        ("ping 10.0.0.254\ndeadping 45", lambda c: [(p.targets, p.deadtime) for p in c.pings], [(("10.0.0.254",), 45)]),
        ("ping 10.0.0.1 10.0.0.2", lambda c: [p.targets for p in c.pings], [("10.0.0.1",), ("10.0.0.2",)]),
        ("ping6 fd00::1", lambda c: [(p.name, p.targets) for p in c.pings], [("fd00--1", ("fd00::1",))]),
        ("ping_group g 10.0.0.1 10.0.0.2", lambda c: [p.targets for p in c.pings], [("10.0.0.1", "10.0.0.2")]),
        ("ping_group g 10.0.0.1", lambda c: [p.name for p in c.pings], ["g"]),
        ("node C d", lambda c: c.spec.names, ("a", "b", "c", "d")),
        ("node c.example.org,d", lambda c: c.spec.names, ("a", "b", "c.example.org", "d")),
        ("node a", lambda c: c.spec.names, ("a", "b")),
        ("cluster office", lambda c: c.spec.name, "office"),
        ("# nothing", lambda c: c.spec.name, "linux-ha"),
        ("bcast eth2 # the third", lambda c: link("eth2")(c).kind, "broadcast"),
        ("udp eth2", lambda c: link("eth2")(c).kind, "broadcast"),
        ("bcast eth2", lambda c: link("eth2")(c).port, 694),
        ("udpport 700\nbcast eth2", lambda c: link("eth2")(c).port, 700),
        ("udpport 700\nbcast eth2", lambda c: link("eth0")(c).port, 694),
        ("bcast eth0.100", lambda c: link("eth0-100")(c).interfaces["b"], "eth0.100"),
        ("mcast eth2 239.0.0.1 695 2 1", lambda c: link("eth2")(c).group, "239.0.0.1"),
        ("mcast eth2 239.0.0.1 695 2 1", lambda c: link("eth2")(c).port, 695),
        ("mcast eth2 239.0.0.1 695 2 1", lambda c: (link("eth2")(c).ttl, link("eth2")(c).loop), (2, True)),
        ("mcast6 eth2 ff12::1:2:3:4 694 1 0", lambda c: link("eth2")(c).group, "ff12::1:2:3:4"),
        ("mcast eth0 239.0.0.1 695 1 0", lambda c: link("eth0-2")(c).kind, "multicast"),
        ("serial /dev/ttyS0 /dev/ttyS1", lambda c: link("ttyS1")(c).devices["a"], "/dev/ttyS1"),
        ("baud 9600\nserial /dev/ttyS0", lambda c: link("ttyS0")(c).baud, 9600),
        ("serial /dev/ttyS0", lambda c: link("ttyS0")(c).baud, 19200),
        ("auto_failback off\n", lambda c: c.spec.group("x").auto_failback, False),
        ("auto_failback yes\n", lambda c: c.spec.group("x").auto_failback, True),
        ("auto_failback off\nauto_failback legacy\n", lambda c: c.spec.group("x").auto_failback, True),
        ("nice_failback on\n", lambda c: c.spec.group("x").auto_failback, False),
        ("nice_failback off\n", lambda c: c.spec.group("x").auto_failback, True),
        ("realtime off", lambda c: c.realtime, False),
        ("# nothing", lambda c: c.realtime, True),
        ("rtprio 5", lambda c: c.realtime_priority, 5),
        ("logfile /var/log/ha-log", lambda c: c.log_file, Path("/var/log/ha-log")),
        ("logfile /dev/null", lambda c: c.log_file, None),
        ("logfacility local0", lambda c: c.syslog, "local0"),
        ("logfacility none", lambda c: c.syslog, ""),
        ("crm off", lambda c: c.spec.name, "linux-ha"),
        ("pacemaker no", lambda c: c.spec.name, "linux-ha"),
        ("watchdog /dev/dog", lambda c: c.watchdogs, dict.fromkeys("ab", WatchdogConfig(Path("/dev/dog"), 30.0))),
        ("deadtime 12s\nwatchdog /dev/dog", lambda c: [node.watchdog_timeout for node in c.spec.nodes], [12.0, 12.0]),
    ],
)
def test_what_a_directive_becomes(tmp_path: Path, line: str, found: Callable[[Config], Any], expected: Any) -> None:
    config, _ = read(ha_dir(tmp_path, f"{TWO_NODES}{line}\n", "a x\n"))
    assert found(config) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hopfudge 1", "ignored: no message is passed on"),
        ("watchdog /dev/watchdog", "its time-out is 30s"),
        ("debugfile /var/log/ha-debug", "`hamgrd --debug` logs more"),
        ("use_logd yes", "needs no logging daemon"),
        ("debug 1", "`hamgrd --debug`"),
        ("apiauth ipfail gid=haclient uid=hacluster", "permissions of its admin socket"),
        ("compression bz2", "messages have a form of their own"),
        ("quorum_server 10.0.0.9", "[arbiter]"),
        ("hbaping qlogic-qla2200-0", "Fibre Channel"),
        ("respawn hacluster /usr/lib/heartbeat/ipfail", "not needed: hamgr itself moves groups"),
        ("respawn root /usr/bin/thing -x", "make /usr/bin/thing a systemd unit"),
        ("autojoin any", "nobody joins who is not named"),
        ("auto_failback legacy", "in hamgr it means `on`"),
        ("nice_failback on", "taken as `auto_failback off`"),
        ("ping 10.0.0.254", "only with ipfail"),
        ("udpport 700", "those before it keep their port"),
        ("bcast eth1", "left out: bcast has eth1 already"),
        ("stonith baytech /none/there", "the parameters of baytech name no node"),
        ("stonith_host * baytech 10.0.0.3 me secret", "the parameters of baytech name no node"),
        ("stonith_host * meatware a b", "hamgr fence ack NODE"),
        ("stonith_host a external/ipmi b 10.9.9.2 u p lanplus", "every node may use the device, not a alone"),
        ("stonith_host * external/ipmi b 10.9.9.2 u p lan", "`lan` is IPMI 1.5"),
    ],
)
def test_what_is_said_of_what_hamgr_does_differently(tmp_path: Path, line: str, said: str) -> None:
    directory = ha_dir(tmp_path, f"{TWO_NODES}{line}\n")
    found = [note for note in notes(read(directory)[1]) if note.startswith(f"line 5 ({line.split()[0]})")]
    assert len(found) == 1, found
    assert said in found[0]


@pytest.mark.parametrize("directive", DIRECTIVES)
def test_a_directive_never_passes_in_silence_when_it_is_ignored(tmp_path: Path, directive: str) -> None:
    """Each is used, or a note says why not; a word of nonsense behind it is a mistake or a note too."""
    plain, _ = read(ha_dir(tmp_path, TWO_NODES))
    try:
        config, draft = read(ha_dir(tmp_path, f"{TWO_NODES}{directive} zzz\n"))
        told = [note.key for note in draft.notes]
    except ConfigError as error:
        config, told = plain, [problem.key for problem in error.problems]
    assert f"line 5 ({directive})" in told or config != plain


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("keepalive fast", 'found "fast", allowed a time such as "2", "1.5s", "500ms" or "200us"'),
        ("keepalive", 'found "", allowed a time such as'),
        ("keepalive 200us", 'found "200us", allowed a time from 10ms up'),
        ("deadtime 500ms", "found keepalive 1s with deadtime 500ms, allowed keepalive under deadtime"),
        ("initdead 5", "found initdead 5s with deadtime 30s, allowed initdead from deadtime (30s) up"),
        ("warntime 31", "found warntime 31s with deadtime 30s, allowed warntime under deadtime (30s)"),
        ("auto_failback legcay", 'found "legcay", allowed on, off or legacy (did you mean "legacy"?)'),
        ("udpport 70000", 'found "70000", allowed a whole number from 1 to 65535'),
        ("baud 300", 'found "300", allowed one of 9600, 19200'),
        ("mcast eth0 239.0.0.1", "allowed `mcast DEVICE GROUP PORT TTL LOOP`"),
        ("mcast eth0 10.0.0.1 694 1 0", "allowed an IPv4 multicast group, such as 239.0.0.1"),
        ("mcast6 eth0 239.0.0.1 694 1 0", "allowed an IPv6 multicast group"),
        ("mcast eth0 239.0.0.1 694 0 0", "allowed a whole number from 1 to 255"),
        ("bcast", 'found "", allowed interfaces, such as eth0'),
        ("bcast eth0:0", "allowed an interface name"),
        ("serial ttyS0", 'found "ttyS0", allowed serial devices, such as /dev/ttyS0'),
        ("ucast eth0", "allowed `ucast DEVICE ADDRESS`"),
        ("ucast eth0 fd00::1", "allowed an IPv4 address"),
        ("ucast eth0 nobody", "allowed an IP address, or a name that /etc/hosts knows"),
        ("ucast6 eth0 fe80::1%eth1", "allowed fe80::1, or fe80::1%eth0"),
        ("ping nobody", "allowed an IP address, or a name that /etc/hosts knows"),
        ("ping_group g", "allowed a name and addresses"),
        ("node a_b", 'found "a_b", allowed a host name'),
        ("crm yes", "allowed off: hamgr has a manager of its own"),
        ("pacemaker respawn", "allowed off: hamgr has a manager of its own"),
        ("crm respawn", "allowed off"),
        ("logfacility locla0", 'found "locla0", allowed '),
        ("logfile ha-log", 'found "ha-log", allowed an absolute path'),
        ("rtprio 0", "allowed a whole number from 1 to 99"),
        ("realtime maybe", "allowed true, on, yes, y, 1 or false, off, no, n, 0"),
        ("keepalvie 2", 'found "keepalvie", allowed a directive of ha.cf(5) (did you mean "keepalive"?)'),
        ("Keepalive 2", '(did you mean "keepalive"?)'),
        ("respawn ipfail", "allowed a user and the path of a program"),
        ("cluster a/b", "allowed a name of letters"),
        ("stonith_host * external/ipmi c 10.0.0.3 me secret lan", "as the node that is switched off"),
        ("stonith_host * external/ipmi b", "allowed external/ipmi NODE ADDRESS USER PASSWORD INTERFACE"),
        ("stonith_host x null a", 'allowed "*" or one of'),
        ("stonith external/ipmi /none/there", 'found "external/ipmi /none/there", allowed a file that can be read'),
        ("stonith external/ipmi /dev/null", "allowed a line of parameters in /dev/null"),
        ("stonith_host * external/ipmi c 10.0.0.3 me secret lan", 'found "* external/ipmi ..."'),
    ],
)
def test_each_mistake_has_its_line_and_its_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    (found,) = mistakes(ha_dir(tmp_path, f"{TWO_NODES}{line}\n"))
    assert found.startswith(f"ha.cf: line 5 ({line.split()[0]}): found ")
    assert sentence in found
    assert "secret" not in found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    directory = ha_dir(tmp_path, "nodes a\nkeepalive x\n", "c 10.0.0.1\n", "auth 1\n")
    found = mistakes(directory)
    assert [problem.split(" (")[0] for problem in found[:2]] == ["ha.cf: line 1", "ha.cf: line 2"]
    text = "\n".join(found)
    assert "haresources: line 1 (c): found" in text
    assert "authkeys: line 1 (authkeys): found auth 1, but no key 1, allowed a key that the file has" in text
    assert "ha.cf: node: found nothing, allowed 2 to 16 nodes: `node NAME NAME`" in text
    assert "allowed at least one way to the other nodes: bcast, mcast, ucast or serial" in text


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path)
    assert found == "ha.cf: the file: found No such file or directory, allowed a file that can be read"


def test_nothing_is_taken_over_unfenced_and_the_difference_is_told(tmp_path: Path) -> None:
    config, draft = read(ha_dir(tmp_path, "bcast eth0\nnode a b\nauto_failback on\n"))
    assert [node.fence_levels for node in config.spec.nodes] == [0, 0]
    (said,) = notes(draft)
    assert "its groups stay down until a fence device has switched it off" in said
    assert "hamgr fence ack NODE" in said


def test_stonith_devices_become_fence_devices(tmp_path: Path) -> None:
    (tmp_path / "bmc").write_text("# of b\nb 10.0.9.22 ham pass lanplus\n")
    lines = "stonith_host * external/ipmi a 10.0.9.21 ham pass lanplus\nstonith external/ipmi bmc\n"
    config, _ = read(ha_dir(tmp_path, f"bcast eth0\n{lines}node a b\nstonith_host * null b\n"))
    options = {"ip": "10.0.9.21", "username": "ham", "password": "pass"}
    found = [(d.name, d.node, d.agent, d.level, d.options) for d in config.fence_devices]
    assert found == [
        ("ipmi-a", "a", "fence_hamgr_ipmi", 1, options),
        ("ipmi-b", "b", "fence_hamgr_ipmi", 1, {**options, "ip": "10.0.9.22"}),
        ("null-b", "b", "fence_hamgr_null", 2, {}),
    ]


def test_a_device_of_any_other_kind_is_used_through_its_plugin_for_the_nodes_it_names(tmp_path: Path) -> None:
    (tmp_path / "riloe").write_text("b ilo-b fence geheim 1\n")
    lines = "stonith external/riloe riloe\nstonith_host * external/rackpdu a,B 10.0.9.30 community\n"
    config, draft = read(ha_dir(tmp_path, f"bcast eth0\nnode a b\n{lines}"))
    found = [(d.name, d.node, d.agent, d.level, d.options["positional"]) for d in config.fence_devices]
    assert found == [
        ("riloe-b", "b", "fence_hamgr_stonith", 1, "b ilo-b fence geheim 1"),
        ("rackpdu-a", "a", "fence_hamgr_stonith", 1, "a,B 10.0.9.30 community"),
        ("rackpdu-b", "b", "fence_hamgr_stonith", 2, "a,B 10.0.9.30 community"),
    ]
    assert config.fence_devices[0].options["method"] == "reset"
    assert not any("geheim" in note for note in notes(draft))


def test_ipmi_1_5_is_spoken_where_ha_cf_says_lan(tmp_path: Path) -> None:
    line = "stonith_host * external/ipmi b 10.0.9.22 ham pass lan\n"
    config, _ = read(ha_dir(tmp_path, f"bcast eth0\nnode a b\n{line}"))
    assert config.fence_devices[0].options["lanplus"] == "0"


def test_more_than_heartbeat_had_a_word_for_stands_in_a_hamgr_toml_beside_it(tmp_path: Path) -> None:
    more = (
        '[cluster]\nstate_dir = "/srv/state"\nrealtime = false\n[arbiter]\naddress = "10.0.9.10"\ntie_breaker = "a"\n'
    )
    config, _ = read(ha_dir(tmp_path, TWO_NODES, more=more))
    assert (config.state_dir, config.realtime, config.spec.arbiter) == (Path("/srv/state"), False, True)
    assert config.spec.names == ("a", "b")
    more = "[group.httpd]\nrestarts = 5\n"
    config, _ = read(ha_dir(tmp_path, TWO_NODES, "b 10.0.0.1 httpd\n", more=more))
    assert (config.spec.group("httpd").restarts, config.spec.group("httpd").nodes) == (5, ("b", "a"))
    wrong = mistakes(ha_dir(tmp_path, TWO_NODES, more='[cluster]\nstate_dri = "/srv/state"\n'))
    assert wrong[0].startswith("hamgr.toml: cluster.state_dri: found an unknown key, allowed one of name")


def test_a_serial_line_among_three_nodes_is_left_to_the_administrator(tmp_path: Path) -> None:
    config, draft = read(ha_dir(tmp_path, f"{TWO_NODES}node c\nserial /dev/ttyS0\n"))
    assert [link.name for link in config.links] == ["eth0", "eth1"]
    assert any("which two a cable joins" in note for note in notes(draft))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("2", 2),
        ("1.5s", 1.5),
        ("1500ms", 1.5),
        ("1500MSEC", 1.5),
        ("200000us", 0.2),
        ("2m", 120),
        ("1h", 3600),
        (".5", 0.5),
    ],
)
def test_times_are_read_as_heartbeat_reads_them(word: str, expected: float) -> None:
    assert seconds(word) == pytest.approx(expected)


_LINES = st.one_of(
    st.text(max_size=60),
    st.builds(lambda word, rest: f"{word} {rest}", st.sampled_from(sorted(DIRECTIVES)), st.text(max_size=40)),
    st.builds(
        lambda word, words: " ".join((word, *words)),
        st.sampled_from(sorted(DIRECTIVES)),
        st.lists(
            st.sampled_from(["a", "b", "eth0", "10.0.0.1", "fe80::1", "694", "*", "null", "on", "external/ipmi", "::"])
        ),
    ),
)


_RESOURCES = st.sampled_from(
    [
        "10.0.0.1",
        "10.0.0.1/24/eth0",
        "IPaddr::",
        "IPaddr::10.0.0.9/x",
        "IPv6addr::fd00::1/64",
        "Filesystem::a::b",
        "::",
        "x",
    ]
)
_HARESOURCES = st.one_of(
    st.text(max_size=80),
    st.lists(st.lists(st.one_of(st.sampled_from(["a", "b", "\\\n", "#"]), _RESOURCES)).map(" ".join)).map("\n".join),
)
_AUTHKEYS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.lists(st.sampled_from(["auth", "1", "2", "16", "sha1", "md5", "crc", "word", "#"])).map(" ".join), max_size=5
    ).map("\n".join),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ha_cf=st.lists(_LINES, max_size=12), haresources=_HARESOURCES, authkeys=_AUTHKEYS)
def test_no_file_makes_anything_but_a_config_error(
    tmp_path: Path, ha_cf: list[str], haresources: str, authkeys: str
) -> None:
    for name, text in (("ha.cf", "\n".join(ha_cf)), ("haresources", haresources), ("authkeys", authkeys)):
        (tmp_path / name).write_bytes(text.encode("utf-8", errors="surrogatepass"))
        (tmp_path / name).chmod(0o600)
    try:
        config_of(tmp_path, machine(own=("10.0.0.1",), interfaces={"eth0": "10.0.0.9"}), RESOURCE_KINDS)
    except ConfigError as error:
        told = [str(problem) for problem in error.problems]
        assert [line for line in told if "\n" in line] == []


def test_no_directive_of_the_manual_or_of_the_program_is_missing() -> None:
    """Those of ha.cf(5), of the sample files, and of the table in heartbeat 3.0.6 itself."""
    known = (
        "apiauth autojoin auto_failback baud bcast cluster compression compression_threshold conn_logd_time "
        "coredumps coreroot crm crm_daemon_dir crmd_spawns_pengine deadping deadtime debug debugfile "
        "enable_config_writes env hbaping hbgenmethod hbversion hopfudge initdead keepalive log_badpack "
        "logfacility logfile max_rexmit_delay mcast mcast6 memreserve msgfmt nice_failback node normalpoll "
        "pacemaker ping ping6 ping_group quorum_server realtime record_config_changes record_pengine_inputs "
        "respawn rtprio serial stonith stonith_host syslogmsgfmt traditional_compression ucast ucast6 udp "
        "udpport use_apphbd use_logd uuidfrom warntime watchdog "
    )
    assert set(known.split()) == set(DIRECTIVES)
