"""A configuration file is read whole, and every mistake has its own exact sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamgr.config import durations
from hamgr.config.model import HealthCheckConfig
from hamgr.config.toml import ConfigError, load, warnings
from hamgr.core.cluster import Mode
from hamgr.core.electorate import Electorate

EXAMPLE = Path(__file__).parents[3] / "docs" / "example.toml"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "hamgr.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [str(problem).removeprefix(f"{file}: ") for problem in caught.value.problems]


def changed(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    text = EXAMPLE.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return problems(tmp_path, text)


def test_the_example_is_good_and_complete() -> None:
    config = load(EXAMPLE)
    assert config.spec.names == ("a", "b")
    assert config.spec.group("web").start_timeout == 40.0
    assert config.arbiter is not None
    assert config.arbiter.port == 5410
    assert not config.spec.two_node


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'deadtime = "1s"',
            'deadtime = "100ms"',
            "timing.keepalive, timing.deadtime: found keepalive 200ms with deadtime 100ms, "
            "allowed keepalive under deadtime (100ms)",
        ),
        (
            'lease = "3s"',
            'lease = "1s"',
            "timing.lease, timing.deadtime: found lease 1s with deadtime 1s, "
            "allowed lease from 1.6s up (deadtime + settle + 2 keepalive)",
        ),
        (
            'keepalive = "200ms"',
            'keepalive = "1ms"',
            'timing.keepalive: found "1ms", allowed a duration from 10ms up',
        ),
        (
            'name = "office"',
            "name = 3",
            'cluster.name: found 3, allowed a name of letters, digits, "-" and "_", up to 63 characters',
        ),
        ('tie_breaker = "a"', 'tie_breaker = "z"', 'arbiter.tie_breaker: found "z", allowed "a" or "b"'),
        (
            "port = 694",
            "port = 70000",
            "link.ha.port: found 70000, allowed a whole number from 1 to 65535",
        ),
        (
            'nodes = ["a", "b"]',
            'nodes = ["a", "x"]',
            'group.web.nodes: found "x", allowed "a" or "b"',
        ),
        (
            "10.77.2.2",
            "10.77.2.1",
            'node.b.address.ha: found "10.77.2.1", which node a has, allowed an address that no other node has',
        ),
        (
            "10.77.1.100/24",
            "10.77.1.1/24",
            'group.web.resource.vip.address: found "10.77.1.1/24", which node a has, '
            "allowed an address that nobody else has",
        ),
        (
            "10.77.1.100/24",
            "10.77.2.2",
            'group.web.resource.vip.address: found "10.77.2.2", which node b has, '
            "allowed an address that nobody else has",
        ),
    ],
)
def test_a_mistake_has_one_exact_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert sentence in changed(tmp_path, (old, new))


def test_votes_of_a_node(tmp_path: Path) -> None:
    a, b = ("[node.a]", "[node.a]\nvotes = 0"), ("[node.b]", "[node.b]\nvotes = 0")
    assert changed(tmp_path, ("[node.a]", "[node.a]\nvotes = -1")) == [
        "node.a.votes: found -1, allowed a whole number from 0 to 255"
    ]
    assert changed(tmp_path, a, b) == ["node: found votes = 0 for every node, allowed a vote for one node at least"]
    file = tmp_path / "hamgr.toml"
    file.write_text(EXAMPLE.read_text().replace(*a))
    assert load(file).spec.electorate == Electorate({"a": 0, "b": 1}, arbiter=1)


def test_the_algorithm_of_the_arbiters_votes(tmp_path: Path) -> None:
    assert changed(tmp_path, ("[arbiter]", '[quorum]\nalgorithm = "most"\n[arbiter]')) == [
        'quorum.algorithm: found "most", allowed "ffsplit" or "lms"'
    ]
    assert changed(tmp_path, ("[arbiter]", '[quorum]\nalgoritm = "lms"\n[arbiter]'))[0].startswith("quorum.algoritm: ")
    file = tmp_path / "hamgr.toml"
    text = EXAMPLE.read_text().replace("[arbiter]", '[quorum]\nalgorithm = "lms"\n[arbiter]')
    file.write_text(text.replace("[node.b]", "[node.b]\nvotes = 2"))
    assert load(file).spec.electorate.arbiter == 2
    before, _, rest = text.partition("[arbiter]")
    file.write_text(before + rest[rest.index("[link.lan]") :])
    with pytest.raises(ConfigError) as found:
        load(file)
    assert 'quorum.algorithm: found "lms", allowed nothing without [arbiter]' in str(found.value)


def test_last_man_standing_and_the_tie_breaker_of_an_even_cluster(tmp_path: Path) -> None:
    assert changed(tmp_path, ("[arbiter]", '[quorum]\nauto_tie_breaker = "x"\n[arbiter]')) == [
        'quorum.auto_tie_breaker: found "x", allowed "lowest" or "a" or "b"'
    ]
    assert changed(tmp_path, ("[arbiter]", '[quorum]\nauto_tie_breaker = "b"\n[arbiter]')) == [
        'quorum.auto_tie_breaker: found "b", allowed nothing with [arbiter], which decides between two halves'
    ]
    assert changed(tmp_path, ("[arbiter]", '[quorum]\nlast_man_standing_window = "5s"\n[arbiter]')) == [
        'quorum.last_man_standing_window: found "5s", allowed nothing without last_man_standing = true'
    ]
    text = EXAMPLE.read_text()
    before, _, rest = text.partition("[arbiter]")
    file = tmp_path / "hamgr.toml"
    quorum = '[quorum]\nauto_tie_breaker = "lowest"\nlast_man_standing = true\n'
    file.write_text(before + quorum + rest[rest.index("[link.lan]") :])
    spec = load(file).spec
    assert (spec.electorate.tie, spec.last_man_standing, spec.two_node) == ("a", 10.0, False)


def test_health_checks_have_a_command_with_an_absolute_path(tmp_path: Path) -> None:
    def with_check(keys: str) -> list[str]:
        return changed(tmp_path, ("[arbiter]", f"[health.storage]\n{keys}\n[arbiter]"))

    allowed = 'allowed an array of words, an absolute path first: ["/usr/local/bin/check-storage", "--quick"]'
    assert with_check("") == [f"health.storage.command: found nothing, {allowed}"]
    assert with_check('command = ["check"]') == [f'health.storage.command: found ["check"], {allowed}']
    assert with_check('command = "/bin/check"') == [f'health.storage.command: found "/bin/check", {allowed}']
    (weight,) = with_check('command = ["/bin/check"]\nweight = 0')
    assert weight == "health.storage.weight: found 0, allowed a whole number from 1 to 1000"
    file = tmp_path / "hamgr.toml"
    keys = 'command = ["/bin/check", "-v", "-v"]\ninterval = "1s"\nfall = 3'
    file.write_text(EXAMPLE.read_text().replace("[arbiter]", f"[health.storage]\n{keys}\n[arbiter]"))
    assert load(file).health_checks == (HealthCheckConfig("storage", ("/bin/check", "-v", "-v"), 1, 1.0, 5.0, 3, 1),)


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    (sentence,) = changed(tmp_path, ("priority = 10", "priorty = 10"))
    assert sentence.startswith("group.web.priorty: found an unknown key, allowed one of ")
    assert sentence.endswith('(did you mean "priority"?)')


def test_groups_have_the_mode_of_the_cluster_unless_they_say_another(tmp_path: Path) -> None:
    file = tmp_path / "hamgr.toml"
    text = EXAMPLE.read_text()
    file.write_text(text.replace("[cluster]", '[cluster]\nmode = "ask"', 1))
    assert [load(file).spec.mode, load(file).spec.group("web").mode] == [Mode.ASK, Mode.ASK]
    file.write_text(text.replace("[group.web]", '[group.web]\nmode = "manual"', 1))
    assert [load(file).spec.mode, load(file).spec.group("web").mode] == [Mode.AUTOMATIC, Mode.MANUAL]
    (sentence,) = changed(tmp_path, ("[cluster]", '[cluster]\nmode = "ask"\ntakeover_delay = "5s"'))
    assert sentence == (
        'cluster.takeover_delay: found "5s", allowed none with mode = "ask": a human is waited for as long as it takes'
    )


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = changed(tmp_path, ('"office"', "1"), ("port = 694", "port = 0"), ('node = "a"', 'node = "q"'))
    assert len(found) == 3


def test_two_files_have_the_same_digest_when_they_are_the_same_to_the_byte(tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.toml", tmp_path / "other.toml"
    copy.write_bytes(EXAMPLE.read_bytes())
    other.write_bytes(EXAMPLE.read_bytes() + b"\n")
    assert load(copy).digest == load(EXAMPLE).digest
    assert load(other).digest != load(EXAMPLE).digest


def test_a_syntax_error_names_line_and_column(tmp_path: Path) -> None:
    (sentence,) = problems(tmp_path, "[cluster\n")
    assert "line 1, column 9" in sentence


def test_an_arbiter_may_have_several_addresses(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    file = tmp_path / "hamgr.toml"
    several = 'addresses = ["10.0.9.10", "[fd00::10]:5411"]'
    file.write_text(text.replace('address = "10.77.9.10"', several))
    arbiter = load(file).arbiter
    assert arbiter is not None
    assert arbiter.places == (("10.0.9.10", 5410), ("fd00::10", 5411))
    allowed = 'IP addresses, with a port if need be: ["10.0.9.10", "10.0.9.11:5411"]'
    for wrong, sentence in (
        ("addresses = []", f"arbiter.addresses: found [], allowed {allowed}"),
        ('addresses = "10.0.9.10"', f'arbiter.addresses: found "10.0.9.10", allowed {allowed}'),
        (
            'addresses = ["10.0.9.10"]\naddress = "10.0.9.11"',
            'arbiter.address: found "10.0.9.11", allowed address for one, or addresses for several, not both',
        ),
        (
            'addresses = ["10.0.9.10", "10.0.9.10"]',
            f'arbiter.addresses: found ["10.0.9.10", "10.0.9.10"], allowed each address once; {allowed}',
        ),
        (
            'addresses = ["10.0.9.10:1", "10.0.9.11"]\nport = 2',
            "arbiter.port: found 2, allowed a port in the address or as key, not both",
        ),
    ):
        assert changed(tmp_path, ('address = "10.77.9.10"', wrong)) == [sentence]


def test_the_arbiter_is_a_host_or_a_disk(tmp_path: Path) -> None:
    host = 'address = "10.77.9.10"'
    file = tmp_path / "hamgr.toml"
    file.write_text(EXAMPLE.read_text().replace(host, 'disk = "/dev/sdb1"'))
    config = load(file)
    assert config.spec.arbiter
    assert config.arbiter is not None
    assert config.arbiter.disks == {"a": "/dev/sdb1", "b": "/dev/sdb1"}
    file.write_text(EXAMPLE.read_text().replace(host, 'disk = { a = "/dev/sdb1", b = "/dev/sdc1" }'))
    each = load(file).arbiter
    assert each is not None
    assert each.disks == {"a": "/dev/sdb1", "b": "/dev/sdc1"}


@pytest.mark.parametrize(
    ("instead", "sentence"),
    [
        (
            'address = "10.77.9.10"\ndisk = "/dev/sdb1"',
            'arbiter.address: found "10.77.9.10", allowed a host (address, port) or a disk, not both',
        ),
        (
            'disk = "sdb1"',
            'arbiter.disk: found "sdb1", allowed a disk that all nodes reach, or a partition of one, such as '
            '"/dev/disk/by-id/..."',
        ),
        (
            "",
            "arbiter.address: found nothing, allowed an IPv4 or IPv6 address (names would need a DNS server when the "
            "network fails), or a `disk` in its place",
        ),
    ],
)
def test_an_arbiter_that_is_neither_has_its_sentence(tmp_path: Path, instead: str, sentence: str) -> None:
    assert changed(tmp_path, ('address = "10.77.9.10"', instead)) == [sentence]


def test_two_nodes_without_arbiter_imply_two_node_and_warn(tmp_path: Path) -> None:
    before, _, rest = EXAMPLE.read_text().partition("[arbiter]")
    file = tmp_path / "hamgr.toml"
    file.write_text(before + rest[rest.index("[link.lan]") :])
    config = load(file)
    assert config.spec.two_node
    assert any("no arbiter with an even number of votes" in warning.text for warning in warnings(config))


def test_durations_are_seconds_unless_a_unit_says_otherwise() -> None:
    assert [durations.parse(x) for x in ("10ms", "2min", "1h", 5, "5", 0.2)] == [0.01, 120, 3600, 5, 5, 0.2]


VALUES = st.recursive(
    st.one_of(
        st.integers().map(str), st.booleans().map(lambda b: str(b).lower()), st.floats().map(str),
        st.sampled_from(['"a"', '"10.0.0.1"', '"1s"', '""', "2020-01-01"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda x: f"[{', '.join(x)}]"), inner.map(lambda x: f"{{ a = {x} }}")
    ),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(value=VALUES, line=st.integers(0, 200))
def test_any_value_in_any_place_gives_a_config_error_at_worst(
    tmp_path_factory: pytest.TempPathFactory, value: str, line: int
) -> None:
    lines = EXAMPLE.read_text().splitlines()
    places = [number for number, text in enumerate(lines) if "=" in text and not text.startswith("#")]
    place = places[line % len(places)]
    lines[place] = lines[place].partition("=")[0] + "= " + value
    file = tmp_path_factory.mktemp("fuzz") / "hamgr.toml"
    file.write_text("\n".join(lines))
    try:
        warnings(load(file))
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - either outcome is right
