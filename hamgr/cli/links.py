"""`hamgr links`: how well each link works, once or again and again."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from hamgr.cli.client import STATUS_TIMEOUT, admin
from hamgr.v1 import admin_pb2 as pb

WATCH_INTERVAL = 1.0
"""Seconds between two reports of `--watch`."""

_CLEAR = "\x1b[H\x1b[2J"
_HEADER = ("PEER", "LINK", "STATE", "HEARD", "LOSS", "ROUND TRIP", "JITTER", "IN", "OUT")


def links(args: argparse.Namespace) -> int:
    from hamgr.cli.commands import DONE, socket_path

    with admin(socket_path(args)) as stub:
        while True:
            report = stub.GetLinks(pb.LinksRequest(), timeout=STATUS_TIMEOUT)
            if args.json:
                print(json.dumps(_plain(report)), flush=True)
            else:
                clear = _CLEAR if args.watch and sys.stdout.isatty() else ""
                print(clear + render(report), end="", flush=True)
            if not args.watch:
                return DONE
            time.sleep(WATCH_INTERVAL)


def render(report: pb.LinksReport) -> str:
    """The report as text for a human; the first line says whether all is well."""
    wrong = list(_wrong(report))
    lines = [f"{report.node}: {'; '.join(wrong) if wrong else 'every link works'}", ""]
    lines += _table([_HEADER, *(_row(peer) for peer in report.peers)])
    lines += ["", "own links"]
    lines += [f"  {_own(link)}" for link in report.links]
    if report.pings:
        lines += ["", f"ping targets (health {report.health})"]
        for ping in report.pings:
            state = "answers" if ping.reachable else "DOES NOT ANSWER"
            lines.append(f"  {ping.name}  {state}, weight {ping.weight}" + (f": {ping.detail}" if ping.detail else ""))
    if report.checks:
        lines += ["", f"health checks (health {report.health})"]
        for check in report.checks:
            state = "good" if check.good else "FAILED"
            detail = f": {check.detail}" if check.detail else ""
            lines.append(f"  {check.name}  {state}, weight {check.weight}{detail}")
    late = report.lateness
    lines += [
        "",
        f"this daemon woke up late by {_ms(late.p50)} (median), {_ms(late.p99)} (99 %), {_ms(late.p999)} (99.9 %),"
        f" {_ms(late.max)} (worst of {late.count}); realtime: {late.detail}",
    ]
    return "\n".join(lines) + "\n"


def _wrong(report: pb.LinksReport) -> Iterator[str]:
    for link in report.links:
        if not link.up:
            yield f"own link {link.link} is down" + (f" ({link.detail})" if link.detail else "")
        if link.authentication_failures:
            yield f"{link.authentication_failures} frames on {link.link} had no valid key"
    broken = {link.link for link in report.links if not link.up}
    for peer in report.peers:
        if not peer.up and peer.link not in broken:
            yield f"{peer.link} to {peer.peer} is down"
    for ping in report.pings:
        if not ping.reachable:
            yield f"ping target {ping.name} does not answer"
    for check in report.checks:
        if not check.good:
            yield f"health check {check.name} {check.detail}"


def _row(peer: pb.PeerLink) -> tuple[str, ...]:
    return (
        peer.peer,
        peer.link,
        "up" if peer.up else "DOWN",
        f"{_ms(peer.heard_ago)} ago" if peer.HasField("heard_ago") else "never",
        f"{peer.loss * 100:.1f} % ({peer.lost})" if peer.HasField("loss") else "-",
        _ms(peer.round_trip) if peer.HasField("round_trip") else "-",
        _ms(peer.jitter) if peer.HasField("jitter") else "-",
        _size(peer.bytes_in),
        _size(peer.bytes_out),
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _own(link: pb.OwnLink) -> str:
    state = "works" if link.up else "DOWN"
    detail = f": {link.detail}" if link.detail else ""
    refused = [f"{count} {reason}" for reason, count in sorted(link.rejected.items())]
    if link.send_failures:
        refused.append(f"{link.send_failures} not sent")
    return f"{link.link} ({link.kind})  {state}{detail}" + (f"; dropped: {', '.join(refused)}" if refused else "")


def _ms(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:.0f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.2f} ms"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _plain(message: Message) -> dict[str, Any]:
    """All fields by name; None for those that are not known. (protobuf's own JSON writes large integers as texts.)"""
    shown: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.has_presence and not message.HasField(field.name):
            shown[field.name] = None
        elif isinstance(value, Message):
            shown[field.name] = _plain(value)
        elif isinstance(value, Mapping):
            shown[field.name] = dict(value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            shown[field.name] = [_plain(item) if isinstance(item, Message) else item for item in value]
        else:
            shown[field.name] = value
    return shown
