"""`hb_standby`, `hb_takeover` and `cl_status`: Heartbeat's names for hamgr's commands, for scripts that call them."""

from __future__ import annotations

import sys

from hamgr.cli.commands import DONE, FAILED
from hamgr.cli.main import main as hamgr
from hamgr.core.cluster import SELECTIONS


def hb_standby() -> int:
    """`hb_standby [all|foreign|local|failback]`: this node gives groups up, and stays ready to take them again."""
    return _move("hb_standby", "standby", sys.argv[1:])


def hb_takeover() -> int:
    """`hb_takeover [all|foreign|local|failback]`: this node takes groups over."""
    return _move("hb_takeover", "takeover", sys.argv[1:])


def cl_status() -> int:
    """`cl_status COMMAND`: see hamgr.cli.clstatus."""
    from hamgr.cli.clstatus import main

    return main(sys.argv[1:])


def _move(prog: str, verb: str, words: list[str]) -> int:
    groups = words[0] if words else "all"
    if len(words) > 1 or groups not in SELECTIONS:
        # Exit code 1 for all that is wrong, and for --help, as Heartbeat's scripts.
        if words not in (["--help"], ["-h"]):
            print(f"{prog}: found {' '.join(words)!r}, allowed one of {', '.join(SELECTIONS)}", file=sys.stderr)
        print(f"usage: {prog} [{'|'.join(SELECTIONS)}], for `hamgr {verb}` of this node", file=sys.stderr)
        return FAILED
    if verb == "takeover":
        return hamgr(["takeover", groups])
    if groups != "all":
        return hamgr(["standby", groups])
    # Heartbeat's standby hands over and is over; ours lasts until `online`, so the groups are handed over in two parts.
    return max(hamgr(["standby", "local"]), hamgr(["standby", "foreign"]), DONE)
