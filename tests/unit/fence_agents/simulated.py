"""A machine behind a real IPMI simulator, with a power switch that the test can spoil."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hamgr.lab.bmc import Bmc, free_port

USER, PASSWORD = "hamgr", "s3cret-Wort"

_SCRIPT = """#!/bin/sh
cd {directory} || exit 1
echo "$@" >>calls
mood=$(cat mood)
while [ $# -gt 0 ]; do
  case "$1 $2" in
    "get power")
      if [ "$mood" = late ] && [ -e ordered ]; then
        echo x >>readings
        [ "$(wc -l <readings)" -ge 4 ] && echo 0 >power
      fi
      echo "power:$(cat power)"; exit ;;
    "set reset"|"set shutdown") exit ;;
    "set power")
      [ "$mood" = fails ] && exit 1
      [ "$mood" = stays ] && exit 0
      [ "$mood" = late ] && touch ordered && exit 0
      echo "$3" >power; exit ;;
  esac
  shift
done
"""


class Machine:
    def __init__(self, directory: Path, address: str = "127.0.0.1") -> None:
        directory.mkdir(parents=True)
        self._here = directory
        script = directory / "power.sh"
        script.write_text(_SCRIPT.format(directory=directory))
        script.chmod(0o755)
        self.set_power(True)
        self.set_mood("obeys")
        (directory / "calls").touch()
        self.lanplus = "1"
        self.bmc = Bmc("machine", address, free_port(), USER, PASSWORD, directory / "bmc", script)

    @property
    def power(self) -> bool:
        return (self._here / "power").read_text().strip() == "1"

    @property
    def orders(self) -> list[str]:
        return [line.split()[-1] for line in (self._here / "calls").read_text().splitlines() if "set power" in line]

    def set_power(self, on: bool) -> None:
        (self._here / "power").write_text(f"{int(on)}\n")

    @property
    def soft_orders(self) -> list[str]:
        return [line for line in (self._here / "calls").read_text().splitlines() if "set shutdown" in line]

    def set_mood(self, mood: str) -> None:
        (self._here / "mood").write_text(mood)

    def options(self, **more: str) -> dict[str, str]:
        own = {"ip": self.bmc.address, "ipport": str(self.bmc.port), "username": USER, "password": PASSWORD}
        return own | {"lanplus": self.lanplus} | more


@contextmanager
def machine(directory: Path, address: str = "127.0.0.1") -> Iterator[Machine]:
    made = Machine(directory, address)
    made.bmc.start()
    try:
        yield made
    finally:
        made.bmc.stop()
