"""Whom the cluster fences, how often, and what is kept of it."""

from __future__ import annotations

from wholenodes import Cluster

from hamgr.core.cluster import GroupSpec
from hamgr.core.effects import ACKNOWLEDGED, FenceRecord
from hamgr.core.events import FenceOutcome, OperatorAsked, Verb


def fence_records(cluster: Cluster) -> list[FenceRecord]:
    return [record for _name, record in cluster.records if isinstance(record, FenceRecord)]


def test_the_record_of_a_fencing_says_by_whose_votes_and_how_often_it_was_tried() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    cluster.power_off("c")
    cluster.run(3.0)
    intent, result = fence_records(cluster)
    assert (intent.node, intent.outcome, intent.operator, intent.votes) == ("c", "", "", ("a", "b"))
    assert (result.fence, result.outcome, result.attempts) == (intent.fence, "confirmed", 2)


def test_the_record_of_a_fencing_that_somebody_asked_for_names_him() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    cluster.post("b", OperatorAsked(1, Verb.FENCE, "c", operator="eve@b"))
    cluster.run(1.0)
    assert [record.operator for record in fence_records(cluster)][:1] == ["eve@b"]


def test_the_word_of_an_operator_is_on_record_with_his_name() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    cluster.outcome = FenceOutcome.FAILED
    cluster.power_off("a")
    cluster.run(3.0)
    cluster.post("b", OperatorAsked(1, Verb.CONFIRM_FENCED, "a", operator="eve@b"))
    cluster.run(1.0)
    assert cluster.owners("web") == ["b"]
    last = fence_records(cluster)[-1]
    assert (last.node, last.outcome, last.operator, last.votes) == ("a", ACKNOWLEDGED, "eve@b", ("b", "c"))
