"""Microseconds to seal and to open a heartbeat, and the largest packets: `python bench/codec.py`."""

from __future__ import annotations

import time
from collections.abc import Callable

from hamgr.core import messages as core
from hamgr.links.codec import Codec

ROUNDS = 5
FRAMES = 4000
KEYS = {1: bytes(32)}


def state(nodes: int) -> core.ClusterState:
    roster = tuple(core.RosterEntry(f"node{n}", 1 << 32 | n, core.Standing.MEMBER) for n in range(nodes))
    return core.ClusterState(core.Stamp(12, 3), "node0", roster, (("web", "node1"),))


def heartbeat(nodes: int) -> core.Heartbeat:
    echoes = tuple(core.Echo(f"node{n}", 1 << 32 | n, 123_456_789_012) for n in range(nodes - 1))
    return core.Heartbeat(123_456_789_012, 12, "node0", core.Stamp(12, 3), True, 10, False, echoes)


def best(work: Callable[[], object]) -> float:
    """Microseconds a frame in the best of some rounds; the others were disturbed."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        rounds.append((time.perf_counter() - began) / FRAMES * 1e6)
    return min(rounds)


def main() -> None:
    bodies: dict[str, core.Body] = {
        "heartbeat, 2 nodes": heartbeat(2),
        "heartbeat, 16 nodes": heartbeat(16),
        "view update, 16 nodes": core.ViewUpdate(state(16)),
    }
    print(f"{'packet':24} {'bytes':>6} {'seal us':>8} {'open us':>8}")
    for name, body in bodies.items():
        sender, receiver = Codec("office", "node0", KEYS, 1, 1), Codec("office", "node1", KEYS, 1, 2)
        packet = core.Packet("node0", 1, "node1", 2, body)
        sealing = best(lambda packet=packet, sender=sender: [sender.seal("ha", packet) for _ in range(FRAMES)])  # type: ignore[misc]
        batches = iter([[sender.seal("ha", packet) for _ in range(FRAMES)] for _ in range(ROUNDS)])
        size = len(sender.seal("ha", packet))
        opening = best(lambda batches=batches, receiver=receiver: [receiver.open("ha", f) for f in next(batches)])  # type: ignore[misc]
        print(f"{name:24} {size:6} {sealing:8.1f} {opening:8.1f}")


if __name__ == "__main__":
    main()
