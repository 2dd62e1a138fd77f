"""fence_hamgr_ipmi: switches a machine through its BMC over IPMI 2.0 (RMCP+), and reads the result back.

The option names are those of fence_ipmilan, so that a configuration can change agents.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from pyipmi.interfaces.rmcpplus import CIPHER_SUITES, RmcpPlus, SessionKeys, aes_available
from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
)

from fence_agents.agent import Agent, FenceError, OutcomeUnknown, Power, UsageError, run_from_process
from fence_agents.options import Action, Option, OptionKind

BMC_ADDRESS = 0x20
"""The BMC's address on its own bus (IPMI 2.0, 5.5)."""

RESEND_AFTER = 0.5
"""Seconds without an answer until a request is sent again: UDP loses packets."""

ORDER_ATTEMPTS = 3
"""How often a power order is given when the BMC refuses it, for instance because it is busy."""

FIRST_POLL, SLOWEST_POLL = 0.01, 0.25
"""Seconds between two readings of the power state while it is awaited."""

_LOST = (IpmiConnectionError, IpmiTimeoutError, RetryError, DecodingError, OSError)
_REFUSED = (AuthenticationError, IpmiLongPasswordError, MessageStatusCodeError, NotSupportedError)


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
    """The BMC answered a command with an error (IPMI completion code)."""


class _RmcpPlusWithoutPing(RmcpPlus):  # type: ignore[misc]
    """IPMI 2.0 sessions that don't begin with the RMCP presence ping, which some BMCs never answer.

    Nothing is lost: the next request, for the authentication capabilities, finds a silent BMC just as well.
    """

    def ping(self) -> None:
        """Nothing to ask."""


def _resends(budget: float) -> int:
    return max(0, round(budget / RESEND_AFTER) - 1)


class Bmc:
    """A BMC at the other end of the network. Every method opens its own session; all raise FenceError."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._where = f"BMC {values['ip']}:{values['ipport']}"
        self._ip, self._port = values["ip"], int(values["ipport"])
        self._username, self._password = values["username"], values["password"]
        self._privilege = values["privlvl"]
        # fence_ipmilan's 0 means "the tool's own choice"; suite 0 itself (no authentication) is never used.
        suite = int(values["cipher"])
        if suite and suite not in CIPHER_SUITES:
            allowed = ", ".join(str(number) for number in (0, *sorted(CIPHER_SUITES)))
            raise UsageError(f"option cipher: found {suite}; allowed: {allowed}")
        self._cipher_suite = suite or None
        self._login_timeout = float(values["login_timeout"])
        self._shell_timeout = float(values["shell_timeout"])
        self._power_timeout = float(values["power_timeout"])
        self._power_wait = float(values["power_wait"])

    def status(self) -> Power:
        with self._session() as session:
            return self._read(session)

    def monitor(self) -> None:
        self.status()

    def on(self) -> None:
        self._switch(Power.ON)

    def off(self) -> None:
        self._switch(Power.OFF)

    def _switch(self, wanted: Power) -> None:
        deadline = time.monotonic() + self._power_timeout
        try:
            refusal = self._order(wanted, deadline)
        except OutcomeUnknown as unknown:
            # An order whose answer was lost may have been obeyed, or may be later: the device itself must say.
            power = self._poll(wanted, self._status_if_known, deadline)
            if power is not wanted:
                raise OutcomeUnknown(f"{unknown}; {_last_said(power)}") from None
            return
        if refusal:
            raise FenceError(refusal)

    def _order(self, wanted: Power, deadline: float) -> str:
        """Give the order and wait for it to take effect: "" or why not. Raises OutcomeUnknown after a loss."""
        with self._session() as session:
            refusal = ""
            try:
                try:
                    self._command(session, wanted)
                except OrderRefused as error:
                    # Not the end: some BMCs refuse to switch off what is off already.
                    refusal = f"; {error}"
                time.sleep(self._power_wait)
                deadline = time.monotonic() if refusal else deadline
                power = self._poll(wanted, lambda: self._read_if_known(session), deadline)
            except ConnectionLost as error:
                raise OutcomeUnknown(f"told to go {wanted.value}, then {error}") from None
        if power is wanted:
            return ""
        if power is None:
            raise OutcomeUnknown(f"{self._where}: told to go {wanted.value}, then gave no power state")
        waited = "" if refusal else f" after {self._power_timeout:g} s"
        return f"{self._where}: told to go {wanted.value}, still reads {power.value}{waited}{refusal}"

    def _command(self, session: Any, wanted: Power) -> None:
        orders = {Power.ON: session.chassis_control_power_up, Power.OFF: session.chassis_control_power_down}
        Retrying(
            retry=retry_if_exception_type(OrderRefused),
            stop=stop_after_attempt(ORDER_ATTEMPTS),
            wait=wait_exponential(multiplier=FIRST_POLL, max=SLOWEST_POLL),
            reraise=True,
        )(self._ask, orders[wanted])

    def _poll(self, wanted: Power, read: Callable[[], Power | None], deadline: float) -> Power | None:
        """The power state as soon as it is the wanted one, else the last that was read. None: never answered."""
        last: Power | None = None

        def look() -> Power | None:
            nonlocal last
            last = read() or last
            return last

        return Retrying(
            retry=retry_if_result(lambda power: power is not wanted),
            stop=stop_after_delay(max(0.0, deadline - time.monotonic())),
            wait=wait_exponential(multiplier=FIRST_POLL, max=SLOWEST_POLL),
            retry_error_callback=lambda _state: last,
        )(look)

    def _status_if_known(self) -> Power | None:
        try:
            return self.status()
        except FenceError:
            return None

    def _read_if_known(self, session: Any) -> Power | None:
        """As `_read`, None if the BMC refuses just now; a lost connection still raises ConnectionLost."""
        try:
            return self._read(session)
        except OrderRefused:
            return None

    def _read(self, session: Any) -> Power:
        status = self._ask(session.get_chassis_status)
        return Power.ON if status.power_on else Power.OFF

    def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except CompletionCodeError as error:
            raise OrderRefused(f"{self._where} refused: {error.cc_desc} (code {error.cc:#04x})") from None
        except _LOST as error:
            raise ConnectionLost(f"{self._where} stopped answering ({type(error).__name__})") from None
        except AuthenticationError:
            raise ConnectionLost(f"{self._where} answered with a broken signature") from None

    @contextmanager
    def _session(self) -> Iterator[Any]:
        interface = _RmcpPlusWithoutPing(
            cipher_suite=self._cipher_suite, keep_alive_interval=0, max_retries=_resends(self._login_timeout)
        )
        connection = pyipmi.create_connection(interface)
        connection.session.set_session_type_rmcp(self._ip, self._port)
        connection.session.set_auth_type_user(self._username, self._password)
        connection.session.set_priv_level(self._privilege)
        connection.target = pyipmi.Target(ipmb_address=BMC_ADDRESS)
        try:
            self._log_in(interface, connection.session)
            interface.max_retries = _resends(self._shell_timeout)
            yield connection
            self._log_out(interface, connection.session)
        finally:
            interface.close()

    def _log_in(self, interface: Any, session: Any) -> None:
        try:
            interface.open()
            interface.set_timeout(RESEND_AFTER)
            session.establish()
        except _REFUSED as error:
            raise LoginRefused(f"{self._where} refused the login of {self._username!r}: {error}") from None
        except CompletionCodeError as error:
            raise LoginRefused(
                f"{self._where} refused the login of {self._username!r}: {error.cc_desc} (code {error.cc:#04x})"
            ) from None
        except _LOST as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
            raise ConnectionLost(
                f"{self._where} cannot be reached: {reason} within {self._login_timeout:g} s"
            ) from None

    def _log_out(self, interface: Any, session: Any) -> None:
        """Give the BMC its session slot back. A BMC that is gone by now frees it itself (IPMI 2.0, 6.12.15)."""
        interface.max_retries = 0
        try:
            session.close()
        except (*_LOST, CompletionCodeError, AuthenticationError):
            return


def _last_said(power: Power | None) -> str:
    return "no power state could be read since" if power is None else f"it last read {power.value}"


_CIPHERS = "17 (SHA-256), where the BMC refuses it 3 (SHA-1)"

AGENT = Agent(
    name="fence_hamgr_ipmi",
    shortdesc="Fences a machine through its BMC over IPMI 2.0",
    longdesc=(
        "Switches a machine's power through its BMC (iDRAC, iLO, XCC, iRMC, any other with IPMI 2.0 over LAN). off "
        "succeeds only when the BMC's power state then reads off. When the BMC stops answering after the order, the "
        "outcome is unknown and the action fails. The options are named as those of fence_ipmilan. A password is "
        "taken from stdin, from password_file, or from the environment (FENCE_PASSWORD), never from the command line."
    ),
    options=(
        Option(
            "ip",
            OptionKind.STRING,
            "Host name or IPv4 address of the BMC",
            ("-a", "--ip"),
            required=True,
            aliases=("ipaddr",),
        ),
        Option(
            "ipport",
            OptionKind.INTEGER,
            "UDP port of the BMC",
            ("-u", "--ipport"),
            default="623",
            lowest=1,
            highest=65535,
        ),
        Option(
            "username",
            OptionKind.STRING,
            "Login name on the BMC",
            ("-l", "--username"),
            required=True,
            aliases=("login",),
        ),
        Option(
            "password",
            OptionKind.STRING,
            "Password on the BMC, at most 20 bytes; not as a flag",
            required=True,
            aliases=("passwd",),
            secret=True,
        ),
        Option("password_file", OptionKind.STRING, "File whose first line is the password", ("--password-file",)),
        Option(
            "lanplus",
            OptionKind.BOOLEAN,
            "Accepted for fence_ipmilan's sake: IPMI 2.0 is always used",
            ("-P", "--lanplus"),
            default="1",
        ),
        Option(
            "cipher",
            OptionKind.INTEGER,
            f"Cipher suite: 1, 2, 3, 15, 16 or 17; 0 tries {_CIPHERS}",
            ("-C", "--cipher"),
            default="0",
            highest=17,
        ),
        Option(
            "privlvl",
            OptionKind.SELECT,
            "Privilege level asked for",
            ("-L", "--privlvl"),
            default="administrator",
            choices=("operator", "administrator"),
        ),
        Option(
            "login_timeout",
            OptionKind.SECOND,
            "Seconds for the BMC to answer a step of the login",
            ("--login-timeout",),
            default="2",
        ),
        Option(
            "shell_timeout",
            OptionKind.SECOND,
            "Seconds for the BMC to answer a command",
            ("--shell-timeout",),
            default="2",
        ),
        Option(
            "power_timeout",
            OptionKind.SECOND,
            "Seconds for the power state to become what was ordered",
            ("--power-timeout",),
            default="10",
        ),
        Option(
            "power_wait",
            OptionKind.SECOND,
            "Seconds to wait after an order before the first reading",
            ("--power-wait",),
            default="0",
        ),
    ),
    actions=tuple(Action),
    open=Bmc,
)


def main() -> int:
    return run_from_process(AGENT)
