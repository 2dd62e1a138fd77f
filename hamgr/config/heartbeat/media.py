"""The directives of ha.cf that name a way to the other nodes, or to a ping target."""

from __future__ import annotations

import ipaddress

from hamgr.config.addresses import HIGHEST_PORT, check_address, check_interface, normal
from hamgr.config.durations import show
from hamgr.config.heartbeat import values
from hamgr.config.heartbeat.lines import Line
from hamgr.config.heartbeat.reading import Medium, Reading
from hamgr.config.links import HIGHEST_TTL
from hamgr.config.problems import describe

WAYS = ("bcast", "udp", "mcast", "mcast6", "ucast", "ucast6", "serial")

_MCAST = "`mcast DEVICE GROUP PORT TTL LOOP`, such as `mcast eth0 239.0.0.1 694 1 0`"
_MCAST6 = "`mcast6 DEVICE GROUP PORT HOPS LOOP`, such as `mcast6 eth0 ff12::1:2:3:4 694 1 0`"
_UCAST = "`ucast DEVICE ADDRESS`, such as `ucast eth0 10.0.0.2`"
_SERIAL = "serial devices, such as /dev/ttyS0"


def broadcast(reading: Reading, line: Line) -> None:
    if not line.words:
        raise ValueError("interfaces, such as eth0")
    for interface in line.words:
        _check_interface(interface)
        _add(reading, Medium(line, "broadcast", interface, {"interface": interface, "port": reading.port}))


def multicast(reading: Reading, line: Line) -> None:
    six = line.word == "mcast6"
    if len(line.words) != 5:
        raise ValueError(_MCAST6 if six else _MCAST)
    interface, group, port, ttl, loop = line.words
    _check_interface(interface)
    table: dict[str, str | int | bool] = {"interface": interface, "group": _group(group, six)}
    table["port"] = values.number(port, 1, HIGHEST_PORT)
    table["ttl"] = values.number(ttl, 1, HIGHEST_TTL)
    table["loop"] = bool(values.number(loop, 0, 1))
    _add(reading, Medium(line, "multicast", interface, table))


def _group(word: str, six: bool) -> str:
    allowed = "an IPv6 multicast group, such as ff12::1:2:3:4" if six else "an IPv4 multicast group, such as 239.0.0.1"
    try:
        group = ipaddress.ip_address(word)
    except ValueError:
        raise ValueError(allowed) from None
    if not group.is_multicast or (group.version == 6) != six:
        raise ValueError(allowed)
    return str(group)


def unicast(reading: Reading, line: Line) -> None:
    if len(line.words) != 2:
        raise ValueError(
            _UCAST.replace("ucast", line.word).replace("10.0.0.2", "fd00::2" if line.word[-1] == "6" else "10.0.0.2")
        )
    interface, word = line.words
    _check_interface(interface)
    address = _address(reading, word)
    six = ":" in address
    if six != (line.word == "ucast6"):
        raise ValueError(f"an IPv{6 if line.word == 'ucast6' else 4} address")
    if six and ipaddress.ip_address(address).is_link_local:
        plain, _, scope = address.partition("%")
        if scope not in ("", interface):
            raise ValueError(f"{plain}, or {plain}%{interface}")
        address = f"{plain}%{interface}"
    for medium in reading.media:
        same = medium.kind == "udp" and medium.device == interface and medium.table["port"] == reading.port
        if same and (":" in medium.addresses[0][0]) == six:
            if address not in (known for known, _ in medium.addresses):
                medium.addresses.append((address, line))
            return
    _add(reading, Medium(line, "udp", interface, {"interface": interface, "port": reading.port}, [(address, line)]))


def _address(reading: Reading, word: str) -> str:
    """An address, or what /etc/hosts has for a name: there may be no name server when it matters."""
    found = word if not check_address(word) else reading.here.named(word)
    if not found or (allowed := check_address(found)):
        raise ValueError(allowed if not check_address(word) else "an IP address, or a name that /etc/hosts knows")
    return normal(found)


def serial(reading: Reading, line: Line) -> None:
    if not line.words:
        raise ValueError(_SERIAL)
    for device in line.words:
        if not device.startswith("/"):
            raise ValueError(_SERIAL)
        _add(reading, Medium(line, "serial", device.removeprefix("/dev/"), {"device": device, "baud": reading.baud}))


def _check_interface(word: str) -> None:
    if allowed := check_interface(word):
        raise ValueError(allowed)


def _add(reading: Reading, medium: Medium) -> None:
    """Two links that would get each other's frames are one link to hamgr: the second is left out."""
    for other in reading.media:
        if _same_place(medium, other):
            text = f"left out: {other.line.word} has {medium.device} already, so it is the same wire again"
            reading.note(medium.line, text)
            return
    reading.media.append(medium)


def _same_place(one: Medium, other: Medium) -> bool:
    if one.device != other.device or one.table.get("port") != other.table.get("port"):
        return False
    if "serial" in (one.kind, other.kind):
        return one.kind == other.kind
    if one.kind == other.kind:
        return one.table.get("group") == other.table.get("group") and one.kind != "udp"
    # A broadcast socket hears all of IPv4 that comes to its port; groups and addresses of IPv6 are out of its sight.
    places = [medium.table.get("group") or (medium.addresses or [("", medium.line)])[0][0] for medium in (one, other)]
    return "broadcast" in (one.kind, other.kind) and not any(":" in str(place) for place in places)


def ping(reading: Reading, line: Line) -> None:
    """Checked here, made when `deadping` is known."""
    targets = ping_targets(line)
    if not targets:
        raise ValueError("a name and addresses" if line.word == "ping_group" else "addresses")
    for target in targets:
        _address(reading, target)
    reading.pings.append(line)


def ping_targets(line: Line) -> list[str]:
    return line.words[1:] if line.word == "ping_group" else line.words


def put_pings(reading: Reading) -> None:
    """Each `ping` address by itself, each `ping_group` as one target."""
    dead = reading.times.get("deadping") or reading.times.get("deadtime")
    for line in reading.pings:
        addresses = {word: _address(reading, word) for word in ping_targets(line)}
        alone = {word: [address] for word, address in addresses.items()}
        groups = alone if line.word != "ping_group" else {line.words[0]: list(dict.fromkeys(addresses.values()))}
        for word, targets in groups.items():
            taken = reading.draft.tables.get("ping", {})
            name = values.free_name(values.table_name(word, "target"), taken)
            reading.draft.put(line, "ping", name, value={"targets": targets})
            if dead is not None and "deadping" in reading.times:
                reading.draft.put(dead[1], "ping", name, "deadtime", value=show(dead[0]))
    if reading.pings and not reading.ipfail:
        named = describe(reading.pings[0].text)
        reading.note(
            reading.pings[0],
            f"{named}: Heartbeat moved groups for ping targets only with ipfail; hamgr always moves a group to the "
            "node that reaches more of them",
        )
