"""`hamgr rebalance` in whole clusters: one move after the other, and nothing that makes anything worse."""

from __future__ import annotations

import itertools

import pytest
from wholenodes import Cluster

from hamgr.core.cluster import GroupSpec, Mode, Placement
from hamgr.core.effects import Kind
from hamgr.core.events import FenceOutcome, HealthChanged, OperatorAsked, Verb
from hamgr.core.messages import Forward, ForwardReply, Packet

NAMES = ("g1", "g2", "g3", "g4")

REQUESTS = itertools.count(100)


def spread(*names: str, **more: object) -> Cluster:
    """All run on c, as after the loss of the others; a leads."""
    groups = [GroupSpec(name, placement=Placement.SPREAD, **more) for name in names]  # type: ignore[arg-type]
    found = Cluster(*groups)
    found.run(3.0)
    for request, name in enumerate(names, 1):
        found.post("a", OperatorAsked(request, Verb.TAKEOVER, "c", name))
    found.run(2.0)
    for name in names:
        coordinator(found).unpin(name)
    assert owners(found, *names) == " ".join("c" for _ in names)
    found.replies.clear()
    return found


def coordinator(found: Cluster):
    leads = found.nodes["a"].coordinator
    assert leads is not None
    return leads


def owners(found: Cluster, *names: str) -> str:
    return " ".join(",".join(found.owners(name)) for name in names)


def ask(found: Cluster, group: str = "", node: str = "", *scope: str, at: str = "a") -> tuple[bool, str]:
    found.replies.clear()
    found.post(at, OperatorAsked(next(REQUESTS), Verb.REBALANCE, node, group, "olivia", groups=scope))
    if at != "a":
        found.run(0.05)
    (reply,) = found.replies
    return reply.done, reply.text


def planned(found: Cluster, *scope: str) -> list[str]:
    balance = found.nodes["a"].balance(scope)
    assert balance is not None
    return [f"{move.group} {move.source}->{move.target}" for move in balance.moves]


@pytest.mark.parametrize("at", ["a", "b"])
def test_the_moves_are_made_one_after_the_other_until_there_is_nothing_to_move(at: str) -> None:
    found = spread(*NAMES)
    assert planned(found) == ["g1 c->a", "g2 c->b"]
    assert ask(found, "g1", "a", at=at) == (True, "g1 moves from c to a")
    if at == "a":
        busy = "nothing is moved while other things are: g1 is to run on a, and is not started there yet"
        assert ask(found, "g2", "b") == (False, busy)
    found.run(1.0)
    assert owners(found, *NAMES) == "a c c c"
    assert planned(found) == ["g2 c->b"]
    assert ask(found, "g2", "b", at=at)[0]
    found.run(1.0)
    assert owners(found, *NAMES) == "a b c c"
    assert ask(found) == (True, "there is nothing to move")
    told = [one.text for _, _, one in found.told if one.kind is Kind.REBALANCE]
    assert told == [
        "rebalancing: g1: c -> a: c has 4 groups, a 0",
        "rebalancing: g2: c -> b: c has 3 groups, b 0",
    ]


def test_nothing_is_moved_that_was_not_asked_for() -> None:
    found = spread(*NAMES)
    found.run(60.0)
    assert owners(found, *NAMES) == "c c c c"


def test_a_move_is_no_pin_the_group_leaves_a_node_that_gets_worse() -> None:
    found = spread(*NAMES)
    for node in "abc":
        found.post(node, HealthChanged(1))
    found.run(15.0)
    assert ask(found, "g1", "a")[0]
    found.run(1.0)
    assert owners(found, "g1") == "a"
    found.post("a", HealthChanged(0))
    found.run(15.0)
    assert owners(found, "g1") != "a"


def test_a_node_of_less_health_gets_nothing_and_nobody_does_before_it_is_known_who_that_is() -> None:
    found = spread(*NAMES)
    for node in "bc":
        found.post(node, HealthChanged(1))
    found.run(1.0)
    assert ask(found)[1] == "nothing is moved while other things are: the health of the nodes has changed just now"
    found.run(15.0)
    assert planned(found) == ["g1 c->b", "g2 c->b"]


def test_what_an_operator_wants_somewhere_stays_unless_it_is_named() -> None:
    found = spread("g1", "g2")
    found.post("a", OperatorAsked(50, Verb.TAKEOVER, "c", "g1"))
    found.run(0.5)
    balance = found.nodes["a"].balance(())
    assert balance is not None
    assert balance.fixed == ("g1 stays: an operator wants it on c (hamgr rebalance g1)",)
    assert planned(found) == ["g2 c->a"]
    assert planned(found, "g1") == ["g1 c->a"]
    assert ask(found, "g1", "a", "g1")[0]
    found.run(1.0)
    assert owners(found, "g1", "g2") == "a c"
    assert coordinator(found).pinned("g1") == ""


def test_another_move_than_the_one_that_was_shown_is_not_made() -> None:
    found = spread(*NAMES)
    done, text = ask(found, "g2", "b")
    assert not done
    assert text == "meanwhile another move comes first (g1: c -> a: c has 4 groups, a 0): look again"


def test_a_node_that_is_not_known_to_be_off_stops_it_for_nothing_could_be_started() -> None:
    found = spread(*NAMES)
    found.outcome = FenceOutcome.FAILED
    found.power_off("b")
    found.run(5.0)
    done, text = ask(found, "g1", "a")
    assert not done
    assert "waits for b to be off" in text
    assert owners(found, *NAMES) == "c c c c"
    found.post("a", OperatorAsked(91, Verb.CONFIRM_FENCED, "b"))
    found.run(1.0)
    assert ask(found, "g1", "a")[0]


def test_between_two_decisions_a_member_that_is_gone_is_no_source_and_no_target() -> None:
    found = spread(*NAMES)
    leads = coordinator(found)
    del leads.members["b"]
    assert planned(found) == ["g1 c->a", "g2 c->a"]
    del leads.members["c"]
    assert planned(found) == []
    assert leads.rebalancing.hindrance()


def test_in_maintenance_nothing_is_moved() -> None:
    found = spread(*NAMES)
    found.post("a", OperatorAsked(50, Verb.MAINTENANCE_ON))
    found.run(2.0)
    assert ask(found, "g1", "a") == (
        False,
        "nothing is moved while other things are: in maintenance nothing is moved: hamgr maintenance off",
    )


def test_a_group_that_asks_is_moved_by_the_word_of_who_rebalances() -> None:
    found = spread("g1", "g2", mode=Mode.ASK)
    assert ask(found, "g1", "a")[0]
    found.run(1.0)
    assert owners(found, "g1", "g2") == "a c"


def test_when_the_coordinator_is_lost_in_the_middle_the_group_runs_once_and_what_was_moved_stays() -> None:
    found = spread(*NAMES)
    assert ask(found, "g1", "a")[0]
    found.run(1.0)
    assert ask(found, "g2", "b")[0]
    found.power_off("a")
    found.run(6.0)
    for name in NAMES:
        assert len(found.owners(name)) == 1
    assert owners(found, "g3", "g4") == "c c"


def test_an_unknown_group_is_refused_with_those_that_there_are() -> None:
    found = spread("g1", "g2")
    assert ask(found, "", "", "g9") == (False, "group 'g9' is not configured; there are g1, g2")


def test_a_request_that_only_a_newer_version_knows_is_refused_and_harms_nobody() -> None:
    found = spread("g1", "g2")
    lives = {name: found.nodes[name].incarnation for name in "ab"}
    found.deliver(Packet("b", lives["b"], "a", lives["a"], Forward(7, "dance")))
    found.run(0.1)
    (reply,) = (packet.body for packet in found.sent if isinstance(packet.body, ForwardReply))
    assert reply == ForwardReply(7, False, "a runs another version of hamgr, and does not know 'dance'")
