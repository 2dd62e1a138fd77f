"""hamgrd: reads the configuration, builds the parts, joins them to the core, and waits for the end."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hamgr import __version__
from hamgr.admin.drbd import DrbdDesk
from hamgr.admin.events import EventLog
from hamgr.admin.fences import FenceDesk
from hamgr.admin.history import FenceHistory
from hamgr.admin.inquiries import InquiryDesk
from hamgr.admin.keys import KeysDesk
from hamgr.admin.links import LinksDesk
from hamgr.admin.push import PushDesk
from hamgr.admin.service import AdminError, AdminServer
from hamgr.alerts.alerts import Alerts
from hamgr.config.local import check_local, local_warnings, other_manager
from hamgr.config.model import DEFAULT_CONFIG, GUARD_SUFFIX, Config, SelfFence
from hamgr.config.problems import ConfigError, NotYet
from hamgr.config.source import Loaded, load
from hamgr.core.effects import Kind
from hamgr.core.events import Verb
from hamgr.core.messages import Packet
from hamgr.core.node import Node
from hamgr.fencing.lockout import LockoutWatch
from hamgr.fencing.poweron import Rebooter, Unfencing
from hamgr.fencing.runner import FenceRunner
from hamgr.fencing.trials import FenceTrials
from hamgr.fencing.watch import DeviceWatch
from hamgr.guarding import Guarding, GuardSettings
from hamgr.health import Health
from hamgr.host import Host, World
from hamgr.links.arbiter import ArbiterSession
from hamgr.links.codec import Codec
from hamgr.links.keys import KeyFileError, load_keys
from hamgr.links.link import LinkError
from hamgr.links.ping import Pinger
from hamgr.links.transport import Transport
from hamgr.logs import log_to
from hamgr.placing import put_in_place
from hamgr.realtime import enter
from hamgr.renewal import Renewal
from hamgr.resources.group import GroupRunner
from hamgr.resources.kept_routes import KeptRoutes
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.resource import Surroundings
from hamgr.store import StateStore, StoreError, Writer
from hamgr.windows import FailbackWindows

if TYPE_CHECKING:
    from hamgr.diskarbiter import DiskSession
    from hamgr.health_checks import HealthChecks

log = logging.getLogger("hamgr")

USAGE = 2
"""Exit code of everything that must be mended in a file or on the command line before hamgrd can start."""


BROKEN = 70
"""Exit code after a fault of this program (EX_SOFTWARE, sysexits(3))."""


LOOK_AGAIN = 1.0
"""Seconds between two looks at a network that is not up yet, before anything runs."""

RESTART = 75
"""What `run` gives back when the daemon is to start anew, with another configuration (EX_TEMPFAIL, sysexits(3))."""


async def run(config: Config, node_name: str) -> int:
    """Run the node until it left cleanly or was told twice to end; returns the exit code.

    Raises StoreError, KeyFileError, LinkError or AdminError before anything was started.
    """
    keys = load_keys(config.key_file)
    store = StateStore(config.state_dir, config.spec.name, node_name)
    incarnation = store.next_incarnation()
    loop = asyncio.get_running_loop()
    events = EventLog(node_name)
    node = Node(config.spec, node_name, incarnation, store.load(), loop.time(), config.digest)
    host = Host(node, events)
    codec = Codec(config.spec.name, node_name, keys.keys, keys.active, incarnation)
    writer = Writer(store, loop.call_soon_threadsafe)

    def received(link: str, packet: Packet) -> None:
        if not any(desk.takes(packet) for desk in (push_desk, history, drbd, fence_desk, inquiries)):
            host.received(link, packet)

    links = Transport(config, node_name, codec, received, host.link_changed)
    drbd = DrbdDesk(node_name, host.status, links)
    inquiries = InquiryDesk(node_name, host.status, links, host.balance)
    push_desk = PushDesk(config, node_name, host, links, writer, functools.partial(host.group_told, "", Kind.WARNING))
    history = FenceHistory(config, node_name, host, links, writer, store.history())
    history.recover(store.unhistoric())
    arbiter = _arbiter_session(config, codec, host)
    identity = config.arbiter.identity if config.arbiter is not None else None
    renewal = Renewal(identity, config.path) if identity is not None else None
    fencer = FenceRunner(config, node_name)
    trials = FenceTrials(config, node_name, fencer, host.status)
    fence_desk = FenceDesk(config, node_name, host.status, links, trials.now)
    device_watch = DeviceWatch(
        config.fence_devices, node_name, config.spec.names, config.fence_check_interval, trials.now, host.device_told
    )
    host.fence_devices = device_watch.status
    rebooter = Rebooter(config, fencer, host.device_told)
    letting_in = [device for device in config.fence_devices if device.unfence and device.node == node_name]
    lockout = LockoutWatch(letting_in, fencer, lambda: node.member.hands_off, host.shut_out)
    unfencing = Unfencing(
        letting_in,
        [group.name for group in config.groups],
        fencer,
        lambda group, reason: host.group_unready(group, "unfencing", reason, True),
        host.device_told,
        lockout.start,
    )
    health = Health(host.health_changed)
    groups = {
        group.name: GroupRunner(group, host.group_reported, _surroundings(config, host, health, group.name))
        for group in config.groups
    }
    windows = FailbackWindows(
        {group.name: group.failback_window for group in config.groups if group.failback_window is not None},
        host.failback_closed,
    )
    pinger = Pinger(config.pings, health.pinged)
    checks = _health_checks(config, health)
    kept_routes = KeptRoutes(
        [route for route in config.routes if route.node == node_name], functools.partial(host.group_told, "")
    )
    guard = _guarding(config, node_name, groups, host)
    desk = LinksDesk(host.status, links, host.lateness, pinger, checks)
    keys_desk = KeysDesk(host.status, codec, config.key_file, with_arbiter=identity is None)
    alerts = Alerts(
        config, node_name, lambda: node.election.following, functools.partial(host.group_told, "", Kind.WARNING)
    )
    host.alert_faults = alerts.faults
    admin = AdminServer(
        config.admin_socket, host, desk, keys_desk, push_desk, history, alerts, drbd, fence_desk, inquiries
    )
    try:
        alerts.start(events)
        await admin.start()
        kept_routes.start()
        await links.open()
        await fencer.start()
        for group in groups.values():
            await group.prepare()
        await pinger.start()
        if checks is not None:
            checks.start()
        windows.start()
        if arbiter is not None:
            await arbiter.start()
        if renewal is not None:
            renewal.start()
        if guard is not None and node_name in config.watchdogs:
            # Until it is fed we are unfit, and groups would begin elsewhere.
            await guard.start()
        elif guard is not None:
            guard.begin()
        _end_on_signals(loop, host)
        _reload_on_hangup(loop, keys_desk)
        unfencing.start()
        used = rebooter if config.fence_reboots else fencer
        host.begin(World(links, arbiter, used, groups, writer, history.note, guard, push_desk.bring))
        history.start()
        device_watch.start()
        # All that lives as long as the daemon is made by now: the collector need not walk it again.
        gc.collect()
        gc.freeze()
        if config.realtime:
            desk.realtime = enter(config.realtime_priority)
            log.log(logging.INFO if desk.realtime.complete else logging.WARNING, "realtime: %s", desk.realtime.detail)
        log.info("hamgrd: %s of cluster %s is up", node_name, config.spec.name)
        await host.ended.wait()
        if host.broken:
            return BROKEN
        return RESTART if host.restarts else 0
    finally:
        await host.close()
        if guard is not None:
            await guard.close()
        await push_desk.close()
        await drbd.close()
        await inquiries.close()
        await history.close()
        for group in groups.values():
            await group.close()
        windows.close()
        kept_routes.close()
        await pinger.close()
        if renewal is not None:
            await renewal.close()
        if checks is not None:
            await checks.close()
        if arbiter is not None:
            await arbiter.close()
        await links.close()
        await device_watch.close()
        await unfencing.close()
        await lockout.close()
        await rebooter.close()
        await fence_desk.close()
        await fencer.close()
        await admin.close()
        await alerts.close()
        writer.close()
        store.close()


def _health_checks(config: Config, health: Health) -> HealthChecks | None:
    """Loaded with what it needs to run programs only where there is one to run."""
    if not config.health_checks:
        return None
    from hamgr.health_checks import HealthChecks

    return HealthChecks(config.health_checks, health.checked)


def _arbiter_session(config: Config, codec: Codec, host: Host) -> ArbiterSession | DiskSession | None:
    arbiter = config.arbiter
    if arbiter is None or not arbiter.disks:
        return ArbiterSession.of(config, codec, host.arbiter_answered, host.arbiter_lost)
    from hamgr.diskarbiter import DiskSession

    return DiskSession(
        arbiter.disks[codec.node],
        config.spec.name,
        codec.node,
        codec.incarnation,
        config.state_dir,
        config.spec.timing.deadtime,
        host.arbiter_answered,
        host.arbiter_lost,
    )


def _guarding(config: Config, node: str, groups: Mapping[str, GroupRunner], host: Host) -> Guarding | None:
    """Who ends what runs here if this daemon can't; None when nobody shall, and no watchdog is to be fed."""
    watchdog = config.watchdogs.get(node)
    ends = config.self_fence is not SelfFence.NONE
    if watchdog is None and not ends:
        return None
    settings = GuardSettings(
        config.admin_socket.with_name(config.admin_socket.name + GUARD_SUFFIX),
        trigger=str(config.sysrq_trigger) if config.self_fence is SelfFence.REBOOT else "",
    )
    if watchdog is not None:
        settings = dataclasses.replace(
            settings,
            device=str(watchdog.device),
            timeout=watchdog.timeout,
            pretimeout=watchdog.pretimeout,
            ioctls=watchdog.ioctls,
        )
    orders = [order for group in reversed([*groups.values()]) for order in group.emergency()] if ends else []
    return Guarding(settings, orders, host.guard_changed)


def _surroundings(config: Config, host: Host, health: Health, group: str) -> Surroundings:
    spec, node = config.spec.group(group), host.node
    nodes = spec.nodes or config.spec.names
    return Surroundings(
        config.spec.name,
        node.name,
        config.spec.names,
        group,
        config.state_dir,
        functools.partial(host.group_told, group),
        group_nodes=nodes,
        candidate=spec.enabled and node.name in nodes,
        hands_off=lambda: node.member.hands_off,
        may_mend=functools.partial(host.may_mend, group),
        hindered=functools.partial(health.hindered, group),
        unready=functools.partial(host.group_unready, group),
        node_addresses={ip: name for link in config.links for name, ip in link.addresses.items()},
    )


def _end_on_signals(loop: asyncio.AbstractEventLoop, host: Host) -> None:
    """The first SIGTERM or SIGINT leaves the cluster cleanly; the second ends at once, and others will fence us."""
    tasks: set[asyncio.Task[tuple[bool, str]]] = set()

    def asked(number: int) -> None:
        if tasks:
            log.warning("second signal %d: ending without leaving the cluster", number)
            host.ended.set()
            return
        log.info("signal %d: leaving the cluster", number)
        tasks.add(loop.create_task(host.ask(Verb.LEAVE, "", "", f"signal {number}")))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)


def _reload_on_hangup(loop: asyncio.AbstractEventLoop, keys: KeysDesk) -> None:
    """SIGHUP reads the key file again, as `hamgr key reload` does."""
    tasks: set[asyncio.Task[tuple[bool, str]]] = set()

    def asked() -> None:
        task = loop.create_task(keys.reload("SIGHUP"))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, asked)


def _load(path: Path, node: str) -> Loaded:
    """The configuration, once it can be told: with Heartbeat's files, only an interface that is up says who is who."""
    told = ""
    while True:
        try:
            return load(path, RESOURCE_KINDS, node)
        except NotYet as error:
            if told != str(error):
                log.warning("waiting for the network: %s", error)
                told = str(error)
            time.sleep(LOOK_AGAIN)


def _switched(loaded: Loaded) -> bool:
    """Was a configuration committed that is put into the file only now?"""
    config, node = loaded.config, loaded.node
    return config.path.is_file() and node in config.spec.names and put_in_place(config, node)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="hamgrd", description="The node daemon of hamgr.")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"configuration file ({DEFAULT_CONFIG})")
    parser.add_argument("--ha-dir", type=Path, dest="config", metavar="DIR", help="or a directory of Heartbeat's files")
    parser.add_argument("--node", default="", help="this node's name (the host name)")
    parser.add_argument("--debug", action="store_true", help="log more")
    parser.add_argument("--version", action="version", version=f"hamgrd {__version__}")
    options = parser.parse_args(argv)
    lines = log_to(sys.stderr, logging.DEBUG if options.debug else logging.INFO)
    try:
        loaded = _load(options.config, options.node)
        if _switched(loaded):
            node = loaded.node
            loaded = _load(options.config, node)
            log.info("%s is the pushed configuration (%s) now", options.config, loaded.config.digest)
            if node not in loaded.config.spec.names:
                log.info("%s belongs to cluster %s no more: hamgrd ends", node, loaded.config.spec.name)
                return 0
        config, node = loaded.config, loaded.node
        lines.write_also(config.log_file, config.syslog)
        problems = [*other_manager(config), *check_local(config, node, RESOURCE_KINDS)]
        if problems:
            raise ConfigError(tuple(map(loaded.located, problems)))
        for warning in (*loaded.warnings, *local_warnings(config, node)):
            log.warning("%s", warning)
        code = asyncio.run(run(config, node))
    except (ConfigError, KeyFileError, StoreError, LinkError, AdminError) as error:
        lines.close()  # so that the error stands at the end, whole
        print(f"hamgrd: {error}", file=sys.stderr)
        return USAGE
    finally:
        lines.close()
    if code == RESTART:
        # The same process: whoever watches it sees no end.
        os.execv(sys.executable, sys.orig_argv)
    return code


if __name__ == "__main__":
    sys.exit(main())
