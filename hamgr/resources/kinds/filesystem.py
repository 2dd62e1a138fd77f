"""`kind = "filesystem"`: a file system that is mounted on one machine at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping

from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.config.problems import describe
from hamgr.resources.kinds.command import SEARCHED
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings

TAGS = ("LABEL=", "UUID=", "PARTLABEL=", "PARTUUID=")


def _check_device(value: str) -> str:
    # Elsewhere it would be a link, whose target is what the kernel's list of mounts names.
    if value.startswith(("/dev/", *TAGS)) or ":" in value or value == "tmpfs":
        return ""
    return 'a path below /dev, "LABEL=...", "UUID=...", or what the file system\'s mount takes, as "server:/export"'


def _check_directory(value: str) -> str:
    return "" if os.path.isabs(value) and os.path.normpath(value) != "/" else "the absolute path of a directory"


def _check_options(value: str) -> str:
    if {"bind", "rbind"} & set(value.split(",")):
        return "no bind mount: mount the file system itself"
    return "" if not set(value) & set(" \t") else 'options of mount(8) with commas and no blanks, as "noatime,nodev"'


def _problems_here(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    """The device may be on the other node now (DRBD, iSCSI), so that it is looked for at a start only."""
    directory = options.get("directory")
    if isinstance(directory, str) and os.path.exists(directory) and not os.path.isdir(directory):
        yield "directory", f"{describe(directory)}, which is none", "a directory, or nothing there yet"
    fstype = options.get("fstype")
    for program in ("mount", "umount", *(["fsck"] if options.get("fsck") else [])):
        if shutil.which(program, path=SEARCHED) is None:
            yield "device", f"no {program} on this machine", f"{program} in {SEARCHED}"
    if fstype in ("nfs", "nfs4", "cifs") and shutil.which(f"mount.{fstype}", path=SEARCHED) is None:
        yield "fstype", describe(fstype), f"a type whose mount.{fstype} is on this machine"


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.filesystem import Filesystem

    return Filesystem(config, surroundings)


KIND = ResourceKind(
    (
        Option("device", str, required=True, check=_check_device),
        Option("directory", str, required=True, check=_check_directory),
        Option("fstype", str),
        Option("options", str, check=_check_options),
        Option("force_unmount", bool, default=True),
        Option("fsck", bool, default=False),
        Option("probe", bool, default=False),
    ),
    _build,
    _problems_here,
)
