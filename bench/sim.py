"""How fast the simulator is: three nodes without faults, and seeds with all of them (goal: 300 simulated s a s)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

SEEDS = range(1, 101)


def with_faults() -> None:
    from hamgr.sim.run import plan, run
    from hamgr.sim.shape import Wanted

    began = time.perf_counter()
    simulated = sum(run(plan(seed, Wanted())).simulated for seed in SEEDS)
    took = time.perf_counter() - began
    print(f"{len(SEEDS)} seeds with faults: {simulated / took:.0f} simulated seconds a second")


if __name__ == "__main__":
    # The package `arbiter` is meant, not bench/arbiter.py beside this file.
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]
    from hamgr.sim.cli import main

    main(["--bench"])
    with_faults()
