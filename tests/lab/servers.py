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
running() { read -r pid <"$pidfile" && kill -0 "$pid"; } 2>/dev/null
stop() {
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
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
