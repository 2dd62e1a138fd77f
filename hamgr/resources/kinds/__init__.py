"""The registry: every kind of resource by its name.

A module here says which keys a kind has, and is loaded with every configuration; the kind's own module, which may be
large, is loaded when the first resource of the kind is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hamgr.resources.kinds import checks, command, filesystem, heartbeat, lsb, ocf, process, route, systemd, vip
from hamgr.resources.resource import ResourceKind

RESOURCE_KINDS: Mapping[str, ResourceKind] = MappingProxyType(
    {
        "vip": vip.KIND,
        "route": route.KIND,
        "lsb": lsb.KIND,
        "ocf": ocf.KIND,
        "heartbeat": heartbeat.KIND,
        "command": command.KIND,
        "process": process.KIND,
        "filesystem": filesystem.KIND,
        "systemd": systemd.KIND,
        "tcp": checks.TCP,
        "http": checks.HTTP,
        "check": checks.COMMAND,
    }
)
