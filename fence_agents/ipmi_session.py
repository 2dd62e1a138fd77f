"""Sessions with a BMC over LAN, of IPMI 2.0 or 1.5, whose every failure says whether we were let in.

pyipmi does the protocol. Three things are added to it: IPv6; no RMCP presence ping, which some BMCs never answer; and
with IPMI 1.5 only answers with a valid signature count, because a forged "is off" would be believed.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyipmi
from pyipmi.errors import (
    AuthenticationError,
    CompletionCodeError,
    DecodingError,
    IpmiConnectionError,
    IpmiLongPasswordError,
    IpmiTimeoutError,
    MessageStatusCodeError,
    NotSupportedError,
    RetryError,
)
from pyipmi.interfaces.rmcp import RMCP_CLASS_IPMI, IpmiMsg, Rmcp
from pyipmi.interfaces.rmcpplus import CIPHER_SUITES, RmcpPlus, SessionKeys, aes_available
from pyipmi.session import Session

from fence_agents.agent import FenceError

BMC_ADDRESS = 0x20
"""The BMC's address on its own bus (IPMI 2.0, 5.5)."""

RESEND_AFTER = 0.5
"""Seconds without an answer until a request is sent again: UDP loses packets."""

LONGEST_PASSWORD_1_5, LONGEST_PASSWORD_2_0 = 16, 20
"""Bytes (IPMI 2.0, 22.30)."""

_MANGLED = (DecodingError, struct.error, IndexError)
"""What pyipmi raises at a packet that is none of IPMI."""
_LOST = (IpmiConnectionError, IpmiTimeoutError, RetryError, OSError, *_MANGLED)
_REFUSED = (AuthenticationError, IpmiLongPasswordError, MessageStatusCodeError, NotSupportedError)

AUTHENTICATIONS = {"md5": Session.AUTH_TYPE_MD5, "password": Session.AUTH_TYPE_PASSWORD}
"""Of IPMI 1.5, as fence_ipmilan names them. "none" and MD2 are not for fencing."""
_CAPABILITIES = {"md5": "md5", "password": "straight"}


def _warm_up() -> None:
    """Load what pyipmi and OpenSSL load at their first encryption, so that a warm process has it before its fork."""
    if aes_available():
        keys = SessionKeys(CIPHER_SUITES[3], bytes(20))
        keys.decrypt(keys.encrypt(b"warm"))


_warm_up()


class LoginRefused(FenceError):
    """The BMC answers and does not let us in: another try would be refused too."""


class ConnectionLost(FenceError):
    """The BMC does not answer, or not any more."""


class OrderRefused(FenceError):
    """The BMC answered a command with an error: an IPMI completion code."""


@dataclass(frozen=True, slots=True)
class Login:
    """Whom to talk to, and how. version_2: IPMI 2.0, else 1.5. suite None: pyipmi's choice. kg None: not used.

    timeout: seconds for a step of the login; shell_timeout: for a command.
    """

    host: str
    port: int
    username: str
    password: str
    privilege: str
    version_2: bool
    suite: int | None
    kg: bytes | None
    authentication: str
    timeout: float
    shell_timeout: float

    @property
    def bmc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"BMC {host}:{self.port}"


class _Lan:
    """What both versions need of the network. `host` may be of any family."""

    _sock: socket.socket

    def open_to(self, host: str, port: int) -> None:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][0]
        self._sock = socket.socket(family, socket.SOCK_DGRAM)

    answered = False
    """Whether anything answers there."""

    def ping(self) -> None:
        """Nothing to ask: the next request, for the authentication capabilities, finds a silent BMC just as well."""

    def _get_channel_auth_cap(self, session: Any) -> Any:
        capabilities = super()._get_channel_auth_cap(session)  # type: ignore[misc]
        self.answered = True
        return capabilities


class _Lan20(_Lan, RmcpPlus):  # type: ignore[misc]
    """IPMI 2.0 (RMCP+): pyipmi checks every answer's signature."""


class _Lan15(_Lan, Rmcp):  # type: ignore[misc]
    """IPMI 1.5, with one authentication type and no other."""

    _session: Any
    _timeout: float

    def __init__(self, authentication: str, **more: Any) -> None:
        super().__init__(**more)
        self._authentication = authentication
        self._seen: set[bytes] = set()
        self.unsigned = False

    def _get_channel_auth_cap(self, session: Any) -> Any:
        capabilities = super()._get_channel_auth_cap(session)
        wanted = _CAPABILITIES[self._authentication]
        if wanted not in capabilities.auth_types:
            offered = ", ".join(capabilities.auth_types) or "nothing"
            raise NotSupportedError(f"it offers the authentication {offered}, and not {wanted}; see the option auth")
        # pyipmi would take the strongest on offer, but who answers here has proved nothing yet.
        capabilities.auth_types = [wanted]
        return capabilities

    def _activate_session(self, session: Any, challenge: bytes) -> Any:
        try:
            return super()._activate_session(session, challenge)
        except RetryError:
            # It answered until now: BMCs keep silent when the signature is wrong.
            raise AuthenticationError("no answer to the login itself (wrong password?)") from None

    def _receive_ipmi_msg(self, ignore_sdu_length: bool = False) -> bytes:
        session = self._session
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                _, kind, packet = self._receive_rmcp_msg()
                data: bytes = IpmiMsg(ignore_sdu_length=ignore_sdu_length).unpack(packet) or b""
                if kind == RMCP_CLASS_IPMI and (not session or not session.activated or self._is_signed(packet, data)):
                    return data
            except _MANGLED:
                pass  # not from the BMC, or broken on its way: the right one may still come
            if time.monotonic() >= deadline:
                raise TimeoutError

    def _is_signed(self, packet: bytes, data: bytes) -> bool:
        """Whether the BMC signed this, and only now: IPMI 2.0, 13.6 (session header), 22.17.1 (MD5)."""
        kind, sequence, identity, signature = packet[0], packet[1:5], packet[5:9], packet[9:25]
        if kind == Session.AUTH_TYPE_NONE:
            self.unsigned = True
            return False
        secret = self._session.auth_password_bytes.ljust(LONGEST_PASSWORD_1_5, b"\0")
        if kind == Session.AUTH_TYPE_MD5:
            expected = hashlib.md5(secret + identity + data + sequence + secret).digest()
        else:
            expected = secret
        ours = (
            kind == AUTHENTICATIONS[self._authentication]
            and identity == struct.pack("<I", self._session.sid)
            and hmac.compare_digest(expected, signature)
        )
        if not ours or sequence in self._seen:
            return False
        self._seen.add(sequence)
        return True


def _resends(budget: float) -> int:
    return max(0, round(budget / RESEND_AFTER) - 1)


@contextmanager
def session(login: Login) -> Iterator[Any]:
    """A pyipmi connection with an open session. Raises LoginRefused or ConnectionLost."""
    connection = _logged_in(login)
    try:
        connection.interface.max_retries = _resends(login.shell_timeout)
        yield connection
        _log_out(connection)
    finally:
        connection.interface.close()


def _logged_in(login: Login) -> Any:
    """A login whose packets were lost is begun anew, once: some BMCs don't answer a repeated step of it."""
    for last in (False, True):
        connection = _connection(login)
        try:
            _log_in(login, connection)
        except FenceError as error:
            connection.interface.close()
            if last or not connection.interface.answered or not isinstance(error, ConnectionLost):
                raise
        else:
            return connection
    raise AssertionError("the last try returns or raises")


def _connection(login: Login) -> Any:
    more = {"keep_alive_interval": 0, "max_retries": _resends(login.timeout)}
    connection = pyipmi.create_connection(
        _Lan20(cipher_suite=login.suite, kg=login.kg, **more)
        if login.version_2
        else _Lan15(login.authentication, **more)
    )
    connection.session.set_session_type_rmcp(login.host, login.port)
    connection.session.set_auth_type_user(login.username, login.password)
    connection.session.set_priv_level(login.privilege)
    connection.target = pyipmi.Target(ipmb_address=BMC_ADDRESS)
    return connection


def ask(login: Login, request: Callable[[], Any]) -> Any:
    """What the BMC answers to one request of a session. Raises OrderRefused or ConnectionLost."""
    try:
        return request()
    except CompletionCodeError as error:
        raise OrderRefused(f"{login.bmc} refused: {error.cc_desc} (code {error.cc:#04x})") from None
    except _LOST as error:
        raise ConnectionLost(f"{login.bmc} stopped answering ({type(error).__name__})") from None
    except AuthenticationError:
        raise ConnectionLost(f"{login.bmc} answered with a broken signature") from None


def _log_in(login: Login, connection: Any) -> None:
    refused = f"{login.bmc} refused the login of {login.username!r}"
    interface = connection.interface
    try:
        interface.open_to(login.host, login.port)
        interface.set_timeout(RESEND_AFTER)
        connection.session.establish()
    except _REFUSED as error:
        raise LoginRefused(f"{refused}: {error}") from None
    except CompletionCodeError as error:
        raise LoginRefused(f"{refused}: {error.cc_desc} (code {error.cc:#04x})") from None
    except _LOST as error:
        if getattr(interface, "unsigned", False):
            raise LoginRefused(f"{refused}: it does not sign its answers; turn per-message authentication on") from None
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
        raise ConnectionLost(f"{login.bmc} cannot be reached: {reason} within {login.timeout:g} s") from None


def _log_out(connection: Any) -> None:
    """Give the BMC its session slot back. A BMC that is gone by now frees it itself (IPMI 2.0, 6.12.15)."""
    connection.interface.max_retries = 0
    try:
        connection.session.close()
    except (*_LOST, CompletionCodeError, AuthenticationError):
        return
