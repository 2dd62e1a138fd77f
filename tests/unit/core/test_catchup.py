"""A node that missed a push: whose votes it counts, whom it would lead, and to whom the text is brought."""

from __future__ import annotations

import pytest

from hamgr.core.cluster import ClusterSpec, NodeSpec
from hamgr.core.durable import Durable
from hamgr.core.effects import StagedRecord
from hamgr.core.electorate import Electorate, Electorates
from hamgr.core.messages import ClusterState, ConfigStamp, Heartbeat, Stamp
from hamgr.core.node import Node

TWO = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")), arbiter=True)
THREE = Electorates(Electorate(dict.fromkeys("abc", 1), arbiter=1))


def state(maintenance: bool = False) -> ClusterState:
    """Configuration 2, which added c, is committed."""
    config = ConfigStamp(2, "d2", added="c")
    return ClusterState(Stamp(7, 3), "a", maintenance=maintenance, config=config, electorates=THREE)


def node(config: str = "d1", applied: int = 1, **durable: object) -> Node:
    facts: dict[str, object] = {"initialised": True, "epoch": 7, "applied": applied, "state": state()}
    return Node(TWO, "b", 9, Durable(**{**facts, **durable}), 0.0, config)  # type: ignore[arg-type]


def test_an_older_file_takes_nobody_out_of_the_voters_and_one_that_was_changed_by_hand_does() -> None:
    assert node().electorates == THREE
    assert node(applied=2).electorates.voters == THREE.voters - {"c"}
    assert node(config="d2").electorates.voters == THREE.voters - {"c"}, "it is what was committed"


def test_who_knows_that_it_missed_a_push_wins_with_no_votes() -> None:
    everybody = {"a", "b", "c"}
    assert not node().voting.wins(everybody)
    assert node(applied=2).voting.wins(everybody)
    assert node(config="d2").voting.wins(everybody)


def test_in_the_middle_of_a_push_it_may_lead_if_it_has_the_text() -> None:
    """Nothing is started then, and whoever is left must be able to end that."""
    staged = (StagedRecord("d2", ()),)
    assert node(state=state(maintenance=True), staged=staged).voting.wins({"a", "b", "c"})
    assert not node(state=state(maintenance=True)).voting.wins({"a", "b", "c"})
    assert not node(staged=staged).voting.wins({"a", "b", "c"}), "the push is over"


def test_what_a_voter_knows_is_stored_before_it_is_counted_on() -> None:
    late = node(state=ClusterState())
    assert late.voting.wins({"a", "b"})
    late.voting.learns(state())
    assert [record.state for record in late.records.pending.values()] == [state()]  # type: ignore[union-attr]
    assert not late.voting.wins({"a", "b", "c"})


@pytest.mark.parametrize(
    ("config", "applied", "maintenance", "refused"),
    [("d1", 1, False, True), ("d1", 1, True, False), ("d2", 1, False, False), ("by hand", 2, False, False)],
)
def test_who_missed_a_push_gets_no_vote_unless_everybody_is_in_the_middle_of_it(
    config: str, applied: int, maintenance: bool, refused: bool
) -> None:
    voter = node(config="d2", applied=2, state=state(maintenance))
    peer = voter.membership.peers["a"]
    peer.heartbeat = Heartbeat(1, 7, config=config, applied=applied)
    assert (voter.catchup.refusal(peer) == "a missed configuration 2") is refused


def test_the_status_tells_what_such_a_node_waits_for() -> None:
    (told,) = node().catchup.waits()
    assert told.startswith("b missed configuration 2 (d2), so it leads nobody and starts nothing: waits for a node")
    assert node(staged=(StagedRecord("d2", ()),)).catchup.waits() == [], "it is about to start anew with it"
    assert node(config="d2").catchup.waits() == []
