"""Which node has which address of the `ucast` lines: Heartbeat sent there without knowing who it is.

An address that this machine has is ours (Heartbeat skips such a line, so that one file can serve all nodes). Of two
nodes the other address is the peer's. Else /etc/hosts tells, and who is left over has what is left over. If our own
address is not named, it is the one that we would speak from on that interface.
"""

from __future__ import annotations

from hamgr.config.heartbeat.here import is_loopback
from hamgr.config.heartbeat.lines import Line
from hamgr.config.heartbeat.reading import Medium, Reading
from hamgr.config.links import MIN_NODES
from hamgr.config.problems import describe

LOOPBACK = "lo"


def addresses(reading: Reading, medium: Medium) -> list[dict[str, str]]:
    """A node -> address table for each link that the lines of a medium make: a second one when nodes have two addresses
    there. Notes what can't be told; then the list is empty."""
    nodes = list(reading.nodes)
    owners = {address: _owner(reading, address) for address, _ in medium.addresses}
    _left_over(reading, owners, medium)
    if unknown := [(address, line) for address, line in medium.addresses if not owners[address]]:
        for address, line in unknown:
            _tell_unknown(reading, medium, address, line)
        return []
    of_node: dict[str, list[str]] = {node: [] for node in nodes}
    for address, owner in owners.items():
        if not (owner == reading.node and is_loopback(address) and medium.device != LOOPBACK):
            of_node[owner].append(address)
    layers = max(len(of_node[node]) for node in nodes)
    if reading.node in of_node and not _complete_own(reading, medium, of_node, layers):
        return []
    found = [{node: own[layer] for node, own in of_node.items() if len(own) > layer} for layer in range(layers)]
    whole = [table for table in found if len(table) >= MIN_NODES]
    if len(whole) < len(found):
        reading.wrong(medium.line, "addresses of one node alone", "an address of each other node of the link")
    return whole


def _owner(reading: Reading, address: str) -> str:
    if reading.node and reading.here.has(address):
        return reading.node
    return _by_name(reading.here.hosts.get(address, ()), list(reading.nodes))


def _by_name(names: tuple[str, ...], nodes: list[str]) -> str:
    """The node that a line of /etc/hosts means: by its name, or as in "a-eth1" and "a.example.org"."""
    for matches in (_is_node, _begins_with_node):
        found = {node for name in names for node in nodes if matches(name, node)}
        if found:
            return max(found, key=len)
    return ""


def _is_node(name: str, node: str) -> bool:
    return name == node or name.partition(".")[0] == node.partition(".")[0]


def _begins_with_node(name: str, node: str) -> bool:
    short = node.partition(".")[0]
    return name.startswith((f"{short}-", f"{short}_"))


def _left_over(reading: Reading, owners: dict[str, str], medium: Medium) -> None:
    """Fill in what follows from the rest."""
    nodes, me = list(reading.nodes), reading.node
    unknown = [address for address, owner in owners.items() if not owner]
    if me and len(nodes) == MIN_NODES:
        peer = next(node for node in nodes if node != me)
        # While our interface has no address yet, one of two unknown addresses may be our own.
        if me in owners.values() or (unknown and reading.here.towards(medium.device, unknown[0])):
            owners.update(dict.fromkeys(unknown, peer))
        return
    without = [node for node in nodes if node not in owners.values()]
    # Our own address may not be among the lines at all.
    without = [node for node in without if node != me] or without
    if len(unknown) == len(without) == 1:
        owners[unknown[0]] = without[0]


def _complete_own(reading: Reading, medium: Medium, of_node: dict[str, list[str]], layers: int) -> bool:
    """Give this node an address on every layer that has peers."""
    own = of_node[reading.node]
    for layer in range(len(own), layers):
        peer = next(found[layer] for found in of_node.values() if len(found) > layer)
        address = reading.here.towards(medium.device, peer)
        if not address:
            found = f"no address of this machine on {medium.device} that leads to {peer}"
            reading.draft.wrong_for_now(medium.line, found, "an interface that is up and has one")
            return False
        own.append(address)
    return True


def _tell_unknown(reading: Reading, medium: Medium, address: str, line: Line) -> None:
    nodes = list(reading.nodes)
    names = ", ".join(nodes)
    hosts = f"/etc/hosts gives to one of {names}, as in `{address} {nodes[0]}-{medium.device}`" if nodes else ""
    found = describe(address)
    if reading.node not in nodes:
        me = ", ".join(reading.here.names)
        reading.wrong(line, found, f"an address that {hosts}: this machine ({me}) is none of them")
    elif reading.here.towards(medium.device, address):
        reading.wrong(line, found, f"an address of this machine, or one that {hosts}")
    else:
        # While the interface has no address, it may turn out to be our own.
        allowed = f"an address of this machine or of a peer: {medium.device} has none yet that would tell"
        reading.draft.wrong_for_now(line, found, f"{allowed}; or one that {hosts}")


def line_of(medium: Medium, address: str) -> Line:
    return next((line for known, line in medium.addresses if known == address), medium.line)
