"""The wire between a BMC and its machine's power: what ipmi_sim's SCRIPT calls, and who answers in the world.

ipmi_sim starts a script for each power command (`chassis_control`, ipmi_lan(5)); the script is plain sh and
asks over two FIFOs, since a Python start would cost more than the whole power-off. It answers once the
machine is dead.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

_SCRIPT = """#!/bin/sh
# {node}'s power: `get power` prints power:1 or power:0, `set power 0|1` returns when it is done.
cd {directory} || exit 1
while [ $# -gt 0 ]; do
  case "$1 $2" in
    "get power") read -r state <state && echo "power:$state"; exit ;;
    "set power")
      exec 3<answer
      echo "$$ $3" >ask
      while read -r asker result <&3; do [ "$asker" = $$ ] && exit "$result"; done ;;
  esac
  shift
done
"""
_LONGEST_REQUEST = 4096


class PowerWire:
    """One machine's wire. switch_power(on) is called for each `set power`; it returns whether it worked.

    refusing: every `set power` fails and switches nothing.
    """

    def __init__(self, directory: Path, node: str, switch_power: Callable[[bool], bool]) -> None:
        self._directory = directory
        self._switch_power = switch_power
        self.refusing = False
        directory.mkdir(parents=True, exist_ok=True)
        self.script.write_text(_SCRIPT.format(node=node, directory=shlex.quote(str(directory))))
        self.script.chmod(0o755)
        for name in ("ask", "answer"):
            os.mkfifo(directory / name, 0o600)
        # Open at both ends, so that neither a script that ended nor one that is not there yet is an error.
        self._ask = os.open(directory / "ask", os.O_RDWR | os.O_NONBLOCK)
        self._answer = os.open(directory / "answer", os.O_RDWR | os.O_NONBLOCK)

    @property
    def script(self) -> Path:
        """The program to name in `chassis_control`."""
        return self._directory / "power"

    def fileno(self) -> int:
        """Readable when a script has asked; then call `serve`."""
        return self._ask

    def show(self, on: bool) -> None:
        """What the BMC reports from now on, also to a reader that has the file open."""
        fresh = self._directory / "state.new"
        fresh.write_text(f"{int(on)}\n")
        fresh.replace(self._directory / "state")

    def serve(self) -> None:
        """Carry out what the waiting scripts ask, and answer them."""
        for line in os.read(self._ask, _LONGEST_REQUEST).decode().splitlines():
            asker, wanted = line.split()
            done = not self.refusing and self._switch_power(wanted != "0")
            os.write(self._answer, f"{asker} {0 if done else 1}\n".encode())
