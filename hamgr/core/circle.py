"""Who of the members goes on when not all of them hear each other: one fully connected set that is a quorum.

The *circle* is chosen when what is known of the links has settled (`hamgr.core.mesh`), and kept as long as its members
hear each other, however many others come: nobody is shot so that the circle grows. Members outside run nothing; those
that were in it, or run something, are fenced. Where no fully connected set is a quorum, all whom the coordinator hears
are in the circle: better than nothing running.

A dead node that a member still hears is not fenced before all has settled: the circle may be one that it belongs to,
and another coordinator's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from hamgr.core.mesh import Mesh, cliques


@dataclass(frozen=True, slots=True)
class Merits:
    """What besides its votes speaks for a member: its ping score, and what it runs."""

    health: int = 0
    load: int = 0


class Circle:
    """waiting, outside: members with the reason, in a sentence. waiting: nothing is moved to it before it is known to
    hear everybody. held: dead nodes that are not fenced yet. better: a set for whose sake this coordinator gives up."""

    def __init__(self, me: str, names: Iterable[str], tie_breaker: str) -> None:
        self._me = me
        self._names = tuple(names)
        self._tie_breaker = tie_breaker
        self._chosen: frozenset[str] = frozenset()
        self._were_in: dict[str, int] = {}
        self.inside: frozenset[str] = frozenset({me})
        self.waiting: dict[str, str] = {}
        self.outside: dict[str, str] = {}
        self.held: dict[str, str] = {}
        self.better: frozenset[str] = frozenset()

    def was_in(self, node: str, incarnation: int) -> bool:
        return self._were_in.get(node) == incarnation

    def draw(
        self,
        now: float,
        mesh: Mesh,
        members: Mapping[str, int],
        coming: frozenset[str],
        weight: Callable[[Collection[str]], int],
        enough: Callable[[Collection[str]], bool],
        merits: Callable[[str], Merits],
    ) -> None:
        """members: with their incarnations. coming: who is heard and will be one at once, as the coordinator is new.
        weight: the votes of some nodes. enough: these are a quorum."""
        present = frozenset(members)
        self._chosen &= present | mesh.unheard.keys()
        self.better = frozenset()
        if mesh.small or not (mesh.unheard or self._strained(mesh, present | coming)):
            mesh.yielded = frozenset()
            self.inside, self.waiting, self.outside, self.held = present, {}, {}, {}
            if enough(present):
                self._chosen = present
        elif coming or now < mesh.settled_at():
            self._wait(now, mesh, present, coming)
        else:
            self._choose(mesh, present, weight, enough, merits)
        self._were_in = {name: life for name, life in self._were_in.items() if members.get(name) == life}
        self._were_in.update({name: members[name] for name in self.inside - self.waiting.keys()})

    @staticmethod
    def _strained(mesh: Mesh, present: frozenset[str]) -> bool:
        some = sorted(present)
        return any(not mesh.whole(one, other) for index, one in enumerate(some) for other in some[index + 1 :])

    def _wait(self, now: float, mesh: Mesh, present: frozenset[str], coming: frozenset[str]) -> None:
        """Nobody is put out before it has settled; who was, stays out until he hears the others."""
        self.outside = {
            name: why
            for name, why in self.outside.items()
            if name in present and not all(mesh.whole(name, other) for other in self.inside - {name})
        }
        self.inside = present - self.outside.keys()
        left = f"for {max(0.0, mesh.settled_at() - now):.1f} s more"
        self.waiting = {}
        for name in sorted(self.inside - {self._me}):
            # Who comes to a circle waits; its members don't wait for him.
            others = self._chosen if name in self._chosen else self.inside | coming
            if why := self._deaf(mesh, name, others):
                self.waiting[name] = f"{why}; it is waited for {left}"
        self.held = {
            name: f"{' and '.join(hearing)} hears it, which {self._me} does not; that is looked at {left}"
            for name, hearing in mesh.unheard.items()
        }

    @staticmethod
    def _deaf(mesh: Mesh, name: str, others: Iterable[str]) -> str:
        found = [other for other in sorted(others) if other != name and not mesh.whole(name, other)]
        return f"{name} and {' and '.join(found)} don't hear each other" if found else ""

    def _choose(
        self,
        mesh: Mesh,
        present: frozenset[str],
        weight: Callable[[Collection[str]], int],
        enough: Callable[[Collection[str]], bool],
        merits: Callable[[str], Merits],
    ) -> None:
        def linked(one: str, other: str) -> bool:
            # A link that begins to work again is no reason to put out who is in, nor to take in who is out.
            out = one in self.outside or other in self.outside
            return mesh.whole(one, other) if out else not mesh.cut(one, other)

        def merit(found: frozenset[str]) -> tuple[object, ...]:
            known = [merits(name) for name in found]
            return (
                weight(found),
                sum(one.health for one in known),
                sum(one.load for one in known),
                self._tie_breaker in found,
                [name in found for name in self._names],
            )

        links = {one: frozenset(other for other in present if other != one and linked(one, other)) for one in present}
        sets = [found for found in cliques(links) if self._me in found]
        kept = [found for found in sets if self._chosen and self._chosen <= found]
        fit = kept or [found for found in sets if enough(found)]
        if not kept:
            most = max((weight(found) for found in fit), default=0)
            others = [found for found in mesh.elsewhere() if weight(found) > most and enough(found)]
            others.sort(key=lambda found: (weight(found), [name in found for name in self._names]))
            if others and others[-1] != mesh.yielded:
                self.better = others[-1]
        self.waiting, self.held = {}, {}
        if not fit:
            self._chosen, self.inside, self.outside = frozenset(), present, {}
            return
        self._chosen = self.inside = max(fit, key=merit)
        self.outside = {
            name: self._deaf(mesh, name, self.inside) or f"{name} has only begun to be heard by everybody again"
            for name in sorted(present - self.inside)
        }
