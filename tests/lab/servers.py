"""Real servers: init scripts with `start`, `stop` and `status` after the LSB's rules, and what they read."""

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


def web(name: str, listen: str = f"0.0.0.0:{WEB_PORT}") -> str:
    """The script of one of several web servers: each knows its own process, and no other."""
    return WEB.replace("@HERE@/web", f"@HERE@/{name}").replace(f"0.0.0.0:{WEB_PORT}", listen)


_BACKENDS = "\n".join(
    f"  server {node} {node_address(node, 'lan')}:{WEB_PORT} check inter 200ms fall 2 rise 1" for node in NODE_NAMES[:2]
)

HAPROXY_CONFIG = f"""
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
frontend health
  bind 127.0.0.1:8404
  monitor-uri /health
frontend public
  bind :80
  default_backend web
backend web
{_BACKENDS}
"""

HAPROXY = (
    """#!/bin/sh
# haproxy in front of a web server on each node.
program=haproxy
home=@HERE@/haproxy
pidfile=$home/pid
start() {
  mkdir -p "$home"
  haproxy -D -p "$pidfile" -f @LAB@/haproxy.cfg
}
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


DATABASE = f"""
[group.db]
nodes = ["a", "b"]
auto_failback = false
restarts = 0
failure_timeout = "1s"
[[group.db.resource]]
kind = "vip"
address = "{VIP}/24"
interface = "eth0"
{mounted("db")}[[group.db.resource]]
kind = "lsb"
name = "mariadb"
script = "@LAB@/mariadb"
monitor_interval = "300ms"
start_timeout = "60s"
"""

DATABASE_FILES = {"mariadb": MARIADB, "schema.sql": SCHEMA}

# Without a grace: libnfs's clients hold no locks to claim back, and Ganesha 4.3 sometimes goes on with it for 40 s,
# with 2 s configured, while new clients keep trying to create files.
GANESHA = """
NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { RecoveryBackend = fs; RecoveryRoot = @HERE@/mnt/clients; Lease_Lifetime = 2; Graceless = true; }
EXPORT {
  Export_Id = 1; Path = @HERE@/mnt/export; Pseudo = /export; Protocols = 4; Transports = TCP;
  Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL { Name = VFS; }
}
"""
