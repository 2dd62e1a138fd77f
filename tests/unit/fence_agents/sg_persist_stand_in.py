#!/usr/bin/env python3
"""`sg_persist` for a disk that is a file of JSON (PR_DISK): what the real one printed in tests/vm, and its exit codes.

Each device is a path of its own. faults, by device: hang, gone, deaf (takes every order and does nothing).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

REGISTRANTS = "Write Exclusive, registrants only"


def fail(code: int, text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(code)


def write(place: Path, disk: dict[str, Any]) -> None:
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    fresh.write_text(json.dumps(disk))
    fresh.replace(place)


def main() -> None:
    *words, device = [word.removeprefix("--") for word in sys.argv[1:]]
    values = dict(word.split("=", 1) for word in words if "=" in word)
    own, other = (int(values.get(name, "0"), 16) for name in ("param-rk", "param-sark"))
    place = Path(os.environ["PR_DISK"])
    disk = json.loads(place.read_text())
    keys: dict[str, int] = disk["keys"]
    match disk["faults"].get(device):
        case "hang":
            time.sleep(60)
        case "gone":
            fail(15, f"sg_persist: error opening file {device} (ro): No such device or address")
        case "deaf" if "out" in words:
            return
    attentions = disk["attentions"]
    if attentions.get(device):
        attentions[device] -= 1
        write(place, disk)
        fail(6, "PR in (Read keys): Unit attention")
    shown = f"  PR generation=0x{disk['generation']:x},"
    if "read-keys" in words:
        found = sorted(keys.values())
        print(
            f"{shown} {len(found)} registered reservation key{'s follow' if len(found) != 1 else ' follows'}:"
            if found
            else f"{shown} there are NO registered reservation keys"
        )
        print("\n".join(f"    0x{key:x}" for key in found))
    elif "read-reservation" in words:
        if disk["held"]:
            print(f"{shown} Reservation follows:\n    Key=0x{disk['holder']:x}")
            print(f"    scope: LU_SCOPE,  type: {disk['held']}")
        else:
            print(f"{shown} there is NO reservation held")
    elif "register-ignore" in words:
        disk["aptpl"] = "param-aptpl" in words
        keys[device] = other
    elif keys.get(device) != own or ("reserve" in words and disk["held"]):
        fail(24, "PR out: Reservation conflict")
    elif "reserve" in words:
        assert values["prout-type"] == "5"
        disk |= {"held": REGISTRANTS, "holder": own}
    elif "preempt-abort" in words:
        if other not in keys.values():
            fail(24, "PR out (Preempt and abort): Reservation conflict")
        disk["keys"] = {path: key for path, key in keys.items() if key != other}
        if disk["holder"] == other:
            disk["holder"] = own
    else:
        fail(1, f"no such order: {words}")
    if "out" in words:
        disk["generation"] += 1
        write(place, disk)


if __name__ == "__main__":
    main()
