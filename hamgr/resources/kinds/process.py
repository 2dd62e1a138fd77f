"""`kind = "process"`: a program that stays in the foreground and has no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.config.problems import describe
from hamgr.resources.kinds.command import check_environment, check_words, missing_programs
from hamgr.resources.kinds.lsb import check_path
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings


def _check_settle(value: float) -> str:
    return "" if value >= 0 else "a duration from 0 up"


def _problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    yield from missing_programs(options, ("command",))
    output = options.get("output")
    if isinstance(output, str) and not Path(output).parent.is_dir():
        yield "output", describe(output), "a file in a directory of this machine"


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.process import ForegroundProgram

    return ForegroundProgram(config, surroundings)


KIND = ResourceKind(
    (
        Option("command", list, required=True, check=check_words),
        Option("environment", dict, default={}, check=check_environment),
        Option("output", str, check=check_path),
        Option("settle", float, default=0.2, check=_check_settle),
    ),
    _build,
    _problems_here,
)
