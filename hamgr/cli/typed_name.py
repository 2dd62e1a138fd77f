"""Asks the human at the terminal to type a name before something that can't be taken back."""

from __future__ import annotations

import sys


def confirms(command: str, warning: str, what: str, name: str) -> bool:
    """Did he type it? command: who asks; warning: what will happen; what: whose name it is ("node", "group").

    Without a terminal nobody can: the caller has `--yes` for that.
    """
    if not sys.stdin.isatty():
        print(f"{command}: asks for a confirmation on a terminal; without one, say --yes", file=sys.stderr)
        return False
    print(warning, file=sys.stderr)
    print(f"Type the {what}'s name to confirm: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() == name:
        return True
    print(f"{command}: not confirmed, nothing was done", file=sys.stderr)
    return False
