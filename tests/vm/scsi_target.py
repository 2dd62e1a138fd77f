"""SCSI disks with real persistent reservations in a virtual machine, which two initiators reach over iSCSI.

The kernel's own target (LIO) keeps the reservations, and the same kernel logs in to it, twice: each time as an
initiator of its own, so that one machine stands for two. (Over tcm_loop Linux 6.1 hangs for ever in PREEMPT AND ABORT:
it waits for the queue that the order itself is in.)
"""

from __future__ import annotations

import debian_kernel
from virtual_machine import Machine

SIZE = 16 << 20
"""Bytes of a disk."""

_MODULES = ("configfs", "target_core_mod", "target_core_file", "iscsi_target_mod", "iscsi_tcp", "sd_mod", "sg")
_PACKAGES = ("open-iscsi", "libopeniscsiusr", "libisns0")

_PREPARE = """
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
# The kernel keeps there what shall outlive a loss of power (APTPL); it insists on it also without any.
mkdir -p /var/target/pr
"""
_MAKE = """
core=/sys/kernel/config/target/core/fileio_0/$1
truncate -s $2 /run/$1.img
mkdir -p $core
echo fd_dev_name=/run/$1.img,fd_dev_size=$2 > $core/control
echo 1 > $core/enable
echo $1 > $core/wwn/vpd_unit_serial
"""
_OFFER = """
name=iqn.2026-01.hamgr:port$1
port=/sys/kernel/config/target/iscsi/$name/tpgt_1
mkdir -p $port/np/127.0.0.$1:3260
number=0
for core in /sys/kernel/config/target/core/fileio_0/*; do
    [ -d $core/wwn ] || continue
    mkdir -p $port/lun/lun_$number
    ln -s $core $port/lun/lun_$number/disk
    number=$((number + 1))
done
cd $port/attrib
echo 1 > generate_node_acls
echo 1 > cache_dynamic_acls
echo 0 > demo_mode_write_protect
echo 0 > authentication
echo 1 > $port/enable
LD_LIBRARY_PATH=$2/usr/lib/x86_64-linux-gnu \\
    $2/sbin/iscsistart -i iqn.2026-01.hamgr:initiator$1 -t $name -g 1 -a 127.0.0.$1 -p 3260
"""
_NAME = """
for try in $(seq 100); do
    for session in /sys/class/iscsi_session/session*; do
        [ "$(cat $session/initiatorname)" = iqn.2026-01.hamgr:initiator$1 ] || continue
        for disk in $session/device/target*/*/block/*; do
            [ -b "/dev/${disk##*/}" ] || continue
            if grep -qF "$2" $disk/device/vpd_pg80; then
                ln -sf ${disk##*/} $3
                exit 0
            fi
        done
    done
    sleep 0.1
done
exit 1
"""
_DELETE = "echo 1 > /sys/class/block/$(basename $(readlink $1))/device/delete"


class Target:
    """Disks (their serial numbers) of a machine, and its initiators, which are numbers."""

    def __init__(self, machine: Machine, *disks: str) -> None:
        self._machine = machine
        self._tools = str(debian_kernel.unpacked(*_PACKAGES))
        for module in _MODULES:
            machine.run("modprobe", module)
        machine.shell(_PREPARE)
        for disk in disks:
            machine.shell(_MAKE, disk, str(SIZE))

    def log_in(self, initiator: int) -> None:
        self._machine.shell(_OFFER, str(initiator), self._tools)

    def name(self, initiator: int, disk: str, device: str) -> None:
        """The disk, as that initiator reaches it, under a name of its own."""
        self._machine.shell(_NAME, str(initiator), disk, device)

    def take_away(self, device: str) -> None:
        """That path is gone, as after a cable was pulled for long."""
        self._machine.shell(_DELETE, device)
