"""The arbiter without a third host: each node's part of it, on a disk that all nodes read and write.

Each node has a slot there with its claim (what it would report to an arbiter), its slip (`arbiter.ballot`) and the
newest cluster state that it brought. Each runs `arbiter.decide` on the claims that it sees move. Whom that prefers asks
for the epoch's vote in a ballot, and nobody else does; so good choices come from there, and safety from the ballot.

Here is no disk and no clock. The host does what the effects say. Of `Look` and the `Put`s one is under way at a time:
it ends with `done`, or with `failed`, and then it may have happened or not. A `Put` is on the disk for good, and seen
by whoever looks, before it is done.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from arbiter.ballot import Ballot, Beaten, Phase, Slip, Step, begin
from arbiter.decide import VOTED, Answer, ArbiterEffect, ClusterArbiter, Explain, Store, VoteBook, WakeAt
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, ClusterState, Stamp

BEATS = 4
"""A claim in which nothing changed is written again so often in a deadtime: the others see by that who lives."""

LOOKS = 4
"""So often in a settle time a node looks for the claims of others."""

SHORTEST_REST = 0.01
"""Seconds between two looks at the disk, at least, for a node that waits for its vote."""

REASONS = 8
"""Of so many explanations none is given twice in a row."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A node's report, for the others. beat: grows with each writing. stored: the newest cluster state in its slot; the
    report is without one."""

    life: int
    beat: int
    stored: Stamp
    report: ArbiterReport


@dataclass(frozen=True, slots=True)
class Slot:
    """What was read of one. slip, claim: None where there is none; a claim also while it is just being written.
    damage: what makes the slip unreadable, in a sentence."""

    node: str
    slip: Slip | None = None
    claim: Claim | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """The slots, in their order. state: the newest of all, if they were looked at."""

    slots: tuple[Slot, ...]
    state: ClusterState = ClusterState()


@dataclass(frozen=True, slots=True)
class Look:
    """Read all slots; their cluster states only if asked for."""

    states: bool = False


@dataclass(frozen=True, slots=True)
class PutClaim:
    claim: Claim


@dataclass(frozen=True, slots=True)
class PutSlip:
    slip: Slip


@dataclass(frozen=True, slots=True)
class PutState:
    state: ClusterState


@dataclass(frozen=True, slots=True)
class Tell:
    """The answer to our node's report."""

    answer: ArbiterAnswer


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no answer, and why."""

    reason: str


Ask: TypeAlias = Look | PutClaim | PutSlip | PutState
DiskEffect: TypeAlias = Ask | Tell | Lost | WakeAt | Explain


class Failed(Exception):
    """What was asked of the disk may have happened or not; or what was found there can't be gone on with."""


@dataclass(slots=True)
class _Found:
    """What this node knows of the disk. slots: the others'. slip: what our slot says for certain. voter: it may vote:
    it has learned the epoch since the disk was initialised or put back. told: the newest cluster state that anybody
    says to have stored. seen: the latest epoch of which a node was told that its vote is here."""

    place: int = -1
    slip: Slip | None = None
    voter: bool = False
    slots: tuple[Slot, ...] = ()
    state: ClusterState = ClusterState()
    told: Stamp = Stamp()
    seen: int = 0
    claims: dict[str, Claim] = field(default_factory=dict)
    moved: dict[str, Claim] = field(default_factory=dict)

    @property
    def slips(self) -> list[Slip]:
        return [slot.slip for slot in self.slots if slot.slip is not None]

    @property
    def all_slips(self) -> list[Slip]:
        return [*self.slips, *([self.slip] if self.slip is not None else [])]


Work: TypeAlias = Generator[Ask, View | None, None]


class DiskArbiter:
    """One life of one node, with one disk. When the disk may have become another, a new one of these is needed."""

    def __init__(self, node: str, life: int, store: str = "") -> None:
        """store: the identity of the disk."""
        self._node = node
        self._life = life
        self._arbiter = ClusterArbiter(VoteBook(), store)
        self._found = _Found()
        self._unsure = True
        """Of what our own slot says: it must be read before anything is written."""
        self._stored = Stamp()
        self._claim: Claim | None = None
        self._claimed_at = float("-inf")
        self._beat = 0
        self._newest: ArbiterReport | None = None
        self._work: Work | None = None
        self._now = 0.0
        self._looked_at = 0.0
        """What was found is as old as this: however long a look took, nobody was silent meanwhile."""
        self._said: list[DiskEffect] = []
        self._wakes: list[float] = []
        self._record = (VoteBook(), 0)
        """The arbiter's record as the slips have it, and the life of whom it voted for."""
        self._refusal = (0, "")
        """Why our claim was not granted in this round, and an epoch that is known by it."""
        self._reasons: list[str] = []

    # -- the host -----------------------------------------------------------------------------------------------

    def report(self, now: float, report: ArbiterReport) -> list[DiskEffect]:
        """Our node's newest report; it is answered when the disk was looked at after this."""
        self._newest = report
        return self.tick(now)

    def tick(self, now: float) -> list[DiskEffect]:
        """It is time to look again."""
        if self._work is not None or self._newest is None:
            return []
        self._work = self._round(self._newest)
        return self._go(now, None, "")

    def done(self, now: float, view: View | None = None) -> list[DiskEffect]:
        """What was asked of the disk is done. view: what a `Look` found."""
        return self._go(now, view, "")

    def failed(self, now: float, reason: str) -> list[DiskEffect]:
        return self._go(now, None, reason)

    def _go(self, now: float, view: View | None, failure: str) -> list[DiskEffect]:
        assert self._work is not None, "nothing was asked of the disk"
        self._now = now
        self._said = []
        try:
            ask = self._work.throw(Failed(failure)) if failure else self._work.send(view)
            return [*self._said, ask]
        except StopIteration:
            self._work = None
        said = self._said
        if self._wakes:
            said.append(WakeAt(min(self._wakes)))
            self._wakes = []
        return said

    # -- one round ----------------------------------------------------------------------------------------------

    def _round(self, report: ArbiterReport) -> Work:
        served = None
        while served is not self._newest:
            served = self._newest
            assert served is not None
            self._wakes = []
            try:
                yield from self._serve(served)
            except Failed as error:
                self._unsure = True
                self._say(Lost(str(error)))
                return

    def _serve(self, report: ArbiterReport) -> Work:
        self._found.seen = max(self._found.seen, report.vote_seen)
        if self._unsure:
            self._take((yield Look(states=True)))
            self._unsure = False
        if report.state.stamp > max(self._stored, self._found.state.stamp):
            yield PutState(report.state)
            self._stored = report.state.stamp
            self._found.state = report.state
        if self._claim_is_due(report):
            yield from self._put_claim(report)
        yield from self._look()
        yield from self._decide(report)
        self._answer(report)

    def _claim_is_due(self, report: ArbiterReport) -> bool:
        if self._claim is None or self._now >= self._claimed_at + report.deadtime / BEATS:
            return True
        return (self._claim.report, self._claim.stored) != (_without_times(report), self._stored)

    def _put_claim(self, report: ArbiterReport) -> Work:
        self._beat += 1
        claim = Claim(self._life, self._beat, self._stored, _without_times(report))
        self._claimed_at = self._now
        yield PutClaim(claim)
        self._claim = claim

    def _look(self, states: bool = False) -> Work:
        self._looked_at = self._now
        self._take((yield Look(states)))
        if self._found.told > self._found.state.stamp and not states:
            self._take((yield Look(states=True)))
        if self._found.told > self._found.state.stamp:
            raise Failed(f"the cluster state {self._found.told} is on the disk, and can't be read")

    def _take(self, view: View | None) -> None:
        assert view is not None, "a look without a view"
        damage = next((slot.damage for slot in view.slots if slot.damage), "")
        if damage:
            raise Failed(damage)
        found = self._found
        found.place = next((place for place, slot in enumerate(view.slots) if slot.node == self._node), -1)
        if found.place < 0:
            raise Failed(f"the disk has no slot for {self._node}")
        own = view.slots[found.place]
        if self._unsure:
            found.slip, found.voter = own.slip, own.slip is not None
            found.state, found.told, self._stored = view.state, Stamp(), Stamp()
            self._beat = max(self._beat, own.claim.beat if own.claim is not None else 0)
        elif own.slip != found.slip or (own.claim is not None and self._claim and own.claim.life != self._life):
            raise Failed(f"somebody else writes into the slot of {self._node}: has another machine its name?")
        found.slots = tuple(slot for slot in view.slots if slot.node != self._node)
        known = max((slip.epoch for slip in found.all_slips), default=0)
        if found.voter and found.seen > known:
            text = f"the vote of epoch {found.seen} was on the disk, which ends with {known}: it was put back; learning"
            self._say(Explain(text, "learns", self._node))
            found.voter = False
        if view.state.stamp > found.state.stamp:
            found.state = view.state
        for slot in found.slots:
            claim = slot.claim
            if claim is None:
                continue
            found.told = max(found.told, claim.stored)
            # For the next look: of this one, the slips may have been read before the claims.
            found.seen = max(found.seen, claim.report.vote_seen)
            before = found.claims.get(slot.node)
            # What was there when we looked first may be of the dead.
            if before is not None and (before.life, before.beat) != (claim.life, claim.beat):
                found.moved[slot.node] = claim
            found.claims[slot.node] = claim
        self._adopt()

    def _adopt(self) -> None:
        """What the slips say is the record of the arbiter that decides here."""
        found = self._found
        votes = [slip for slip in found.all_slips if slip.decided]
        vote = max(votes, key=lambda slip: slip.epoch, default=Slip())
        floor = found.slip.epoch if found.slip is not None and not found.slip.ballot else 0
        if vote.epoch:
            book = VoteBook(found.voter, vote.epoch, vote.value, found.state)
        else:
            book = VoteBook(found.voter, floor, "", found.state)
        if (book, vote.life) != self._record:
            self._record = (book, vote.life)
            self._arbiter.adopt(*self._record)

    # -- deciding -----------------------------------------------------------------------------------------------

    def _decide(self, report: ArbiterReport) -> Work:
        self._refusal = (0, "")
        moved, self._found.moved = self._found.moved, {}
        for node, claim in moved.items():
            yield from self._perform(self._arbiter.report(self._looked_at, node, claim.life, self._known(claim.report)))
        mine, over = self._known(replace(report, state=ClusterState())), None
        if report.claim and (over := self._over(report.claim)):
            self._refusal = over
            mine = replace(mine, claim=0)
        yield from self._perform(self._arbiter.report(self._looked_at, self._node, self._life, mine))
        if over is not None:
            text = f"{self._node} does not get the vote of epoch {report.claim}: {over[1]}"
            knew = self._arbiter.describe(self._looked_at)
            self._explain(Explain(text, "over", self._node, report.claim, knew=knew))

    def _known(self, report: ArbiterReport) -> ArbiterReport:
        """Which votes it has seen matters here only before this node votes: the slips are read anew in each round."""
        return replace(report, vote_seen=0) if self._found.voter else report

    def _over(self, claim: int) -> tuple[int, str] | None:
        """Why no ballot can be had in this epoch, with the epoch that is known; None if one can."""
        for slip in self._found.all_slips:
            if slip.epoch > claim:
                return slip.epoch, f"epoch {claim} is over: epoch {slip.epoch} is on the disk; claim a newer one"
            if slip.epoch == claim and not slip.ballot:
                return claim, f"epoch {claim} may have been voted on before the disk was initialised; claim a newer one"
        return None

    def _perform(self, effects: list[ArbiterEffect]) -> Work:
        came_of_it = ""
        for effect in effects:
            match effect:
                case Store(book):
                    # Nothing is the record before it is on the disk; and there it may come to be another.
                    self._arbiter.restore(self._record[0])
                    self._arbiter.adopt(*self._record)
                    came_of_it = yield from self._store(
                        book, [e.text for e in effects if isinstance(e, Explain) and e.rule == VOTED]
                    )
                case WakeAt(time):
                    self._wakes.append(time)
                case Explain(text, rule) if rule == VOTED and came_of_it:
                    # What was preferred here; whose the vote is, a ballot decides.
                    preferred = text.replace("gets", "should get", 1)
                    self._explain(replace(effect, text=f"{preferred}; {came_of_it}", rule="prefers"))
                case Explain():
                    self._explain(effect)
                case Answer():
                    pass  # Each node is answered by its own arbiter alone, at the end of a round.

    def _explain(self, said: Explain) -> None:
        if said.text not in self._reasons:
            self._say(said)
        self._reasons = [*self._reasons, said.text][-REASONS:]

    def _store(self, book: VoteBook, reasons: list[str]) -> Generator[Ask, View | None, str]:
        """What came of a vote that should be given; "" if it was."""
        epoch, node = book.vote_epoch, book.voted_for
        came_of_it = ""
        if not node:
            if not self._found.voter:
                yield from self._learned(epoch)
        elif node != self._node:
            self._refusal = (epoch, "; ".join(reasons))
            came_of_it = f"{self._node} leaves it to {node}"
        elif (vote := (yield from self._vote(epoch))) is None:
            self._wakes.append(self._now + SHORTEST_REST * (2 + self._found.place))
            self._refusal = self._over(epoch) or (0, "")
            came_of_it = self._refusal[1] or "a ballot of another node came between; it asks again"
        elif vote.value != node:
            self._refusal = (epoch, f"{vote.value} has the vote of epoch {epoch}")
            came_of_it = self._refusal[1]
        self._adopt()
        return came_of_it

    def _learned(self, epoch: int) -> Work:
        """From now on we vote, above this epoch."""
        if self._found.slip is None or self._found.slip.epoch < epoch:
            yield from self._put_slip(Slip(epoch))
        self._found.voter = True

    def _vote(self, epoch: int) -> Generator[Ask, View | None, Slip | None]:
        """A ballot for us in this epoch: whom it came out for; None if it came to nothing."""
        found = self._found
        above = max((slip.ballot for slip in found.slips if slip.epoch == epoch), default=0)
        step: Step = begin(found.slip or Slip(), found.place, epoch, self._node, self._life, above)
        while isinstance(step, Ballot):
            if self._newest is not None and self._newest.claim != epoch:
                return None  # Our node does not want it any more.
            yield from self._put_slip(step.slip)
            # Whoever stored a state before it saw that we vote, has stored it before this look.
            yield from self._look(states=step.phase is Phase.CHOSEN)
            step = step.seen(found.slips)
        if isinstance(step, Beaten):
            return None
        yield from self._put_slip(step.slip)
        return step.slip

    def _put_slip(self, slip: Slip) -> Work:
        yield PutSlip(slip)
        self._found.slip = slip

    def _answer(self, report: ArbiterReport) -> None:
        answer = self._arbiter.answer_to(self._node)
        known, refused = self._refusal
        # A later epoch that somebody votes on may be decided already: who was elected before has our support no more.
        epoch = max([answer.epoch, known, *(slip.epoch for slip in self._found.all_slips if slip.ballot)])
        coordinator = answer.coordinator if answer.epoch == epoch else ""
        answer = replace(answer, epoch=epoch, coordinator=coordinator, refused=refused or answer.refused)
        granted = (answer.vote_epoch, answer.voted_for) == (report.claim, self._node)
        if report.claim and not granted and not answer.refused:
            self._wakes.append(self._now + max(SHORTEST_REST, report.settle / LOOKS))
        self._say(Tell(answer))

    def _say(self, effect: DiskEffect) -> None:
        self._said.append(effect)


def _without_times(report: ArbiterReport) -> ArbiterReport:
    """What of a report the others are told: neither the moment, nor the cluster state, which has a place of its own."""
    return replace(report, sent_us=0, state=ClusterState())
