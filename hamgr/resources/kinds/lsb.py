"""`kind = "lsb"`: an init script."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.config.problems import describe
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings


def check_path(value: str) -> str:
    return "" if os.path.isabs(value) else "an absolute path"


def is_executable(path: Path) -> bool:
    """An empty file does nothing, and says that it did."""
    return path.is_file() and os.access(path, os.X_OK) and path.stat().st_size > 0


def _problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    script = options.get("script")
    if isinstance(script, str) and not is_executable(Path(script)):
        yield "script", describe(script), "a file that can be executed on this machine"


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.lsb import Lsb

    return Lsb(config, surroundings)


KIND = ResourceKind(
    (
        Option("script", str, required=True, check=check_path),
        Option("args", list, default=[]),
    ),
    _build,
    _problems_here,
)
