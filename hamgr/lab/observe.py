"""A node's own account of itself: its status and its events, from its admin socket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from hamgr.lab.namespaces import LabError
from hamgr.v1 import admin_pb2, admin_pb2_grpc

_ALL_EVENTS = 1000
"""As many as a daemon keeps (`WatchRequest.past`)."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An announced event. time: seconds of CLOCK_MONOTONIC; kind: a value of `hamgr.core.effects.Kind`."""

    time: float
    reporter: str
    kind: str
    node: str
    group: str
    link: str
    text: str


class NotAnswering(LabError):
    """The daemon does not answer on its admin socket: it is not there, not there yet, or stopped."""


def status(socket: Path, timeout: float) -> dict[str, Any]:
    """The node's `ClusterStatus` with the field names of the protocol. Raises NotAnswering after `timeout`
    seconds.
    """
    try:
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            answer = admin_pb2_grpc.AdminStub(channel).GetStatus(admin_pb2.StatusRequest(), timeout=timeout)
    except grpc.RpcError as error:
        raise NotAnswering(f"no status from {socket}: {error.code().name} {error.details()}") from error
    return MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def events(socket: Path, timeout: float) -> list[EventRecord]:
    """What the daemon announced so far, oldest first. Raises NotAnswering after `timeout` seconds."""
    request = admin_pb2.WatchRequest(past=_ALL_EVENTS, follow=False)
    try:
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            answered = list(admin_pb2_grpc.AdminStub(channel).Watch(request, timeout=timeout))
    except grpc.RpcError as error:
        raise NotAnswering(f"no events from {socket}: {error.code().name} {error.details()}") from error
    return [EventRecord(e.monotonic, e.reporter, e.kind, e.node, e.group, e.link, e.text) for e in answered]
