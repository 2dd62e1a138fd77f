"""fence_hamgr_ipmi: switches a machine through its BMC over IPMI 2.0 or 1.5, and reads the result back.

The option names are those of fence_ipmilan, so that a configuration can change agents. Only hard power orders are
given: a soft shutdown asks the operating system, which may be what hangs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pyipmi.interfaces.rmcpplus import CIPHER_SUITES
from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
)

from fence_agents.agent import (
    Agent,
    FenceError,
    OutcomeUnknown,
    Power,
    UsageError,
    Warn,
    off_then_on,
    run_from_process,
)
from fence_agents.ipmi_session import (
    AUTHENTICATIONS,
    LONGEST_PASSWORD_1_5,
    LONGEST_PASSWORD_2_0,
    ConnectionLost,
    Login,
    OrderRefused,
    ask,
    session,
)
from fence_agents.options import Action, Option, OptionKind, is_true

ORDER_ATTEMPTS = 3
"""How often a power order is given when the BMC refuses it, for instance because it is busy."""

FIRST_POLL, SLOWEST_POLL = 0.01, 0.25
"""Seconds between two readings of the power state while it is awaited. A cycle is off for a second (IPMI 2.0, 28.3)."""


def _login(values: Mapping[str, str]) -> Login:
    version_2 = is_true(values["lanplus"])
    # fence_ipmilan's 0 means "the tool's own choice"; suite 0 itself (no authentication) is never used.
    suite = int(values["cipher"])
    if suite and suite not in CIPHER_SUITES:
        allowed = ", ".join(str(number) for number in (0, *sorted(CIPHER_SUITES)))
        raise UsageError(f"option cipher: found {suite}; allowed: {allowed}")
    longest = LONGEST_PASSWORD_2_0 if version_2 else LONGEST_PASSWORD_1_5
    if len(values["password"].encode()) > longest:
        version = "2.0" if version_2 else "1.5 (lanplus=0)"
        raise UsageError(f"option password: found not shown; allowed: up to {longest} bytes with IPMI {version}")
    try:
        kg = bytes.fromhex(values.get("hexadecimal_kg", "").removeprefix("0x"))
    except ValueError:
        raise UsageError("option hexadecimal_kg: found not shown; allowed: hexadecimal digits") from None
    return Login(
        host=values["ip"].removeprefix("[").removesuffix("]"),
        port=int(values["ipport"]),
        username=values["username"],
        password=values["password"],
        privilege=values["privlvl"],
        version_2=version_2,
        suite=suite or None,
        kg=kg or None,
        authentication=values["auth"],
        timeout=float(values["login_timeout"]),
        shell_timeout=float(values["shell_timeout"]),
    )


class Bmc:
    """A BMC at the other end of the network. Every method opens its own session; all raise FenceError."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._login = _login(values)
        self._where = self._login.bmc
        self._method = values["method"]
        self._power_timeout = float(values["power_timeout"])
        self._power_wait = float(values["power_wait"])

    def status(self) -> Power:
        with session(self._login) as open_session:
            return self._read(open_session)

    def monitor(self) -> None:
        self.status()

    def on(self) -> None:
        self._switch(Power.ON)

    def off(self) -> str:
        self._switch(Power.OFF)
        return "read back"

    def reboot(self, warn: Warn) -> str:
        if self._method == "cycle":
            return self._cycle(warn)
        return off_then_on(self, warn)

    def _cycle(self, warn: Warn) -> str:
        """One order instead of two. It counts when the machine was seen off in between, for then its life has ended."""
        deadline = time.monotonic() + self._power_timeout
        told = seen_off = False
        try:
            with session(self._login) as bmc:
                # A machine that is off can't be cycled (IPMI 2.0, 28.3); its former life has ended already.
                if self._read(bmc) is Power.OFF:
                    self._command(bmc.chassis_control_power_up)
                else:
                    told = True
                    self._command(bmc.chassis_control_power_cycle)
                    power = self._poll(Power.OFF, lambda: self._read_if_known(bmc), deadline)
                    if power is not Power.OFF:
                        raise OutcomeUnknown(f"{self._where}: told to cycle, was never seen off; {_last_said(power)}")
                seen_off = True
                if self._poll(Power.ON, lambda: self._read_if_known(bmc), deadline) is not Power.ON:
                    warn("was off, but did not go on again")
        except ConnectionLost as error:
            if not told and not seen_off:
                raise
            if not seen_off:
                raise OutcomeUnknown(f"told to cycle, then {error}") from None
            warn(f"was off; whether it went on again is not known: {error}")
        return "seen off during the power cycle"

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
        with session(self._login) as bmc:
            refusal = ""
            try:
                try:
                    power_up, power_down = bmc.chassis_control_power_up, bmc.chassis_control_power_down
                    self._command(power_up if wanted is Power.ON else power_down)
                except OrderRefused as error:
                    # Not the end: some BMCs refuse to switch off what is off already.
                    refusal = f"; {error}"
                time.sleep(self._power_wait)
                deadline = time.monotonic() if refusal else deadline
                power = self._poll(wanted, lambda: self._read_if_known(bmc), deadline)
            except ConnectionLost as error:
                raise OutcomeUnknown(f"told to go {wanted.value}, then {error}") from None
        if power is wanted:
            return ""
        if power is None:
            raise OutcomeUnknown(f"{self._where}: told to go {wanted.value}, then gave no power state")
        waited = "" if refusal else f" after {self._power_timeout:g} s"
        return f"{self._where}: told to go {wanted.value}, still reads {power.value}{waited}{refusal}"

    def _command(self, order: Callable[[], Any]) -> None:
        Retrying(
            retry=retry_if_exception_type(OrderRefused),
            stop=stop_after_attempt(ORDER_ATTEMPTS),
            wait=wait_exponential(multiplier=FIRST_POLL, max=SLOWEST_POLL),
            reraise=True,
        )(ask, self._login, order)

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

    def _read_if_known(self, bmc: Any) -> Power | None:
        """As `_read`, None if the BMC refuses just now; a lost connection still raises ConnectionLost."""
        try:
            return self._read(bmc)
        except OrderRefused:
            return None

    def _read(self, bmc: Any) -> Power:
        # Of the bits of the answer only this one: it is 0 in S4/S5 and mechanical off alone (IPMI 2.0, 28.2).
        status = ask(self._login, bmc.get_chassis_status)
        return Power.ON if status.power_on else Power.OFF


def _last_said(power: Power | None) -> str:
    return "no power state could be read since" if power is None else f"it last read {power.value}"


_CIPHERS = "17 (SHA-256), where the BMC refuses it 3 (SHA-1)"

AGENT = Agent(
    name="fence_hamgr_ipmi",
    shortdesc="Fences a machine through its BMC over IPMI 2.0 or 1.5",
    longdesc=(
        "Switches a machine's power through its BMC (iDRAC, iLO, XCC, iRMC, any other with IPMI over LAN). off "
        "succeeds only when the BMC's power state then reads off. When the BMC stops answering after the order, the "
        "outcome is unknown and the action fails. The options are named as those of fence_ipmilan. A password is "
        "taken from stdin, from password_file, or from the environment (FENCE_PASSWORD), never from the command line."
    ),
    options=(
        Option(
            "ip",
            OptionKind.STRING,
            "IPv4 or IPv6 address of the BMC, or its name; a name needs DNS when it matters",
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
            "Password on the BMC, at most 20 bytes (16 with IPMI 1.5); not as a flag",
            required=True,
            aliases=("passwd",),
            secret=True,
        ),
        Option("password_file", OptionKind.STRING, "File whose first line is the password", ("--password-file",)),
        Option(
            "lanplus",
            OptionKind.BOOLEAN,
            "1: IPMI 2.0. 0: IPMI 1.5, which encrypts nothing, for BMCs that speak no other",
            ("-P", "--lanplus"),
            default="1",
        ),
        Option(
            "auth",
            OptionKind.SELECT,
            "Of IPMI 1.5: the signature of each packet. password sends the password itself, readable for all",
            ("-A", "--auth"),
            default="md5",
            choices=tuple(AUTHENTICATIONS),
        ),
        Option(
            "hexadecimal_kg",
            OptionKind.STRING,
            "Of IPMI 2.0: the BMC's own key K_G, where it has one; not as a flag",
            secret=True,
        ),
        Option(
            "method",
            OptionKind.SELECT,
            "How to reboot: off and then on, each read back; or cycle, which counts if the machine was seen off",
            ("-m", "--method"),
            default="onoff",
            choices=("onoff", "cycle"),
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
