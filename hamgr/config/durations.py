"""Durations as administrators write them: "200ms", "1s", "2min", "1h", or a plain number of seconds.

A plain number means seconds, as in Heartbeat's ha.cf.
"""

from __future__ import annotations

import re

LONGEST = 365 * 86400.0
"""Seconds. Longer ones are typing mistakes."""

FORM = 'a duration such as "200ms", "1s", "2min", "1h" or a number of seconds'

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "": 1.0}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) *(ms|s|min|h|)", re.ASCII)


def parse(value: object) -> float:
    """The duration in seconds. Raises ValueError when `value` isn't one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(FORM)
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise ValueError(FORM)
        number, unit = match.groups()
        # Divided rather than multiplied for ms: 200 * 0.001 is 0.2 only by luck of rounding.
        seconds = float(number) / 1000 if unit == "ms" else float(number) * _UNITS[unit]
    elif not 0 <= value <= LONGEST:  # NaN fails this comparison too
        raise ValueError(FORM)
    else:
        seconds = float(value)
    if seconds > LONGEST:
        raise ValueError(f"a duration up to {show(LONGEST)}")
    return seconds


def show(seconds: float) -> str:
    """The shortest way to write a duration: 0.2 -> "200ms", 90 -> "90s", 120 -> "2min"."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:.10g}ms"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:.10g}{unit}"
    return f"{seconds:.10g}s"
