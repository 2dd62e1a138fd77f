"""What an OCF agent says of itself: the XML that its action `meta-data` prints, read as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hamgr.selfdescription import ROOT, read

PROMOTED_ROLES = frozenset({"Master", "Promoted"})

_TRUE = frozenset({"1", "true", "yes", "on", "True", "TRUE", "YES", "ON"})
_TIME = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([a-z]*)\s*", re.ASCII)
_UNITS = {
    "": 1.0,
    "us": 1e-6,
    "usec": 1e-6,
    "ms": 1e-3,
    "msec": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
}
"""As Pacemaker reads times."""


@dataclass(slots=True)
class Parameter:
    """One parameter. default None: the agent names none. instead: the names that replace a deprecated one.

    values: what a `select` allows. unique: the group of parameters whose values no two resources share; "" for none.
    """

    name: str
    type: str = "string"
    default: str | None = None
    required: bool = False
    unique: str = ""
    deprecated: bool = False
    instead: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One action, with its advice in seconds; None where the agent gives none."""

    name: str
    timeout: float | None = None
    interval: float | None = None
    depth: int = 0
    role: str = ""


@dataclass(slots=True)
class Metadata:
    name: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)

    def offers(self, name: str) -> bool:
        return any(action.name == name for action in self.actions)

    def timeout(self, name: str) -> float | None:
        """Seconds that the agent wants for an action, the longest if it says several."""
        return max((a.timeout for a in self.actions if a.name == name and a.timeout is not None), default=None)

    def monitor(self, level: int = 0, *, promoted: bool = False) -> Action | None:
        """The monitor of this check level: of the promoted ones if asked, else of those of any role or none."""
        monitors = [a for a in self.actions if a.name == "monitor" and a.depth <= level]
        wanted = [a for a in monitors if (a.role in PROMOTED_ROLES) is promoted] or monitors
        return max(wanted, key=lambda action: action.depth, default=None)


def seconds(text: str | None) -> float | None:
    """ "20s", "1min" or "20" in seconds; None for what is no time."""
    match = _TIME.fullmatch(text or "")
    return float(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else None


def parse(xml: bytes) -> Metadata:
    """Raises MetadataError."""
    reader = _Reader()
    read(xml, reader, "meta-data")
    return reader.found


class _Reader:
    def __init__(self) -> None:
        self.found = Metadata()
        self._parameter: Parameter | None = None

    def begin(self, tag: str, given: Mapping[str, str]) -> None:
        if tag == ROOT:
            self.found.name = given.get("name", "")
        elif tag == "parameter":
            self._begin_parameter(given)
        elif tag == "action" and given.get("name"):
            self.found.actions.append(_action(given))
        elif self._parameter is not None:
            self._tell(self._parameter, tag, given)

    def _begin_parameter(self, given: Mapping[str, str]) -> None:
        name = given.get("name", "")
        unique = given.get("unique-group") or (name if given.get("unique") in _TRUE else "")
        deprecated = given.get("deprecated") in _TRUE
        self._parameter = Parameter(name, required=given.get("required") in _TRUE, unique=unique, deprecated=deprecated)
        if name:
            self.found.parameters[name] = self._parameter

    @staticmethod
    def _tell(parameter: Parameter, tag: str, given: Mapping[str, str]) -> None:
        if tag == "content":
            parameter.type = given.get("type", "string")
            parameter.default = given.get("default")
        elif tag == "option" and "value" in given:
            parameter.values += (given["value"],)
        elif tag == "deprecated":
            parameter.deprecated = True
        elif tag == "replaced-with" and given.get("name"):
            parameter.instead += (given["name"],)

    def end(self, tag: str) -> None:
        if tag == "parameter":
            self._parameter = None


def _action(given: Mapping[str, str]) -> Action:
    depth = given.get("depth", given.get("check_level", "0"))
    return Action(
        given["name"],
        seconds(given.get("timeout")),
        seconds(given.get("interval")),
        int(depth) if depth.isascii() and depth.isdigit() and len(depth) < 9 else 0,
        given.get("role", ""),
    )
