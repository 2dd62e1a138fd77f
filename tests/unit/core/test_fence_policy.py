"""Whom the cluster fences, how often, and what is kept of it."""

from __future__ import annotations

from wholenodes import TIMING, Cluster

from hamgr.core.cluster import ClusterSpec, GroupSpec, GroupState, Mode, NodeSpec
from hamgr.core.effects import ACKNOWLEDGED, FenceRecord, Kind
from hamgr.core.events import FenceOutcome, OperatorAsked, ResourceReported, Verb
from hamgr.core.fencing import Fencing, delay_before, too_slow


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


def test_one_word_for_all_is_none_for_what_a_later_coordinator_asks() -> None:
    """It was said of what the coordinator asked that is dead by now, and comes to its successor."""
    cluster = Cluster(GroupSpec("web"), mode=Mode.ASK)
    cluster.run(2.0)
    cluster.power_off("a")
    cluster.run(0.05)
    cluster.post("c", OperatorAsked(1, Verb.CONFIRM, operator="eve@c"))
    cluster.run(20.0)
    assert len(said(cluster, Kind.TAKEOVER_ASKED)) == 1
    assert fence_records(cluster) == []
    assert (cluster.replies[-1].done, "say it again" in cluster.replies[-1].text) == (False, True)


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


def test_a_plan_tells_of_every_level_that_was_tried() -> None:
    spec = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b", fence_levels=2)), fence_retry=5.0)
    fencing = Fencing(spec)
    plan = fencing.want(0.0, "b", 7, "b is dead")
    for number, wrong in enumerate(("no answer", "login refused"), 1):
        plan.begin(0.0, number)
        fencing.finished(1.0, number, "b", FenceOutcome.FAILED, wrong)
    assert plan.describe(1.0).startswith(
        "fencing failed (level 1: no answer; level 2: login refused), next try in 5.0 s;"
    )
    plan.begin(6.0, 3)
    assert plan.describe(6.0) == (
        "fencing at level 1 is under way (level 1: no answer; level 2: login refused)"
    )
    fencing.finished(7.0, 3, "b", FenceOutcome.FAILED, "reads on")
    assert plan.detail == "level 1: reads on; level 2: login refused"


def test_a_level_waits_for_its_delay_the_first_time() -> None:
    spec = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b", 2, fence_delays=(0.0, 3.0))), fence_retry=5.0)
    fencing = Fencing(spec)
    plan = fencing.want(0.0, "b", 7, "b is dead")
    dues = []
    for number in range(1, 5):
        plan.begin(plan.due, number)
        fencing.finished(plan.began, number, "b", FenceOutcome.FAILED, "no")
        dues.append(plan.due - plan.began)
    assert dues == [3.0, 5.0, 0.0, 5.0]


def test_the_delays_of_devices_hold_back_what_the_cluster_wants_and_not_an_operator() -> None:
    for asked, waited in ((False, 2.0), (True, 0.0)):
        cluster = Cluster(GroupSpec("web"), delays={"c": (2.0,)})
        cluster.run(2.0)
        began = cluster.now
        if asked:
            cluster.post("a", OperatorAsked(1, Verb.FENCE, "c", operator="eve@a"))
        else:
            cluster.power_off("c")
        cluster.run(6.0)
        (at,) = [time for time, _name, announce in cluster.told if announce.kind is Kind.FENCE_ASKED]
        assert 0 <= at - began - waited - (0.0 if asked else TIMING.deadtime) < TIMING.keepalive


def test_of_two_nodes_a_fencing_that_took_longer_than_the_other_waits_is_told_of() -> None:
    two = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")), two_node=True, fence_delay=2.0)
    assert too_slow(two, "a", "b", 1.9) == ""
    assert "it took 2.5 s to fence b, which waits 2 s before it shoots" in too_slow(two, "a", "b", 2.5)
    assert too_slow(ClusterSpec("t", two.nodes, arbiter=True), "a", "b", 9.0) == ""


def test_the_delay_of_a_device_is_a_lead_for_the_node_that_it_switches() -> None:
    nodes = (NodeSpec("a", fence_delays=(3.0,)), NodeSpec("b"))
    two = ClusterSpec("t", nodes, two_node=True, fence_delay=0.0)
    assert (two.lead("a", "b"), two.lead("b", "a")) == (3.0, 0.0)
    assert "which waits 3 s before it shoots" in too_slow(two, "a", "b", 3.5)
    assert too_slow(two, "b", "a", 3.5) == "", "it is not to be the first"
