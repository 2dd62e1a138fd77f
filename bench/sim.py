"""How fast the simulator is: three nodes without faults, and seeds with all of them (goal: 300 simulated s a s)."""

from __future__ import annotations

import time

from hamgr.sim.cli import main
from hamgr.sim.run import plan, run
from hamgr.sim.shape import Wanted

SEEDS = range(1, 101)


def with_faults() -> None:
    began = time.perf_counter()
    simulated = sum(run(plan(seed, Wanted())).simulated for seed in SEEDS)
    took = time.perf_counter() - began
    print(f"{len(SEEDS)} seeds with faults: {simulated / took:.0f} simulated seconds a second")


if __name__ == "__main__":
    main(["--bench"])
    with_faults()
