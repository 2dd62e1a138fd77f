"""What is allowed in a configuration and will hurt one night: what will happen, and what to do."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from hamgr.config import arbiters, sites
from hamgr.config.durations import show
from hamgr.config.model import DEFAULT_FENCE_DELAY, Config, FenceDeviceConfig, LinkConfig, SelfFence
from hamgr.config.problems import ConfigWarning
from hamgr.config.shutout import SCSI, alone, shuts_out_only
from hamgr.core.cluster import GroupSpec, NodeSpec

_COMMON_PREFIX = {4: 24, 6: 64}
"""Link addresses have no prefix in the file; these are the usual ones, good enough for a warning."""

_FENCE_ADDRESS_OPTIONS = ("ip", "ipaddr", "ipaddress")

_WEAK_AGENTS = {
    "fence_hamgr_null": (
        "fence_hamgr_null turns nothing off and says that it did: a node {node} that still lives "
        "can run its groups beside the survivor; use it in tests only"
    ),
    "fence_hamgr_ssh": (
        "fence_hamgr_ssh is weaker than a power switch: node {node} itself says that it dies, and silence proves it; "
        "when {node} hangs or can't be reached it is not fenced, and its groups stay down; "
        "it should have a device that needs nothing of {node} as well"
    ),
    "fence_hamgr_disk": (
        "fence_hamgr_disk is weaker than a power switch: node {node} itself says that it dies; when {node} is without "
        "power or has lost the disk it is not fenced, and its groups stay down; "
        "it should have a device that needs nothing of {node} as well"
    ),
    "fence_hamgr_stonith": (
        "fence_hamgr_stonith believes what the plug-in says, for nothing can be read back: a node {node} that still "
        "lives can run its groups beside the survivor; use an agent of fence-agents if there is one for the device"
    ),
}
"""Agents that may be wrong, or can't help when it matters, and what that leads to."""

_MANUAL = "fence_hamgr_manual"

PROOF_TIME = 4.0
"""Seconds: the default of fence_hamgr_ssh's option proof_time."""

PROVEN_DEADTIMES = 2
"""Of a shared disk, as `hamgr disk init` makes it."""

_WITHOUT_ON = {
    "fence_hamgr_disk": "a node that swallowed its pill was only reset, and boots by itself",
    "fence_hamgr_ssh": "a node that was reset by it boots by itself, and one that was powered off stays off",
    "fence_hamgr_manual": "a human switches the node on",
}
"""Agents that can't switch a node on again, and what comes of it."""


def warnings(config: Config) -> list[ConfigWarning]:
    """All of them, in the order of the file's sections."""
    found = (_votes, arbiters.warnings, _timing, _links, _self_fencing, _fencing, _fence_delay, _groups, sites.warnings)
    return [ConfigWarning(config.path, key, text) for check in found for key, text in check(config)]


def _votes(config: Config) -> Iterator[tuple[str, str]]:
    spec = config.spec
    electorate = spec.electorate
    if not spec.arbiter and electorate.evenly_split():
        if spec.auto_tie_breaker:
            happens = "the half with the auto_tie_breaker goes on, be it the one that can serve or not"
        elif spec.two_node:
            happens = "when the nodes lose each other, whoever fences first wins (two_node)"
        else:
            half, what = electorate.votes // 2, "nodes" if electorate.votes == len(spec.nodes) else "votes"
            happens = f"a split into {half} and {half} {what} leaves no quorum, and every group stops"
        yield "arbiter", f"no arbiter with an even number of votes: {happens}; add [arbiter] on a third host"
    for node in spec.nodes:
        if node.votes >= electorate.majority and not electorate.alone:
            yield (
                f"node.{node.name}.votes",
                f"{node.votes} of {electorate.votes} votes are a quorum alone: without {node.name} the others run"
                " nothing, and if its state directory is lost nobody can tell it what it has to know",
            )
    nodes_alone = electorate.votes - electorate.arbiter
    if electorate.arbiter == 1 and nodes_alone % 2 and nodes_alone > 1:
        yield (
            "arbiter",
            f"no split cuts {nodes_alone} votes of nodes into halves, and with the arbiter's a quorum needs"
            f" {electorate.majority} of {electorate.votes} also while it is away, where {nodes_alone // 2 + 1} of"
            f' {nodes_alone} would do; leave [arbiter] out, or say algorithm = "lms" in [quorum]',
        )
    if electorate.arbiter > 1:
        yield (
            "quorum.algorithm",
            f'with "lms" the arbiter has {electorate.arbiter} of {electorate.votes} votes: while it is away, all nodes'
            " that have a vote must be there, or every group stops",
        )
    if spec.arbiter and not spec.tie_breaker:
        yield (
            "arbiter.tie_breaker",
            "no tie-breaker: when both sides of a split are equal in everything, the arbiter has no rule of "
            f'yours to choose by; name the node that shall win, such as "{spec.nodes[0].name}"',
        )


def _timing(config: Config) -> Iterator[tuple[str, str]]:
    times = config.spec.timing
    if times.deadtime < 3 * times.keepalive:
        yield (
            "timing.deadtime",
            f"deadtime {show(times.deadtime)} is under 3 keepalives of {show(times.keepalive)}: two lost packets "
            f"get a healthy node fenced; set deadtime to {show(3 * times.keepalive)} or more",
        )
    if times.initdead < 2 * times.deadtime:
        yield (
            "timing.initdead",
            f"initdead {show(times.initdead)} is under twice the deadtime {show(times.deadtime)}: a node that boots "
            f"a little later is fenced at start; set initdead to {show(2 * times.deadtime)} or more",
        )
    if times.lease < 2 * times.deadtime:
        yield (
            "timing.lease",
            f"lease {show(times.lease)} is under twice the deadtime {show(times.deadtime)}: groups may be stopped "
            "while a new coordinator is still being elected; "
            f"set lease to {show(2 * times.deadtime + times.settle)} or more",
        )


def _links(config: Config) -> Iterator[tuple[str, str]]:
    if len(config.links) == 1:
        name = config.links[0].name
        yield (
            "link",
            f"only one link ({name}): one broken cable looks like a dead node, which is then fenced; "
            "add a second link over other hardware",
        )
        return
    for node in config.spec.names:
        interfaces = {link.interfaces.get(node, "") for link in config.links if node in link.nodes}
        if len(interfaces) == 1 and "" not in interfaces:
            yield (
                "link",
                f"all links use interface {interfaces.pop()} on node {node}: when it fails, all links fail and a "
                "node is fenced; put one link on another interface",
            )
            return
    if all(link.addresses and _networks(link) == _networks(config.links[0]) for link in config.links):
        yield (
            "link",
            "all links are in the same subnet: one broken switch cuts them all and a node is fenced; "
            "put one link on another network",
        )


def _self_fencing(config: Config) -> Iterator[tuple[str, str]]:
    for node in config.watchdogs if config.spec.two_node else ():
        yield (
            f"node.{node}.watchdog",
            "without an arbiter the other of two nodes can't rely on it: each is a quorum alone, so neither's lease"
            " ever ends; add [arbiter] on a third host",
        )
    if config.self_fence is SelfFence.NONE:
        yield (
            "cluster.self_fence",
            "nothing ends what a node runs when its hamgrd is dead or hangs: its addresses stay until it is fenced;"
            ' "stop" has them taken away when the lease is over',
        )


def _fencing(config: Config) -> Iterator[tuple[str, str]]:
    for node in config.spec.nodes:
        if node.fence_levels == 0:
            yield (
                f"node.{node.name}",
                f"no fence device for node {node.name}: when it dies, its groups stay down until an operator says "
                f'`hamgr fence ack {node.name}`; add [fence.NAME] with node = "{node.name}"',
            )
    for device in config.fence_devices:
        agent = device.agent.rpartition("/")[2]
        if agent in _WEAK_AGENTS:
            yield f"fence.{device.name}.agent", _WEAK_AGENTS[agent].format(node=device.node)
        if config.fence_reboots and agent in _WITHOUT_ON:
            yield (
                f"fence.{device.name}.agent",
                f'fence_action = "reboot" switches nothing on with {agent}: {_WITHOUT_ON[agent]}; for the rest, give '
                f"node {device.node} a device that can, in the same level",
            )
        if agent == _MANUAL:
            yield from _manual(config, device)
        if agent == "fence_hamgr_disk" and not any(link.reset and device.node in link.nodes for link in config.links):
            yield (
                f"fence.{device.name}.agent",
                f"node {device.node} would do nothing for a poison pill: it has no link of kind disk with `reset`; add "
                'reset = "/proc/sysrq-trigger" to the link with the same device',
            )
        if shuts_out_only(device) and alone(config, device):
            yield f"fence.{device.name}.agent", _shut_out(device)
        if agent == "fence_hamgr_ssh":
            yield from _proof(config, device)
            continue  # it must be on the victim's own links
        address = next((device.options[o] for o in _FENCE_ADDRESS_OPTIONS if o in device.options), "")
        network = _network(address)
        for link in config.links:
            if network and network == _network(link.addresses.get(device.node, "")):
                yield (
                    f"fence.{device.name}.options",
                    f"the fence device on the node's own link: {address} and link {link.name} of node "
                    f"{device.node} are in one network, and when that fails the node is both silent and can't be "
                    "fenced, so its groups stay down; put the device on another network",
                )


def _fence_delay(config: Config) -> Iterator[tuple[str, str]]:
    """It keeps two nodes from switching each other off, if no device is slower."""
    spec = config.spec
    if not spec.two_node:
        if spec.fence_delay != DEFAULT_FENCE_DELAY or spec.fence_delay_random:
            yield (
                "cluster.fence_delay",
                "has no effect: only one side of this cluster can have a majority, and no other fences; leave it out",
            )
        return
    if not (spec.fence_delay or spec.fence_delay_random or any(node.level_delay(0) for node in spec.nodes)):
        yield (
            "cluster.fence_delay",
            "nobody waits: two nodes that lose each other shoot at once, and both go; set fence_delay, or a delay for"
            " the devices of the node that shall survive",
        )
    for device in config.fence_devices:
        least = _least_time(config, device)
        lead = max((spec.lead(node, device.node) for node in spec.names if node != device.node), default=0.0)
        if 0 < lead <= least:
            yield (
                f"fence.{device.name}",
                f"an off takes at least {show(least)}, and {device.node} waits {show(lead)} before it shoots: when the"
                " nodes lose each other, it gives its order before it is off, and both go; set cluster.fence_delay"
                f" above {show(least)}, or add [arbiter] on a third host",
            )


def _least_time(config: Config, device: FenceDeviceConfig) -> float:
    """Seconds that an off surely takes, by what is configured."""
    agent = device.agent.rpartition("/")[2]
    if agent == "fence_hamgr_disk":
        return PROVEN_DEADTIMES * config.spec.timing.deadtime
    waits = ("proof_time",) if agent == "fence_hamgr_ssh" else ("delay", "power_wait")
    known = {"proof_time": str(PROOF_TIME)} | device.options
    return sum(_number(known.get(option, "0")) for option in waits)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # the agent says so itself


def _shut_out(device: FenceDeviceConfig) -> str:
    agent, node = device.agent.rpartition("/")[2], device.node
    weaker = f"{agent} is weaker than a power switch: it shuts node {node} out of its disks, and {node} runs on"
    ends = f"its addresses and services end only when {node} sees that, or by its guard"
    if agent != SCSI:
        ends = "nothing waits until its addresses and services have ended there"
    return f"{weaker}; {ends}; put a power switch into the same level, or give {node} a watchdog"


def _manual(config: Config, device: FenceDeviceConfig) -> Iterator[tuple[str, str]]:
    """A human is the last level of a node, and alone there."""
    others = [other for other in config.fence_devices if other.node == device.node and other != device]
    if not others:
        yield (
            f"fence.{device.name}.agent",
            f"only a human fences node {device.node}: when it dies, its groups stay down until one says "
            f"`hamgr fence ack {device.node}`; add a device at a level before",
        )
    elif any(other.level == device.level for other in others):
        yield (
            f"fence.{device.name}.level",
            f"level {device.level} of node {device.node} never succeeds: {_MANUAL} does not by itself, and all devices "
            "of a level must; give it a level of its own, the last",
        )


def _proof(config: Config, device: FenceDeviceConfig) -> Iterator[tuple[str, str]]:
    """An address that is not watched may be where the victim lives on."""
    named = f"{device.options.get('ip', '')} {device.options.get('proof_addresses', '')}".replace(",", " ").split()
    watched = {word for name in named for word in (name, name.rpartition(":")[0].strip("[]"))}
    for link in config.links:
        address = link.addresses.get(device.node, "").partition("%")[0]
        if address and address not in watched:
            yield (
                f"fence.{device.name}.options.proof_addresses",
                f"{address} of link {link.name} is not among them: node {device.node} may live on there, and count as "
                "off; add it",
            )


def _groups(config: Config) -> Iterator[tuple[str, str]]:
    for group in config.spec.groups:
        if len(group.nodes) == 1:
            yield (
                f"group.{group.name}.nodes",
                f"only node {group.nodes[0]} may run group {group.name}: when it dies the group stays down; "
                "name a second node",
            )
        elif group.needs:
            able = [node.name for node in config.spec.nodes if node.name in (group.nodes or config.spec.names)]
            fits = [name for name in able if _fits(group, config.spec.node(name))]
            if len(fits) == 1:
                yield (
                    f"group.{group.name}.needs",
                    f"only node {fits[0]} has room for group {group.name}: when it dies the group stays down; "
                    "have a second node that could take it",
                )


def _fits(group: GroupSpec, node: NodeSpec) -> bool:
    capacity = dict(node.capacity)
    return all(amount <= capacity.get(what, 0) for what, amount in group.needs)


def _networks(link: LinkConfig) -> set[str]:
    return {_network(address) for address in link.addresses.values()}


def _network(address: str) -> str:
    """The usual network around an address; "" when it isn't an address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    return str(ipaddress.ip_network((parsed, _COMMON_PREFIX[parsed.version]), strict=False))
