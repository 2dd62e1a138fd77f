"""`stonith` and `stonith_host` become fence devices: hamgr's own for IPMI, Cluster Glue's plug-in for any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from hamgr.config.heartbeat.draft import nowhere
from hamgr.config.heartbeat.lines import Line, lines_of
from hamgr.config.heartbeat.reading import Reading
from hamgr.config.heartbeat.values import free_name, table_name
from hamgr.config.problems import ConfigError, describe
from hamgr.config.table import did_you_mean, either
from hamgr.config.toml import HIGHEST_LEVEL

_IPMI = "external/ipmi NODE ADDRESS USER PASSWORD INTERFACE"
_NULL = "null NODE NODE"
_NO_DEVICE = (
    "no stonith device. Heartbeat took over from a node that fell silent without knowing whether it was off, and so "
    "two nodes could have one address. hamgr does not: when a node dies, its groups stay down until a fence device has "
    "switched it off, or you say that it is off: `hamgr fence ack NODE`. Give each node a device: "
    f"`stonith_host * {_IPMI}`, or [fence.NAME] in hamgr.toml (docs/fencing.md). If you must run without, and know "
    f"what it can do to your data: `stonith_host * {_NULL}`"
)


def put_devices(reading: Reading) -> None:
    """All of them, now that the nodes are known."""
    for line in reading.stonith:
        try:
            _take(reading, line)
        except ValueError as error:
            # The parameters may hold a password: HOST and TYPE, or TYPE and FILE, are enough.
            shown = line.rest.split()
            more = " ..." if len(shown) > 2 else ""
            reading.draft.wrong(line, describe(" ".join(shown[:2]) + more), str(error))
    if not reading.stonith:
        reading.note(nowhere(reading.directory / "ha.cf", "stonith"), _NO_DEVICE)


def _take(reading: Reading, line: Line) -> None:
    words = line.rest.split()
    if line.word == "stonith_host":
        if len(words) < 2:
            raise ValueError(f"`stonith_host HOST TYPE PARAMETERS`, such as `stonith_host * {_IPMI}`")
        host, kind, *parameters = words
        if host != "*" and host.lower() not in reading.nodes:
            raise ValueError(f'"*" or one of {either(reading.nodes)} as HOST' + did_you_mean(host, reading.nodes))
    else:
        if len(words) != 2:
            raise ValueError("`stonith TYPE FILE`")
        kind, parameters = words[0], words[1:]
    take = _KINDS.get(kind) or partial(_plugin, kind)
    if line.word == "stonith":
        try:
            parameters = _parameters(reading, parameters[0])
        except ValueError:
            if kind in _KINDS:
                raise
            parameters = []  # no node is named then, which is told
    elif words[0] != "*":
        reading.note(line, f"in hamgr every node may use the device, not {words[0]} alone: can all of them reach it?")
    take(reading, line, parameters)


def _parameters(reading: Reading, file: str) -> list[str]:
    """The first line of the device's own file."""
    try:
        found = next(lines_of(reading.directory / file), None)
    except ConfigError as error:
        raise ValueError(f"a file that can be read in place of {file} ({error.problems[0].found})") from None
    if found is None:
        raise ValueError(f"a line of parameters in {file}")
    return found.text.split()


def _victim(reading: Reading, word: str) -> str:
    if word.lower() not in reading.nodes:
        raise ValueError(
            f"{either(reading.nodes)} as the node that is switched off" + did_you_mean(word, reading.nodes)
        )
    return word.lower()


def _ipmi(reading: Reading, line: Line, parameters: list[str]) -> None:
    if len(parameters) not in (4, 5):
        raise ValueError(_IPMI)
    victim, address, user, password, *interface = parameters
    if interface not in ([], ["lan"], ["lanplus"]):
        raise ValueError(f"{_IPMI}, with lan or lanplus as INTERFACE")
    options = {"ip": address, "username": user, "password": password}
    if interface == ["lan"]:
        reading.note(line, "`lan` is IPMI 1.5, which encrypts nothing; better lanplus, if the BMC has it")
        options["lanplus"] = "0"
    _put(reading, line, "ipmi", _victim(reading, victim), "fence_hamgr_ipmi", options)


def _null(reading: Reading, line: Line, parameters: list[str]) -> None:
    if not parameters:
        raise ValueError(_NULL)
    for victim in parameters:
        _put(reading, line, "null", _victim(reading, victim), "fence_hamgr_null", {})


def _meatware(reading: Reading, line: Line, parameters: list[str]) -> None:
    reading.note(
        line, "not needed: hamgr waits for `hamgr fence ack NODE` whenever it can't fence a node, as meatclient"
    )


def _plugin(kind: str, reading: Reading, line: Line, parameters: list[str]) -> None:
    """Of any kind that stonith(8) has. Its victims are the nodes that its parameters name: only it knows its hosts."""
    named = {name.lower() for word in parameters for name in word.split(",")}
    victims = [node for node in reading.nodes if node in named]
    for victim in victims:
        # Heartbeat resets; many plug-ins can do nothing else.
        options = {"plugin": kind, "positional": " ".join(parameters), "method": "reset"}
        _put(reading, line, kind.rpartition("/")[2], victim, "fence_hamgr_stonith", options)
    if not victims:
        reading.note(
            line,
            f"the parameters of {kind} name no node, so nobody is fenced by it, and groups stay down when a node dies: "
            f"add [fence.NAME] for each node to {reading.directory / 'hamgr.toml'} (docs/fencing.md; Debian's "
            "fence-agents has an agent for most devices)",
        )


def _put(reading: Reading, line: Line, kind: str, victim: str, agent: str, options: dict[str, str]) -> None:
    """A second device of a node is tried when the first has failed, as in Heartbeat: it is another level."""
    devices = reading.draft.tables.get("fence", {})
    level = 1 + sum(device["node"] == victim for device in devices.values())
    if level > HIGHEST_LEVEL:
        raise ValueError(f"up to {HIGHEST_LEVEL} devices for {describe(victim)}")
    table: dict[str, object] = {"node": victim, "agent": agent}
    table |= {"level": level} if level > 1 else {}
    table |= {"options": options} if options else {}
    name = free_name(table_name(f"{kind}-{victim}", kind), devices)
    reading.draft.put(line, "fence", name, value=table)


_KINDS: Mapping[str, Callable[[Reading, Line, list[str]], None]] = MappingProxyType(
    {"external/ipmi": _ipmi, "null": _null, "meatware": _meatware}
)
