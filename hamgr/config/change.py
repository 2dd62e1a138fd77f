"""What a new configuration changes in a running cluster, and what of that can't be changed while it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from hamgr.config.durations import show
from hamgr.config.model import Config, GroupConfig, LinkConfig, ResourceConfig
from hamgr.config.problems import Problem, describe

_PINNED = ("key_file", "state_dir", "admin_socket")
"""Keys of [cluster] that a daemon could not find its own past with, or its peers, if they changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """added, removed: nodes. without_arbiter: it goes. idle: groups that must be stopped everywhere for it, since their
    resources are changed or go. restarted: groups that get more resources, and are started anew for them."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    without_arbiter: bool = False


def change(old: Config, new: Config) -> Change:
    before, after = set(old.spec.names), set(new.spec.names)
    groups = {group.name: group for group in new.groups}
    idle, restarted = [], []
    for group in old.groups:
        successor = groups.get(group.name)
        if successor is None or not _carries_on(group, successor):
            idle.append(group.name)
        elif len(successor.resources) > len(group.resources):
            restarted.append(group.name)
    return Change(
        added=tuple(name for name in new.spec.names if name not in before),
        removed=tuple(name for name in old.spec.names if name not in after),
        idle=tuple(idle),
        restarted=tuple(restarted),
        without_arbiter=old.spec.arbiter and not new.spec.arbiter,
    )


def _carries_on(old: GroupConfig, new: GroupConfig) -> bool:
    """Every resource of the old group is in the new one, in the same order: what runs of it can be told and stopped."""
    rest = iter(new.resources)
    return all(any(_same(resource, candidate) for candidate in rest) for resource in old.resources)


def _same(one: ResourceConfig, other: ResourceConfig) -> bool:
    return (one.name, one.kind, one.options) == (other.name, other.kind, other.options)


def impossible(old: Config, new: Config) -> list[Problem]:
    """What a running cluster can't change at once."""
    return [Problem(new.path, *facts) for check in (_pinned, _watchdogs, _voters, _links) for facts in check(old, new)]


def _pinned(old: Config, new: Config) -> Iterator[tuple[str, str, str]]:
    how = "without a change while the cluster runs"
    if new.spec.name != old.spec.name:
        yield "cluster.name", describe(new.spec.name), f"{describe(old.spec.name)}, {how}"
    for key in _PINNED:
        is_now, was = getattr(new, key), getattr(old, key)
        if is_now != was:
            yield f"cluster.{key}", str(is_now), f"{was}, {how}"


def _watchdogs(old: Config, new: Config) -> Iterator[tuple[str, str, str]]:
    """Others rely on a node's watchdog by their own file: none may run with another."""
    for node in new.spec.names:
        is_now, was = new.watchdogs.get(node), old.watchdogs.get(node)
        if node in old.spec.names and is_now != was:
            shown = [f"{dog.device} with {show(dog.timeout)}" if dog is not None else "none" for dog in (is_now, was)]
            yield f"node.{node}.watchdog", shown[0], f"{shown[1]}, without a change while the cluster runs"


def _voters(old: Config, new: Config) -> Iterator[tuple[str, str, str]]:
    """One node or arbiter comes or goes by a push: the voters change by one at a time, and whoever misses a push must
    not miss two nodes by it. Votes may change as they like, since a quorum of the old and of the new ones decides that
    (`hamgr.core.voters`); but of two nodes alone nothing is written down, so these must agree by their files."""
    found = change(old, new)
    changes = [f"node {name} is added" for name in found.added] + [f"node {name} is removed" for name in found.removed]
    # Another address is no other arbiter: whose vote counts is in the cluster state.
    if old.spec.arbiter != new.spec.arbiter:
        changes += ["an arbiter comes" if new.spec.arbiter else "the arbiter goes"]
    if len(changes) > 1:
        how = "one of that in a push, and the next one when that has come to its end"
        yield "node", ", ".join(changes), f"{how} (hamgr node add NAME, hamgr node remove NAME)"
    elif (old.spec.two_node or new.spec.two_node) and not old.spec.electorate.meets(new.spec.electorate):
        yield "node", _votes(new), f"{_votes(old)}, or less change: a quorum of before and one of after must meet"


def _votes(config: Config) -> str:
    electorate = config.spec.electorate
    arbiter = f", the arbiter {electorate.arbiter}" if electorate.arbiter else ""
    return "votes " + ", ".join(f"{name} {votes}" for name, votes in electorate.nodes.items()) + arbiter


def _links(old: Config, new: Config) -> Iterator[tuple[str, str, str]]:
    """While they restart one after another, those with the old file and those with the new one must hear each other."""
    stay = [name for name in new.spec.names if name in old.spec.names]
    for one, other in combinations(stay, 2):
        common = {link.name: _ends(link, one, other) for link in old.links if {one, other} <= set(link.nodes)}
        kept = [
            link.name
            for link in new.links
            if {one, other} <= set(link.nodes)
            and common.get(link.name) == _ends(link, one, other)
            and not (link.kind == "grpc" and new.tls != old.tls)
        ]
        if not kept:
            yield "link", f"another one, or none, between {one} and {other}", "at least one that stays as it is"


def _ends(link: LinkConfig, one: str, other: str) -> LinkConfig:
    """The link as these two nodes see it."""

    def of_both(values: dict[str, str]) -> dict[str, str]:
        return {node: value for node, value in values.items() if node in (one, other)}

    return dataclasses.replace(
        link,
        nodes=(),
        addresses=of_both(link.addresses),
        interfaces=of_both(link.interfaces),
        devices=of_both(link.devices),
    )
