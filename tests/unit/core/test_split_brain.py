"""Two owners, however that came: said once, by the coordinator, and ended."""

from __future__ import annotations

from wholenodes import Cluster

from hamgr.core.cluster import GroupSpec
from hamgr.core.effects import Announce, Kind
from hamgr.core.events import OperatorAsked, Verb


def said(cluster: Cluster) -> list[Announce]:
    return [announce for _time, _name, announce in cluster.told if announce.kind is Kind.SPLIT_BRAIN]


def test_a_group_that_two_nodes_find_running_is_told_once_and_stopped_on_one() -> None:
    cluster = Cluster(GroupSpec("web"), GroupSpec("db"))
    cluster.active["a"].add("web")
    cluster.active["c"].add("web")
    cluster.run(5.0)
    (announce,) = said(cluster)
    assert announce.text == "web runs on a and on c at once: check its data"
    assert (announce.group, announce.facts) == ("web", {"owners": "a c"})
    assert cluster.owners("web") == ["a"]


def test_what_somebody_started_by_hand_is_told_when_the_daemon_there_finds_it() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    cluster.active["b"].add("web")
    cluster.power_on("b")
    cluster.run(5.0)
    assert [announce.facts["owners"] for announce in said(cluster)] == ["a b"]
    assert cluster.owners("web") == ["a"]


def test_a_second_time_is_told_again() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    for _ in range(2):
        cluster.active["b"].add("web")
        cluster.power_on("b")
        cluster.run(5.0)
    assert len(said(cluster)) == 2


def test_a_group_that_moves_is_nobodys_split_brain() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    for request, node in enumerate(("b", "c", "a"), 1):
        cluster.post("b", OperatorAsked(request, Verb.TAKEOVER, node, "web"))
        cluster.run(3.0)
        assert cluster.owners("web") == [node]
    assert said(cluster) == []
