"""A power strip for virtual machines, which they reach over their third serial line: it really pulls their plugs.

In the machines its fence agent is a shell script with the ClusterLabs API. It knows lines "ACTION NODE" and answers
"on", "off" or "failed".
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

from virtual_machine import Machine

AGENT = "/usr/local/sbin/fence_strip"
SCRIPT = """#!/bin/sh
while read -r line; do
    case $line in action=*) action=${line#action=} ;; nodename=*) node=${line#nodename=} ;; esac
done
case $action in
metadata)
    echo '<resource-agent name="fence_strip"><parameters/><actions><action name="off"/><action name="status"/>'
    echo '<action name="monitor"/></actions></resource-agent>'
    exit 0 ;;
monitor) exit 0 ;;
esac
exec 9<>/dev/ttyS2
flock 9
stty -F /dev/ttyS2 raw -echo
echo "$action $node" >&9
read -r answer <&9
[ "$answer" != failed ] || exit 1
[ "$action $answer" != "status off" ] || exit 2
"""


class PowerStrip:
    """works: whether it switches anything; asked: what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.works = True
        self.asked: list[str] = []
        self._directory = directory
        self._machines: dict[str, Machine] = {}

    def line(self, name: str) -> list[str]:
        """QEMU's arguments for a machine that can reach it."""
        place = self._directory / f"{name}.strip"
        return ["-chardev", f"socket,id=strip,path={place},server=on,wait=off", "-serial", "chardev:strip"]

    def serve(self, machine: Machine) -> None:
        """A machine that is on: it can ask, and be switched."""
        self._machines[machine.name] = machine
        machine.write(AGENT, SCRIPT, mode="755")
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._directory / f"{machine.name}.strip"))
        threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rw") as line:
            for words in line:
                line.write(f"{self._answer(words.strip())}\n")
                line.flush()

    def _answer(self, words: str) -> str:
        self.asked.append(words)
        action, _, name = words.partition(" ")
        if action == "off":
            if not self.works:
                return "failed"
            self._machines[name].power_off()
        return "on" if self._machines[name].is_on else "off"
