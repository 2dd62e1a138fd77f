"""The file against what agents say of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.config.local import check_local, examine_local
from hamgr.config.problems import ConfigError
from hamgr.config.toml import load
from hamgr.links.keyfile import write_key_file
from hamgr.resources import ocf_advice
from hamgr.resources.kinds import RESOURCE_KINDS

METADATA = """<resource-agent name="db"><parameters>
<parameter name="path" required="1"><content type="string"/></parameter>
<parameter name="port"><content type="integer" default="1"/></parameter>
<parameter name="ssl"><content type="boolean" default="false"/></parameter>
<parameter name="odd"><content type="boolean" default="--quiet"/></parameter>
<parameter name="mode"><content type="select" default="fast"><option value="fast"/><option value="safe"/></content>
</parameter>
<parameter name="socket"><deprecated><replaced-with name="path"/></deprecated><content type="string"/></parameter>
</parameters><actions>
<action name="start" timeout="120s"/><action name="stop" timeout="100s"/>
<action name="monitor" timeout="30s" interval="15s"/>
<action name="validate-all" timeout="5s"/>
</actions></resource-agent>"""

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
ocf_root = "{dir}/ocf"
agent = "ocf:test:db"
"""

Agent = Callable[..., Path]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """`agent("exit 3")`: an agent of whose actions only the meta-data is given."""

    def make(body: str = "", metadata: str = METADATA, name: str = "db") -> Path:
        path = tmp_path / "ocf" / "resource.d" / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name("metadata").write_text(metadata)
        say = f"cat {path.with_name('metadata')}; echo >>{tmp_path}/asked"
        path.write_text(f"#!/bin/sh\nhere={tmp_path}\n[ $1 != meta-data ] || {{ {say}; exit 0; }}\n{body}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """`config('parameters = { path = "/x" }')`: a file with these keys of the resource."""
    write_key_file(tmp_path / "key")

    def make(keys: str = 'parameters = { path = "/x" }') -> Path:
        path = tmp_path / "hamgr.toml"
        path.write_text(CONFIG.format(dir=tmp_path) + keys)
        return path

    return make


def problems(path: Path) -> list[str]:
    found = check_local(load(path, RESOURCE_KINDS), "a", RESOURCE_KINDS)
    return [str(problem).partition(".resource.ocf.")[2] for problem in found]


def examined(path: Path) -> list[str]:
    found = examine_local(load(path, RESOURCE_KINDS), "a", RESOURCE_KINDS)
    return [str(problem).partition(".resource.ocf.")[2] for problem in found]


Config = Callable[..., Path]


def test_what_the_agent_approves_of_is_right(agent: Agent, config: Config) -> None:
    agent()
    keys = 'parameters = { path = "/x", port = 7, ssl = true, mode = "safe", odd = "--loud", trace_ra = 1 }'
    assert problems(config(keys)) == []
    assert examined(config(keys)) == []


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("port = 1", "parameters.path: found nothing, allowed a value: ocf:test:db requires it"),
        ('path = "x", port = "https"', 'parameters.port: found "https", allowed a whole number'),
        ('path = "x", ssl = "perhaps"', 'parameters.ssl: found "perhaps", allowed true or false'),
        ('path = "x", mode = "save"', 'parameters.mode: found "save", allowed "fast" or "safe" (did you mean "safe"?)'),
        (
            'path = "x", prot = 1',
            "parameters.prot: found a parameter unknown to the agent, allowed one of path, port, ssl, odd, mode,"
            ' socket, trace_ra, trace_dir, trace_file, OCF_CHECK_LEVEL (did you mean "port"?)',
        ),
    ],
)
def test_what_the_agent_does_not_allow_is_told(agent: Agent, config: Config, parameters: str, expected: str) -> None:
    agent()
    assert problems(config(f"parameters = {{ {parameters} }}")) == [expected]


def test_a_deprecated_name_is_as_good_and_told_of_to_who_asks(agent: Agent, config: Config) -> None:
    agent()
    path = config('parameters = { socket = "/x" }')
    assert problems(path) == []
    assert examined(path) == ['parameters.socket: found a deprecated name, allowed "path"']


def test_an_agent_that_is_missing_is_told_of(config: Config, tmp_path: Path) -> None:
    (found,) = problems(config())
    place = f"{tmp_path}/ocf/resource.d/test/db"
    assert found == f'agent: found "ocf:test:db", which is not at {place}, allowed an agent of this machine'


def test_only_a_promotable_agent_can_be_promotable(agent: Agent, config: Config) -> None:
    agent()
    (found,) = problems(config('parameters = { path = "/x" }\npromotable = true'))
    assert found == "promotable: found true, allowed false: ocf:test:db offers no promote and demote"


def test_a_promotables_start_is_a_start_and_a_promotion(agent: Agent, config: Config) -> None:
    more = '<action name="promote" timeout="50s"/><action name="demote" timeout="40s"/><action name="notify"/>'
    role = '<action name="monitor" timeout="31s" interval="16s" role="Master"/>'
    agent(metadata=METADATA.replace("</actions>", f"{more}{role}</actions>"))
    assert times(config("promotable = true")) == (120 + 50 + 2 * 20, 40 + 2 * 20, 31, 16)


@pytest.mark.parametrize("name", ["ocf:test:../../../bin/sh", "", "test db", "lsb:test:db", "ocf:a:b:c"])
def test_what_is_no_agents_name_is_told(config: Config, name: str) -> None:
    path = config()
    path.write_text(path.read_text().replace("ocf:test:db", name))
    with pytest.raises(ConfigError, match=r'agent: found .*, allowed an agent such as "ocf:heartbeat:IPaddr2"'):
        load(path, RESOURCE_KINDS)


def test_parameters_that_no_environment_can_hold_are_told(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"parameters: found a table, allowed names of letters"):
        load(config('parameters = { "a=b" = "c" }'), RESOURCE_KINDS)


def times(path: Path) -> tuple[float, ...]:
    (resource,) = load(path, RESOURCE_KINDS).groups[0].resources
    return (resource.start_timeout, resource.stop_timeout, resource.monitor_timeout, resource.monitor_interval)


def test_time_outs_are_the_agents_where_the_file_says_none(agent: Agent, config: Config) -> None:
    agent()
    assert times(config()) == (120, 100, 30, 15)
    assert times(config('stop_timeout = "9s"')) == (120, 9, 30, 15)


@pytest.mark.parametrize("metadata", ["", "<html/>", "<resource-agent", "<resource-agent/>"])
def test_an_agent_that_tells_nothing_gives_no_advice(agent: Agent, config: Config, metadata: str) -> None:
    agent(metadata=metadata)
    path = config()
    assert times(path) == (20, 20, 20, 10)
    assert problems(path) == []


def test_meta_data_that_can_not_be_read_is_told_to_who_asks(agent: Agent, config: Config) -> None:
    agent(metadata="usage: db start|stop")
    (found,) = examined(config())
    assert found == (
        "agent: found ocf:test:db: its meta-data is no XML: line 1: syntax error,"
        " allowed an agent that can tell what it is"
    )


def test_an_agent_that_hangs_holds_the_load_up_for_seconds_only(
    agent: Agent, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocf_advice, "PATIENCE", 0.2)
    agent().write_text("#!/bin/sh\nsleep 1000 &\nsleep 1000\n")
    path = config()
    assert times(path) == (20, 20, 20, 10)
    (found,) = examined(path)
    assert "did not end within 0.2 s when asked for its meta-data" in found


def test_an_agent_is_asked_once(agent: Agent, config: Config, tmp_path: Path) -> None:
    agent()
    path = config()
    for _ in range(3):
        load(path, RESOURCE_KINDS)
        problems(path)
    assert (tmp_path / "asked").read_text() == "\n"


def test_a_new_version_of_an_agent_is_asked_again(agent: Agent, config: Config) -> None:
    path = config()
    agent()
    assert times(path)[0] == 120
    agent(metadata=METADATA.replace("120s", "99s"))
    assert times(path)[0] == 99


async def test_a_file_is_read_where_a_loop_runs_too(agent: Agent, config: Config) -> None:
    agent()
    await asyncio.sleep(0)
    assert times(config())[0] == 120


def test_what_validate_all_objects_to_is_told_to_who_asks(agent: Agent, config: Config) -> None:
    agent('echo "ocf-exit-reason:$OCF_RESKEY_path is no directory" >&2; exit 6')
    path = config()
    assert problems(path) == []
    (found,) = examined(path)
    assert found.startswith("agent: found ocf:test:db validate-all: not configured (6): /x is no directory, allowed")


def test_a_validate_all_that_hangs_is_told(agent: Agent, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocf_advice, "VALIDATION_PATIENCE", 0.2)
    agent("sleep 1000")
    (found,) = examined(config())
    assert "whose validate-all did not end within 0.2 s" in found
