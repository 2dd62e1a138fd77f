"""Whom the cluster fences, how often, and what is kept of it."""

from __future__ import annotations

from wholenodes import TIMING, Cluster

from hamgr.core.cluster import ClusterSpec, GroupSpec, GroupState, Mode, NodeSpec
from hamgr.core.effects import ACKNOWLEDGED, FenceRecord, Kind
from hamgr.core.events import FenceOutcome, OperatorAsked, ResourceReported, Verb
from hamgr.core.fencing import delay_before


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


def test_no_node_is_fenced_again_and_again_but_an_operator_may() -> None:
    cluster = Cluster(GroupSpec("web", nodes=("c", "b")), fence_limit=1)
    cluster.run(2.0)
    cluster.power_off("c")
    cluster.run(3.0)
    cluster.power_on("c")
    cluster.run(5.0)
    assert cluster.owners("web") == ["c"]
    cluster.power_off("c")
    cluster.run(10.0)
    assert cluster.owners("web") == [], "it is dead, and nobody knows that it is off"
    assert cluster.kinds().count(Kind.FENCE_LIMITED) == 1
    (wait,) = cluster.nodes["a"].status(cluster.now).groups[0].waits
    assert "c was fenced once within an hour (fence_limit)" in wait
    assert "hamgr fence c" in wait
    cluster.post("a", OperatorAsked(1, Verb.FENCE, "c", operator="eve@a"))
    cluster.run(1.0)
    assert cluster.owners("web") == ["b"]


def test_the_limit_outlives_the_coordinator_that_counted() -> None:
    cluster = Cluster(GroupSpec("web", nodes=("c", "b")), fence_limit=1)
    cluster.run(2.0)
    cluster.power_off("c")
    cluster.run(3.0)
    cluster.power_on("c")
    cluster.run(3.0)
    cluster.post("a", OperatorAsked(1, Verb.LEAVE))
    cluster.run(5.0)
    assert cluster.nodes["b"].role == "coordinator"
    (shot,) = cluster.nodes["b"].stored.shots
    assert (shot.node, shot.age) == ("c", int(TIMING.deadtime) - 1), "as old as when the state was stamped last"


def test_of_two_nodes_without_an_arbiter_who_runs_less_shoots_later_and_both_by_chance() -> None:
    two = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")), two_node=True, fence_delay=2.0, fence_delay_random=1.0)
    assert delay_before(two, "a", 5, "b", 3, 0.0) == 0.0
    assert delay_before(two, "b", 3, "a", 5, 0.0) == 2.0
    assert delay_before(two, "b", 0, "a", 0, 0.25) == 2.25, "of equals, the second of the file"
    assert delay_before(two, "a", 0, "b", 0, 0.25) == 0.25
    assert delay_before(ClusterSpec("t", two.nodes, arbiter=True), "b", 0, "a", 9, 1.0) == 0.0


def said(cluster: Cluster, kind: Kind) -> list[str]:
    return [announce.text for _time, _name, announce in cluster.told if announce.kind is kind]


def test_in_mode_ask_a_node_is_fenced_by_whom_confirmed_it() -> None:
    cluster = Cluster(GroupSpec("web"), mode=Mode.ASK)
    cluster.run(2.0)
    cluster.power_off("a")
    cluster.run(20.0)
    assert fence_records(cluster) == []
    (question,) = said(cluster, Kind.TAKEOVER_ASKED)
    assert question == "a is dead: no link hears it; it is fenced when somebody says `hamgr confirm a`"
    cluster.post("c", OperatorAsked(1, Verb.CONFIRM, operator="eve@c"))
    cluster.run(1.0)
    assert cluster.owners("web") == ["b"]
    assert fence_records(cluster)[0].operator == "eve@c"
    assert cluster.replies[-1].done


def test_in_mode_manual_one_word_for_all_is_refused() -> None:
    cluster = Cluster(GroupSpec("web", mode=Mode.MANUAL), mode=Mode.MANUAL)
    cluster.run(2.0)
    cluster.power_off("a")
    cluster.run(5.0)
    cluster.post("b", OperatorAsked(1, Verb.CONFIRM))
    cluster.run(1.0)
    assert (cluster.replies[-1].done, "mode is manual" in cluster.replies[-1].text) == (False, True)
    assert fence_records(cluster) == []


def test_where_nothing_is_asked_nothing_can_be_confirmed() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    cluster.post("b", OperatorAsked(1, Verb.CONFIRM, group="web"))
    cluster.run(1.0)
    assert cluster.replies[-1].text == "nothing for web waits for a confirmation now"


def test_a_question_is_withdrawn_when_the_node_is_back() -> None:
    cluster = Cluster(GroupSpec("web", mode=Mode.ASK), mode=Mode.ASK)
    cluster.run(2.0)
    cluster.power_off("a")
    cluster.run(5.0)
    cluster.power_on("a")
    cluster.run(5.0)
    assert fence_records(cluster) == []
    assert cluster.owners("web") == ["a"], "where it ran last"
    assert cluster.nodes["b"].status(cluster.now).fences == ()


def test_in_mode_ask_a_group_that_failed_too_often_waits_for_a_human() -> None:
    cluster = Cluster(GroupSpec("web", mode=Mode.ASK, restarts=0))
    cluster.run(2.0)
    cluster.active["a"].discard("web")
    cluster.post("a", ResourceReported("web", GroupState.FAILED, "it died"))
    cluster.run(5.0)
    assert cluster.owners("web") == []
    (wait,) = cluster.nodes["a"].status(cluster.now).groups[0].waits
    assert wait == "waits for a human: web ran on a, which can't run it now; it starts on b after `hamgr confirm web`"
    cluster.post("c", OperatorAsked(1, Verb.CONFIRM, group="web"))
    cluster.run(1.0)
    assert cluster.owners("web") == ["b"]
