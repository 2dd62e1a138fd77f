"""`hamgr resource kinds` and `describe`: what can be written into a group, as the kinds and the agents declare it."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from hamgr.cli.commands import DONE, FAILED, USAGE

if TYPE_CHECKING:
    from hamgr.resources.ocf_metadata import Metadata

TYPES = {str: "text", int: "number", bool: "true or false", list: "array", dict: "table", float: "duration"}


def kinds(args: argparse.Namespace) -> int:
    """All kinds with their options."""
    from hamgr.resources.kinds import RESOURCE_KINDS

    if args.json:
        shown = {
            name: [
                {"name": one.name, "type": TYPES[one.type], "required": one.required, "default": one.default}
                for one in kind.options
            ]
            for name, kind in RESOURCE_KINDS.items()
        }
        print(json.dumps(shown))
        return DONE
    for name, kind in RESOURCE_KINDS.items():
        print(name)
        for one in kind.options:
            print(_row(one.name, TYPES[one.type], _default(one.default, one.required)))
    return DONE


def describe(args: argparse.Namespace) -> int:
    """An OCF agent: its parameters, and the time-outs that it advises."""
    from hamgr.resources.ocf_advice import metadata
    from hamgr.resources.ocf_agent import parse
    from hamgr.selfdescription import MetadataError

    try:
        agent = parse(args.agent)
    except ValueError as error:
        print(f"hamgr resource describe: found {args.agent!r}, allowed {error}", file=sys.stderr)
        return USAGE
    try:
        told = metadata(agent)
    except OSError as error:
        print(f"hamgr resource describe: {agent} is not here: {agent.path}: {error.strerror}", file=sys.stderr)
        return FAILED
    except MetadataError as error:
        print(f"hamgr resource describe: {agent}: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps({"agent": str(agent), **asdict(told)}) if args.json else _described(str(agent), told))
    return DONE


def _described(name: str, told: Metadata) -> str:
    lines = [name, "parameters"]
    for one in told.parameters.values():
        kind = " | ".join(one.values) or one.type
        note = f"deprecated, use {' or '.join(one.instead)}" if one.deprecated and one.instead else ""
        lines.append(_row(one.name, kind, note or _default(one.default, one.required)))
    lines.append("actions")
    for action in told.actions:
        role = f" {action.role}" if action.role else ""
        depth = f" {action.depth}" if action.depth else ""
        times = [
            f"{word} {value:g} s"
            for word, value in (("timeout", action.timeout), ("interval", action.interval))
            if value
        ]
        lines.append(f"  {action.name + depth + role:<24} {', '.join(times)}".rstrip())
    return "\n".join(lines)


def _row(name: str, kind: str, note: str) -> str:
    return f"  {name:<24} {kind:<14} {note}".rstrip()


def _default(value: object, required: bool) -> str:
    return "required" if required else "" if value is None else json.dumps(value)
