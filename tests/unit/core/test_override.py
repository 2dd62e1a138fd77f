"""An operator decides in place of lost voters: when he may, what it does, and when it ends."""

from __future__ import annotations

import pytest
from wholenodes import Cluster

from hamgr.core.cluster import GroupSpec
from hamgr.core.effects import ACKNOWLEDGED, FenceRecord, Kind, Reply, StateRecord
from hamgr.core.epochs import is_overriding, next_of, next_of_everybody
from hamgr.core.events import OperatorAsked, Verb


def ask(cluster: Cluster, name: str, *off: str) -> Reply:
    before = len(cluster.replies)
    cluster.post(name, OperatorAsked(1, Verb.OVERRIDE, operator="eve@a", nodes=off))
    (reply,) = cluster.replies[before:]
    return reply


def last_one(seconds: float = 6.0) -> Cluster:
    """Of three nodes only a is left, and has lost its quorum."""
    cluster = Cluster(GroupSpec("web", nodes=("c", "a", "b")))
    cluster.run(2.0)
    cluster.power_off("b")
    cluster.power_off("c")
    cluster.run(seconds)
    assert cluster.owners("web") == []
    return cluster


def test_a_node_goes_on_alone_by_an_operators_word_which_is_on_record() -> None:
    cluster = last_one()
    assert ask(cluster, "a", "b", "c").done
    cluster.run(1.0)
    assert cluster.owners("web") == ["a"]
    status = cluster.nodes["a"].status(cluster.now)
    assert status.override == "a goes on without a quorum: eve@a decided in place of b, c"
    said = [record for _, record in cluster.records if isinstance(record, FenceRecord)]
    assert {(one.node, one.outcome, one.operator) for one in said if one.outcome == ACKNOWLEDGED} == {
        ("b", ACKNOWLEDGED, "eve@a"),
        ("c", ACKNOWLEDGED, "eve@a"),
    }


def test_nothing_of_it_is_written_into_the_cluster_state() -> None:
    cluster = last_one()
    before = [record for _, record in cluster.records if isinstance(record, StateRecord)]
    ask(cluster, "a", "b", "c")
    cluster.run(2.0)
    assert [record for _, record in cluster.records if isinstance(record, StateRecord)] == before


def test_it_ends_with_a_real_quorum_and_the_group_goes_on() -> None:
    cluster = last_one()
    ask(cluster, "a", "b", "c")
    cluster.run(1.0)
    cluster.power_on("b")
    cluster.run(4.0)
    assert cluster.nodes["a"].status(cluster.now).override == ""
    assert not is_overriding(cluster.nodes["a"].election.epoch)
    assert cluster.nodes["b"].election.following == cluster.nodes["a"].election.following != ""
    assert cluster.owners("web") == ["a"]
    assert [one.text for _, name, one in cluster.told if one.kind is Kind.QUORUM_OVERRIDE][1:] == [
        "the decision of eve@a in place of a quorum ends: there is a quorum again"
    ]


def test_what_he_said_counts_no_longer_when_it_has_ended() -> None:
    cluster = last_one()
    ask(cluster, "a", "b", "c")
    cluster.run(1.0)
    cluster.power_on("b")
    cluster.run(1.5)
    fenced = [one.node for _, _, one in cluster.told if one.kind is Kind.FENCE_ASKED]
    assert fenced == ["c"], "c may have started anew meanwhile, unheard"


@pytest.mark.parametrize(
    ("off", "why"),
    [
        (("b",), "c is not heard, and was not said to be off"),
        ((), "b, c is not heard, and was not said to be off"),
    ],
)
def test_every_node_that_is_not_heard_must_be_named(off: tuple[str, ...], why: str) -> None:
    assert ask(last_one(), "a", *off).text == why


def test_who_is_heard_is_not_off() -> None:
    cluster = last_one(1.5)
    cluster.power_on("b")
    cluster.withheld = lambda packet: "c" in (packet.sender, packet.to)
    cluster.run(1.5)
    assert ask(cluster, "a", "b", "c").done is False


def test_where_there_is_a_quorum_nobody_decides_in_its_place() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    assert ask(cluster, "b").text == "there is a quorum: a is coordinator of epoch 1"


def test_a_life_that_no_quorum_knows_as_a_member_may_not() -> None:
    cluster = last_one()
    cluster.power_off("a")
    cluster.power_on("a")
    cluster.run(4.0)
    assert "no quorum knows this life of a's daemon as a member" in ask(cluster, "a", "b", "c").text


def test_epochs_of_an_override_are_one_nodes_alone() -> None:
    assert [next_of_everybody(epoch) for epoch in (0, 46, 47, 50, 63, 64)] == [1, 47, 64, 64, 64, 65]
    assert [next_of(0, epoch) for epoch in (0, 47, 48, 49)] == [48, 48, 112, 112]
    assert [next_of(15, epoch) for epoch in (0, 62, 63)] == [63, 63, 127]
    owned = {next_of(rank, epoch) % 64 for rank in range(16) for epoch in range(200)}
    assert owned == set(range(48, 64))
