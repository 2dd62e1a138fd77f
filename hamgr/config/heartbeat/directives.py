"""Every directive of ha.cf, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hamgr.config.addresses import HIGHEST_PORT, check_name, check_node_name
from hamgr.config.heartbeat import media, values
from hamgr.config.heartbeat.lines import Line
from hamgr.config.heartbeat.reading import Reading
from hamgr.config.links import BAUD_RATES
from hamgr.config.problems import describe
from hamgr.config.table import did_you_mean
from hamgr.config.toml import HIGHEST_PRIORITY
from hamgr.core.cluster import MIN_DURATION

Handler = Callable[[Reading, Line], None]


def take(reading: Reading, line: Line) -> None:
    """Let a line have its effect, or note what is wrong with it."""
    handler = DIRECTIVES.get(line.word)
    if handler is None:
        allowed = "a directive of ha.cf(5)" + did_you_mean(line.word, DIRECTIVES)
        reading.draft.wrong(line, describe(line.word), allowed)
        return
    try:
        if not line.is_readable:
            raise ValueError("text in UTF-8 without control characters")
        handler(reading, line)
    except ValueError as error:
        reading.draft.wrong(line, describe(line.rest), str(error))


def _word(line: Line, allowed: str) -> str:
    words = line.words
    if len(words) != 1:
        raise ValueError(allowed)
    return words[0]


def _node(reading: Reading, line: Line) -> None:
    if not line.words:
        raise ValueError("the names of nodes")
    for word in line.words:
        name = word.lower()  # as Heartbeat does
        if allowed := check_node_name(name):
            raise ValueError(allowed)
        reading.nodes.setdefault(name, line)


def _time(reading: Reading, line: Line) -> None:
    found = values.seconds(line.rest)
    if found < MIN_DURATION:
        raise ValueError("a time from 10ms up")
    reading.times[line.word] = (found, line)


def _auto_failback(reading: Reading, line: Line) -> None:
    word = _word(line, "on, off or legacy")
    if word.lower() == "legacy":
        reading.auto_failback = True
        reading.note(
            line,
            "legacy let a returning node start its groups without asking who had them; in hamgr it means `on`: a group "
            "goes home after the other node has released it",
        )
        return
    try:
        reading.auto_failback = values.boolean(word)
    except ValueError:
        raise ValueError("on, off or legacy" + did_you_mean(word, ("on", "off", "legacy"))) from None


def _nice_failback(reading: Reading, line: Line) -> None:
    nice = values.boolean(_word(line, values.BOOLEAN))
    reading.auto_failback = not nice
    meant = "off" if nice else "legacy, which in hamgr is on"
    reading.note(line, f"replaced by auto_failback long ago: taken as `auto_failback {meant}`")


def _cluster(reading: Reading, line: Line) -> None:
    name = _word(line, "the name of the cluster")
    if allowed := check_name(name):
        raise ValueError(allowed)
    reading.draft.put(line, "cluster", "name", value=name)


def _udpport(reading: Reading, line: Line) -> None:
    reading.port = values.number(_word(line, "a port"), 1, HIGHEST_PORT)
    if any(medium.kind in ("udp", "broadcast") for medium in reading.media):
        reading.note(line, "holds for the links after this line; those before it keep their port")


def _baud(reading: Reading, line: Line) -> None:
    rates = ", ".join(map(str, BAUD_RATES))
    word = _word(line, f"one of {rates}")
    if not word.isdecimal() or len(word) > 9 or int(word) not in BAUD_RATES:
        raise ValueError(f"one of {rates}")
    reading.baud = int(word)


def _realtime(reading: Reading, line: Line) -> None:
    reading.draft.put(line, "cluster", "realtime", value=values.boolean(_word(line, values.BOOLEAN)))


def _rtprio(reading: Reading, line: Line) -> None:
    priority = values.number(_word(line, "a priority"), 1, HIGHEST_PRIORITY)
    reading.draft.put(line, "cluster", "realtime_priority", value=priority)


def _logfile(reading: Reading, line: Line) -> None:
    path = _word(line, "a path")
    if path.lower() in ("none", "/dev/null"):
        return
    if not path.startswith("/"):
        raise ValueError("an absolute path")
    reading.draft.put(line, "cluster", "log_file", value=path)


def _logfacility(reading: Reading, line: Line) -> None:
    word = _word(line, "a facility of syslog(3), or none")
    if word.lower() != "none":
        reading.draft.put(line, "cluster", "syslog", value=word.lower())


def _crm(reading: Reading, line: Line) -> None:
    word = _word(line, "off")
    if word.lower() not in ("off", "no", "false", "n", "0"):
        raise ValueError(
            "off: hamgr has a manager of its own and runs the groups of haresources; what Pacemaker runs must be "
            "written as groups first, in haresources or in a hamgr.toml (docs/resources.md)"
        )


def _autojoin(reading: Reading, line: Line) -> None:
    if _word(line, "none, other or any").lower() != "none":
        reading.note(line, "in hamgr nobody joins who is not named: give every node a `node` line")


def _respawn(reading: Reading, line: Line) -> None:
    words = line.rest.split()
    if len(words) < 2:
        raise ValueError("a user and the path of a program")
    if words[1].rpartition("/")[2] == "ipfail":
        reading.ipfail = True
        reading.note(line, "not needed: hamgr itself moves groups to the node that reaches more ping targets")
        return
    reading.note(
        line, f"hamgr starts no programs beside the groups: make {words[1]} a systemd unit with Restart=always"
    )


def _watchdog(reading: Reading, line: Line) -> None:
    device = _word(line, "the path of a device")
    if not device.startswith("/"):
        raise ValueError("an absolute path")
    reading.watchdog = (device, line)


def _later(reading: Reading, line: Line) -> None:
    """When all nodes are known."""
    reading.stonith.append(line)


def _ignored(why: str) -> Handler:
    def take(reading: Reading, line: Line) -> None:
        reading.note(line, f"ignored: {why}")

    return take


_OWN_PROTOCOL = "hamgr's messages have a form of their own (docs/protocol.md)"
_OWN_LOG = "hamgrd needs no logging daemon: it writes to standard error (the journal), logfile and logfacility itself"
_ONLY_PACEMAKER = "it was for Pacemaker, and hamgr has a manager of its own"

DIRECTIVES: Mapping[str, Handler] = MappingProxyType(
    {
        "node": _node,
        "cluster": _cluster,
        "keepalive": _time,
        "deadtime": _time,
        "warntime": _time,
        "initdead": _time,
        "deadping": _time,
        "auto_failback": _auto_failback,
        "nice_failback": _nice_failback,
        "udpport": _udpport,
        "baud": _baud,
        "bcast": media.broadcast,
        "udp": media.broadcast,
        "mcast": media.multicast,
        "mcast6": media.multicast,
        "ucast": media.unicast,
        "ucast6": media.unicast,
        "serial": media.serial,
        "ping": media.ping,
        "ping6": media.ping,
        "ping_group": media.ping,
        "stonith": _later,
        "stonith_host": _later,
        "realtime": _realtime,
        "rtprio": _rtprio,
        "crm": _crm,
        "pacemaker": _crm,
        "autojoin": _autojoin,
        "respawn": _respawn,
        "watchdog": _watchdog,
        "hbaping": _ignored("a Fibre Channel card can't be asked; give hamgr addresses to ping"),
        "quorum_server": _ignored("a third machine has a vote as [arbiter] of hamgr.toml (docs/arbiter.md)"),
        "apiauth": _ignored("who may speak to hamgrd is decided by the permissions of its admin socket"),
        "logfile": _logfile,
        "logfacility": _logfacility,
        "debugfile": _ignored("`hamgrd --debug` logs more, to where the log goes"),
        "use_logd": _ignored(_OWN_LOG),
        "conn_logd_time": _ignored(_OWN_LOG),
        "syslogmsgfmt": _ignored(_OWN_LOG),
        "debug": _ignored("`hamgrd --debug` logs more"),
        "log_badpack": _ignored("refused frames are always counted and logged: `hamgr links`"),
        "hbgenmethod": _ignored("a daemon's life is numbered in its state directory, which must be kept"),
        "uuidfrom": _ignored("a node is known by its name"),
        "hopfudge": _ignored("no message is passed on from link to link"),
        "msgfmt": _ignored(_OWN_PROTOCOL),
        "compression": _ignored(_OWN_PROTOCOL),
        "compression_threshold": _ignored(_OWN_PROTOCOL),
        "traditional_compression": _ignored(_OWN_PROTOCOL),
        "max_rexmit_delay": _ignored("what is lost is asked for again without a delay that one could set"),
        "hbversion": _ignored(_OWN_PROTOCOL),
        "normalpoll": _ignored("hamgrd wakes up when there is something to do"),
        "memreserve": _ignored("with `realtime on` all memory of hamgrd is locked"),
        "coredumps": _ignored("systemd and ulimit decide about core dumps"),
        "coreroot": _ignored("systemd and ulimit decide about core dumps"),
        "use_apphbd": _ignored("systemd watches hamgrd"),
        "env": _ignored("hamgrd's own environment is that of its systemd unit (Environment=)"),
        "crm_daemon_dir": _ignored(_ONLY_PACEMAKER),
        "crmd_spawns_pengine": _ignored(_ONLY_PACEMAKER),
        "record_config_changes": _ignored(_ONLY_PACEMAKER),
        "record_pengine_inputs": _ignored(_ONLY_PACEMAKER),
        "enable_config_writes": _ignored(_ONLY_PACEMAKER),
    }
)
"""By name: those of ha.cf(5), and the others that heartbeat 3.0.6 knows."""
