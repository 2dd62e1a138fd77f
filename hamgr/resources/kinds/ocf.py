"""`kind = "ocf"`: an agent with the OCF Resource Agent API, as Pacemaker runs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.config.problems import describe
from hamgr.resources.kinds.lsb import check_path, is_executable
from hamgr.resources.ocf_agent import DEFAULT_ROOT, Agent, check_parameters, parse
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings


def _check_agent(value: str) -> str:
    parse(value)
    return ""


def _check_level(value: int) -> str:
    return "" if 0 <= value <= 1000 else "0, 10, 20 or another level that the agent knows"


def agent_of(options: Mapping[str, OptionValue]) -> Agent:
    return parse(str(options["agent"]), str(options.get("ocf_root", DEFAULT_ROOT)))


def parameters_of(options: Mapping[str, OptionValue]) -> dict[str, str]:
    parameters = options.get("parameters", {})
    assert isinstance(parameters, dict)
    return parameters


def level_of(options: Mapping[str, OptionValue]) -> int:
    return int(str(options.get("check_level", 0)))


def _problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    if "agent" not in options:
        return
    agent = agent_of(options)
    if not is_executable(agent.path):
        yield "agent", f"{describe(str(options['agent']))}, which is not at {agent.path}", "an agent of this machine"
        return
    from hamgr.resources.ocf_advice import mistakes

    yield from mistakes(agent, parameters_of(options), options.get("promotable") is True)


def _thorough_problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    if "agent" not in options:
        return
    from hamgr.resources.ocf_advice import thorough

    yield from thorough(agent_of(options), parameters_of(options), options.get("promotable") is True)


def _advised_timeouts(options: Mapping[str, OptionValue]) -> Mapping[str, float]:
    if "agent" not in options:
        return {}
    from hamgr.resources.ocf_advice import timeouts

    return timeouts(agent_of(options), options.get("promotable") is True, level_of(options))


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    if config.options.get("promotable") is True:
        from hamgr.resources.promotable import Promotable

        return Promotable(config, surroundings)
    from hamgr.resources.ocf import Ocf

    return Ocf(config, surroundings)


KIND = ResourceKind(
    (
        Option("agent", str, required=True, check=_check_agent),
        Option("parameters", dict, default={}, check=check_parameters),
        Option("promotable", bool, default=False),
        Option("check_level", int, default=0, check=_check_level),
        Option("ocf_root", str, default=DEFAULT_ROOT, check=check_path),
    ),
    _build,
    _problems_here,
    _advised_timeouts,
    _thorough_problems_here,
)
