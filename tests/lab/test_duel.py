"""Two nodes that lose each other, again and again: each wants to shoot the other, and exactly one is shot."""

from __future__ import annotations

import os
import random
import time

import pytest
from clusters import FAST, insist, promised, runs, watched

from hamgr.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

DUELS = int(os.environ.get("HAMGR_DUELS", "1"))
"""How many of them, one after the other."""

LIMITS = 'fence_limit = 0\nfence_limit_all = 0'
CLUSTER = f'{LIMITS}\nfence_action = "reboot"\nfence_delay_random = "200ms"'

BOOTED = 4.0
"""Seconds after which the loser would have shot, if it ever did: it booted, and `initdead` has passed."""


def together(cluster: Lab) -> bool:
    """Both are up, hear each other, and follow the same coordinator."""
    found = [cluster.status(name) for name in "ab"]
    heard = all(node["state"] in ("self", "online") for one in found for node in one["nodes"])
    return heard and found[0]["coordinator"] == found[1]["coordinator"] != ""


@promised()
def the_survivor(before: dict[str, int | None], after: dict[str, int | None]) -> str:
    """Who was not shot. before, after: the machines' lives; who was shot lives another one, or none."""
    survivors = [name for name in "ab" if before[name] == after[name]]
    assert len(survivors) == 1, f"of a and b survived: {' and '.join(survivors) or 'nobody'}"
    return survivors[0]


def duel(cluster: Lab, owner: str, pause: float) -> str:
    """Have this node run the group, cut all links between the two, wait, and let them meet again; who survived it."""
    insist(cluster, "a", "takeover", "web", "--node", owner)
    cluster.wait(runs(cluster, web=owner), 20, f"{owner} to run web")
    before = cluster.machines()
    cluster.separate("a", "b")
    cluster.cut("b", "ha")
    cluster.wait(lambda: cluster.machines() != before, 20, "one of them to be shot")
    time.sleep(BOOTED + pause)
    survivor = the_survivor(before, cluster.machines())
    cluster.wait(lambda: all(cluster.node(name).is_on() for name in "ab"), 20, "the loser to boot")
    cluster.heal()
    cluster.wait(lambda: together(cluster), 20, "both to be online")
    return survivor


@pytest.mark.timeout(60 + 30 * DUELS)
@pytest.mark.parametrize("arbiter", [True, False], ids=["arbiter", "two nodes alone"])
def test_of_two_nodes_that_shoot_at_once_one_survives_and_the_loser_that_boots_does_not_shoot(lab, arbiter) -> None:
    cluster: Lab = lab(**FAST, arbiter=arbiter, auto_failback=False, cluster=CLUSTER)
    chance = random.Random(DUELS)
    with watched(cluster):
        cluster.wait(lambda: together(cluster), 20, "both to be online")
        for _ in range(DUELS):
            owner = chance.choice("ab")
            assert duel(cluster, owner, chance.random()) == owner, "who runs the group shoots first"
    assert cluster.owners() == [owner]
