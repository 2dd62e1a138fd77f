"""hamgr-drbd-fence as the kernel's DRBD calls it: what it takes of each exit code, between two machines with hamgrd."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import debian_kernel
import pytest
from drbd_pair import NODES, SLOW, Pair, cards
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


def test_an_inconsistent_peer_is_told_as_such(pair: Pair) -> None:
    """Its disk was replaced after the cut: of one that was inconsistent before, DRBD asks nobody."""
    a, b = pair.nodes["a"], pair.nodes["b"]
    a.run("drbdadm", "secondary", "r0")
    pair.cut()
    pair.until("b", lambda: "WFConnection" in pair.drbd("b"), "b to miss a")
    b.shell("drbdadm down r0; drbdadm create-md --force r0; drbdadm up r0")
    calls = pair.fence_calls("a")
    a.run("drbdadm", "primary", "r0")
    assert pair.wait_for_handler("a", calls) == "fence-peer 3"
    assert pair.writes("a")
    pair.mend()


def test_a_peer_that_left_cleanly_runs_nothing(pair: Pair) -> None:
    pair.nodes["b"].shell("pkill -TERM -f [b]in/hamgrd; while pgrep -f bin/[h]amgrd; do sleep 0.2; done")
    calls = pair.fence_calls("a")
    pair.cut()
    assert pair.wait_for_handler("a", calls) == "fence-peer 5"
    assert pair.writes("a")
    pair.start_hamgrd("b")
    pair.mend()
    pair.wait_for_peer()


def test_of_a_peer_that_can_not_outdate_nothing_is_known_and_nothing_is_written_until_it_is_back(pair: Pair) -> None:
    drbdadm = "/usr/sbin/drbdadm"
    pair.nodes["b"].run("chmod", "a-x", drbdadm)
    calls = pair.fence_calls("a")
    pair.cut()
    assert not pair.writes("a", patience=5)
    assert pair.wait_for_handler("a", calls) == "fence-peer 1"
    assert "s" in pair.drbd("a").split()[-1], "its input and output stand still"
    assert not pair.writes("a", patience=5)
    pair.nodes["b"].run("chmod", "a+x", drbdadm)
    pair.mend()
    assert pair.writes("a")


def test_a_peer_without_power_is_fenced_and_known_to_be_off_before_anything_is_written(pair: Pair) -> None:
    """The last one. Its fence device does not work at first."""
    pair.strip.works = False
    calls = pair.fence_calls("a")
    pair.nodes["b"].power_off()
    assert not pair.writes("a", patience=5)
    pair.nodes["a"].until(lambda: "off b" in pair.strip.asked, SLOW, "b to be fenced in vain")
    assert pair.fence_calls("a") == calls
    pair.strip.works = True
    assert pair.wait_for_handler("a", calls) == "fence-peer 7"
    assert pair.writes("a")
