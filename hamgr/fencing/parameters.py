"""The options of a fence device, held against what its agent says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hamgr.config.kinds import Fact
from hamgr.config.problems import describe
from hamgr.config.table import did_you_mean
from hamgr.fencing.metadata import Metadata, Parameter
from hamgr.fencing.secrets import is_secret

_HANDED_OVER = frozenset({"action", "option", "nodename"})
"""What hamgr itself tells every agent (FenceAgentAPI.md)."""

_MOST_NAMED = 40
_BOOLEANS = frozenset({"1", "0", "yes", "no", "on", "off", "true", "false"})
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def problems(metadata: Metadata, options: Mapping[str, str]) -> Iterator[Fact]:
    """Every mistake: option, what was found, what is allowed. A secret's value is never shown."""
    known = metadata.parameters
    for name, value in options.items():
        if name in known:
            if allowed := _allowed(known[name], value):
                yield name, "a value that is not shown" if is_secret(name) else describe(value), allowed
        elif name.startswith("pcmk_"):
            yield name, "an option of Pacemaker", "options of the agent; a device of hamgr is for one node as it is"
        else:
            yield name, "an unknown option", _known(name, metadata)
    for parameter in known.values():
        if parameter.required and not parameter.deprecated and not _is_given(parameter, known, options):
            yield parameter.name, "nothing", f"a value: {metadata.name or 'the agent'} requires it"


def _is_given(parameter: Parameter, known: Mapping[str, Parameter], options: Mapping[str, str]) -> bool:
    if parameter.name in _HANDED_OVER or parameter.name in options or parameter.default is not None:
        return True
    # ip obsoletes ipaddr, and either will do; some agents name several, with commas. A password may come from a file.
    older = {name.strip() for name in parameter.obsoletes.split(",")}
    elsewhere = {parameter.name + ending for ending in ("_file", "_script")}
    return any(name in options and name in known for name in older | elsewhere)


def _allowed(parameter: Parameter, value: str) -> str:
    """What may be there instead; "" when the value is right. A type that nobody knows takes anything."""
    match parameter.type:
        case "integer":
            return "" if _INTEGER.fullmatch(value) else "a whole number"
        case "second":
            return "" if _SECONDS.fullmatch(value) else "seconds, such as 5"
        case "boolean":
            return "" if value.lower() in _BOOLEANS else "true or false"
        case "select" if parameter.values and value not in parameter.values:
            return "one of " + ", ".join(parameter.values) + did_you_mean(value, parameter.values)
    return ""


def _known(name: str, metadata: Metadata) -> str:
    names = [p.name for p in metadata.parameters.values() if not p.deprecated and p.name not in _HANDED_OVER]
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    return f"one of {shown}" + did_you_mean(name, names) if names else f"no options: {metadata.name} has none"
