"""What an OCF agent on this machine says of itself, held against the file: mistakes, time-outs, a thorough look.

Agents are run here while the file is read, each once in the life of the process and for a few seconds at most. One that
says nothing useful gives no advice; the general defaults hold then.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from hamgr.config.kinds import Fact
from hamgr.config.problems import describe
from hamgr.config.table import did_you_mean, either
from hamgr.core.cluster import MIN_DURATION
from hamgr.resources.ocf_agent import SUCCESS, Agent, clone_meta, environment, explain
from hamgr.resources.ocf_calls import CALLS_STAND_INS
from hamgr.resources.ocf_metadata import Metadata, Parameter, parse
from hamgr.resources.program import ENVIRONMENT, CantRun, Finished, run
from hamgr.selfdescription import LONGEST, MetadataError

PATIENCE = 3.0
"""Seconds for the meta-data. The agents of Debian take 30 ms."""

VALIDATION_PATIENCE = 20.0
"""Seconds for validate-all, which only a human waits for."""

UNSAID = 20.0
"""Seconds for an action of several for which the agent names no time-out, as for everything else in the file."""

SOME_NODES = 2
"""Of a promotable resource, as long as only its parameters are looked at."""

NOBODY = "hamgr-check"
"""The name of the resource while only the agent is asked."""

_WORDS = frozenset({"1", "0", "yes", "no", "true", "false", "on", "off", "ja", "nein", "y", "n"})
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_EVERYWHERE = ("trace_ra", "trace_dir", "trace_file", "OCF_CHECK_LEVEL")
"""Parameters that ocf-shellfuncs itself reads, whatever the agent."""

_known: dict[tuple[Agent, int], Metadata | MetadataError] = {}


def metadata(agent: Agent) -> Metadata:
    """Raises MetadataError, or OSError when the agent is not here."""
    key = (agent, agent.path.stat().st_mtime_ns)
    if key not in _known:
        try:
            _known[key] = parse(_ask(agent))
        except MetadataError as error:
            _known[key] = error
    found = _known[key]
    if isinstance(found, MetadataError):
        raise found
    return found


def _ask(agent: Agent) -> bytes:
    try:
        answer = _run(agent, "meta-data", {}, {}, PATIENCE, LONGEST + 1)
    except TimeoutError:
        raise MetadataError(f"it did not end within {PATIENCE:g} s when asked for its meta-data") from None
    except CantRun as error:
        raise MetadataError(str(error)) from error
    if answer.code != SUCCESS:
        raise MetadataError(f"asked for its meta-data it says: {explain(answer.code, answer.output)}")
    return answer.stdout


def _run(
    agent: Agent, action: str, parameters: Mapping[str, str], meta: Mapping[str, str], patience: float, whole: int = 0
) -> Finished:
    """Run an agent from code that may block. Raises TimeoutError and CantRun."""

    async def bounded() -> Finished:
        about = {"name": action, "timeout": f"{patience * 1000:.0f}", **meta}
        told = {**ENVIRONMENT, **environment(agent, NOBODY, parameters, meta=about), **CALLS_STAND_INS}
        async with asyncio.timeout(patience):
            return await run([str(agent.path), action], told, whole=whole)

    return _in_a_loop_of_its_own(bounded())


def _in_a_loop_of_its_own(work: Coroutine[None, None, Finished]) -> Finished:
    """This thread may have a loop that runs already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def timeouts(agent: Agent, promotable: bool, level: int) -> Mapping[str, float]:
    """What the agent advises for what the file does not say."""
    try:
        told = metadata(agent)
    except (OSError, MetadataError):
        return {}
    monitor = told.monitor(level, promoted=promotable)
    found = {
        "start_timeout": _sum(told, ("start", "promote") if promotable else ("start",), promotable),
        "stop_timeout": _sum(told, ("demote",) if promotable else ("stop",), promotable),
        "monitor_timeout": monitor.timeout if monitor is not None else None,
        "monitor_interval": monitor.interval if monitor is not None else None,
    }
    return {key: value for key, value in found.items() if value is not None and value >= MIN_DURATION}


def _sum(told: Metadata, actions: tuple[str, ...], promotable: bool) -> float | None:
    """A promotable's start is a start and a promotion, and a notification before and after each change."""
    times = [told.timeout(action) for action in actions]
    if promotable and told.offers("notify"):
        times += [told.timeout("notify")] * 2
    if set(times) == {None}:
        return None
    return sum(UNSAID if seconds is None else seconds for seconds in times)


def mistakes(agent: Agent, parameters: Mapping[str, str], promotable: bool) -> Iterable[Fact]:
    """What in the file the agent on this machine does not know or allow."""
    try:
        told = metadata(agent)
    except (OSError, MetadataError):
        return
    if promotable and not (told.offers("promote") and told.offers("demote")):
        yield "promotable", "true", f"false: {agent} offers no promote and demote"
    names = [*told.parameters, *_EVERYWHERE]
    for name, value in parameters.items():
        key = f"parameters.{name}"
        if (parameter := told.parameters.get(name)) is not None:
            if allowed := _disallowed(parameter, value):
                yield key, describe(value), allowed
        elif name not in _EVERYWHERE and told.parameters:
            yield key, "a parameter unknown to the agent", f"one of {', '.join(names)}{did_you_mean(name, names)}"
    for parameter in told.parameters.values():
        replaced = any(name in parameters for name in _other_names(told, parameter.name))
        if parameter.required and not parameter.deprecated and parameter.name not in parameters and not replaced:
            yield f"parameters.{parameter.name}", "nothing", f"a value: {agent} requires it"


def _other_names(told: Metadata, name: str) -> list[str]:
    """The deprecated names of a parameter."""
    return [other.name for other in told.parameters.values() if name in other.instead]


def _disallowed(parameter: Parameter, value: str) -> str:
    """What is allowed, "" if the value is right. A type that does not fit the agent's own default is not believed."""
    if parameter.default and _of_type(parameter, parameter.default):
        return ""
    return _of_type(parameter, value)


def _of_type(parameter: Parameter, value: str) -> str:
    match parameter.type:
        case "boolean":
            return "" if value.lower() in _WORDS else "true or false"
        case "integer":
            return "" if _INTEGER.fullmatch(value.strip()) else "a whole number"
        case "select" if parameter.values:
            return "" if value in parameter.values else either(parameter.values) + did_you_mean(value, parameter.values)
    return ""


def thorough(agent: Agent, parameters: Mapping[str, str], promotable: bool) -> Iterable[Fact]:
    """What only running the agent tells: unreadable meta-data, deprecated names, and what its `validate-all` says."""
    try:
        told = metadata(agent)
    except OSError:
        return
    except MetadataError as error:
        yield "agent", f"{agent}: {error}", "an agent that can tell what it is"
        return
    for name in parameters:
        parameter = told.parameters.get(name)
        if parameter is not None and parameter.deprecated and parameter.instead:
            yield f"parameters.{name}", "a deprecated name", either(parameter.instead)
    if told.offers("validate-all"):
        yield from _validated(agent, parameters, clone_meta(SOME_NODES) if promotable else {})


def _validated(agent: Agent, parameters: Mapping[str, str], meta: Mapping[str, str]) -> Iterable[Fact]:
    allowed = "parameters and a machine of which its validate-all approves"
    try:
        answer = _run(agent, "validate-all", parameters, meta, VALIDATION_PATIENCE)
    except TimeoutError:
        yield "agent", f"{agent}, whose validate-all did not end within {VALIDATION_PATIENCE:g} s", allowed
        return
    except CantRun as error:
        yield "agent", str(error), "an agent that can be run"
        return
    if answer.code != SUCCESS:
        yield "agent", f"{agent} validate-all: {explain(answer.code, answer.output)}", allowed
