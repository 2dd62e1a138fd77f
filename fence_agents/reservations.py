"""SCSI-3 persistent reservations of one disk, as sg3-utils' `sg_persist` reads and changes them (SPC-4, 5.12).

A key is registered for one path of one machine to the disk. While a reservation for registrants is held, nobody else
writes. Both belong to the disk: whatever path is asked, the answer is about all of them.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass

from fence_agents.agent import FenceError, OutcomeUnknown, UsageError

PROGRAM = "sg_persist"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ATTENTIONS = 8
"""A path tells each change that others made once, in place of an answer: so often at most it is asked again."""

_REGISTERED = re.compile(r"^\s+0x([0-9a-f]{1,16})\s*$", re.MULTILINE)
_HELD = re.compile(r"Key\s*=\s*0x([0-9a-f]+).*?type:\s*(.+?)\s*$", re.DOTALL | re.IGNORECASE | re.MULTILINE)
_LONGEST_WORDS = 200


class Exit(enum.IntEnum):
    """What `sg_persist` ends with (sg3_utils(8))."""

    ATTENTION = 6
    CONFLICT = 24


class Conflict(FenceError):
    """The disk refused an order: the key that was to give it the right is not registered on this path."""


WRITE_EXCLUSIVE_REGISTRANTS = 5
"""The type that is made: only registrants write, everybody may read, and it outlives its maker's registration."""

FOR_REGISTRANTS = "registrants"
"""In the name of each type that shuts everybody else out, and no registrant."""


@dataclass(frozen=True, slots=True)
class State:
    """What a disk says. held: the type of its reservation in words; "" for none."""

    keys: frozenset[int]
    held: str

    def lets_write(self, key: int) -> bool:
        """Whether a machine with this key can write to the disk."""
        return key in self.keys or FOR_REGISTRANTS not in self.held


def show(key: int) -> str:
    return f"{key:#x}"


class Path:
    """One path of this machine to a disk. timeout: seconds for one order."""

    def __init__(self, device: str, timeout: float) -> None:
        self.device = device
        self._timeout = timeout
        program = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:{_PATH}")
        if program is None:
            raise UsageError(f"{PROGRAM} is not here: apt-get install sg3-utils")
        self._program = program

    def read(self) -> State:
        """Raises FenceError."""
        # Opened read-only: closing a disk that was open for writing has udev look at it anew.
        keys = self._ask("--in", "--read-keys", "--readonly")
        if "registered reservation key" not in keys:
            raise FenceError(f"{self.device}: {PROGRAM} tells no keys: {_words(keys)}")
        held = self._ask("--in", "--read-reservation", "--readonly")
        found = _HELD.search(held)
        if found is None and "NO reservation held" not in held:
            raise FenceError(f"{self.device}: {PROGRAM} tells no reservation: {_words(held)}")
        return State(
            frozenset(int(key, 16) for key in _REGISTERED.findall(keys)), found[2].lower() if found is not None else ""
        )

    def register(self, key: int, lasting: bool) -> None:
        """In place of what this path has registered. lasting: also over a loss of power of the disk (APTPL)."""
        how = ["--param-aptpl"] if lasting else []
        self._ask("--out", "--register-ignore", f"--param-sark={key:x}", *how)

    def reserve(self, own: int) -> None:
        self._ask("--out", "--reserve", f"--param-rk={own:x}", f"--prout-type={WRITE_EXCLUSIVE_REGISTRANTS}")

    def preempt(self, own: int, victim: int) -> None:
        """The victim's key is removed from all its paths, and what it has on the way to the disk is aborted. A
        reservation that it held becomes ours."""
        keys = f"--param-rk={own:x}", f"--param-sark={victim:x}"
        self._ask("--out", "--preempt-abort", *keys, f"--prout-type={WRITE_EXCLUSIVE_REGISTRANTS}")

    def _ask(self, *words: str) -> str:
        for _ in range(ATTENTIONS):
            code, stdout, stderr = self._run("--no-inquiry", *words, self.device)
            if code != Exit.ATTENTION:
                break
        if code == 0:
            return stdout
        order = next(word for word in words if word not in ("--in", "--out")).removeprefix("--")
        if code == Exit.CONFLICT:
            raise Conflict(f"{self.device}: {order}: refused by the disk (reservation conflict)")
        raise FenceError(f"{self.device}: {order}: exit {code}: {_words(stderr or stdout)}")

    def _run(self, *words: str) -> tuple[int, str, str]:
        process = subprocess.Popen(
            [self._program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace",
        )  # fmt: skip
        try:
            stdout, stderr = process.communicate(timeout=self._timeout)
        except subprocess.TimeoutExpired:
            # Not waited for: what hangs in the kernel does not even die.
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            raise OutcomeUnknown(f"{self.device} did not answer within {self._timeout:g} s") from None
        return process.returncode, stdout, stderr


def _words(text: str) -> str:
    return " ".join(text.split())[-_LONGEST_WORDS:] or "it says nothing"
