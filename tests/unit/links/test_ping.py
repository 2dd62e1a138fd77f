"""Ping targets in a network namespace of our own: this file is run again there, with the name of a function below."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from hamgr.config.model import PingConfig
from hamgr.links.ping import Pinger, checksum

DEADLINE = 10.0
pytestmark = pytest.mark.root


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class Watched:
    """A pinger, and what it told."""

    def __init__(self, *pings: PingConfig) -> None:
        self.told: list[tuple[int, str]] = []
        self.pinger = Pinger(pings, lambda score, detail: self.told.append((score, detail)))

    async def until(self, holds: Callable[[], bool]) -> float:
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE):
            while not holds():  # noqa: ASYNC110 - the kernel does it
                await asyncio.sleep(0.01)
        return time.monotonic() - began

    def score(self) -> int:
        return self.told[-1][0]


def group(name: str, *targets: str, weight: int = 1, deadtime: float = 0.4) -> PingConfig:
    return PingConfig(name, targets, weight, 0.05, deadtime)


def a_gateway(address: str = "10.9.0.254/24", address6: str = "fd09::254/64") -> None:
    """A neighbour that answers pings, in a namespace below this one."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "far")
    ip("address", "add", "10.9.0.1/24", "dev", "eth0")
    ip("address", "add", "fd09::1/64", "dev", "eth0", "nodad")
    ip("link", "set", "eth0", "up")
    far = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    deadline = time.monotonic() + DEADLINE
    while os.readlink(f"/proc/{far.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        assert time.monotonic() < deadline
    ip("link", "set", "far", "netns", str(far.pid))
    inside = ["nsenter", "--target", str(far.pid), "--net", "ip"]
    for words in (
        ["address", "add", address, "dev", "far"],
        ["address", "add", address6, "dev", "far", "nodad"],
        ["link", "set", "far", "up"],
    ):
        subprocess.run([*inside, *words], check=True)


async def targets_that_answer_and_go() -> dict[str, Any]:
    a_gateway()
    seen = Watched(
        group("gateway", "10.9.0.254", weight=5),
        group("both", "10.9.0.99", "fd09::254", weight=2),
        group("nobody", "10.9.0.98", "10.8.0.1", weight=1),
    )
    await seen.pinger.start()
    first = seen.told[:1]
    await seen.until(lambda: seen.score() == 7)
    status = seen.pinger.status()
    ip("link", "set", "eth0", "down")
    lost = await seen.until(lambda: seen.score() == 0)
    ip("link", "set", "eth0", "up")
    ip("address", "replace", "fd09::1/64", "dev", "eth0", "nodad")
    await seen.until(lambda: seen.score() == 7)
    await seen.pinger.close()
    return {"first": first, "status": status, "told": seen.told, "lost": lost}


async def forged_answers() -> dict[str, Any]:
    """Echo replies in the target's name, by somebody who did not see our request."""
    ip("link", "set", "lo", "up")
    ip("address", "add", "10.9.0.1/32", "dev", "lo")
    ip("route", "add", "blackhole", "10.9.0.254/32")
    seen = Watched(group("gateway", "10.9.0.254"))
    await seen.pinger.start()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as forger:
        deadline = time.monotonic() + 1.0
        sent = 0
        while time.monotonic() < deadline:
            for identifier in (seen.pinger._identifier, 7):
                icmp = bytes([0, 0, 0, 0]) + identifier.to_bytes(2, "big") + b"\0\1" + os.urandom(16)
                icmp = icmp[:2] + checksum(icmp).to_bytes(2, "big") + icmp[4:]
                head = bytes([0x45, 0, 0, 20 + len(icmp), 0, 0, 0, 0, 64, 1, 0, 0])
                head += socket.inet_aton("10.9.0.254") + socket.inet_aton("10.9.0.1")
                forger.sendto(head + icmp, ("10.9.0.1", 0))
                sent += 1
            await asyncio.sleep(0.01)
    told = list(seen.told)
    await seen.pinger.close()
    return {"told": told, "sent": sent}


def in_a_network(name: str) -> dict[str, Any]:
    for tool in ("unshare", "ip"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace and raw sockets")
    command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_targets_count_while_they_answer() -> None:
    found = in_a_network("targets_that_answer_and_go")
    assert found["first"] == [[8, "every ping target answers"]], "at the start all are given their time"
    assert found["told"][1] == [7, "no answer from nobody"]
    assert found["status"][0] == ["gateway", True, 5, ""]
    assert found["status"][1] == ["both", True, 2, "no answer from 10.9.0.99"], "one of a group is enough"
    assert found["status"][2][:2] == ["nobody", False]
    assert 0 in [score for score, _ in found["told"]]
    assert found["told"][-1][0] == 7


def test_answers_of_others_do_not_count() -> None:
    found = in_a_network("forged_answers")
    assert found["sent"] > 50
    assert found["told"] == [[1, "every ping target answers"], [0, "no answer from gateway"]]


def test_the_checksum_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2
    assert checksum(b"\xff") == 0xFFFF - 0xFF00


if __name__ == "__main__":
    print(json.dumps(asyncio.run(globals()[sys.argv[1]]())))
