"""Which node gets the arbiter's vote: one cluster's arbitration, without clock, disk or network.

A record that is new, was lost or is a backup gives no vote before it has learned, from so many nodes that every quorum
with a vote of the past has one of them; and then votes above all that they know of. Such a vote may be on its way yet,
to a claimant that nobody hears. It does no harm, whatever the nodes do next: a claimant counts our vote with those of
nodes that voted before it asked us, and so before anybody could learn from them (`hamgr.core.arbitration`). What counts
is therefore what nodes say after the record was lost, and no report from before.

The host performs a call's effects in order and finishes them before it makes the next call on the same cluster.
`Store` is a barrier. When it fails, the host drops the effects behind it and calls `restore` with the last book that
is known to be on disk. Times are monotonic, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from arbiter.choice import Side, best, larger_unheard, side_of
from hamgr.core.electorate import ARBITER, Electorates
from hamgr.core.membership import MICROSECOND
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, ClusterState, Standing

FORMER_LIVES = 1024
"""Past incarnations of all nodes together whose late reports are still told from new ones."""


@dataclass(frozen=True, slots=True)
class VoteBook:
    """What is durable. vote_epoch with voted_for "" is a floor: the arbiter votes only above it."""

    voter: bool = False
    vote_epoch: int = 0
    voted_for: str = ""
    state: ClusterState = ClusterState()


@dataclass(frozen=True, slots=True)
class Store:
    """Write `book` to disk; no later effect of the same call happens before it is there."""

    book: VoteBook


@dataclass(frozen=True, slots=True)
class Answer:
    node: str
    answer: ArbiterAnswer


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Call `tick` at `time` (seconds, monotonic); a later WakeAt replaces an earlier one."""

    time: float


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node as the arbiter sees it, for operators. heard_ago: seconds."""

    node: str
    incarnation: int
    connected: bool
    heard_ago: float
    report: ArbiterReport


@dataclass(frozen=True, slots=True)
class Explain:
    """What was decided and why, for operators. rule: which of the rules, in a word; VOTED for a vote. node, epoch:
    whose claim it is about, and of what epoch. sides: those that were compared. knew: all that was known then."""

    text: str
    rule: str
    node: str = ""
    epoch: int = 0
    sides: tuple[Side, ...] = ()
    knew: tuple[NodeView, ...] = ()


VOTED = "voted"

COUNTS_AS_OFF = frozenset({Standing.FENCED, Standing.ACKNOWLEDGED})

ArbiterEffect: TypeAlias = Store | Answer | WakeAt | Explain


@dataclass(frozen=True, slots=True)
class _Refusal:
    rule: str
    text: str


NOT_REFUSED = _Refusal("", "")
NO_STATE = ClusterState()


@dataclass(slots=True)
class _Peer:
    incarnation: int
    report: ArbiterReport
    heard: float
    connected: bool = True
    claiming_since: float | None = None
    refused: _Refusal = NOT_REFUSED
    told: set[str] = field(default_factory=set)
    """The rules by which it was refused since the last vote, and which need not be told again."""
    offset: float = float("inf")
    """Of its clock to ours, seconds, at least: that of its fastest report."""
    off_since: float | None = None
    """When it was first known here that this life of it counts as off."""
    lives: bool = False
    """It said that it runs groups, surely after that."""


class ClusterArbiter:
    def __init__(self, record: VoteBook, store: str = "") -> None:
        """store: the identity of the store that keeps the record; "" when nobody asks for it."""
        self._book = record
        self._store = store
        self._doubtful: tuple[int, str] = (0, "")
        self._peers: dict[str, _Peer] = {}
        self._former: dict[tuple[str, int], None] = {}
        self._holder_life = 0
        self._born: float | None = None
        self._warned: set[str] = set()
        self._strangers: set[str] = set()
        self._told: set[str] = set()
        """The nodes that have reported since the record became one that does not vote."""
        self._why = (0, "")
        """The epoch of the last vote that this life gave, and why it went where it went."""

    @property
    def book(self) -> VoteBook:
        return self._book

    def restore(self, book: VoteBook) -> None:
        """A Store failed, its outcome unknown: `book` is on disk for certain, a vote since then perhaps."""
        if self._book.vote_epoch > book.vote_epoch:
            self._doubtful = max(self._doubtful, (self._book.vote_epoch, self._book.voted_for))
        elif book.vote_epoch > self._book.vote_epoch:
            # Another process over the same store voted.
            held = self._peers.get(book.voted_for)
            self._holder_life = held.incarnation if held is not None else 0
        self._use(book)

    def adopt(self, book: VoteBook, life: int) -> None:
        """Another keeper of the same record has written it, as on a disk that several share: `book` is what is on disk.
        life: of the node that has the vote; 0 if that is not known."""
        self._use(book)
        self._holder_life = life

    def _use(self, book: VoteBook) -> None:
        """It is what is on disk."""
        if not book.voter and book != self._book:
            self._told.clear()
        self._book = book

    def report(self, now: float, node: str, incarnation: int, report: ArbiterReport) -> list[ArbiterEffect]:
        self._start(now)
        if (node, incarnation) in self._former:
            return []
        if node not in report.nodes:
            text = f"{node} is not one of the nodes in its own configuration ({', '.join(report.nodes)})"
            told: list[ArbiterEffect] = [] if node in self._strangers else [Explain(text, "stranger", node)]
            self._strangers.add(node)
            return [*told, Answer(node, self._answer_of(report, text))]
        self._strangers.discard(node)
        peer = self._peers.get(node)
        if peer is None or peer.incarnation != incarnation:
            if peer is not None:
                self._former[(node, peer.incarnation)] = None
                while len(self._former) > FORMER_LIVES:
                    del self._former[next(iter(self._former))]
            peer = self._peers[node] = _Peer(incarnation, report, now)
            if node == self._book.voted_for and self._holder_life == 0:
                self._holder_life = incarnation
        peer.report, peer.heard, peer.connected = report, now, True
        self._told.add(node)
        peer.offset = min(peer.offset, now - report.sent_us * MICROSECOND)
        notes = self._compare_nodes(node, report)
        return self._decide(now, notes, node)

    def tick(self, now: float) -> list[ArbiterEffect]:
        self._start(now)
        return self._decide(now, [], "")

    def lost(self, now: float, node: str) -> list[ArbiterEffect]:
        """Its session broke: that is no proof of death, so only the deadtime speaks; nothing can be sent to it."""
        if node in self._peers:
            self._peers[node].connected = False
        return []

    def describe(self, now: float) -> tuple[NodeView, ...]:
        return tuple(
            NodeView(name, peer.incarnation, peer.connected, now - peer.heard, peer.report)
            for name, peer in sorted(self._peers.items())
        )

    def _start(self, now: float) -> None:
        if self._born is None:
            self._born = now

    def _heard(self, node: str) -> float:
        """A node that this life of the arbiter never heard counts as heard at its start: silence must be observed."""
        assert self._born is not None
        peer = self._peers.get(node)
        return self._born if peer is None else peer.heard

    def _compare_nodes(self, node: str, report: ArbiterReport) -> list[ArbiterEffect]:
        others = [n for n, p in self._peers.items() if not _same_voters(p.report, report)]
        if not others:
            self._warned.discard(node)
        elif node not in self._warned:
            self._warned.add(node)
            text = f"{node} and {others[0]} are configured with different nodes or votes; compare their files"
            return [Explain(text, "unlike", node)]
        return []

    def _known_epoch(self) -> int:
        """The latest epoch that somebody won. What a claimant merely asks for unseats nobody."""
        reports = [p.report.epoch for p in self._peers.values() if p.report.initialised and p.report.coordinator]
        return max([self._book.vote_epoch, self._book.state.stamp.epoch, *reports])

    def _decide(self, now: float, notes: list[ArbiterEffect], reporter: str) -> list[ArbiterEffect]:
        before = self._book
        said = {name: peer.refused.text for name, peer in self._peers.items()}
        self._take_newest_state()
        self._look_for_the_undead(now, notes)
        self._step_back(notes, reporter)
        if not self._book.voter:
            self._learn(notes)
        wakes: list[float] = []
        eligible = self._eligible(now, wakes) if self._book.voter else {}
        if eligible:
            self._contest(now, eligible, notes, wakes)
        self._tell_refusals(now, notes)
        stored: list[ArbiterEffect] = [Store(self._book)] if self._book != before else []
        voted = self._book.vote_epoch != before.vote_epoch or self._book.voter != before.voter
        answers: list[ArbiterEffect] = [
            Answer(name, self.answer_to(name))
            for name, peer in self._peers.items()
            if name == reporter or (peer.connected and (voted or peer.refused.text != said[name]))
        ]
        wake: list[ArbiterEffect] = [WakeAt(min(wakes))] if wakes else []
        return [*stored, *notes, *answers, *wake]

    def _tell_refusals(self, now: float, notes: list[ArbiterEffect]) -> None:
        """Each rule once a node and vote: a loser asks again all the time."""
        for name, peer in self._peers.items():
            refused = peer.refused
            if refused.rule and refused.rule not in peer.told:
                peer.told.add(refused.rule)
                text = f"{name} does not get the vote of epoch {peer.report.claim}: {refused.text}"
                notes.append(Explain(text, refused.rule, name, peer.report.claim, knew=self.describe(now)))

    def _take_newest_state(self) -> None:
        for peer in self._peers.values():
            if peer.report.initialised and peer.report.state.stamp > self._book.state.stamp:
                self._book = replace(self._book, state=peer.report.state)

    def _look_for_the_undead(self, now: float, notes: list[ArbiterEffect]) -> None:
        """A node that counts as off, and goes on saying that it runs groups: a fence device lied, or a human was wrong.
        Reports that were under way for long say nothing: what counts is when they were sent, plus a deadtime."""
        off = {entry.node: entry.incarnation for entry in self._book.state.roster if entry.standing in COUNTS_AS_OFF}
        for name, peer in self._peers.items():
            if off.get(name) != peer.incarnation:
                peer.off_since, peer.lives = None, False
                continue
            if peer.off_since is None:
                peer.off_since = now
            sent = peer.report.sent_us * MICROSECOND + peer.offset
            if not peer.lives and peer.report.load > 0 and sent > peer.off_since + peer.report.deadtime:
                peer.lives = True
                text = f"{name} counts as off, and reported {sent - peer.off_since:.1f} s later that it runs groups"
                notes.append(Explain(text, "undead", name, knew=self.describe(now)))

    def _step_back(self, notes: list[ArbiterEffect], reporter: str) -> None:
        """What a node was told is on disk. If the record does not know of it, it is an old one that was put back."""
        seen = [(p.report.vote_seen, name) for name, p in self._peers.items() if self._ours(p.report)]
        told, node = max(seen, default=(0, ""))
        if self._book.voter and told > max(self._book.vote_epoch, self._doubtful[0]):
            text = f"{node} was told of the vote of epoch {told}, and this record ends with {self._book.vote_epoch}"
            text += ": it is an old one that was put back, and learns again before it votes"
            notes.append(Explain(text, "learns", node))
            self._book = replace(self._book, voter=False)
            self._told &= {reporter}

    def _learn(self, notes: list[ArbiterEffect]) -> None:
        """An earlier, wiped record may have granted a claim that its node still repeats, so claims count too."""
        told = {name: self._peers[name].report for name in sorted(self._told)}
        known = {name: report for name, report in told.items() if report.initialised and self._ours(report)}
        if not known or any(self._electorates(report).would_miss(known) for report in known.values()):
            return
        if any(report.stored > self._book.state.stamp for report in known.values()):
            return  # it takes us for one that has that state; our answer says that we don't
        floor = max(max(r.epoch, r.claim, r.vote_seen, r.state.stamp.epoch) for r in known.values())
        floor = max(floor, self._book.vote_epoch, self._book.state.stamp.epoch)
        self._book = replace(self._book, voter=True, vote_epoch=floor, voted_for="")
        notes.append(Explain(f"learned the epoch from {', '.join(known)}: votes above {floor}", "learned"))

    def _ours(self, report: ArbiterReport) -> bool:
        """Does this store's vote count for the node? A store that another one took the place of must not vote again."""
        return not self._store or report.store in ("", self._store)

    def _electorates(self, report: ArbiterReport) -> Electorates:
        """Who votes: by the newest cluster state, else by the configuration of who reports."""
        recorded = self._book.state.electorates
        return recorded if recorded.current else Electorates(report.electorate)

    def _eligible(self, now: float, wakes: list[float]) -> dict[str, _Peer]:
        """The claims that may be granted now; the others get their refusal."""
        eligible: dict[str, _Peer] = {}
        for name, peer in self._peers.items():
            claim = peer.report.claim
            fresh = now < peer.heard + peer.report.deadtime
            mine = (claim, name) == (self._book.vote_epoch, self._book.voted_for)
            peer.refused = NOT_REFUSED
            if claim and fresh and not mine:
                peer.refused = self._refusal(now, name, peer, wakes)
                if peer.refused is NOT_REFUSED:
                    eligible[name] = peer
                    if peer.claiming_since is None:
                        peer.claiming_since = now
            if name not in eligible:
                peer.claiming_since = None
        return eligible

    def _refusal(self, now: float, name: str, peer: _Peer, wakes: list[float]) -> _Refusal:
        claim, book = peer.report.claim, self._book
        if not peer.report.initialised:
            return _Refusal("unlearned", f"{name} has not learned the epoch yet, so it can't claim one")
        if not self._ours(peer.report):
            text = f"the arbiter of {name}'s cluster is {peer.report.store}; this is {self._store}"
            return _Refusal("replaced", text)
        roster = [entry.node for entry in book.state.roster]
        if roster and name not in roster:
            # Nodes that were removed one by one, and come back with old files, must not be a quorum with this vote.
            text = f"{name} is none of the cluster's nodes ({', '.join(roster)}): it was removed, or is not added yet"
            return _Refusal("removed", text)
        if self._outdated(peer.report) and not book.state.maintenance:
            text = f"{name} missed configuration {book.state.config.version} of the cluster, and may not know its nodes"
            return _Refusal("outdated", text)
        if unlike := self._counts_otherwise(now, name, peer.report):
            return _Refusal("unlike", unlike)
        if book.state.electorates.current and name not in book.state.electorates.voters:
            text = f"{name} has no vote now, {book.state.electorates.current}; it gets it back as a member"
            return _Refusal("no-vote", text)
        if claim <= book.vote_epoch:
            text = f"the vote of epoch {book.vote_epoch} is given to {book.voted_for or 'nobody'}; claim a newer one"
            return _Refusal("given", text)
        if claim < self._known_epoch():
            text = f"epoch {claim} is over: epoch {self._known_epoch()} is known; claim a newer one"
            return _Refusal("over", text)
        if claim < self._doubtful[0] or (claim == self._doubtful[0] and name != self._doubtful[1]):
            text = f"the vote of epoch {self._doubtful[0]} may be on disk for {self._doubtful[1]}; claim a newer one"
            return _Refusal("doubtful", text)
        held = self._held(now, name, peer, wakes)
        return _Refusal("held", held) if held else NOT_REFUSED

    def _outdated(self, report: ArbiterReport) -> bool:
        """Its file is older than what the cluster switched to."""
        config = self._book.state.config
        return report.applied is not None and report.applied < config.version and report.config != config.digest

    def _counts_otherwise(self, now: float, name: str, report: ArbiterReport) -> str:
        """Nodes that count votes differently may each find a quorum: neither gets the vote with which it would."""
        for other, theirs in self._fresh(now).items():
            if self._outdated(theirs):
                continue  # it counts by the cluster state, and leads nobody
            if not _same_voters(report, theirs) and not report.electorate.meets(theirs.electorate):
                text = f"{name} counts {_counted(report)}, and {other} {_counted(theirs)}"
                return f"{text}: compare their files ([quorum], votes of the nodes)"
        return ""

    def _held(self, now: float, name: str, peer: _Peer, wakes: list[float]) -> str:
        """Stickiness: a loser can't flip a decision by claiming again. Yields to every sign that it is outdated."""
        holder, epoch, report = self._book.voted_for, self._book.vote_epoch, peer.report
        if not holder or holder == name or holder in report.alive or holder not in report.nodes:
            return ""
        silent_at = self._heard(holder) + report.deadtime
        if now >= silent_at:
            return ""
        if any(p.report.initialised and p.report.coordinator and p.report.epoch > epoch for p in self._peers.values()):
            return ""
        held = self._peers.get(holder)
        if held is not None:
            if held.incarnation != self._holder_life:
                return ""
            # It puts the question anew itself: a new partition, in which the other side may be the better one.
            if held.report.claim > epoch:
                return ""
            # A holder whose partition makes no quorum even with this vote would block the others for ever.
            if not self._electorates(report).is_quorum({*held.report.alive, ARBITER}):
                return ""
        wakes.append(silent_at)
        heard = (
            "has not been heard since the arbiter started"
            if held is None
            else (f"was heard {(now - held.heard) * 1000:.0f} ms ago")
        )
        return f"{holder} holds the vote of epoch {epoch} and {heard}"

    def _contest(self, now: float, eligible: dict[str, _Peer], notes: list[ArbiterEffect], wakes: list[float]) -> None:
        ends, awaited = [], []
        fresh = self._fresh(now)
        for name, peer in eligible.items():
            assert peer.claiming_since is not None
            settle = peer.report.settle
            if larger_unheard(name, fresh, eligible, self._electorates(peer.report).current):
                # Who is deaf knows it sooner than those who see that it is.
                settle = max(settle, peer.report.deadtime)
            ends.append(peer.claiming_since + settle)
            for other in peer.report.nodes:
                if other not in peer.report.alive and other not in eligible:
                    awaited.append(self._heard(other) + peer.report.deadtime)
        decide_at = min(min(ends), max(awaited, default=now))
        if now < decide_at:
            wakes.append(decide_at)
            return
        sides = [side_of(name, fresh, self._electorates(peer.report).current) for name, peer in eligible.items()]
        winner, why = best(sides)
        chosen = eligible[winner.claimant]
        epoch = chosen.report.claim
        self._book = replace(self._book, vote_epoch=epoch, voted_for=winner.claimant)
        self._holder_life = chosen.incarnation
        self._why = (epoch, why)
        text = f"{winner.claimant} gets the vote of epoch {epoch}: {why}"
        notes.append(Explain(text, VOTED, winner.claimant, epoch, tuple(sides), self.describe(now)))
        for peer in self._peers.values():
            peer.told.clear()
        for name, peer in eligible.items():
            peer.claiming_since = None
            if name != winner.claimant:
                peer.refused = _Refusal("worse", f"{winner.claimant} got the vote of epoch {epoch}: {why}")

    def _fresh(self, now: float) -> dict[str, ArbiterReport]:
        """What those nodes say that it hears now."""
        peers = self._peers.items()
        return {name: peer.report for name, peer in peers if now < peer.heard + peer.report.deadtime}

    def _answer_of(
        self, report: ArbiterReport, refused: str, state: ClusterState = NO_STATE, why: str = ""
    ) -> ArbiterAnswer:
        book, epoch = self._book, self._known_epoch()
        coordinator = book.voted_for if book.vote_epoch == epoch else ""
        if not coordinator:
            coordinator = next(
                (
                    n
                    for n, p in self._peers.items()
                    if p.report.initialised and p.report.coordinator == n and p.report.epoch == epoch
                ),
                "",
            )
        return ArbiterAnswer(
            report.sent_us,
            book.voter,
            epoch,
            coordinator if book.voter else "",
            book.vote_epoch,
            book.voted_for,
            book.state.stamp,
            refused,
            state,
            why,
            self._store,
            tuple([name for name, peer in self._peers.items() if peer.lives]),
        )

    def answer_to(self, name: str) -> ArbiterAnswer:
        """What a node that reported is answered now."""
        peer, book = self._peers[name], self._book
        granted = (
            book.voter and peer.report.claim > 0 and (book.vote_epoch, book.voted_for) == (peer.report.claim, name)
        )
        learns = book.voter and not peer.report.initialised
        if not (granted or learns):
            return self._answer_of(peer.report, peer.refused.text)
        why = self._why[1] if self._why[0] == book.vote_epoch else ""
        return self._answer_of(peer.report, peer.refused.text, book.state, why)


def _same_voters(one: ArbiterReport, other: ArbiterReport) -> bool:
    return one.nodes == other.nodes and one.votes == other.votes and one.arbiter_votes == other.arbiter_votes


def _counted(report: ArbiterReport) -> str:
    nodes = ", ".join(f"{name} {votes}" for name, votes in report.electorate.nodes.items())
    return f"{nodes} and the arbiter {report.arbiter_votes}"
