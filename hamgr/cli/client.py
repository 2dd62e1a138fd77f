"""The command line's connection to a daemon's admin socket."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from hamgr.v1 import admin_pb2_grpc

STATUS_TIMEOUT = 5.0
ANSWER_TIMEOUT = 120.0
"""Seconds. An operator's request waits for its effect: stops, fencing, starts."""


class NotAnswering(Exception):
    """No daemon answers, or the call broke; the text says what to do."""


class NotRunning(NotAnswering):
    """There is no daemon."""


@contextmanager
def admin(path: Path) -> Iterator[admin_pb2_grpc.AdminStub]:
    """The admin calls over the socket at `path`. Raises NotAnswering."""
    _check(path)
    with grpc.insecure_channel(f"unix:{path}") as channel:
        try:
            yield admin_pb2_grpc.AdminStub(channel)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                text = "no answer in time; it may still be carried out: look at `hamgr status`"
            else:
                text = f"the call to hamgrd at {path} broke: {error.details() or error.code().name}"
            raise NotAnswering(text) from None


def operator() -> str:
    """Who asks, for the record: the login behind sudo, at this host."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def _check(path: Path) -> None:
    """A plain connect says at once, and exactly, what gRPC would say late and vaguely."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunning(f"hamgrd is not running here (nothing answers at {path}); start it") from None
    except OSError as error:
        raise NotAnswering(f"can't open {path}: {error.strerror or error}") from None
