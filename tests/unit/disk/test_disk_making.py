"""`hamgr disk` on real loop devices: what else is on a disk is never overwritten unasked."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from hamgr.cli.main import main
from hamgr.disk.device import Device, DeviceError, header_for
from hamgr.disk.making import make
from hamgr.disk.records import (
    BLOCK,
    BLOCKS,
    NOBODY,
    Lease,
    Pill,
    encode_lease,
    encode_pill,
    lease_place,
    pill_place,
)
from hamgr.disk.signatures import HEAD_BYTES, found_on

CONFIG = """
[cluster]
name = "office"
key_file = "/etc/hamgr/key"
[link.disk]
kind = "disk"
device = "{device}"
[node.a]
[node.b]
"""


def config(tmp_path: Path, device: str, more: str = "") -> str:
    file = tmp_path / "hamgr.toml"
    file.write_text(CONFIG.format(device=device) + more)
    return str(file)


def disk(tmp_path: Path, verb: str, device: str, *words: str, more: str = "") -> int:
    return main(["--config", config(tmp_path, device, more), "disk", verb, device, *words])


def test_an_empty_disk_is_made_the_clusters_and_both_machines_see_it(
    tmp_path: Path, two_ends: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two_ends
    assert disk(tmp_path, "init", a) == 0
    assert capsys.readouterr().out == f"{a} is a disk of cluster office now, with slots for a, b\n"
    with Device(b) as device:
        assert header_for(device, "office").nodes == ("a", "b")


def test_a_second_init_changes_nothing_and_one_with_a_new_node_gives_it_a_slot(
    tmp_path: Path, two_ends: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two_ends
    disk(tmp_path, "init", a)
    with Device(b) as device:
        before = device.read(0, BLOCKS)
    assert disk(tmp_path, "init", b) == 0
    assert "nothing to do" in capsys.readouterr().out
    with Device(a) as device:
        assert device.read(0, BLOCKS) == before
    assert disk(tmp_path, "init", a, more="[node.c]\n") == 0
    with Device(b) as device:
        header = header_for(device, "office")
    assert (header.nodes, header.serial) == (("a", "b", "c"), 2)
    assert header.uuid.hex().encode() in before[:BLOCK], "the disk is still the same one"


@pytest.mark.parametrize(
    ("command", "package", "said"),
    [
        (["mkfs.ext4", "-q", "-F"], "e2fsprogs", "an ext2, ext3 or ext4 file system"),
        (["mkswap"], "util-linux", "swap space"),
    ],
)
def test_a_disk_with_something_on_it_is_refused_and_left_as_it_is(
    tmp_path: Path,
    two_ends: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    package: str,
    said: str,
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]} ({package})")
    a, _ = two_ends
    subprocess.run([*command, a], capture_output=True, check=True)
    with Device(a) as device:
        before = device.read(0, BLOCKS)
    assert disk(tmp_path, "init", a) == 1
    assert said in capsys.readouterr().err
    with Device(a) as device:
        assert device.read(0, BLOCKS) == before
    assert disk(tmp_path, "init", a, "--force") == 0


def test_partition_tables_are_found(two_ends: tuple[str, str], tmp_path: Path) -> None:
    if shutil.which("sfdisk") is None:
        pytest.skip("needs sfdisk (fdisk)")
    a, _ = two_ends
    for label, said in (("dos", "a DOS partition table"), ("gpt", "a GPT partition table")):
        subprocess.run(["sfdisk", "-q", a], input=f"label: {label}\n,2M\n", text=True, check=True, capture_output=True)
        with Device(a) as device, pytest.raises(DeviceError, match=said):
            make(device, "office", ("a", "b"), 1000, force=False)


def test_what_only_blkid_knows_is_refused_too(two_ends: tuple[str, str]) -> None:
    for tool in ("blkid", "mkfs.minix"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool} (util-linux)")
    a, _ = two_ends
    subprocess.run(["mkfs.minix", a], capture_output=True, check=True)
    with Device(a) as device:
        assert found_on(device.read(0, -(-HEAD_BYTES // BLOCK))) == []
        with pytest.raises(DeviceError, match="holds minix, as blkid says; --force overwrites it"):
            make(device, "office", ("a",), 1000, force=False)


@pytest.mark.parametrize(
    ("offset", "mark", "said"),
    [
        (0, b"XFSB", "an XFS file system"),
        (512, b"LABELONE", "a physical volume of LVM"),
        (0x10040, b"_BHRfS_M", "a Btrfs file system"),
        (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
        (0x1000, b"\xfc\x4e\x2b\xa9", "a member of a Linux RAID"),
        (0, b"SBD_SBD_", "an sbd device"),
    ],
)
def test_marks_of_what_may_be_on_a_disk(offset: int, mark: bytes, said: str) -> None:
    head = bytearray(HEAD_BYTES)
    assert found_on(bytes(head)) == []
    head[offset : offset + len(mark)] = mark
    assert found_on(bytes(head)) == [said]


def test_a_disk_of_another_cluster_is_refused_with_its_name_and_when_it_was_last_written(
    tmp_path: Path, two_ends: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two_ends
    with Device(b) as device:
        header, _ = make(device, "lab", ("x",), 1000, force=False)
        lease = Lease(header.uuid, 0, b"l" * 16, b"b" * 16, 1, 0, 1_700_000_000_000_000, 100)
        device.write(lease_place(0), encode_lease(lease))
    assert disk(tmp_path, "init", a) == 1
    assert "holds leases of hamgr cluster 'lab', last written " in capsys.readouterr().err
    with Device(a) as device, pytest.raises(DeviceError, match="is of cluster 'lab', ours is 'office'"):
        header_for(device, "office")


def test_a_damaged_header_is_not_overwritten_unasked(tmp_path: Path, two_ends: tuple[str, str]) -> None:
    a, _ = two_ends
    disk(tmp_path, "init", a)
    with Device(a) as device:
        both = bytearray(device.read(0, 2))
        both[100] ^= 1
        both[BLOCK + 100] ^= 1
        device.write(0, bytes(both))
    assert disk(tmp_path, "init", a) == 1
    assert disk(tmp_path, "show", a) == 1
    assert disk(tmp_path, "init", a, "--force") == 0


def test_a_device_in_use_is_refused(
    tmp_path: Path, two_ends: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, _ = two_ends
    with Device(a, exclusive=True):
        assert disk(tmp_path, "init", a, "--force") == 1
    assert "busy" in capsys.readouterr().err


def test_what_is_no_block_device_or_too_small_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(8 << 20))
    assert disk(tmp_path, "init", str(file)) == 1
    assert "is not a block device" in capsys.readouterr().err
    assert disk(tmp_path, "show", "/dev/nothing-here") == 1
    assert "/dev/nothing-here: No such file or directory" in capsys.readouterr().err


def test_show_tells_who_wrote_when_and_clear_takes_a_pill_back(
    tmp_path: Path, two_ends: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two_ends
    disk(tmp_path, "init", a)
    with Device(a) as device:
        uuid = header_for(device, "office").uuid
        lease = Lease(uuid, 1, b"l" * 16, b"b" * 16, 5, 0, 1_700_000_000_000_000, 100)
        device.write(lease_place(1), encode_lease(lease))
        device.write(pill_place(1), encode_pill(Pill(uuid, 1, b"n" * 16, NOBODY, 1_700_000_001_000_000, "a")))
    capsys.readouterr()
    assert disk(tmp_path, "show", b, "--json") == 0
    one, two = json.loads(capsys.readouterr().out)["slots"]
    assert (one["node"], one["state"], one["pill"]) == ("a", "empty", None)
    assert (two["node"], two["moves"], two["written"]) == ("b", False, 1_700_000_000.0)
    assert two["pill"] == {"from": "a", "at": 1_700_000_001.0, "acknowledged": False}
    assert disk(tmp_path, "show", b) == 0
    assert "STANDS" in capsys.readouterr().out
    assert disk(tmp_path, "clear", b, "b") == 0
    assert capsys.readouterr().out == "taken back: the pill of b\n"
    assert disk(tmp_path, "clear", a) == 0
    assert capsys.readouterr().out == "there is no pill to take back\n"
