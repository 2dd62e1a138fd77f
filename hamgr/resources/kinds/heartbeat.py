"""`kind = "heartbeat"`: a script of Heartbeat's resource.d, as haresources names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.config.problems import describe
from hamgr.resources.kinds.lsb import check_path, is_executable
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings

HA_DIR = "/etc/ha.d"


def _check_script(value: str) -> str:
    if value.startswith("/") or ("/" not in value and value not in (".", "..")):
        return ""
    return "the name of a script, or an absolute path"


def _problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    from hamgr.resources.heartbeat import candidates, locate

    script, directory = str(options.get("script", "")), str(options.get("directory", HA_DIR))
    if script and not is_executable(locate(script, directory)):
        places = " or ".join(map(str, candidates(script, directory)))
        yield "script", describe(script), f"a script that can be executed on this machine: {places}"


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.heartbeat import HeartbeatScript

    return HeartbeatScript(config, surroundings)


KIND = ResourceKind(
    (
        Option("script", str, required=True, check=_check_script),
        Option("args", list, default=[]),
        Option("directory", str, default=HA_DIR, check=check_path),
    ),
    _build,
    _problems_here,
)
