"""Looks whether a disk can be a cluster's arbiter: `python -m hamgr.disk.examine DEVICE CLUSTER NODE...`.

Prints what is wrong, a line each; nothing when all is well. Nothing is written.
"""

from __future__ import annotations

import sys

from hamgr.disk.device import Device, DeviceError, voting_header
from hamgr.disk.records import BLOCK, VOTE_BLOCKS, VOTES, Damaged
from hamgr.disk.votes import newest_slip


def faults(path: str, cluster: str, nodes: list[str]) -> list[str]:
    try:
        with Device(path) as device:
            header = voting_header(device, cluster)
            blocks = device.read(VOTES, len(header.nodes) * VOTE_BLOCKS)
    except (DeviceError, Damaged) as error:
        return [str(error)]
    except OSError as error:
        return [f"{path}: {error.strerror or error}"]
    found = [
        f"{path} has no slot for {node}: `hamgr disk init {path}` adds it"
        for node in nodes
        if header.slot(node) is None
    ]
    for slot, node in enumerate(header.nodes):
        try:
            newest_slip(blocks[slot * VOTE_BLOCKS * BLOCK :], header.votes, slot)
        except Damaged as error:
            found.append(f"{path}: nobody knows how {node} voted: {error}; `--new-votes` forgets all votes")
    return found


if __name__ == "__main__":
    path, cluster, *nodes = sys.argv[1:]
    print("".join(f"{fault}\n" for fault in faults(path, cluster, nodes)), end="")
