"""What several lab tests say of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hamgr.lab.lab import Lab
from hamgr.lab.watch import Prober

FAST = {"keepalive": "100ms", "warntime": "300ms", "deadtime": "600ms", "lease": "1500ms", "initdead": "2s"}


@contextmanager
def watched(lab: Lab, url: str = "") -> Iterator[Prober]:
    """The VIP under watch, and the page there; two owners at any moment are a failure."""
    with lab.watch_vip(url=url) as prober:
        yield prober
    assert prober.owners_overlapping() == []


def kinds(lab: Lab, reporter: str) -> list[str]:
    return [event.kind for event in lab.events(reporter)]
