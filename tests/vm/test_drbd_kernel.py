"""hamgr-drbd-fence as the kernel's DRBD calls it: what it takes of each exit code, between two machines with hamgrd."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import debian_kernel
import pytest
from drbd_pair import NODES, Pair, cards
from power_strip import PowerStrip
from virtual_machine import Machine, powered

pytestmark = pytest.mark.timeout(3000)


@pytest.fixture(scope="module")
def pair(kernel: debian_kernel.Kernel) -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="vm-") as place, ExitStack() as machines:
        directory = Path(place)
        strip = PowerStrip(directory)
        both = (Machine(name, kernel, directory, [*strip.line(name), *cards(directory, name)]) for name in NODES)
        yield Pair(strip, *(machines.enter_context(powered(node)) for node in both))


def test_a_peer_that_is_heard_is_outdated_and_the_primary_goes_on(pair: Pair) -> None:
    calls = pair.fence_calls("a")
    pair.cut()
    assert pair.wait_for_handler("a", calls) == "fence-peer 4"
    pair.until("a", lambda: "UpToDate/Outdated" in pair.drbd("a"), "b's copy to count as outdated")
    assert pair.writes("a")
    assert pair.nodes["b"].run("drbdadm", "primary", "r0", check=False).code != 0, "an outdated copy is not used"
    pair.mend()
    pair.until("b", lambda: "after-resync-target 0" in pair.handled("b"), "the handler after the copying")


def test_beside_a_primary_the_copy_here_is_outdated_and_not_promoted(pair: Pair) -> None:
    """a does not get as far as to have b outdated; b asks what became of a, where the copy is in use."""
    a, b = pair.nodes["a"], pair.nodes["b"]
    a.run("sed", "-i.good", 's|fence-peer .*|fence-peer "/bin/false";|', "/etc/drbd.conf")
    calls = pair.fence_calls("b")
    pair.cut()
    pair.until("b", lambda: "WFConnection" in pair.drbd("b"), "b to miss a")
    assert b.run("drbdadm", "primary", "r0", check=False).code != 0
    assert pair.wait_for_handler("b", calls) == "fence-peer 6"
    assert "ro:Secondary/" in pair.drbd("b")
    assert "ds:Outdated/" in pair.drbd("b")
    a.run("mv", "/etc/drbd.conf.good", "/etc/drbd.conf")
    pair.mend()
    assert pair.writes("a")
