"""How Heartbeat reads single words: times, booleans, numbers, names. Each raises ValueError with what is allowed."""

from __future__ import annotations

import re

from hamgr.config.durations import LONGEST, show

TIME = 'a time such as "2", "1.5s", "500ms" or "200us"'
BOOLEAN = "true, on, yes, y, 1 or false, off, no, n, 0"

_MILLISECONDS = {"us": 0.001, "usec": 0.001, "ms": 1.0, "msec": 1.0, "": 1000.0, "s": 1000.0, "sec": 1000.0}
_MILLISECONDS |= {"m": 60_000.0, "min": 60_000.0, "h": 3_600_000.0, "hr": 3_600_000.0}
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}) *([a-z]*)", re.ASCII | re.IGNORECASE)
_TRUE = ("true", "on", "yes", "y", "1")
_FALSE = ("false", "off", "no", "n", "0")


def seconds(word: str) -> float:
    match = _TIME.fullmatch(word)
    if match is None or match[2].lower() not in _MILLISECONDS:
        raise ValueError(TIME)
    # Milliseconds first: 200 * 0.001 is 0.2 only by luck of rounding.
    found = float(match[1]) * _MILLISECONDS[match[2].lower()] / 1000
    if found > LONGEST:
        raise ValueError(f"a time up to {show(LONGEST)}")
    return found


def boolean(word: str) -> bool:
    if word.lower() in _TRUE:
        return True
    if word.lower() in _FALSE:
        return False
    raise ValueError(BOOLEAN)


def number(word: str, low: int, high: int) -> int:
    if not (word.isascii() and word.isdecimal()) or len(word) > 9 or not low <= int(word) <= high:
        raise ValueError(f"a whole number from {low} to {high}")
    return int(word)


def table_name(word: str, fallback: str) -> str:
    """A name that a table may have, as near to the word as can be: "eth0.100" is "eth0-100"."""
    kept = re.sub(r"[^A-Za-z0-9_-]", "-", word, flags=re.ASCII).strip("-_")[:55].rstrip("-_")
    return kept or fallback


def free_name(name: str, taken: object) -> str:
    """The name, or the first of name-2, name-3 that is not `taken` (anything with `in`)."""
    count = 1
    while (free := name if count == 1 else f"{name}-{count}") in taken:  # type: ignore[operator]
        count += 1
    return free
