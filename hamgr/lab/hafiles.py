"""A lab's cluster as Heartbeat's files tell it: ha.cf, haresources and authkeys, and a hamgr.toml for the rest."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from types import MappingProxyType

from hamgr.lab.namespaces import LabError
from hamgr.lab.plan import (
    VIP,
    VIP_OF_B,
    Fencing,
    Layout,
    Options,
    arbiter_address,
    bmc_address,
    client_address,
    node_address,
)

_MEDIA: Mapping[str, str] = MappingProxyType(
    {
        "lan": "ucast eth0 lan",
        "udp-lan": "ucast eth0 lan",
        "ha": "ucast eth1 ha",
        "bcast": "bcast eth1",
        "mcast": "mcast eth1 239.77.0.1 697 1 0",
        "mcast6": "mcast6 eth0 ff12::4477 698 1 0",
    }
)
"""Link of a lab -> line of ha.cf; the last word of a `ucast` is the network whose addresses it takes."""


def ha_cf(options: Options, password: str) -> str:
    """The same file on all nodes, as Heartbeat allows it."""
    lines = [f"{name} {getattr(options, name)}" for name in ("keepalive", "warntime", "deadtime", "initdead")]
    lines.append(f"auto_failback {'on' if options.auto_failback else 'off'}")
    lines.append(f"realtime {'on' if options.realtime else 'off'}")
    for name in options.links:
        if name not in _MEDIA:
            raise LabError(f"link {name} has no line of ha.cf in a lab; those that have: {', '.join(_MEDIA)}")
        word, device, *rest = _MEDIA[name].split()
        if word == "ucast":
            lines += [f"ucast {device} {node_address(node, rest[0])}" for node in options.node_names]
        else:
            lines.append(_MEDIA[name])
    if options.pings:
        lines += [f"ping {client_address()}", "respawn hacluster /usr/lib/heartbeat/ipfail"]
    lines.append(f"node {' '.join(options.node_names)}")
    for node in options.node_names:
        if options.fencing is Fencing.IPMI:
            lines.append(f"stonith_host * external/ipmi {node} {bmc_address(node)} hamgr {password} lanplus")
        elif options.fencing is Fencing.NULL:
            lines.append(f"stonith_host * null {node}")
    return "\n".join([*lines, ""])


def hosts(options: Options) -> str:
    """Whose the addresses are: of two nodes hamgr finds out by itself."""
    lines = ["127.0.0.1 localhost"]
    for network in ("lan", "ha"):
        lines += [f"{node_address(node, network)} {node}-{network}" for node in options.node_names]
    return "\n".join([*lines, ""])


def haresources(options: Options, layout: Layout) -> str:
    if options.groups:
        return layout.placed(options.groups)
    first, second = options.node_names[:2]
    lines = [f"{first} {VIP}/24/eth0", *([f"{second} IPaddr::{VIP_OF_B}/24/eth0"] if options.reserve else [])]
    return "\n".join([*lines, ""])


def authkeys() -> str:
    return f"auth 1\n1 sha1 {secrets.token_hex(16)}\n"


def more(options: Options, layout: Layout) -> str:
    """Where a lab's files lie, and what Heartbeat had no word for."""
    lines = ["[cluster]", 'name = "lab"', f'state_dir = "{layout.here}/state"']
    lines += [f'admin_socket = "{layout.here}/admin.sock"', "", "[timing]", f'lease = "{options.lease}"']
    if options.arbiter:
        lines += ["", "[arbiter]", f'address = "{arbiter_address()}"', 'tie_breaker = "a"']
        lines += [f'settle = "{options.settle}"'] if options.settle else []
    if options.fencing is not Fencing.NONE:
        for node in options.node_names:
            name = f"{'ipmi' if options.fencing is Fencing.IPMI else 'null'}-{node}"
            lines += ["", f"[fence.{name}]", 'timeout = "3s"', "attempts = 2"]
    return "\n".join([*lines, ""])
