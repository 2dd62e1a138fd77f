"""`kind = "command"`: a service with commands of its own to start, stop and check it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.config.problems import describe
from hamgr.resources.kinds.lsb import is_executable
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The PATH of every program that hamgr starts."""


def check_words(value: list[str]) -> str:
    if not value or not value[0]:
        return 'an array of words, the program first: ["/usr/bin/pgrep", "-x", "squid"]'
    if "/" in value[0] and not os.path.isabs(value[0]):
        return "a program by its absolute path, or by its name if it is in " + SEARCHED
    return ""


def check_environment(value: dict[str, str]) -> str:
    wrong = [key for key in value if not key or "=" in key or "\0" in key + value[key]]
    return "names of variables without =" if wrong else ""


def _check_code(value: int) -> str:
    return "" if 1 <= value <= 255 else "an exit code from 1 to 255"


def missing_programs(options: Mapping[str, OptionValue], keys: Iterable[str]) -> Iterable[Fact]:
    """Which of these commands can't be run on this machine."""
    for key in keys:
        command = options.get(key)
        if not isinstance(command, list) or not command:
            continue
        program = str(command[0])
        found = is_executable(Path(program)) if "/" in program else shutil.which(program, path=SEARCHED)
        if not found:
            yield key, describe(program), "a program that can be executed on this machine"


def _problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    return missing_programs(options, ("start", "stop", "check"))


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.command import Command

    return Command(config, surroundings)


KIND = ResourceKind(
    (
        Option("start", list, required=True, check=check_words),
        Option("stop", list, required=True, check=check_words),
        Option("check", list, required=True, check=check_words),
        Option("stopped_code", int, default=3, check=_check_code),
        Option("environment", dict, default={}, check=check_environment),
    ),
    _build,
    _problems_here,
)
