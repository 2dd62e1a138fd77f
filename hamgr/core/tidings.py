"""What a coordinator tells once, and again when it is news: what groups wait for, and that one runs on two nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hamgr.core.cluster import GroupSpec, GroupState
from hamgr.core.effects import Announce, Effect, Kind
from hamgr.core.members import MemberRecord


class Tidings:
    """The announcements of one reign."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._owners: dict[str, tuple[str, ...]] = {}
        """Groups that several nodes run at once, as it was announced."""
        self._waited: dict[str, tuple[str, ...]] = {}
        self._told: dict[str, tuple[str, ...]] = {}

    def split_brain(self, groups: Iterable[GroupSpec], members: Mapping[str, MemberRecord], out: list[Effect]) -> None:
        """Two nodes found a group started in this epoch, in which nobody is told to start it before all others reported
        it stopped: a fence device lied, `hamgr fence ack` was said of a machine that was on, or somebody started it by
        hand. (In maintenance humans are at work, and what a node said of its groups may be old.)"""
        for group in groups:
            found = [name for name, member in members.items() if member.state(group.name) is GroupState.STARTED]
            owners = tuple(found) if len(found) > 1 else ()
            if owners and owners != self._owners.get(group.name):
                text = f"{group.name} runs on {' and on '.join(owners)} at once: check its data"
                facts = {"owners": " ".join(owners)}
                out.append(Announce(Kind.SPLIT_BRAIN, text, owners[0], group.name, facts=facts))
            self._owners[group.name] = owners

    def waits(self, waits: Mapping[str, tuple[str, ...]], out: list[Effect]) -> None:
        """Once a keepalive: tell what has been waited for since the last time, if that is news.

        Figures in a sentence change all the time; it is told again when who or what is awaited changes.
        """
        for group, sentences in waits.items():
            awaited = tuple(sentence.split(":")[0] for sentence in sentences)
            if awaited and awaited == self._waited.get(group) and awaited != self._told.get(group):
                out.append(Announce(Kind.TAKEOVER_WAITS, f"{group} " + "; ".join(sentences), self._me, group))
                self._told[group] = awaited
            elif not awaited:
                self._told.pop(group, None)
            self._waited[group] = awaited
