"""How kind the world is: delays, losses and failures that happen all the time, besides the faults of the schedule."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conditions:
    """Probabilities from 0 to 1; times in seconds, drawn evenly between the two where there are two.

    tail: a packet is late by up to `tail_time`. very_late: it comes after up to `very_late_time`, perhaps in another
    life of its receiver. drift: clocks run wrong by up to this fraction. repower: a machine that was fenced or reset
    is powered on again after a time (None: only when the schedule says so). slow_link: by so much the last link is
    later than the others, as a serial line is.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    tail: float = 0.0
    tail_time: float = 0.5
    very_late: float = 0.0
    very_late_time: float = 8.0
    latency: tuple[float, float] = (0.0005, 0.0005)
    drift: float = 0.0
    disk: tuple[float, float] = (0.002, 0.002)
    disk_slow: float = 0.0
    start: tuple[float, float] = (0.2, 0.2)
    stop: tuple[float, float] = (0.1, 0.1)
    probe: tuple[float, float] = (0.05, 0.05)
    operation_slow: float = 0.0
    start_fails: float = 0.0
    stop_fails: float = 0.0
    fence: tuple[float, float] = (0.3, 0.3)
    fence_fails: float = 0.0
    fence_late: float = 0.0
    store_fails: float = 0.0
    boot: tuple[float, float] = (1.0, 1.0)
    repower: tuple[float, float] | None = None
    slow_link: float = 0.0


CALM = Conditions()
"""What scenarios and measurements run under: every time is always the same, nothing fails by itself."""


def random_conditions(rng: random.Random) -> Conditions:
    """The weather of a seed: often fair, at times foul."""
    foul = rng.random() < 0.5
    return Conditions(
        loss=rng.choice((0.0, 0.02, 0.1, 0.25)) if foul else 0.0,
        duplicate=0.02 if foul else 0.0,
        tail=rng.choice((0.0, 0.02, 0.1)) if foul else 0.002,
        tail_time=rng.choice((0.1, 0.5, 2.0)),
        very_late=0.003 if foul else 0.0005,
        latency=(0.0001, rng.choice((0.001, 0.02, 0.1))),
        drift=200e-6,
        disk=(0.0005, rng.choice((0.005, 0.05))),
        disk_slow=rng.choice((0.0, 0.01, 0.05)),
        start=(0.01, rng.choice((0.2, 2.0))),
        stop=(0.01, rng.choice((0.2, 1.5))),
        probe=(0.005, rng.choice((0.05, 0.5))),
        operation_slow=rng.choice((0.0, 0.03)),
        start_fails=rng.choice((0.0, 0.0, 0.05)),
        stop_fails=rng.choice((0.0, 0.0, 0.02)),
        fence=(0.05, rng.choice((0.3, 2.0))),
        fence_fails=rng.choice((0.0, 0.1, 0.3)),
        fence_late=rng.choice((0.0, 0.0, 0.1)),
        store_fails=rng.choice((0.0, 0.0, 0.03)),
        boot=(0.3, 3.0),
        repower=(1.0, rng.choice((4.0, 15.0))),
        slow_link=rng.choice((0.0, 0.0, 0.0, 0.3, 0.8)),
    )
