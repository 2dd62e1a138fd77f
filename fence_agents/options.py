"""The options of a fence agent, declared once: parsing, metadata and validation all read the declaration."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Action(enum.Enum):
    """The words of FenceAgentAPI.md."""

    ON = "on"
    OFF = "off"
    REBOOT = "reboot"
    STATUS = "status"
    MONITOR = "monitor"
    METADATA = "metadata"
    VALIDATE_ALL = "validate-all"


class OptionKind(enum.Enum):
    """The content types of the metadata schema (metadata.rng of ClusterLabs)."""

    STRING = "string"
    INTEGER = "integer"
    SECOND = "second"
    BOOLEAN = "boolean"
    SELECT = "select"


_TRUE, _FALSE = {"1", "yes", "on", "true"}, {"0", "no", "off", "false"}


def is_true(value: str) -> bool:
    """Of a boolean option's value."""
    return value.lower() in _TRUE


@dataclass(frozen=True, slots=True)
class Option:
    """One option. name: on stdin, and in the metadata. flags: on the command line; a secret has none.

    aliases: older names that are taken on stdin too. secret: its value is never shown.
    """

    name: str
    kind: OptionKind
    shortdesc: str
    flags: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    lowest: int = 0
    highest: int | None = None
    secret: bool = False

    def problem(self, value: str) -> str:
        """What is wrong with this value, "" if nothing."""
        match self.kind:
            case OptionKind.STRING:
                allowed = "" if value or not self.required else "a text that is not empty"
            case OptionKind.INTEGER:
                allowed = "" if self._in_range(value) else self._range()
            case OptionKind.SECOND:
                allowed = "" if _is_duration(value) else "seconds, 0 or more, such as 5 or 0.5"
            case OptionKind.BOOLEAN:
                allowed = "" if value.lower() in _TRUE | _FALSE else "1 or 0"
            case OptionKind.SELECT:
                allowed = "" if value in self.choices else ", ".join(self.choices)
        if not allowed:
            return ""
        found = "not shown" if self.secret else repr(value)
        return f"option {self.name}: found {found}; allowed: {allowed}"

    def _in_range(self, value: str) -> bool:
        if not value.isascii() or not value.isdigit():
            return False
        return self.lowest <= int(value) and (self.highest is None or int(value) <= self.highest)

    def _range(self) -> str:
        return f"a whole number from {self.lowest}" + ("" if self.highest is None else f" to {self.highest}")


def _is_duration(value: str) -> bool:
    try:
        return 0 <= float(value) < float("inf")
    except ValueError:
        return False


def standard_options(default_action: Action) -> tuple[Option, ...]:
    """Every agent has them."""
    return (
        Option(
            "action",
            OptionKind.STRING,
            "What to do",
            flags=("-o", "--action"),
            default=default_action.value,
            aliases=("option",),
        ),
        Option(
            "nodename",
            OptionKind.STRING,
            "The cluster's name of the machine; cluster managers hand it over",
        ),
        Option(
            "delay",
            OptionKind.SECOND,
            "Seconds to wait before on, off and reboot",
            flags=("--delay",),
            default="0",
        ),
    )
