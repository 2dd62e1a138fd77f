"""An OCF agent by its name: where its program lies, what its environment tells it, and what its exit codes mean.

OCF Resource Agent API 1.1, and what Pacemaker does beyond it because agents rely on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = "/usr/lib/ocf"
RUN_DIRECTORY = Path("/run/resource-agents")
"""Where agents keep what must not outlive a boot (HA_RSCTMP)."""

DEFAULT_PROVIDER = "heartbeat"

AGENT_FORM = 'an agent such as "ocf:heartbeat:IPaddr2", "heartbeat:IPaddr2" or "heartbeat/IPaddr2"'
PARAMETERS_FORM = 'names of letters, digits and "_", and values without the character NUL'

_NAME = re.compile(r"(?:ocf:)?(?:([A-Za-z0-9_-][\w.-]*)[:/])?([A-Za-z0-9_-][\w.-]*)", re.ASCII)
_PARAMETER = re.compile(r"[A-Za-z_]\w*", re.ASCII)

SUCCESS = 0
NOT_INSTALLED = 5
NOT_RUNNING = 7
RUNNING_PROMOTED = 8
FAILED_PROMOTED = 9
DEGRADED = 190
DEGRADED_PROMOTED = 191

MEANINGS: Mapping[int, str] = {
    SUCCESS: "success",
    1: "failed",
    2: "wrong parameters",
    3: "this action is not implemented",
    4: "permission denied",
    NOT_INSTALLED: "not installed",
    6: "not configured",
    NOT_RUNNING: "not running",
    RUNNING_PROMOTED: "running promoted",
    FAILED_PROMOTED: "failed while promoted",
    DEGRADED: "running, but degraded",
    DEGRADED_PROMOTED: "running promoted, but degraded",
}

REASON = "ocf-exit-reason:"
"""What an agent puts before the sentence that explains its exit code (ocf_exit_reason in ocf-shellfuncs)."""

SHOWN = 200
"""Characters of what an agent said that an explanation shows."""

FEATURE_SET = "3.16.2"
"""The Pacemaker whose conventions hold here, as agents ask for it: 2.1.5."""


@dataclass(frozen=True, slots=True)
class Agent:
    """ocf:PROVIDER:TYPE below a root directory."""

    provider: str
    type: str
    root: str = DEFAULT_ROOT

    @property
    def path(self) -> Path:
        return Path(self.root) / "resource.d" / self.provider / self.type

    def __str__(self) -> str:
        return f"ocf:{self.provider}:{self.type}"


def parse(name: str, root: str = DEFAULT_ROOT) -> Agent:
    """The agent of this name. Raises ValueError with what is allowed."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(AGENT_FORM)
    return Agent(match[1] or DEFAULT_PROVIDER, match[2], root)


def check_parameters(parameters: Mapping[str, str]) -> str:
    """What is allowed when they can't be handed over as environment variables, else ""."""
    right = all(_PARAMETER.fullmatch(name) and "\0" not in value for name, value in parameters.items())
    return "" if right else PARAMETERS_FORM


def environment(
    agent: Agent,
    instance: str,
    parameters: Mapping[str, str],
    run_directory: Path = RUN_DIRECTORY,
    meta: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """All that an agent is told beyond its action. meta: what Pacemaker calls meta attributes, without their prefix."""
    told = {
        "OCF_ROOT": agent.root,
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": instance,
        "OCF_RESOURCE_TYPE": agent.type,
        "OCF_RESOURCE_PROVIDER": agent.provider,
        "OCF_EXIT_REASON_PREFIX": REASON,
        "OCF_RESKEY_crm_feature_set": FEATURE_SET,
        "HA_RSCTMP": str(run_directory),
        # Messages come to us, by the standard error, without the date that hamgr's own log has.
        "HA_LOGFACILITY": "none",
        "HA_DATEFMT": " ",
        "HA_debug": "0",
    }
    told |= {f"OCF_RESKEY_CRM_meta_{name}": value for name, value in (meta or {}).items()}
    told |= {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}
    return told


def clone_meta(nodes: int) -> dict[str, str]:
    """What Pacemaker tells a clone of which one instance may be promoted."""
    return {
        "clone": "0",
        "clone_max": str(nodes),
        "clone_node_max": "1",
        "globally_unique": "false",
        "promotable": "true",
        "promoted_max": "1",
        "promoted_node_max": "1",
        "master_max": "1",
        "master_node_max": "1",
    }


def explain(code: int, output: str) -> str:
    """`not installed (5): no such program`: the exit code in words, and what the agent said of it."""
    if code < 0:
        meaning = f"killed by signal {-code}"
    else:
        meaning = f"{MEANINGS.get(code, 'an exit code that OCF does not know')} ({code})"
    _, found, reason = output.rpartition(REASON)
    said = reason.strip()[:SHOWN] if found else output[-SHOWN:].strip()
    return f"{meaning}: {said}" if said else meaning
