"""Health checks of a service: it runs while it answers, by TCP, HTTP or a command; something else starts and stops it.

Put behind the service in its group: the group is started when the service answers, and fails when it no longer does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import http.client
import socket
import ssl
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from hamgr.config.model import ResourceConfig
from hamgr.resources.command import environment, words
from hamgr.resources.program import run
from hamgr.resources.resource import ResourceError, ResourceStatus

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between two questions while the service comes up."""

CONNECT_TIMEOUT = 5.0
"""Seconds for one question; the monitor's own time-out is beside it."""

MOST_THREADS = 64
"""HTTP checks at a time; a thread is made when it is needed."""

PATIENCE_SHARE = 0.9
"""Of the start time-out: so that the reason is told, and not only that the time was up."""

BODY = 65536
"""Bytes of an answer that are looked at."""

GOOD = range(200, 400)
"""Status codes that say that the service works (RFC 9110, 15)."""


class Service(Protocol):
    """What a check looks at. host: its address, "" if it has none; where: its name in messages."""

    @property
    def where(self) -> str: ...

    @property
    def host(self) -> str: ...

    async def ask(self) -> str:
        """Why the service does not answer as it should; "" when it does."""


class Tcp:
    """Options: address, port. The service runs while it takes connections."""

    def __init__(self, config: ResourceConfig) -> None:
        self._address = str(config.options["address"])
        self._port = int(str(config.options["port"]))

    async def ask(self) -> str:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, writer = await asyncio.open_connection(self._address, self._port)
        except (OSError, TimeoutError) as error:
            return _why(error)
        writer.close()
        return ""

    @property
    def where(self) -> str:
        return f"{self._address} port {self._port}"

    @property
    def host(self) -> str:
        return self._address


class Http:
    """Options: url, contains (a text that must be in the answer), host (the name of the site), verify, ca."""

    def __init__(self, config: ResourceConfig) -> None:
        self._url = str(config.options["url"])
        self._contains = str(config.options.get("contains", ""))
        parts = urllib.parse.urlsplit(self._url)
        assert parts.hostname is not None
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (443 if self._secure else 80)
        self._path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._site = str(config.options.get("host", ""))
        self._verify = config.options.get("verify", True) is True
        self._ca = str(config.options.get("ca", ""))

    async def ask(self) -> str:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT)
        sockets: list[socket.socket] = []
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await asyncio.get_running_loop().run_in_executor(_threads(), self._get, connection, sockets)
        except TimeoutError as error:
            return _why(error)
        finally:
            # A server that sends a byte now and then would hold the thread for hours.
            for one in sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _get(self, connection: http.client.HTTPConnection, sockets: list[socket.socket]) -> str:
        """sockets: is told those of the connection, as they come."""
        headers = {"User-Agent": "hamgr", "Connection": "close"}
        if self._site:
            headers["Host"] = self._site
        try:
            connection.connect()
            sockets.append(connection.sock)
            if self._secure:
                connection.sock = self._context().wrap_socket(connection.sock, server_hostname=self._site or self._host)
                sockets.append(connection.sock)
            connection.request("GET", self._path, headers=headers)
            response = connection.getresponse()
            body = response.read(BODY)
        except (OSError, http.client.HTTPException) as error:
            return _why(error)
        finally:
            connection.close()
        if response.status not in GOOD:
            return f"it answers {response.status} {response.reason}"
        if self._contains.encode() not in body:
            return f"its answer has no {self._contains!r} in it"
        return ""

    def _context(self) -> ssl.SSLContext:
        """Made anew each time: certificates are renewed."""
        context = ssl.create_default_context(cafile=self._ca or None)
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    @property
    def where(self) -> str:
        return self._url

    @property
    def host(self) -> str:
        return self._host


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Of their own: many services that hang together keep no other work waiting."""
    return ThreadPoolExecutor(MOST_THREADS, "check")


class Asked:
    """Options: command, environment. The service runs while the command ends with 0."""

    host = ""

    def __init__(self, config: ResourceConfig) -> None:
        self._command = words(config, "command")
        self._environment = environment(config)

    async def ask(self) -> str:
        finished = await run(self._command, self._environment)
        return "" if finished.code == 0 else str(finished)

    @property
    def where(self) -> str:
        return " ".join(self._command)


class Check:
    """A resource that only looks. What answers at an address of another machine is not our service."""

    def __init__(self, service: Service, patience: float) -> None:
        """patience: seconds for which a start waits for the first good answer."""
        self._service = service
        self._patience = patience
        self.looks_at = service.where
        self.reason = ""

    async def prepare(self) -> None:
        return

    async def start(self) -> None:
        """Wait until it answers."""
        clock = asyncio.get_running_loop().time
        until, pause = clock() + self._patience, FIRST_PAUSE
        while problem := await self._problem():
            if clock() + pause >= until:
                raise ResourceError(f"{self._service.where}: {problem}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _problem(self) -> str:
        if self._service.host and not _is_here(self._service.host):
            return "the address is not on this machine"
        return await self._service.ask()

    async def stop(self) -> None:
        """Nothing: what it looks at is stopped by the resources before it."""

    async def status(self) -> ResourceStatus:
        """Never FAILED: what is half up is told by the resource that it looks at."""
        self.reason = await self._problem()
        return ResourceStatus.STOPPED if self.reason else ResourceStatus.RUNNING

    async def close(self) -> None:
        return


def _is_here(address: str) -> bool:
    """Only an assigned address can be bound (ip(7): EADDRNOTAVAIL)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {CONNECT_TIMEOUT:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
