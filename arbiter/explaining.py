"""Why an arbiter voted, or refused a vote, lately: what `hamgr-arbiter explain` and `hamgr arbiter explain` print."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import asdict
from pathlib import Path

from arbiter.explanations import Explanation, read
from arbiter.store import StoreError


def kept(state_dir: Path, cluster: str) -> list[Explanation]:
    """The oldest decision first. Raises StoreError."""
    try:
        return read(state_dir, cluster)
    except sqlite3.Error as error:
        raise StoreError(f"{state_dir}: explanations: {error}") from error
    except OSError as error:
        raise StoreError(f"{state_dir}: explanations: {error.strerror}") from error


def tell(found: list[Explanation], cluster: str, as_json: bool) -> None:
    for explanation in found:
        print(json.dumps(asdict(explanation)) if as_json else shown(explanation))
    if not found and not as_json:
        print(f"nothing was decided for cluster {cluster} here")


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
