"""`kind = "systemd"`: a unit of systemd."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping

from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings

TYPES = ("service", "socket", "mount", "automount", "swap", "target", "timer", "path")
"""Of units that have a start and a stop of their own (systemd.unit(5)); the first is what a name without a type means.
"""

_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}", re.ASCII)

LEFTOVERS = ("fail", "ignore")

SHOW_TIMEOUT = 10.0
"""Seconds that systemctl may take; it may be asked while the machine boots."""

ENABLED = ("enabled", "enabled-runtime")

NOT_USABLE = {
    "not-found": ("which systemd does not know", "a unit that is installed on this machine"),
    "masked": ("which is masked", "a unit that is not masked: `systemctl unmask` it"),
    "bad-setting": ("which has a bad setting", "a unit that systemd can load: see `systemctl status`"),
    "error": ("which can't be read", "a unit that systemd can load: see `systemctl status`"),
}
"""Of LoadState."""


def full_name(unit: str) -> str:
    """With its type: "nginx" is "nginx.service"."""
    stem, _, kind = unit.rpartition(".")
    return unit if stem and kind in TYPES else f"{unit}.{TYPES[0]}"


def _check_unit(value: str) -> str:
    if not _NAME.fullmatch(value) or value.startswith((".", "@")):
        return f'the name of a unit, as "nginx.service"; or one of another type: {", ".join(TYPES[1:])}'
    if full_name(value).rpartition(".")[0].endswith("@"):
        return f'an instance of the template too, as "{value.partition("@")[0]}@1.service"'
    return ""


def _check_leftovers(value: str) -> str:
    return "" if value in LEFTOVERS else " or ".join(f'"{one}"' for one in LEFTOVERS)


def _shown(options: Mapping[str, OptionValue]) -> dict[str, str]:
    """What systemd tells of the unit; {} when it can't be asked."""
    unit = options.get("unit")
    if not isinstance(unit, str):
        return {}
    command = ["systemctl", "show", "--property=LoadState,UnitFileState,TriggeredBy", "--", full_name(unit)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SHOW_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs} if done.returncode == 0 else {}


def _problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    if not os.path.isdir("/run/systemd/system"):  # sd_booted(3)
        yield "unit", f'"{options.get("unit")}"', "none on this machine: it does not run systemd"


def _thorough_problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    if (load := _shown(options).get("LoadState", "")) in NOT_USABLE:
        found, allowed = NOT_USABLE[load]
        yield "unit", f"{full_name(str(options['unit']))}, {found}", allowed


def _warnings_here(options: Mapping[str, OptionValue]) -> Iterable[tuple[str, str]]:
    shown, name = _shown(options), full_name(str(options.get("unit")))
    if shown.get("UnitFileState") in ENABLED:
        yield (
            "unit",
            f"{name} is enabled: it starts at boot on every node, whoever owns the group; `systemctl disable {name}`",
        )
    if by := shown.get("TriggeredBy", ""):
        yield (
            "unit",
            f"{name} is started by {by} too, even after hamgrd stopped it; `systemctl disable --now {by}`, or put that "
            "unit into the group",
        )


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.systemd import Systemd

    return Systemd(config)


KIND = ResourceKind(
    (
        Option("unit", str, required=True, check=_check_unit),
        Option("leftovers", str, default="fail", check=_check_leftovers),
    ),
    _build,
    _problems_here,
    thorough_problems_here=_thorough_problems_here,
    warnings_here=_warnings_here,
)
