"""The configuration that a lab runs with: hamgr.toml, arbiter.toml, the keys and the service, written as
files.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

from hamgr.lab import hafiles
from hamgr.lab.links import LINKS, WIRE, LabLink
from hamgr.lab.machine import FIRST_BOOT
from hamgr.lab.namespaces import LabError
from hamgr.lab.plan import (
    ARBITER,
    ARBITER_PORT,
    ETCD_CLIENTS,
    VIP,
    VIP_OF_B,
    Fencing,
    Layout,
    Options,
    arbiter_address,
    bmc_address,
    client_address,
    node_address,
    node_address6,
)

CLUSTER = "lab"
GROUP = "web"
SECOND_GROUP = "mail"
BMC_USER = "hamgr"
BMC_PASSWORD_LENGTH = 16
"""Bytes; RMCP+ takes up to 20 (IPMI 2.0, 22.30)."""

_FENCE_AGENTS = {Fencing.IPMI: "fence_hamgr_ipmi", Fencing.NULL: "fence_hamgr_null"}


def hamgr_toml(options: Options, layout: Layout) -> str:
    """The cluster's configuration, the same file on all nodes."""
    lines = [
        "[cluster]",
        f'name = "{CLUSTER}"',
        f'key_file = "{layout.key}"',
        f'state_dir = "{layout.here}/state"',
        f'admin_socket = "{layout.here}/admin.sock"',
    ]
    if not options.arbiter and not options.arbiter_disk and options.nodes == 2:
        lines.append("two_node = true")
    if options.realtime:
        lines.append("realtime = true")
    if options.fence_check_interval:
        lines.append(f'fence_check_interval = "{options.fence_check_interval}"')
    if "fence_limit" not in options.cluster:
        # In a lab machines die on purpose, again and again.
        lines += ["fence_limit = 0", "fence_limit_all = 0"]
    lines += [options.cluster] if options.cluster else []
    lines += ["", "[timing]"]
    for name in ("keepalive", "warntime", "deadtime", "initdead", "lease"):
        lines.append(f'{name} = "{getattr(options, name)}"')
    if options.arbiter or options.arbiter_disk:
        where = f"disk = {layout.placed(options.arbiter_disk)}" if options.arbiter_disk else ""
        addresses = ", ".join(f'"{arbiter_address(name)}"' for name in options.arbiter_names)
        several = f"addresses = [{addresses}]" if options.arbiters > 1 else f"address = {addresses}"
        lines += ["", "[arbiter]", where or several]
        lines += [f'settle = "{options.settle}"', 'tie_breaker = "a"']
        lines += [f'identity = "{layout.here}/arbiter.identity"'] if options.enrolled else []
    for name in options.links:
        lines += ["", f"[link.{name}]", *map(layout.placed, LINKS[name].lines)]
        if LINKS[name].network == WIRE:
            devices = ", ".join(f'{node} = "{layout.wire / node}"' for node in "ab")
            lines += [f"baud = {options.baud}", f"device = {{ {devices} }}"]
    for node in options.node_names:
        addresses = ", ".join(
            f'{name} = "{_address(node, LINKS[name])}"' for name in options.links if LINKS[name].family
        )
        lines += ["", f"[node.{node}]", *([f"address = {{ {addresses} }}"] if addresses else [])]
        if options.watchdog:
            lines += [f'watchdog = "{layout.here}/watchdog"', f'watchdog_timeout = "{options.watchdog}"']
            lines.append("watchdog_ioctl = false")
    if options.pings:
        lines += ["", "[ping.gateway]", f'targets = ["{client_address()}"]']
    if options.tls:
        here = layout.here
        lines += ["", "[tls]", f'ca = "{layout.tls}/ca.pem"']
        lines += [f'certificate = "{here}/node.pem"', f'key = "{here}/node.key"']
    if options.fences:
        lines += ["", layout.placed(options.fences)]
    elif options.fencing is not Fencing.NONE:
        for node in options.node_names:
            lines += ["", *_fence_device(options, layout, node)]
    lines += ["", layout.placed(options.groups)] if options.groups else _groups(options, layout)
    return "\n".join([*lines, ""])


def _groups(options: Options, layout: Layout) -> list[str]:
    nodes = ", ".join(f'"{node}"' for node in options.node_names)
    lines = ["", f"[group.{GROUP}]", f"nodes = [{nodes}]"]
    lines.append(f"auto_failback = {'true' if options.auto_failback else 'false'}")
    lines += [
        "",
        f"[[group.{GROUP}.resource]]",
        'kind = "vip"',
        f'address = "{VIP}/24"',
        'interface = "eth0"',
    ]
    if options.service:
        lines += ["", f"[[group.{GROUP}.resource]]", 'kind = "lsb"', 'name = "nginx"']
        lines += [f'script = "{layout.nginx_script}"', 'monitor_interval = "1s"']
    if options.check:
        lines += ["", f"[[group.{GROUP}.resource]]", 'kind = "http"', 'url = "http://127.0.0.1/"']
        lines.append('monitor_interval = "200ms"')
    if options.reserve:
        others = ", ".join(f'"{node}"' for node in reversed(options.node_names))
        lines += ["", f"[group.{SECOND_GROUP}]", f"nodes = [{others}]"]
        lines.append(f"auto_failback = {'true' if options.auto_failback else 'false'}")
        lines += ["", f"[[group.{SECOND_GROUP}.resource]]", 'kind = "vip"', f'address = "{VIP_OF_B}/24"']
        lines.append('interface = "eth0"')
    return lines


def _address(node: str, link: LabLink) -> str:
    return node_address6(node) if link.family == 6 else node_address(node, link.network)


def _fence_device(options: Options, layout: Layout, node: str) -> list[str]:
    lines = [f"[fence.bmc-{node}]", f'node = "{node}"', f'agent = "{_FENCE_AGENTS[options.fencing]}"']
    lines += ['timeout = "3s"', "attempts = 2"]
    if options.fencing is Fencing.IPMI:
        who = f'ip = "{bmc_address(node)}", username = "{BMC_USER}"'
        lines.append(f'options = {{ {who}, password_file = "{layout.bmc_password}" }}')
    return lines


def arbiter_toml(options: Options, layout: Layout, machine: str = ARBITER) -> str:
    if options.enrolled:
        lines = [f'state_dir = "{layout.here}"', "[enroll]", f'addresses = ["{arbiter_address()}"]', ""]
        return "\n".join(lines)
    store = []
    if options.arbiters > 1:
        members = ", ".join(f'"{arbiter_address(name)}:{ETCD_CLIENTS}"' for name in options.arbiter_names)
        store = ['store = "etcd"', "[etcd]", f"endpoints = [{members}]"]
    return "\n".join(
        [
            f'listen = "{arbiter_address(machine)}:{ARBITER_PORT}"',
            f'state_dir = "{layout.here}"',
            *store,
            "",
            f"[cluster.{CLUSTER}]",
            f'key_file = "{layout.key}"',
            "",
        ]
    )


def nginx_script(here: Path) -> str:
    """A service with `start | stop | status` after the LSB's rules: 0 runs, 3 does not (LSB 3.1, 20.2)."""
    return f"""#!/bin/sh
# nginx as one process and one user: without root on the outside there is no other to change to.
home={here}/nginx
mkdir -p "$home"
[ "$1" != start ] || rm -f "$home/broken"  # what a test makes, so that nginx lives and answers errors
cat >"$home/nginx.conf" <<END
user root root;
master_process off;
pid $home/pid;
error_log $home/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path $home/body; proxy_temp_path $home/proxy; fastcgi_temp_path $home/fastcgi;
  uwsgi_temp_path $home/uwsgi; scgi_temp_path $home/scgi;
  server {{ listen 0.0.0.0:80; location / {{
    if (-f $home/broken) {{ return 500; }}
    return 200 "$(hostname)\\n";
  }} }}
}}
END
running() {{ read -r pid <"$home/pid" && kill -0 "$pid"; }} 2>/dev/null
stop() {{
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
  rm -f "$home/pid"
}}
case "$1" in
  start) running || nginx -c "$home/nginx.conf" ;;
  stop) ! running || stop ;;
  status) running || exit 3 ;;
  *) echo "usage: $0 start|stop|status" >&2; exit 2 ;;
esac
"""


def write(options: Options, layout: Layout) -> None:
    """Write all files of a new lab into its (empty) directory."""
    layout.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for directory in (layout.here, layout.directory / "log", layout.directory / "bmc"):
        directory.mkdir()
    for machine in options.machine_names:
        layout.disk(machine).mkdir(parents=True)
    for node in options.node_names:
        (layout.disk(node) / FIRST_BOOT).touch()
    layout.options.write_text(options.to_json())
    for machine in options.arbiter_names:
        layout.arbiter_config_of(machine).write_text(arbiter_toml(options, layout, machine))
    password = secrets.token_hex(BMC_PASSWORD_LENGTH // 2)
    _write_secret(layout.bmc_password, password + "\n")
    if options.ha_dir:
        _write_ha_dir(options, layout, password)
    else:
        layout.config.write_text(hamgr_toml(options, layout))
        for node in options.node_names if options.own_file else ():
            (layout.disk(node) / layout.config.name).write_text(layout.config.read_text())
        if options.daemons:
            _make_key(layout.key, options.key_method)
    if any(LINKS[name].network == WIRE for name in options.links):
        layout.wire.mkdir()
    if options.tls:
        _make_certificates(options, layout)
    layout.nginx_script.write_text(nginx_script(layout.here))
    layout.nginx_script.chmod(0o755)
    for name, text in options.scripts.items():
        script = layout.directory / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(layout.placed(text))
        script.chmod(0o755)
    if options.boot:
        layout.boot_script.write_text(layout.placed(options.boot))


def _write_ha_dir(options: Options, layout: Layout, password: str) -> None:
    layout.ha_dir.mkdir()
    (layout.ha_dir / "ha.cf").write_text(hafiles.ha_cf(options, password))
    (layout.ha_dir / "haresources").write_text(hafiles.haresources(options, layout))
    (layout.ha_dir / "hamgr.toml").write_text(hafiles.more(options, layout))
    _write_secret(layout.ha_dir / "authkeys", hafiles.authkeys())
    if options.nodes > 2:
        layout.hosts.write_text(hafiles.hosts(options))
    layout.key.symlink_to(layout.ha_dir / "authkeys")  # the arbiter takes Heartbeat's file too


def _make_key(path: Path, method: str) -> None:
    _hamgr("key", "new", str(path), *(["--method", method] if method else []))


def _hamgr(*words: str) -> None:
    command = [sys.executable, "-m", "hamgr.cli.main", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"`hamgr {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")


def _make_certificates(options: Options, layout: Layout) -> None:
    """An authority, and a certificate for each node on its own disk, as docs/keys.md shows it."""
    _hamgr("tls", "ca", str(layout.tls))
    for node in options.node_names:
        _hamgr("tls", "issue", str(layout.tls), node)
        for file in ("pem", "key"):
            (layout.tls / f"{node}.{file}").rename(layout.disk(node) / f"node.{file}")


def _write_secret(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
