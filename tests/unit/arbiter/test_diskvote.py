"""What each node makes of the claims and slips on a disk: one vote, the better side's, and none in doubt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from arbiter.ballot import Slip
from arbiter.decide import Explain, WakeAt
from arbiter.diskvote import (
    Ask,
    Claim,
    DiskArbiter,
    DiskEffect,
    Look,
    Lost,
    PutClaim,
    PutSlip,
    PutState,
    Slot,
    Tell,
    View,
)
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, ClusterState, RosterEntry, Stamp

IO = 0.001
"""Seconds that each read and write takes."""


@dataclass
class Disk:
    """What is on it. puts: all that was ever written, by node."""

    names: tuple[str, ...] = ("a", "b")
    slips: dict[str, Slip] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    states: dict[str, ClusterState] = field(default_factory=dict)
    damage: str = ""
    puts: list[tuple[str, Ask]] = field(default_factory=list)

    def view(self, states: bool) -> View:
        slots = tuple(Slot(name, self.slips.get(name), self.claims.get(name)) for name in self.names)
        newest = max(self.states.values(), key=lambda state: state.stamp, default=ClusterState())
        return View((replace(slots[0], damage=self.damage), *slots[1:]), newest if states else ClusterState())

    def put(self, node: str, ask: Ask) -> None:
        self.puts.append((node, ask))
        match ask:
            case PutClaim(claim):
                self.claims[node] = claim
            case PutSlip(slip):
                self.slips[node] = slip
            case PutState(state):
                self.states[node] = state


class Host:
    """One node: does at once what its arbiter asks for."""

    def __init__(self, disk: Disk, node: str, life: int = 1) -> None:
        self.disk = disk
        self.node = node
        self.arbiter = DiskArbiter(node, life)
        self.answer = ArbiterAnswer(0, False, 0)
        self.lost = ""
        self.explained: list[Explain] = []
        self.wake_at = float("inf")
        self.fails_at: type[Ask] | None = None
        """The next write of this kind happens, and is not known to have."""
        self.looks_take = IO
        """Seconds of each look, in the next round."""

    def report(self, now: float, claim: int = 0, **more: object) -> ArbiterAnswer:
        facts: dict[str, object] = {
            "sent_us": round(now * 1e6),
            "epoch": 4,
            "nodes": self.disk.names,
            "alive": (self.node,) if claim else self.disk.names,
            "claim": claim,
        }
        self.wake_at = float("inf")
        self.lost = ""
        self._do(now, self.arbiter.report(now, ArbiterReport(**{**facts, **more})))  # type: ignore[arg-type]
        return self.answer

    def tick(self, now: float) -> ArbiterAnswer:
        self.wake_at = float("inf")
        self._do(now, self.arbiter.tick(now))
        return self.answer

    def _do(self, now: float, effects: list[DiskEffect]) -> None:
        io, self.looks_take = self.looks_take, IO
        while effects:
            again: list[DiskEffect] = []
            for effect in effects:
                match effect:
                    case Tell(answer):
                        self.answer = answer
                    case Lost(reason):
                        self.lost = reason
                    case WakeAt(time):
                        self.wake_at = time
                    case Explain():
                        self.explained.append(effect)
                    case Look(states):
                        found = self.disk.view(states)
                        now += io
                        again += self.arbiter.done(now, found)
                    case PutClaim() | PutSlip() | PutState():
                        now += IO
                        self.disk.put(self.node, effect)
                        if self.fails_at is type(effect):
                            self.fails_at = None
                            again += self.arbiter.failed(now, "input/output error")
                        else:
                            again += self.arbiter.done(now)
            effects = again


def pair(disk: Disk | None = None) -> tuple[Host, Host]:
    """Two nodes that have learned the epoch and hear each other, at 2 s."""
    disk = disk or Disk()
    a, b = Host(disk, "a"), Host(disk, "b")
    for tenth in range(-40, 20):
        a.report(tenth / 10)
        b.report(tenth / 10)
    assert a.answer.voter
    assert b.answer.voter
    return a, b


def test_a_new_disk_votes_after_a_majority_of_the_nodes_was_seen_to_live() -> None:
    disk = Disk()
    a, b = Host(disk, "a"), Host(disk, "b")
    a.report(0.0)
    b.report(0.1)
    a.report(10.0)
    assert not a.answer.voter, "the claim of b may be of a life that is over"
    b.report(12.0)
    a.report(12.1)
    assert a.answer.voter


def test_of_two_claims_the_better_one_gets_the_vote_and_the_other_is_told_why() -> None:
    a, b = pair()
    a.report(2.0, claim=5, load=1)
    b.report(2.1, claim=5, load=7)
    assert (b.answer.vote_epoch, b.answer.voted_for) == (5, "b")
    a.tick(2.2)
    assert (a.answer.vote_epoch, a.answer.voted_for) == (5, "b")
    assert "epoch 5" in a.answer.refused
    assert a.answer.epoch == 5


def test_who_is_not_the_better_one_leaves_the_vote_to_the_other_and_says_why() -> None:
    a, b = pair()
    b.report(2.0, claim=5, load=7)
    a.report(2.1, claim=5, load=1)
    assert a.answer.refused == "b gets the vote of epoch 5: b runs more than a (7, 1)"
    assert a.answer.epoch == 5
    assert b.tick(2.2).voted_for == "b"
    (preferred,) = (one for one in a.explained if one.epoch == 5 and one.rule == "prefers")
    assert preferred.text == "b should get the vote of epoch 5: b runs more than a (7, 1); a leaves it to b"
    assert [side.claimant for side in preferred.sides] == ["a", "b"]
    assert "voted" not in [one.rule for one in a.explained], "a ballot decides, and not what a prefers"
    (vote,) = (one for one in b.explained if one.rule == "voted")
    assert vote.text == "b gets the vote of epoch 5: b runs more than a (7, 1)"
    assert [view.node for view in vote.knew] == ["a", "b"]


def test_a_claim_of_an_epoch_that_is_over_is_explained_once_with_what_was_known() -> None:
    a, b = pair()
    b.report(2.0, claim=5, load=7)
    b.tick(3.5)
    for turn in range(5):
        a.report(4.0 + turn / 10, claim=4)
    (over,) = (one for one in a.explained if one.rule == "over")
    assert over.text.startswith("a does not get the vote of epoch 4: epoch 4 is over: epoch 5 is on the disk")
    assert (over.node, over.epoch, [view.node for view in over.knew]) == ("a", 4, ["a", "b"])


def test_a_claimant_waits_settle_for_the_claim_of_a_node_that_lives() -> None:
    a, _ = pair()
    assert a.report(2.0, claim=5).vote_epoch < 5
    assert a.wake_at < 3.0, "it looks for the other's claim meanwhile"
    assert a.tick(2.9).vote_epoch < 5
    assert a.tick(3.1).voted_for == "a"


def test_a_real_death_does_not_wait_for_settle() -> None:
    a, _ = pair()
    for second in range(2, 13):
        a.report(float(second))
    assert a.report(13.0, claim=5).voted_for == "a"


def test_nobody_is_silent_while_a_look_takes_its_time() -> None:
    a, _ = pair()
    a.report(2.0)
    a.looks_take = 60.0
    assert a.report(2.5, claim=5).vote_epoch < 5, "b was heard just before the look"


def test_a_vote_is_on_the_disk_before_it_is_answered() -> None:
    a, _ = pair()
    for second in range(2, 13):
        a.report(float(second))
    a.report(13.0, claim=5)
    slips = [ask.slip for node, ask in a.disk.puts if node == "a" and isinstance(ask, PutSlip)]
    assert [(slip.epoch, bool(slip.accepted), slip.decided) for slip in slips[-3:]] == [
        (5, False, False),
        (5, True, False),
        (5, True, True),
    ]


def test_a_write_of_unknown_outcome_is_no_vote_and_the_slot_is_read_before_the_next_one() -> None:
    a, _ = pair()
    for second in range(2, 13):
        a.report(float(second))
    a.fails_at = PutSlip
    a.report(13.0, claim=5)
    assert a.lost == "input/output error"
    assert a.answer.vote_epoch < 5
    before = len(a.disk.puts)
    assert a.report(13.1, claim=5).voted_for == "a"
    ballots = [ask.slip.ballot for _, ask in a.disk.puts[before:] if isinstance(ask, PutSlip)]
    assert min(ballots) > 16, "above the ballot that was on the disk after all"


def test_what_another_may_have_decided_is_taken_over_and_not_contradicted() -> None:
    a, b = pair()
    # b accepted its own value and died before anybody knew.
    b.disk.slips["b"] = Slip(5, 17, 17, "b", 1)
    for second in range(2, 13):
        a.report(float(second))
    a.report(13.0, claim=5)
    assert a.answer.voted_for == "b"
    assert a.answer.refused == "b has the vote of epoch 5"
    assert a.disk.slips["a"] == Slip(5, 32, 32, "b", 1, True)
    assert a.report(13.1, claim=6).voted_for == "a"


def test_a_claim_of_an_epoch_that_is_over_is_refused_with_the_one_that_is_known() -> None:
    a, _ = pair()
    a.disk.slips["b"] = Slip(9, 17)
    a.report(2.0, claim=5)
    assert a.answer.refused == "epoch 5 is over: epoch 9 is on the disk; claim a newer one"
    assert a.answer.epoch == 9


def test_a_coordinator_has_no_support_once_somebody_votes_on_a_later_epoch() -> None:
    a, _ = pair()
    assert a.report(2.0, epoch=5, coordinator="a").coordinator == "a"
    a.disk.slips["b"] = Slip(6, 17)
    answer = a.report(2.1, epoch=5, coordinator="a")
    assert (answer.epoch, answer.coordinator) == (6, "")


def test_who_has_the_vote_keeps_it_while_its_claim_moves() -> None:
    a, b = pair()
    a.report(2.0, claim=5, load=1)
    b.report(2.1, claim=5)
    a.tick(2.2)
    assert a.answer.voted_for == "a"
    for second in range(3, 20):
        a.report(float(second), epoch=5, coordinator="a", alive=("a",))
        b.report(second + 0.1, claim=6)
        assert "a holds the vote of epoch 5" in b.answer.refused
    for second in range(20, 29):
        b.report(float(second), claim=6)
    assert b.report(30.0, claim=6).voted_for == "b"


def test_the_newest_cluster_state_goes_to_whom_is_elected() -> None:
    state = ClusterState(Stamp(4, 7), "a", (RosterEntry("a", 1), RosterEntry("b", 1)))
    a, b = pair()
    assert a.report(2.0, state=state).stored == Stamp(4, 7)
    for second in range(3, 14):
        b.report(float(second))
    assert b.answer.stored == Stamp(4, 7)
    answer = b.report(14.0, claim=5)
    assert (answer.voted_for, answer.state) == ("b", state)


def test_a_state_that_is_told_of_and_can_not_be_read_is_no_answer() -> None:
    a, b = pair()
    a.report(2.0, state=ClusterState(Stamp(4, 7), "a"))
    a.disk.states.clear()
    b.report(2.1)
    assert "can't be read" in b.lost


def test_a_node_that_was_removed_gets_no_vote() -> None:
    a, b = pair()
    a.report(2.0, state=ClusterState(Stamp(4, 7), "a", (RosterEntry("a", 1),)))
    for second in range(3, 14):
        b.report(float(second))
    assert "it was removed" in b.report(14.0, claim=5).refused
    assert b.answer.vote_epoch < 5


def test_a_damaged_slip_of_anybody_is_no_answer() -> None:
    a, _ = pair()
    a.disk.damage = "nobody knows how a voted"
    a.report(2.0)
    assert a.lost == "nobody knows how a voted"


def test_two_machines_of_one_name_get_no_answer() -> None:
    a, _ = pair()
    twin = Host(a.disk, "a", life=2)
    a.report(2.0)
    twin.report(2.1)
    a.report(2.2)
    assert "has another machine its name?" in a.lost


def test_a_disk_that_was_put_back_to_an_earlier_state_learns_again_above_what_was_voted() -> None:
    a, b = pair()
    image = dict(a.disk.slips)
    a.report(2.0, claim=5, load=1)
    b.report(2.1, claim=5)
    a.tick(2.2)
    assert a.answer.voted_for == "a"
    b.report(2.3, vote_seen=5)
    a.disk.slips.clear()
    a.disk.slips.update(image)
    for tenth in range(30, 60):
        for node in (a, b):
            node.report(tenth / 10, vote_seen=5)
    for node in (a, b):
        assert node.report(6.0, claim=5, vote_seen=5).vote_epoch < 5 or node.answer.voted_for == ""
        assert "epoch 5" in node.answer.refused


def test_nothing_is_written_while_nothing_changes_but_the_sign_of_life() -> None:
    a, b = pair()
    before = len(a.disk.puts)
    for tenth in range(20, 220):
        a.report(tenth / 10)
        b.report(tenth / 10)
    written = [ask for _, ask in a.disk.puts[before:]]
    assert all(isinstance(ask, PutClaim) for ask in written)
    assert len(written) <= 2 * (20 / 2.5 + 1), "four times in a deadtime of 10 s each"
