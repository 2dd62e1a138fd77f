"""What nodes have and groups need: `capacity` of [node.NAME], `needs` of [group.NAME]."""

from __future__ import annotations

from collections.abc import Mapping

from hamgr.config.addresses import check_name
from hamgr.config.problems import describe
from hamgr.config.table import Table, did_you_mean, either

Amounts = tuple[tuple[str, int], ...]

MOST = 1_000_000_000

def read(table: Table, key: str, least: int) -> Amounts:
    """`{ memory = 64, cpu = 8 }`, in whatever units the administrator counts."""
    amounts = table.table(key)
    for name in amounts.values:
        if allowed := check_name(name):
            amounts.mistakes.note(amounts.key(name), describe(name), allowed)
    return tuple(sorted((name, amounts.number(name, least, least, MOST)) for name in amounts.values))


def check(group: Table, needs: Amounts, nodes: tuple[str, ...], capacities: Mapping[str, Amounts]) -> None:
    """Note what no node of the group could ever give. nodes: where it may run, empty for everywhere."""
    known = {what for capacity in capacities.values() for what, _ in capacity}
    for what, amount in needs:
        most = max((dict(capacities.get(node, ())).get(what, 0) for node in nodes or capacities), default=0)
        key = f"{group.key('needs')}.{what}"
        if what not in known:
            allowed = either(sorted(known)) if known else "nothing: no [node.NAME] has a capacity"
            group.mistakes.note(key, f"{describe(what)}, of which no node has any", allowed + did_you_mean(what, known))
        elif amount > most:
            group.mistakes.note(key, str(amount), f"up to {most}, the most that one of its nodes has")
