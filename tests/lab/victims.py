"""Lab machines with a real sshd, whose sysrq and systemctl pull the plug of the lab machine alone.

What is told over SSH runs where /proc is empty but for a FIFO in the place of sysrq-trigger: the real one would switch
this very computer off. What comes out of the FIFO goes to the machine's power switch, if its mood is to obey.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from hamgr.lab.lab import Lab
from hamgr.lab.plan import NODE_NAMES, node_address

GUARD = """#!/bin/sh
touch @HERE@/visited
exec unshare --mount @LAB@/inside
"""

INSIDE = """#!/bin/sh -e
mount -t tmpfs tmpfs /proc
ln -s @HERE@/sysrq /proc/sysrq-trigger
[ -p /proc/sysrq-trigger ]
PATH=@LAB@:$PATH exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""

SYSTEMCTL = """#!/bin/sh
[ "$*" = "poweroff --force --force" ] || exit 64
echo o >/proc/sysrq-trigger
"""

PLUG = """#!/bin/sh
exec 3<>@HERE@/sysrq
while read -r order <&3; do
  [ "$order" = o ] || continue
  touch @HERE@/ordered
  case $(cat @HERE@/mood) in
    obeys) @LAB@/power/$(hostname)/power 0x20 set power 0 ;;
    hangs) kill -STOP $(cat @HERE@/sshd.pid) $(pgrep -P $(cat @HERE@/sshd.pid)) ;;
  esac
done
"""

SSHD = """
Port 22
HostKey @HERE@/host
PidFile @HERE@/sshd.pid
AuthorizedKeysFile @LAB@/id.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
ForceCommand @LAB@/guard
"""

BOOT = """
mount -t tmpfs tmpfs /run
mkdir /run/sshd
[ -e @HERE@/mood ] || echo obeys >@HERE@/mood
rm -f @HERE@/ordered @HERE@/visited @HERE@/sysrq
mkfifo @HERE@/sysrq
install -m 600 @LAB@/id @HERE@/id
install -m 600 @LAB@/host-$NODE @HERE@/host
setsid @LAB@/plug </dev/null >/dev/null 2>&1 &
/usr/sbin/sshd -f @LAB@/sshd_config
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """Of the login, and of two hosts; the public ones without a comment."""

    files: dict[str, str]
    hosts: dict[str, str]
    fingerprints: dict[str, str]


def make_keys(directory: Path) -> Keys:
    files, hosts, fingerprints = {}, {}, {}
    for name in ("id", *(f"host-{node}" for node in NODE_NAMES[:2])):
        key = directory / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
        public = key.with_suffix(".pub")
        files |= {name: key.read_text(), f"{name}.pub": public.read_text()}
        if name != "id":
            hosts[name[-1]] = public.read_text().strip()
            listed = subprocess.run(["ssh-keygen", "-lf", str(public)], check=True, capture_output=True, text=True)
            fingerprints[name[-1]] = listed.stdout.split()[1]
    return Keys(files, hosts, fingerprints)


def scripts(keys: Keys) -> dict[str, str]:
    """What `Options.scripts` needs, together with `boot=BOOT`."""
    return {**keys.files, "guard": GUARD, "inside": INSIDE, "systemctl": SYSTEMCTL, "plug": PLUG, "sshd_config": SSHD}


def fences(keys: Keys, **more: str) -> str:
    """The fence tables of a cluster of two that fences by SSH."""
    tables = []
    for node in NODE_NAMES[:2]:
        options = {
            "ip": node_address(node, "mgmt"),
            "identity_file": "@HERE@/id",
            "host_key": keys.hosts[node],
            "proof_addresses": f"{node_address(node, 'lan')}, {node_address(node, 'ha')}:22",
            "proof_time": "1",
            **more,
        }
        inline = ", ".join(f'{name} = "{value}"' for name, value in options.items())
        lines = [f"[fence.ssh-{node}]", f'node = "{node}"', 'agent = "fence_hamgr_ssh"', f"options = {{ {inline} }}"]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def set_mood(lab: Lab, node: str, mood: str) -> None:
    """obeys, ignores (the victim lives on), or hangs (its sshd stops when it is told to die)."""
    (lab.layout.disk(node) / "mood").write_text(mood)
