"""What an operator can learn of the clusters here, whether a hamgr-arbiter serves them now or not."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from arbiter.config import ArbiterConfig
from arbiter.control import NobodyServes, ask
from arbiter.explaining import kept, shown, tell
from arbiter.registries import enrolments, votes
from arbiter.registry import Refused, Roll

DONE = 0

MOST_NAMED = 8
"""Clusters that an error names: there may be thousands."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """recorded: those of which there is a vote, or was one."""

    with_key: Collection[str]
    recorded: Collection[str]
    roll: Roll

    @property
    def configured(self) -> list[str]:
        return sorted({*self.with_key, *self.roll.clusters})

    @property
    def all(self) -> list[str]:
        return sorted({*self.recorded, *self.configured})

    def unknown(self, cluster: str) -> str:
        """That there is none of this name, in a sentence, and which name may have been meant."""
        if close := difflib.get_close_matches(cluster, self.all, n=1):
            return f"there is no cluster {cluster!r} here; did you mean {close[0]}?"
        named = ", ".join(self.all[:MOST_NAMED]) or "none"
        more = f" and {len(self.all) - MOST_NAMED} more (hamgr-arbiter list)" if len(self.all) > MOST_NAMED else ""
        return f"there is no cluster {cluster!r} here; there are: {named}{more}"


def clusters_of(config: ArbiterConfig) -> Clusters:
    """Raises StoreError, RegistryError."""
    with enrolments(config) as registry:
        roll = registry.load()
    with votes(config) as store:
        return Clusters(config.key_files, store.clusters(), roll)


def list_all(config: ArbiterConfig, args: argparse.Namespace) -> int:
    there = clusters_of(config)
    live = _live(config, there.all)
    for facts in _facts(config, there, there.all, live):
        print(json.dumps(facts) if args.json else _line(facts))
    if not there.all and not args.json:
        print(f"no clusters: {config.path} names none, and none is enrolled (hamgr-arbiter enroll CLUSTER)")
    return DONE


def show(config: ArbiterConfig, args: argparse.Namespace) -> int:
    there = clusters_of(config)
    if args.cluster not in there.all:
        raise Refused(there.unknown(args.cluster))
    live = _live(config, [args.cluster])
    (facts,) = _facts(config, there, [args.cluster], live)
    if args.json:
        print(json.dumps(facts))
        return DONE
    print(_line(facts))
    _tell_nodes(live, args.cluster, there.roll)
    if decided := kept(config.state_dir, args.cluster):
        print(f"    decided last: {shown(decided[-1]).splitlines()[0]} (hamgr-arbiter explain {args.cluster})")
    return DONE


def explain(config: ArbiterConfig, args: argparse.Namespace) -> int:
    found = kept(config.state_dir, args.cluster)
    if not found and args.cluster not in (there := clusters_of(config)).all:
        raise Refused(there.unknown(args.cluster))
    tell(found, args.cluster, args.json)
    return DONE


def _live(config: ArbiterConfig, clusters: list[str]) -> dict[str, Any]:
    """What the one that serves here says; nothing, and a word on stderr, if none does."""
    try:
        return ask(config.state_dir, {"do": "status", "clusters": clusters})
    except NobodyServes:
        where = f"state_dir {config.state_dir}" if config.etcd is None else "this host"
        print(f"no hamgr-arbiter serves now on {where}; this is what its records say", file=sys.stderr)
        return {}


def _facts(config: ArbiterConfig, there: Clusters, names: list[str], live: dict[str, Any]) -> list[dict[str, Any]]:
    now = time.time()
    with votes(config) as store:
        books = {name: store.load(name) for name in names}
    return [
        {
            "cluster": name,
            "votes": book.voter,
            "vote_epoch": book.vote_epoch,
            "voted_for": book.voted_for,
            "stored_epoch": book.state.stamp.epoch,
            "stored_view": book.state.stamp.view,
            "coordinator": book.state.coordinator,
            "access": "key file" if name in there.with_key else "enrolled" if name in there.roll.clusters else "none",
            "joined": there.roll.nodes(name, now),
            "serving": bool(live),
            "nodes": live.get("clusters", {}).get(name, []),
        }
        for name, book in books.items()
    ]


def _line(facts: dict[str, Any]) -> str:
    vote = f"epoch {facts['vote_epoch']} for {facts['voted_for']}" if facts["voted_for"] else "none yet"
    here = [str(node["node"]) for node in facts["nodes"] if node["connected"]]
    connected = f"; connected: {', '.join(here) or 'nobody'}" if facts["serving"] else ""
    access = "" if facts["access"] != "none" else "; neither enrolled nor in the configuration"
    state = "votes" if facts["votes"] else "has not learned the epoch"
    return f"{facts['cluster']}: {state}; last vote: {vote}{connected}{access}"


def _tell_nodes(live: dict[str, Any], cluster: str, roll: Roll) -> None:
    now = time.time()
    for certificate in sorted((c for c in roll.certificates.values() if c.cluster == cluster), key=lambda c: c.issued):
        state = certificate.objection(now) or f"good until {datetime.fromtimestamp(certificate.ends, UTC):%Y-%m-%d}"
        print(f"    certificate {certificate.serial[:16]} of {certificate.node}: {state}")
    for node in live.get("clusters", {}).get(cluster, []):
        link = "connected" if node["connected"] else "not connected"
        alive = ", ".join(node["alive"])
        print(f"    {node['node']}: {link}, heard {node['heard_ago']:.1f} s ago, epoch {node['epoch']}, hears {alive}")
    for reason, count in sorted(live.get("refused", {}).items()):
        print(f"    refused {count} time(s), any cluster: {reason}")
