"""A service with an init script: any executable with `start`, `stop` and `status` (LSB 5, 22.2)."""

from __future__ import annotations

from hamgr.config.model import ResourceConfig
from hamgr.resources.command import words
from hamgr.resources.program import ENVIRONMENT
from hamgr.resources.resource import Surroundings
from hamgr.resources.three_commands import ThreeCommands

STATUS_STOPPED = 3
MEANINGS = {1: "dead, and its pid file is still there", 2: "dead, and its lock file is still there", 4: "unknown"}
"""What the LSB has other codes of `status` say."""


class Lsb(ThreeCommands):
    """Options: script (absolute path), args (put before the action, as Heartbeat's haresources did)."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        script = [str(config.options["script"]), *words(config, "args")]
        commands = {action: [*script, action] for action in ("start", "stop", "status")}
        super().__init__(config, commands, ENVIRONMENT, STATUS_STOPPED, surroundings, MEANINGS)
