"""`hamgr-arbiter explain CLUSTER`: why it voted, or refused a vote, lately."""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from dataclasses import asdict

from arbiter.config import ArbiterConfig
from arbiter.explanations import Explanation, read
from arbiter.registry import Refused
from arbiter.store import StoreError

DONE = 0


def explain(config: ArbiterConfig, args: argparse.Namespace, enrolled: bool) -> int:
    """The oldest decision first. Raises Refused, StoreError."""
    cluster = args.cluster
    try:
        found = read(config.state_dir, cluster)
    except sqlite3.Error as error:
        raise StoreError(f"{config.state_dir}: explanations: {error}") from error
    if not found and cluster not in config.key_files and not enrolled:
        raise Refused(f"cluster {cluster!r} is neither in {config.path} nor enrolled")
    for explanation in found:
        print(json.dumps(asdict(explanation)) if args.json else shown(explanation))
    if not found and not args.json:
        print(f"nothing was decided for cluster {cluster} here")
    return DONE


def shown(explanation: Explanation) -> str:
    """For a human: the decision on one line, and below it what was compared and known."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(explanation.at))
    lines = [f"{when}  {explanation.rule:9}  {explanation.text}"]
    for side in explanation.knew["sides"]:
        nodes = ", ".join(side["nodes"])
        what = f"votes {side['votes']}, health {side['health']}, load {side['load']}"
        tie = ", has the tie-breaker" if side["has_tie_breaker"] else ""
        lines.append(f"    side of {side['claimant']}: {nodes}: {what}{tie}")
    for node in explanation.knew["nodes"]:
        asks = f", asks for epoch {node['claim']}" if node["claim"] else ""
        follows = f", follows {node['coordinator']} in epoch {node['epoch']}" if node["coordinator"] else ""
        session = "" if node["connected"] else ", its session is broken"
        heard = f"heard {node['heard_ago'] * 1000:.0f} ms ago"
        lines.append(f"    {node['node']}: {heard}, hears {', '.join(node['hears'])}{asks}{follows}{session}")
    return "\n".join(lines)
