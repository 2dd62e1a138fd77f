"""Which groups `hamgr rebalance` would move: those whose move makes things better, and no others."""

from __future__ import annotations

import random

from hamgr.core.balance import Move, moves
from hamgr.core.capacity import Room, bundles
from hamgr.core.cluster import ClusterSpec, GroupSpec, NodeSpec, Placement

NAMES = ("a", "b", "c")


def spread(name: str, memory: int = 0, **more: object) -> GroupSpec:
    needs = (("memory", memory),) if memory else ()
    return GroupSpec(name, placement=Placement.SPREAD, needs=needs, **more)  # type: ignore[arg-type]


def cluster(*groups: GroupSpec, **memory: int) -> ClusterSpec:
    nodes = [NodeSpec(name, capacity=(("memory", amount),)) for name, amount in memory.items()]
    return ClusterSpec("t", tuple(nodes) or tuple(map(NodeSpec, NAMES)), groups)


def plan(spec: ClusterSpec, placed: str, scope: str = "", **able: str) -> list[str]:
    """placed: `web:a mail:b`. scope: names, by default of all groups. able: the nodes of a group, by default all."""
    where = dict(one.split(":") for one in placed.split())
    nodes = {group.name: able.get(group.name, " ".join(spec.names)).split() for group in spec.groups}
    return [str(move) for move in moves(spec, where, nodes, scope.split() or [group.name for group in spec.groups])]


def test_the_fullest_node_gives_to_the_emptiest_until_no_move_is_better() -> None:
    spec = cluster(*(spread(f"g{number}") for number in range(1, 6)))
    assert plan(spec, "g1:a g2:a g3:a g4:a g5:b") == [
        "g1: a -> c: a has 4 groups, c 0",
        "g2: a -> b: a has 3 groups, b 1",
    ]


def test_what_is_even_already_stays() -> None:
    spec = cluster(spread("g1"), spread("g2"), spread("g3"), spread("g4"))
    assert plan(spec, "g1:a g2:b g3:c g4:a") == []


def test_a_group_that_alone_makes_a_node_heavy_is_not_moved_to_and_fro() -> None:
    assert plan(cluster(spread("web", 4), a=5, b=5), "web:a") == []


def test_groups_that_are_placed_by_preference_stay_and_count() -> None:
    home = GroupSpec("home")
    assert plan(cluster(home, spread("g1"), spread("g2")), "home:a g1:a g2:a") == [
        "g1: a -> b: a has 3 groups, b 0",
        "g2: a -> c: a has 2 groups, c 0",
    ]


def test_only_what_is_named_is_moved() -> None:
    spec = cluster(spread("g1"), spread("g2"), spread("g3"))
    assert plan(spec, "g1:a g2:a g3:a", "g3") == ["g3: a -> b: a has 3 groups, b 0"]


def test_a_node_that_cannot_run_it_gets_nothing() -> None:
    spec = cluster(spread("g1"), spread("g2"))
    assert plan(spec, "g1:a g2:a", g1="a", g2="a c") == ["g2: a -> c: a has 2 groups, c 0"]


def test_shares_of_what_is_scarce_count_before_groups() -> None:
    spec = cluster(spread("big", 6), spread("small", 2), spread("tiny", 1), a=10, b=10)
    assert plan(spec, "big:a small:a tiny:b") == ["small: a -> b: a is 80% full, b 10%"]


def test_more_than_a_node_has_is_never_moved_there() -> None:
    spec = cluster(spread("g1", 3), spread("g2", 3), a=6, b=2)
    assert plan(spec, "g1:a g2:a") == []


def test_who_runs_together_goes_along_if_all_can() -> None:
    spec = cluster(spread("db", 2), spread("web", 1, together_with=("db",)), spread("mail", 3), a=10, b=10)
    assert plan(spec, "db:a web:a mail:a", "db") == ["db: a -> b (with web): a is 60% full, b 0%"]
    assert plan(spec, "db:a web:a mail:a", "db web", web="a") == []
    assert plan(spec, "db:a web:a mail:a", "web") == [], "it is not moved without the one that it runs with"


def test_who_is_started_after_it_stops_meanwhile_and_that_is_said() -> None:
    spec = cluster(spread("db"), spread("app", after=("db",)), spread("web", after=("app",)), spread("mail"))
    assert plan(spec, "db:a app:b web:c mail:a", "db", db="a b") == []
    assert plan(spec, "db:a app:c web:c mail:a", "db") == ["db: a -> b: a has 2 groups, b 0; app, web stop meanwhile"]


def test_who_keeps_apart_is_not_brought_together_from_either_side() -> None:
    spec = cluster(spread("g1"), spread("g2"), spread("loner", apart_from=("g1",)))
    assert plan(spec, "g1:a g2:a loner:b", "g1", g1="a b") == []
    spec = cluster(GroupSpec("fixed"), spread("g1", apart_from=("fixed",)), spread("g2"))
    assert plan(spec, "fixed:b g1:a g2:a", "g1", g1="a b") == []


def test_groups_make_room_for_one_that_runs_nowhere() -> None:
    spec = cluster(spread("x", 2), spread("y", 2), GroupSpec("z", needs=(("memory", 4),)), a=4, b=4)
    assert plan(spec, "x:a y:b") == ["x: a -> b: makes room for z, which runs nowhere"]


def test_nothing_is_moved_for_a_group_that_would_not_fit_all_the_same() -> None:
    spec = cluster(spread("x", 2), spread("y", 2), GroupSpec("z", needs=(("memory", 5),)), a=4, b=4)
    assert plan(spec, "x:a y:b") == []


def drawn(chance: random.Random) -> ClusterSpec:
    """Some nodes, most with as much memory as they like, and groups of which some look at earlier ones."""
    nodes = [NodeSpec(name, capacity=(("memory", chance.randint(2, 9)),)) for name in "abcde"[: chance.randint(2, 5)]]
    groups: list[GroupSpec] = []
    for number in range(chance.randint(2, 10)):
        earlier = [group.name for group in groups]
        other = (chance.choice(earlier),) if earlier else ()
        relation = chance.choice(("together_with", "apart_from", "", "", ""))
        more = {relation: other} if relation else {}
        memory = chance.choice((0, 1, 2, 3))
        groups.append(
            GroupSpec(
                f"g{number}",
                placement=chance.choice((Placement.SPREAD, Placement.SPREAD, Placement.PREFER)),
                needs=(("memory", memory),) if memory else (),
                priority=chance.randint(1, 3),
                **more,  # type: ignore[arg-type]
            )
        )
    return ClusterSpec("t", tuple(nodes), tuple(groups))


class World:
    """What runs where, and whether it may."""

    def __init__(self, spec: ClusterSpec, chance: random.Random) -> None:
        self.spec = spec
        self.able = {group.name: chance.sample(spec.names, chance.randint(1, len(spec.names))) for group in spec.groups}
        self.chance = chance
        self.placed: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        """What can run is started somewhere."""
        for group in self.spec.groups:
            if group.name in self.placed:
                continue
            nodes = [node for node in self.able[group.name] if not self.wrong(self.placed | {group.name: node})]
            if nodes and all(leader in self.placed for leader in group.together_with):
                self.placed[group.name] = self.chance.choice(nodes)

    def wrong(self, placed: dict[str, str]) -> list[str]:
        room = Room(self.spec, {}, bundles(self.spec))
        found = []
        for name, node in placed.items():
            group = self.spec.group(name)
            beside = [other for other, at in placed.items() if at == node]
            found += [f"{name} can't run on {node}"] if node not in self.able[name] else []
            found += [lacks] if (lacks := room.lacks(group, node, beside)) else []
            found += [f"{name} is without {x}" for x in group.together_with if x in placed and placed[x] != node]
            found += [f"{name} is beside {x}" for x in group.apart_from if placed.get(x) == node]
        return found

    def moves(self) -> tuple[Move, ...]:
        return tuple(moves(self.spec, self.placed, self.able, self.able))

    def burdens(self) -> list[tuple[float, int]]:
        found = []
        for node in self.spec.nodes:
            there = [group for group in self.spec.groups if self.placed.get(group.name) == node.name]
            used = sum(dict(group.needs).get("memory", 0) for group in there)
            found.append((used / dict(node.capacity)["memory"], len(there)))
        return sorted(found, reverse=True)


def test_after_each_move_of_any_cluster_it_is_better_and_everything_may_be_where_it_is() -> None:
    moved = made_room = 0
    for seed in range(400):
        chance = random.Random(seed)
        world = World(drawn(chance), chance)
        assert not world.wrong(world.placed)
        left = world.moves()
        while left:
            move, before = left[0], world.burdens()
            assert world.placed[move.group] == move.source
            world.placed |= dict.fromkeys((move.group, *move.along), move.target)
            assert not world.wrong(world.placed), f"seed {seed}: {move}"
            moved += 1
            if move.why.startswith("makes room"):
                made_room += 1
            else:
                assert world.burdens() < before, f"seed {seed}: {move}"
                rest = f"seed {seed}: what is left of a plan is the plan of what is left"
                assert world.moves() == left[1:], rest
            world.start()
            left = world.moves()
            assert moved < 5000, "they come to an end"
    assert moved > 300
    assert made_room > 10
