"""Init scripts of real servers, with `start`, `stop` and `status` after the LSB's rules."""

from __future__ import annotations

import shutil
import sys

import pytest

from hamgr.lab.namespaces import search_path
from hamgr.lab.plan import NODE_NAMES, VIP, node_address

WEB_PORT = 8080


def needs(*programs: tuple[str, str]) -> None:
    """Skip the test, by name, when one of the (program, package) is not there."""
    path = search_path(sys.executable)
    missing = [f"{program} ({package})" for program, package in programs if not shutil.which(program, path=path)]
    if missing:
        pytest.skip(f"missing {', '.join(missing)}")


LSB = """
# The file may be of the last boot, and its number another process's.
running() { read -r pid <"$pidfile" && [ "$(cat /proc/$pid/comm)" = "$program" ]; } 2>/dev/null
stop() {
  kill "$pid"
  while running; do sleep 0.02; done
  rm -f "$pidfile"
}
case "$1" in
  start) running || start ;;
  stop) ! running || stop ;;
  status) running || exit 3 ;;
  *) echo "usage: $0 start|stop|status" >&2; exit 2 ;;
esac
"""

WEB = (
    f"""#!/bin/sh
# nginx on port {WEB_PORT}, which says on which machine it runs.
program=nginx
home=@HERE@/web
pidfile=$home/pid
start() {{
  mkdir -p "$home"
  cat >"$home/nginx.conf" <<END
user root root;
master_process off;
pid $pidfile;
error_log $home/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path $home/body; proxy_temp_path $home/proxy; fastcgi_temp_path $home/fastcgi;
  uwsgi_temp_path $home/uwsgi; scgi_temp_path $home/scgi;
  server {{ listen 0.0.0.0:{WEB_PORT}; location / {{ return 200 "$(hostname)\\n"; }} }}
}}
END
  nginx -c "$home/nginx.conf"
}}
"""
    + LSB
)

_BACKENDS = "\n".join(
    f"  server {node} {node_address(node, 'lan')}:{WEB_PORT} check inter 200ms fall 2 rise 1" for node in NODE_NAMES[:2]
)

HAPROXY = (
    f"""#!/bin/sh
# haproxy on the shared address, in front of a web server on each node.
program=haproxy
home=@HERE@/haproxy
pidfile=$home/pid
start() {{
  mkdir -p "$home"
  cat >"$home/haproxy.cfg" <<END
global
  maxconn 1000
  hard-stop-after 1s
defaults
  mode http
  timeout connect 300ms
  timeout client 5s
  timeout server 2s
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response response-timeout
frontend public
  bind {VIP}:80
  default_backend web
backend web
{_BACKENDS}
END
  haproxy -D -p "$pidfile" -f "$home/haproxy.cfg"
}}
"""
    + LSB
)

SCHEMA = """
CREATE DATABASE IF NOT EXISTS lab;
CREATE TABLE IF NOT EXISTS lab.written (id BIGINT AUTO_INCREMENT PRIMARY KEY, number BIGINT NOT NULL,
  attempt BIGINT NOT NULL, UNIQUE KEY once (number, attempt)) ENGINE=InnoDB;
CREATE USER IF NOT EXISTS writer@'%' IDENTIFIED BY 'written';
GRANT ALL ON lab.* TO writer@'%';
"""

MARIADB = """#!/bin/sh
# MariaDB with its data on the shared disk; what it needs while it runs is on the machine's own.
program=mariadbd
home=@HERE@/mariadb
data=@HERE@/mnt/mysql
pidfile=$home/pid
answers() { mariadb --no-defaults --socket="$home/sock" --execute="SELECT 1"; } >/dev/null 2>&1
start() {
  mkdir -p "$home/tmp"
  rm -f "$pidfile"
  if ! [ -d "$data" ]; then
    rm -rf "$data.new"
    mariadb-install-db --no-defaults --user=root --datadir="$data.new" --skip-test-db >"$home/install" || exit 1
    sync -f "$data.new"
    mv "$data.new" "$data"
  fi
  mariadbd --no-defaults --user=root --datadir="$data" --tmpdir="$home/tmp" --socket="$home/sock" \\
    --pid-file="$pidfile" --init-file=@LAB@/schema.sql --log-error="$home/error.log" --bind-address=0.0.0.0 \\
    --skip-name-resolve --innodb-flush-log-at-trx-commit=1 --innodb-buffer-pool-size=8M --innodb-log-file-size=8M \\
    --key-buffer-size=1M --aria-pagecache-buffer-size=1M --performance-schema=off &
  child=$!
  until answers; do
    kill -0 $child || { tail -3 "$home/error.log" >&2; exit 1; }
    sleep 0.05
  done
}
""" + LSB.replace("running || exit 3", "running || exit 3; answers || exit 1")


def mounted(group: str) -> str:
    """The shared disk, as a resource of a group."""
    return f"""
[[group.{group}.resource]]
kind = "filesystem"
device = "@DISK@"
directory = "@HERE@/mnt"
fstype = "ext4"
monitor_interval = "500ms"
"""


MOUNT_POINT = "mkdir -p $HERE/mnt"
"""What each boot needs before `mounted` can be started."""

GANESHA = """#!/bin/sh
# NFSv4 in user space: exports a directory of the shared disk, where it also remembers its clients.
program=ganesha.nfsd
home=@HERE@/ganesha
shared=@HERE@/mnt
pidfile=$home/pid
start() {
  mkdir -p "$home" "$shared/export" "$shared/clients"
  rm -f "$pidfile"
  cat >"$home/ganesha.conf" <<END
NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Grace_Period = 2; Lease_Lifetime = 2; RecoveryBackend = fs; RecoveryRoot = $shared/clients; }
EXPORT {
  Export_Id = 1; Path = $shared/export; Pseudo = /export; Protocols = 4; Transports = TCP;
  Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL { Name = VFS; }
}
END
  ganesha.nfsd -f "$home/ganesha.conf" -L "$home/log" -p "$pidfile" -N NIV_EVENT || exit 1
  until grep -qs "NFS SERVER INITIALIZED" "$home/log" && running; do
    ! grep -qs :FATAL: "$home/log" || { tail -3 "$home/log" >&2; exit 1; }
    sleep 0.05
  done
}
""" + LSB.replace("start) running || start", 'start) running || { rm -f "$home/log"; start; }')
