"""What must be true on one machine before its daemon may start with a configuration."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hamgr.config.kinds import Fact, Kinds
from hamgr.config.model import AlertConfig, Config, ResourceConfig, SelfFence
from hamgr.config.problems import ConfigWarning, Problem, describe
from hamgr.config.toml import known_node

ARBITER_CONNECT = 1.0
"""Seconds within which an arbiter must take a connection."""

HEARTBEAT_PID = Path("/run/heartbeat.pid")


def check_local(config: Config, node: str, kinds: Kinds) -> list[Problem]:
    """The mistakes that only this machine can see, as node `node`; an empty list when its daemon may start."""
    if (unknown := known_node(config, node)) is not None:
        return [unknown]
    checks = (_key_file(config), _tls(config), _state_dir(config), _resources(config, node, kinds), _agents(config))
    return [Problem(config.path, *facts) for check in checks for facts in check]


def other_manager(config: Config, pid_file: Path = HEARTBEAT_PID) -> list[Problem]:
    """Heartbeat, if it runs here now: it would start what hamgrd starts, and neither would know of the other."""
    try:
        process = int(pid_file.read_text())
        name = Path(f"/proc/{process}/comm").read_text().strip()
    except (OSError, ValueError):
        return []
    if name != "heartbeat":
        return []
    allowed = "one manager: stop Heartbeat on all nodes, with its services, and keep it from starting at boot"
    return [Problem(config.path, "this machine", f"Heartbeat, which runs here (process {process})", allowed)]


def examine_local(
    config: Config, node: str, kinds: Kinds, fence_agents: Callable[[Config], Iterable[Fact]] = lambda _config: ()
) -> list[Problem]:
    """What the agents of this machine object to after a thorough look. It may take long, and keeps no daemon from
    starting: what a service needs may lie on a file system that another node has mounted now.

    fence_agents: asks the fence agents (`hamgr.fencing.examine`, a layer above)."""
    found: list[Problem] = []
    for prefix, resource in _resources_here(config, node):
        facts = kinds[resource.kind].thorough_problems_here(resource.options)
        found += [Problem(config.path, f"{prefix}.{option}", *rest) for option, *rest in facts]
    return [*found, *(Problem(config.path, *fact) for fact in fence_agents(config))]


def examine_warnings(config: Config, node: str, kinds: Kinds) -> list[ConfigWarning]:
    """What will hurt on this machine, after as thorough a look."""
    found: list[ConfigWarning] = []
    for prefix, resource in _resources_here(config, node):
        facts = kinds[resource.kind].warnings_here(resource.options)
        found += [ConfigWarning(config.path, f"{prefix}.{option}", text) for option, text in facts]
    return [*found, *(ConfigWarning(config.path, *facts) for facts in _arbiters(config))]


def local_warnings(config: Config, node: str) -> list[ConfigWarning]:
    """What this machine does not have now, and what hamgrd will wait for: it may come later, as after a boot."""
    return [ConfigWarning(config.path, *facts) for facts in _not_here(config, node)]


def _not_here(config: Config, node: str) -> Iterator[tuple[str, str]]:
    interfaces = {name for _, name in socket.if_nameindex()}
    watchdog = config.watchdogs.get(node)
    if watchdog is not None and not watchdog.device.exists():
        yield f"node.{node}.watchdog", f"{watchdog.device} is not here (modprobe softdog?): nothing runs before it is"
    if config.self_fence is SelfFence.REBOOT and not os.access(config.sysrq_trigger, os.W_OK):
        yield "cluster.self_fence", f"{config.sysrq_trigger} can't be written: this machine can't be reset by it"
    for link in config.links:
        interface, address, device = link.interfaces.get(node), link.addresses.get(node), link.devices.get(node)
        if interface and interface not in interfaces:
            here = ", ".join(sorted(interfaces))
            yield f"link.{link.name}.interface", f"{interface} is not here (there is {here}): hamgrd waits for it"
        if address and not has_address(address):
            yield f"node.{node}.address.{link.name}", f"this machine does not have {address}: hamgrd waits for it"
        if device and not Path(device).exists():
            yield f"link.{link.name}.device", f"{device} is not here: hamgrd waits for it"
    if config.arbiter is not None and config.arbiter.identity is not None and not config.arbiter.identity.exists():
        yield "arbiter.identity", f"{config.arbiter.identity} is not here: no vote from the arbiter before `hamgr join`"
    for check in config.health_checks:
        if not _executable(Path(check.command[0])):
            fault = f"{check.command[0]} is not here, or not executable"
            yield f"health.{check.name}.command", f"{fault}: this node counts as {check.weight} less well"
    for alert in config.alerts:
        for key, fault in _alert_faults(alert):
            yield f"alert.{alert.name}.{key}", f"{fault}: this alert will not get through"


def _arbiters(config: Config) -> Iterator[tuple[str, str]]:
    """Each address of the arbiter, asked at once: the second one is of use only if it answers before it is needed."""
    if config.arbiter is None or config.arbiter.disks:
        return
    places = config.arbiter.places
    with ThreadPoolExecutor(len(places)) as asking:
        for (address, port), fault in zip(places, asking.map(_unreachable, places), strict=True):
            if fault:
                yield "arbiter.addresses" if len(places) > 1 else "arbiter.address", f"{address} port {port}: {fault}"


def _unreachable(place: tuple[str, int]) -> str:
    try:
        with socket.create_connection(place, timeout=ARBITER_CONNECT):
            return ""
    except OSError as error:
        return f"no arbiter answers ({os.strerror(error.errno) if error.errno else 'no answer'})"


def _alert_faults(alert: AlertConfig) -> Iterator[tuple[str, str]]:
    """What an alert lacks here. It keeps no daemon from starting: services are more than messages."""
    if alert.program is not None and not _executable(alert.program.path):
        yield "program", f"{alert.program.path} is not here, or not executable"
    table = "smtp." if alert.mail is not None else ""
    for key in ("password_file", "token_file", "secret_file", "ca_file"):
        file: Path | None = getattr(alert.mail or alert.webhook, key, None)
        if file is None:
            continue
        try:
            with file.open("rb"):
                mode = file.stat().st_mode & 0o777
        except OSError as error:
            yield table + key, f"{file}: {error.strerror}"
            continue
        if key != "ca_file" and mode & 0o077:
            yield table + key, f"{file} has mode {mode:04o} and others can read it; it must be 0600"


def has_address(address: str) -> bool:
    """Whether this machine has it: only an assigned address can be bound (ip(7): EADDRNOTAVAIL)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(socket.getaddrinfo(address, 0, family, socket.SOCK_DGRAM)[0][4])
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENODEV)
    return True


def _key_file(config: Config) -> Iterator[tuple[str, str, str]]:
    key, file = "cluster.key_file", config.key_file
    try:
        with file.open("rb"):
            mode = file.stat().st_mode & 0o777
    except OSError as error:
        yield key, f"{file}: {error.strerror}", "a key file, made by `hamgr key`, the same on all nodes"
        return
    if mode & 0o077:
        yield key, f"{file} with mode {mode:04o}", "mode 0600: whoever reads the key can speak as a node"


def _tls(config: Config) -> Iterator[tuple[str, str, str]]:
    if config.tls is None:
        return
    for key in ("ca", "certificate", "key"):
        file: Path = getattr(config.tls, key)
        try:
            with file.open("rb"):
                mode = file.stat().st_mode & 0o777
        except OSError as error:
            yield f"tls.{key}", f"{file}: {error.strerror}", "a PEM file that hamgrd can read"
            continue
        if key == "key" and mode & 0o077:
            yield "tls.key", f"{file} with mode {mode:04o}", "mode 0600: whoever reads the key can speak as this node"


def _state_dir(config: Config) -> Iterator[tuple[str, str, str]]:
    directory = config.state_dir
    if directory.exists() and not directory.is_dir():
        yield "cluster.state_dir", f"{directory}, which is not a directory", "a directory"
        return
    existing = next(parent for parent in (directory, *directory.parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield "cluster.state_dir", f"{existing}, which can't be written", "a directory that hamgrd can write"


def _resources(config: Config, node: str, kinds: Kinds) -> Iterator[tuple[str, str, str]]:
    """What the groups need that may run here, and that can be here before they run."""
    mounted = _mounted_by_groups(config)
    for prefix, resource in _resources_here(config, node):
        for option, found, allowed in kinds[resource.kind].problems_here(resource.options):
            if not _lies_in(resource.options.get(option), mounted):
                yield f"{prefix}.{option}", found, allowed


def _mounted_by_groups(config: Config) -> list[str]:
    """Directories that are empty while the file system is mounted on another node."""
    everything = (resource for group in config.groups for resource in group.resources)
    return [str(resource.options.get("directory")) for resource in everything if resource.kind == "filesystem"]


def _lies_in(value: object, directories: Collection[str]) -> bool:
    """Whether a path, or the program of a command, is somewhere below one of the directories."""
    path = value[0] if isinstance(value, list) and value else value
    return isinstance(path, str) and any(path.startswith(directory.rstrip("/") + "/") for directory in directories)


def _resources_here(config: Config, node: str) -> Iterator[tuple[str, ResourceConfig]]:
    """The resources that may run on the node, each with its place in the file."""
    for group in config.groups:
        nodes = config.spec.group(group.name).nodes
        if not nodes or node in nodes:
            for resource in group.resources:
                yield f"group.{group.name}.resource.{resource.name}", resource


def _agents(config: Config) -> Iterator[tuple[str, str, str]]:
    for device in config.fence_devices:
        if find_agent(config, device.agent) is None:
            directories = ", ".join(map(str, config.agent_dirs))
            allowed = f"an executable on the PATH, in {directories}, or an absolute path"
            yield f"fence.{device.name}.agent", describe(device.agent), allowed


def find_agent(config: Config, agent: str) -> Path | None:
    """The executable of a fence agent: an absolute path, or a name next to our Python, in agent_dirs or on PATH."""
    if agent.startswith("/"):
        return Path(agent) if _executable(Path(agent)) else None
    own = Path(sys.executable).parent  # where pip puts the agents of a virtual environment
    on_path = shutil.which(agent)
    candidates = [directory / agent for directory in (own, *config.agent_dirs)]  # as the fence runner looks for it
    candidates += [Path(on_path)] if on_path else []
    return next((candidate for candidate in candidates if _executable(candidate)), None)


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
