"""Heartbeat's words: all, local, foreign, failback."""

from __future__ import annotations

import pytest
from wholenodes import Cluster

from hamgr.core.cluster import GroupSpec
from hamgr.core.effects import FeedWatchdog, Reply
from hamgr.core.events import OperatorAsked, Verb
from hamgr.core.quorum import FOREVER


class Asked(Cluster):
    """web is at home on a, db on b; both are where they belong unless the test moves them."""

    def __init__(self) -> None:
        super().__init__(
            GroupSpec("web", nodes=("a", "b"), auto_failback=False),
            GroupSpec("db", nodes=("b", "a"), auto_failback=False),
        )
        self._request = 0
        self.run(5)
        assert self.where() == {"web": ["a"], "db": ["b"]}

    def ask(self, at: str, verb: Verb, node: str = "", group: str = "") -> Reply:
        self._request += 1
        self.post(at, OperatorAsked(self._request, verb, node, group))
        self.run(3)
        (reply,) = [reply for reply in self.replies if reply.request == self._request]
        return reply

    def where(self) -> dict[str, list[str]]:
        return {group: self.owners(group) for group in ("web", "db")}


def test_a_takeover_of_the_foreign_groups_and_of_the_local_ones() -> None:
    cluster = Asked()
    assert cluster.ask("a", Verb.TAKEOVER, "a", "foreign") == Reply(1, True, "db to run on a")
    assert cluster.where() == {"web": ["a"], "db": ["a"]}
    assert cluster.ask("b", Verb.TAKEOVER, "b", "local").done
    assert cluster.where() == {"web": ["a"], "db": ["b"]}
    assert cluster.ask("b", Verb.TAKEOVER, "b", "all").done
    assert cluster.where() == {"web": ["b"], "db": ["b"]}
    assert cluster.ask("a", Verb.TAKEOVER, "a", "failback").done
    assert cluster.where() == {"web": ["a"], "db": ["b"]}


@pytest.mark.parametrize("word", ["foreign", "failback"])
def test_a_node_gives_up_what_is_at_home_elsewhere_and_stays_online(word: str) -> None:
    cluster = Asked()
    cluster.ask("a", Verb.TAKEOVER, "a", "all")
    assert cluster.ask("a", Verb.STANDBY, "a", word) == Reply(2, True, "db to run on b")
    assert cluster.where() == {"web": ["a"], "db": ["b"]}
    assert not cluster.nodes["a"].standby


def test_a_node_gives_up_its_own_groups_once_and_can_take_them_again() -> None:
    cluster = Asked()
    assert cluster.ask("a", Verb.STANDBY, "a", "local").done
    assert cluster.where() == {"web": ["b"], "db": ["b"]}
    assert cluster.ask("a", Verb.STANDBY, "a", "local") == Reply(2, True, "a runs none of the local groups")
    assert cluster.ask("a", Verb.TAKEOVER, "a", "local").done
    assert cluster.where() == {"web": ["a"], "db": ["b"]}


def test_nothing_is_given_up_when_nobody_could_take_it() -> None:
    cluster = Asked()
    cluster.ask("b", Verb.STANDBY, "b")
    assert cluster.where() == {"web": ["a"], "db": ["a"]}
    assert cluster.ask("a", Verb.STANDBY, "a", "local") == Reply(2, False, "no other node could run web now")
    assert cluster.where() == {"web": ["a"], "db": ["a"]}


def test_a_word_is_no_group_for_other_requests() -> None:
    cluster = Asked()
    reply = cluster.ask("a", Verb.CLEANUP, "a", "foreign")
    assert not reply.done
    assert "group 'foreign' is not configured" in reply.text


def test_a_group_that_follows_another_is_not_taken_over_alone() -> None:
    cluster = Cluster(
        GroupSpec("db", nodes=("a", "b"), auto_failback=False), GroupSpec("web", together_with=("db",), after=("db",))
    )
    cluster.run(5)
    assert (cluster.owners("db"), cluster.owners("web")) == (["a"], ["a"])
    effects = cluster.nodes["a"].step(cluster.now, OperatorAsked(1, Verb.TAKEOVER, "b", "web"))
    (refused,) = [effect for effect in effects if isinstance(effect, Reply)]
    assert refused == Reply(1, False, "web runs where db runs: take that over")
    cluster.post("a", OperatorAsked(2, Verb.TAKEOVER, "b", "db"))
    cluster.run(3)
    assert (cluster.owners("db"), cluster.owners("web")) == (["b"], ["b"])


def test_a_cleanup_names_the_nodes_that_it_left_out() -> None:
    cluster = Asked()
    cluster.nodes["b"].member.groups["web"].barred = True
    cluster.nodes["b"].member.groups["web"].failed_at = cluster.now
    cluster.nodes["b"].member.changed = True
    cluster.run(2)
    text = "failures of web on a are forgotten; it stays away from b: hamgr cleanup web --node b"
    assert cluster.ask("a", Verb.CLEANUP, "a", "web") == Reply(1, True, text)
    assert cluster.ask("a", Verb.CLEANUP, "b", "web") == Reply(2, True, "failures of web on b are forgotten")


class Fed(Asked):
    """Notes until when each node's guard lets it run."""

    def __init__(self) -> None:
        self.fed: dict[str, float] = {}
        self.fed_at_reply: dict[str, float] = {}
        super().__init__()

    def _perform(self, name: str, effect: object) -> None:
        if isinstance(effect, FeedWatchdog):
            self.fed[name] = effect.until
        if isinstance(effect, Reply):
            self.fed_at_reply = dict(self.fed)
        super()._perform(name, effect)


def test_whoever_is_told_that_a_maintenance_is_on_can_kill_any_daemon() -> None:
    cluster = Fed()
    assert cluster.ask("a", Verb.MAINTENANCE_ON).done
    assert cluster.fed_at_reply == {"a": FOREVER, "b": FOREVER, "c": FOREVER}
