"""Debian's own kernel for the virtual machines: fetched once as its package, unpacked, and never installed.

So are programs that nobody wants to have started on his own machine. All lies in HAMGR_VM_CACHE, by default
~/.cache/hamgr-vm, until somebody removes it.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

META_PACKAGE = "linux-image-amd64"
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "depmod": "kmod",
    "sg_persist": "sg3-utils",
    "drbdadm": "drbd-utils",
}
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
"""What is needed to see this machine's files; all others are loaded from there."""

FETCH_TIMEOUT = 300.0

_INIT = """#!/bin/busybox sh
# Sees the files of the host, read-only, below a file system in memory, and becomes tests/vm/inside.py.
export PATH=/bin
busybox mkdir -p /proc /sys /dev /lower /rw /new
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do busybox insmod "$module" || echo "insmod $module failed"; done
busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /lower || echo "no files"
busybox mount -t tmpfs rw /rw
busybox mkdir /rw/upper /rw/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work over /new
for place in proc sys dev; do busybox mount --move /$place /new/$place; done
exec busybox switch_root /new /usr/bin/python3 -I @INSIDE@
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """image: vmlinuz. modules: what belongs to /lib/modules/RELEASE. initrd: as `_INIT` says."""

    image: Path
    modules: Path
    initrd: Path


def missing() -> str:
    """What this machine lacks for a virtual machine, in a sentence; "" when it lacks nothing."""
    lacking = [f"{program} ({package})" for program, package in PROGRAMS.items() if not shutil.which(program)]
    if os.geteuid() != 0:
        return "no virtual machines here: their programs see the files of this machine as root only"
    return f"no virtual machines here: missing {', '.join(lacking)} (make test-vm installs them)" if lacking else ""


def kernel(inside: Path) -> Kernel:
    """The newest kernel that apt knows. inside: the first program of Python that it runs."""
    package = _package()
    release = package.removeprefix("linux-image-")
    tree = unpacked(package)
    if not (tree / "lib" / "modules" / release / "modules.dep").exists():
        subprocess.run(["depmod", "-b", str(tree), release], check=True)
    initrd = tree.with_name(f"initrd-{os.getpid()}.gz")
    _make_initrd(tree, release, initrd, inside)
    return Kernel(tree / "boot" / f"vmlinuz-{release}", tree / "lib" / "modules" / release, initrd)


def _package() -> str:
    """What the meta package stands for today."""
    said = subprocess.run(["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Depends: (linux-image-\d\S+)", said)
    if found is None:
        raise RuntimeError(f"apt knows no {META_PACKAGE}: apt-get update")
    return found[1]


def unpacked(*packages: str) -> Path:
    """A directory with the files of these packages, of nothing else that they need."""
    cache = Path(os.environ.get("HAMGR_VM_CACHE") or Path.home() / ".cache" / "hamgr-vm")
    cache.mkdir(parents=True, exist_ok=True)
    tree = cache / "+".join(packages)
    if tree.exists():
        return tree
    fresh = tree.with_name(f"{tree.name}.{os.getpid()}")
    fresh.mkdir()
    try:
        subprocess.run(
            ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages],
            cwd=fresh, check=True, timeout=FETCH_TIMEOUT,
        )  # fmt: skip
        for archive in list(fresh.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(fresh)], check=True)
            archive.unlink()
        fresh.rename(tree)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return tree


def _make_initrd(tree: Path, release: str, initrd: Path, inside: Path) -> None:
    here = initrd.with_suffix(".tree")
    try:
        (here / "bin").mkdir(parents=True)
        (here / "modules").mkdir()
        shutil.copy(str(shutil.which("busybox")), here / "bin" / "busybox")
        for number, module in enumerate(_with_what_they_need(tree, release)):
            shutil.copy(module, here / "modules" / f"{number:02d}-{module.name}")
        init = here / "init"
        init.write_text(_INIT.replace("@INSIDE@", str(inside)))
        init.chmod(0o755)
        names = "\n".join(str(path.relative_to(here)) for path in sorted(here.rglob("*")))
        archive = subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc"], cwd=here, input=names.encode(), capture_output=True, check=True
        ).stdout
        initrd.write_bytes(gzip.compress(archive, 1))
    finally:
        shutil.rmtree(here, ignore_errors=True)


def _with_what_they_need(tree: Path, release: str) -> list[Path]:
    """In the order in which they can be loaded."""
    found: dict[Path, None] = {}
    for module in MODULES:
        said = subprocess.run(
            ["modprobe", "-d", str(tree), "-S", release, "--show-depends", module],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        found |= {Path(line.split()[1]): None for line in said.splitlines() if line.startswith("insmod")}
    return list(found)
