"""A trial in a few bytes, for another node: one packet of the slowest serial line."""

from __future__ import annotations

import json
import zlib
from typing import Any

from hamgr.config.model import FenceDeviceConfig
from hamgr.fencing.trial import CHECKS, Finding, Trial, Verdict

LARGEST = 256
"""Bytes: as a part of a pushed configuration."""

MOST_TEXT = 1 << 14
"""Bytes of a card, unpacked."""

_LENGTHS = (400, 200, 120, 80, 40, 20, 0)
"""Characters of one text; the first that fit are taken."""

_VERDICTS = tuple(Verdict)
_POWERS = ("", "on", "off")


def write(trial: Trial) -> bytes:
    """What the receiver does not know: the device is in its configuration."""
    card = b""
    for length in _LENGTHS:
        findings = [
            [_VERDICTS.index(f.verdict), round(f.seconds * 1000), f.text[:length] if _is_told(f) else ""]
            for f in trial.findings
        ]
        card = zlib.compress(json.dumps([_POWERS.index(trial.power), findings], separators=(",", ":")).encode(), 9)
        if len(card) <= LARGEST:
            break
    return card


def _is_told(finding: Finding) -> bool:
    """A path there says nothing here, and a check that is skipped is explained by the one that failed."""
    return (finding.verdict is not Verdict.SKIPPED and finding.check != "agent") or finding.verdict is Verdict.FAILED


def read(card: bytes, device: FenceDeviceConfig, tester: str) -> Trial:
    """Raises ValueError for what is none."""
    unpacking = zlib.decompressobj()
    try:
        power, rows = json.loads(unpacking.decompress(card, MOST_TEXT))
        findings = tuple(_finding(check, *row) for check, row in zip(CHECKS, rows, strict=True))
        known = _POWERS[power]
    except (zlib.error, TypeError, ArithmeticError, LookupError, RecursionError, ValueError) as error:
        raise ValueError(f"not a result of a trial: {error}") from None
    return Trial(device.name, device.node, tester, device.level, device.agent, known, findings)


def _finding(check: str, verdict: Any, milliseconds: Any, text: Any) -> Finding:
    return Finding(check, _VERDICTS[verdict], str(text), float(milliseconds) / 1000)
