"""A service that is started, stopped and checked by three commands of its own."""

from __future__ import annotations

from hamgr.config.model import ResourceConfig
from hamgr.resources.program import ENVIRONMENT
from hamgr.resources.resource import Surroundings
from hamgr.resources.three_commands import ThreeCommands


def words(config: ResourceConfig, key: str) -> list[str]:
    """An option that is an array of words."""
    value = config.options.get(key, [])
    assert isinstance(value, list)
    return [str(word) for word in value]


def environment(config: ResourceConfig) -> dict[str, str]:
    """The plain environment, with what the option `environment` adds to it."""
    value = config.options.get("environment", {})
    assert isinstance(value, dict)
    return {**ENVIRONMENT, **{key: str(text) for key, text in value.items()}}


class Command(ThreeCommands):
    """Options: start, stop, check, stopped_code, environment."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        commands = {"start": words(config, "start"), "stop": words(config, "stop"), "status": words(config, "check")}
        stopped_code = int(str(config.options["stopped_code"]))
        super().__init__(config, commands, environment(config), stopped_code, surroundings, {})
