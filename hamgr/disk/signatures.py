"""What else could be on a disk: the marks by which file systems, partition tables and volume managers are known.

Enough of them that nobody's data is overwritten by a slip of the hand; libblkid knows more, and is asked too if it is
installed.
"""

from __future__ import annotations

HEAD_BYTES = 0x11000
"""How much of the beginning must be looked at."""

_SECTOR = 512

_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0x438, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (0x0, b"XFSB", "an XFS file system"),
    (0x10040, b"_BHRfS_M", "a Btrfs file system"),
    (0x400, b"\x10\x20\xf5\xf2", "an F2FS file system"),
    (0x3, b"NTFS    ", "an NTFS file system"),
    (0x3, b"EXFAT   ", "an exFAT file system"),
    (0x36, b"FAT1", "a FAT file system"),
    (0x52, b"FAT32", "a FAT file system"),
    (0x8001, b"CD001", "an ISO 9660 file system"),
    (0x0, b"hsqs", "a SquashFS file system"),
    (0x10000, b"\x19\x01\x16\x01", "a GFS2 file system"),
    (0x2000, b"OCFSV2", "an OCFS2 file system"),
    (0xFF6, b"SWAPSPACE2", "swap space"),
    (0x0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
    (0x1000, b"\xfc\x4e\x2b\xa9", "a member of a Linux RAID"),
    (0x0, b"\xfc\x4e\x2b\xa9", "a member of a Linux RAID"),
    (0x0, b"SBD_SBD_", "an sbd device"),
)
"""Where, what, and what it is."""


def found_on(head: bytes) -> list[str]:
    """What the first HEAD_BYTES of a device show, in words for an operator."""
    found = [what for offset, mark, what in _MARKS if head[offset : offset + len(mark)] == mark]
    # LVM's label may be in any of the first four sectors (pvcreate(8)).
    if any(head[n * _SECTOR :].startswith(b"LABELONE") for n in range(4)):
        found.append("a physical volume of LVM")
    if any(head[size:].startswith(b"EFI PART") for size in (512, 4096)):
        found.append("a GPT partition table")
    elif head[510:512] == b"\x55\xaa" and not found and any(head[446:510]):
        found.append("a DOS partition table")
    return list(dict.fromkeys(found))
