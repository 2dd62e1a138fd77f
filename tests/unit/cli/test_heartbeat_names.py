"""What a node holds, in Heartbeat's words."""

from __future__ import annotations

import pytest

from hamgr.cli.clstatus import held
from hamgr.core.cluster import GroupState
from hamgr.core.status import ArbiterStatus, GroupStatus, Status


def status(*groups: GroupStatus) -> Status:
    nothing = ArbiterStatus(False, False, None, False)
    return Status("t", "a", 1, "follower", 1, "b", True, 2, 2, 1.0, False, nothing, (), groups, ())


def group(home: str, owner: str, state: GroupState = GroupState.STARTED, target: str = "") -> GroupStatus:
    return GroupStatus("g", owner, state, target, home=home)


@pytest.mark.parametrize(
    ("groups", "word"),
    [
        ((group("a", "a"), group("b", "b")), "local"),
        ((group("a", "b"), group("b", "a")), "foreign"),
        ((group("a", "a"), group("b", "a")), "all"),
        ((group("a", "b"), group("b", "b")), "none"),
        ((group("a", ""), group("b", "b")), "none"),
        ((group("a", "a", GroupState.STOPPING), group("b", "b")), "transition"),
        ((group("a", "b", GroupState.STOPPING, "a"), group("b", "b")), "transition"),
        ((), "none"),
    ],
)
def test_which_groups_a_node_holds(groups: tuple[GroupStatus, ...], word: str) -> None:
    assert held(status(*groups)) == word
