"""A mark: what hamgr itself did with a resource, kept over a restart of hamgrd and forgotten when the machine boots."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hamgr.resources.resource import ResourceError, Surroundings

DIRECTORY = "marks"


class Mark:
    """One file in the state directory. Its methods touch the disk: call them in a thread."""

    def __init__(self, surroundings: Surroundings, resource: str) -> None:
        self.path = surroundings.state_dir / DIRECTORY / f"{surroundings.group}.{resource}"

    def read(self) -> str:
        """What was written in this life of the machine; "" if nothing was."""
        try:
            life, _, text = self.path.read_text(errors="replace").partition("\n")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise ResourceError(f"{self.path} can't be read: {error.strerror}") from error
        return text.strip() if life == machine_life() else ""

    def write(self, text: str) -> None:
        """Not synced: what a crash of the machine loses would be forgotten anyway."""
        self.prepare()
        new = self.path.with_name(self.path.name + ".new")
        try:
            new.write_text(f"{machine_life()}\n{text}\n")
            new.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink()
            raise ResourceError(f"{self.path} can't be written: {error.strerror}") from error

    def prepare(self) -> None:
        """Make the directory, for a file that is written by somebody else."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(f"{self.path.parent} can't be made: {error.strerror}") from error

    def clear(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(f"{self.path} can't be removed: {error.strerror}") from error


def machine_life() -> str:
    """Changes with every boot, and with every start of a container: with the end of all processes."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    started = Path("/proc/1/stat").read_text().rsplit(")", 1)[1].split()[19]
    return f"{boot} {started} {os.readlink('/proc/self/ns/pid')}"
