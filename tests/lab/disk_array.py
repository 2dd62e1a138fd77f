"""A disk of two nodes: a reaches it through a server that can be stopped, b directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hung_disk import HungDisk

from hamgr.disk.device import Device
from hamgr.disk.making import make
from hamgr.lab.shareddisk import attach, detach


@dataclass(frozen=True)
class Array:
    """devices: each node's own way to the disk."""

    hung: HungDisk
    devices: dict[str, str]


@contextmanager
def array(tmp_path: Path) -> Iterator[Array]:
    real = tmp_path / "real"
    real.mkdir()
    image = real / "disk.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    with ExitStack() as stack:
        # Nothing is cached on the way: what b writes into the file is what a reads.
        hung = stack.enter_context(HungDisk(real, tmp_path / "served", "direct_io"))
        devices = {}
        for node, path in (("a", hung.at / image.name), ("b", image)):
            devices[node] = attach(path)
            stack.callback(detach, devices[node])
        with Device(devices["b"]) as device:
            make(device, "lab", ("a", "b"), 3000, force=False)
        yield Array(hung, devices)
