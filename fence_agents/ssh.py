"""fence_hamgr_ssh: tells a machine over SSH to switch itself off, and believes it only when nothing answers there.

The victim itself says that it dies, which is weaker than a power switch: so its word counts only with a second proof,
that the session and all of its addresses stay silent for a time. A machine that can't be logged in to is not fenced.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import ipaddress
import re
import shlex
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fence_agents.agent import Agent, FenceError, OutcomeUnknown, Power, UsageError, Warn, run_from_process
from fence_agents.options import Action, Option, OptionKind
from fence_agents.silence import Address, Watch, parse_addresses

_READY, _TOLD, _ALIVE, _FAILED = "hamgr-ready", "hamgr-told", "hamgr-alive", "hamgr-failed"
_ORDER = "hamgr-die"
BEAT = 0.2
"""Seconds between two signs of life that the victim sends until it is dead."""

SHORTEST_PROOF = 1.0
"""Seconds. A machine may well say nothing for less."""

SECOND_LOOK = 1.0
"""Seconds that the victim must still be silent after a witness has answered."""

_METHODS = {
    # Root may always write there, whatever kernel.sysrq says (sysrq.rst of the kernel's documentation).
    "sysrq": ("[ -w /proc/sysrq-trigger ]", "echo o >/proc/sysrq-trigger"),
    # Twice --force: without stopping anything, without unmounting (systemctl(1)).
    "poweroff": ("command -v systemctl >/dev/null", "systemctl poweroff --force --force"),
}
"""How to find out whether it can be done, and how to do it."""

_TEST = "{possible} && echo {ready} || echo {failed} {method} is not possible for user $(id -un)"
_DIE = (
    "{possible} || {{ echo {failed} {method} is not possible for user $(id -un); exit 1; }}; "
    # The word is on its way before the machine is not any more.
    'echo {ready}; read -r order; [ "$order" = {order} ] || exit 1; echo {told}; sleep {beat}; '
    "{{ {die}; }} 2>&1 || {{ echo {failed} {method} ended with $?; exit 1; }}; "
    "while echo {alive}; do sleep {beat}; done"
)

_HOST_KEY = re.compile(r"(?P<type>[a-z0-9@.-]{1,64}) (?P<key>[A-Za-z0-9+/]{16,4096}={0,2})( .*)?")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_LONGEST_WORDS = 300


def _script(template: str, method: str) -> str:
    possible, die = _METHODS[method]
    text = template.format(
        possible=possible, die=die, method=method, ready=_READY, told=_TOLD, alive=_ALIVE, failed=_FAILED,
        order=_ORDER, beat=BEAT,
    )  # fmt: skip
    # Whatever shell the user has there.
    return f"exec /bin/sh -c {shlex.quote(text)}"


class Session:
    """One command at the other end of OpenSSH's client."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        # Read all along: a client that can't write its warnings would stop.
        self._stderr = asyncio.create_task(process.stderr.read())

    async def line(self) -> str:
        """The next line; "" at the end."""
        try:
            return (await self._stdout.readline()).decode(errors="replace").strip()
        except ValueError:  # one that has no end
            return ""

    async def say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._stdin.write(f"{line}\n".encode())
            await self._stdin.drain()

    async def why_ended(self) -> str:
        code = await self._process.wait()
        said = " ".join((await self._stderr).decode(errors="replace").split())
        return said[-_LONGEST_WORDS:] or f"ssh ended with {code}"

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._stderr.cancel()
        await asyncio.gather(self._stderr, return_exceptions=True)


class Victim:
    """The machine at the other end of SSH."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._ip, self._port = values["ip"].removeprefix("[").removesuffix("]"), int(values["ipport"])
        try:
            ipaddress.ip_address(self._ip)
        except ValueError:
            # DNS may be what fails, and the proof is about addresses.
            raise UsageError(f"option ip: found {values['ip']!r}; allowed: an IPv4 or IPv6 address") from None
        self._user = values["username"]
        self._method = values["method"]
        self._login_timeout = float(values["login_timeout"])
        self._power_timeout = float(values["power_timeout"])
        self._proof_time = float(values["proof_time"])
        if self._proof_time < SHORTEST_PROOF:
            raise UsageError(f"option proof_time: found {self._proof_time:g}; allowed: {SHORTEST_PROOF:g} or more")
        own = (Address(self._ip, self._port), Address(self._ip))
        more = parse_addresses("proof_addresses", values.get("proof_addresses", ""))
        self._addresses = tuple(dict.fromkeys((*own, *more)))
        self._witnesses = parse_addresses("witness_addresses", values.get("witness_addresses", ""))
        self._host_key = _host_key_options(values)
        self._identity = Path(values["identity_file"])
        if not self._identity.is_file():
            raise UsageError(f"option identity_file: {self._identity} is not there; allowed: a private key of OpenSSH")
        if shutil.which("ssh") is None:
            raise UsageError("ssh is not here: apt-get install openssh-client")
        self._gave_its_word = False

    def status(self) -> Power:
        """ON if it can be logged in to. OFF never: a machine that does not answer may be dead, or only far away."""
        self.monitor()
        return Power.ON

    def monitor(self) -> None:
        asyncio.run(self._test())

    def on(self) -> None:
        raise AssertionError("not an action of this agent")

    def reboot(self, warn: Warn) -> str:
        raise AssertionError("not an action of this agent")

    def off(self) -> str:
        return asyncio.run(self._kill())

    async def _test(self) -> None:
        async with self._logged_in(_TEST):
            pass
        # Also what the proof will need: the right to ping.
        async with Watch(self._addresses) as watch:
            await watch.until_known()

    async def _kill(self) -> str:
        async with Watch(self._addresses) as watch, self._logged_in(_DIE) as session:
            await watch.until_known()
            # Silence says nothing of an address that was silent before.
            telling = watch.answered()
            if not telling:
                raise FenceError(f"{self._ip} can be logged in to, but answers neither pings nor connections; not told")
            await session.say(_ORDER)
            listening = asyncio.create_task(self._listen(session, watch))
            silence = asyncio.create_task(watch.until_silent(self._proof_time, self._power_timeout))
            try:
                await asyncio.wait({silence, listening}, return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    listening.result()
                if not await silence:
                    still = ", ".join(map(str, watch.not_silent())) or "its session"
                    raise OutcomeUnknown(
                        f"{self._ip} was told to power off, and still lives after {self._power_timeout:g} s: "
                        f"{still} answers"
                    )
                if not self._gave_its_word:
                    raise OutcomeUnknown(f"{self._ip} fell silent before it said that it powers off")
                await self._ask_witnesses(watch)
            finally:
                for task in (listening, silence):
                    task.cancel()
                await asyncio.gather(listening, silence, return_exceptions=True)
        proved = ", ".join(map(str, telling))
        return f"by its own word, then silent for {self._proof_time:g} s: {proved} and its session"

    async def _listen(self, session: Session, watch: Watch) -> None:
        """Until the session is gone. Raises FenceError when it is the victim that ends it: then it is not dead."""
        while line := await session.line():
            watch.sign_of_life()
            if line == _TOLD:
                self._gave_its_word = True
            elif line.startswith(_FAILED):
                raise FenceError(f"{self._ip} could not power off: {line.removeprefix(_FAILED).strip()}")

    async def _ask_witnesses(self, watch: Watch) -> None:
        """Whether it is we who heard nobody. A network that is back by now must bring back a victim that lives."""
        if not self._witnesses:
            return
        async with Watch(self._witnesses) as witnesses:
            await witnesses.until_known()
            if not witnesses.answered():
                nobody = ", ".join(map(str, self._witnesses))
                raise OutcomeUnknown(f"{self._ip} is silent, but so is {nobody}: our own network may be what is cut")
        if not await watch.until_silent(SECOND_LOOK, within=0.0):
            raise OutcomeUnknown(f"{self._ip} was silent, and answers again")

    @asynccontextmanager
    async def _logged_in(self, template: str) -> AsyncIterator[Session]:
        pipe = asyncio.subprocess.PIPE
        command = [*self._command(), _script(template, self._method)]
        session = Session(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe))
        where = f"{self._user}@{self._ip} port {self._port}"
        try:
            try:
                line = await asyncio.wait_for(session.line(), self._login_timeout)
            except TimeoutError:
                raise FenceError(f"no login to {where} within {self._login_timeout:g} s; nothing was told") from None
            if line.startswith(_FAILED):
                raise FenceError(f"{where}: {line.removeprefix(_FAILED).strip()}")
            if not line:
                raise FenceError(f"no login to {where}: {await session.why_ended()}")
            if line != _READY:
                raise FenceError(f"{where} answers {line[:80]!r}: does it run another command than it is told?")
            yield session
        finally:
            await session.close()

    def _command(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "GlobalKnownHostsFile": "none",
            **self._host_key,
            "UpdateHostKeys": "no",
            "CheckHostIP": "no",
            "IdentitiesOnly": "yes",
            "IdentityFile": f'"{self._identity}"',
            "IdentityAgent": "none",
            "PreferredAuthentications": "publickey",
            "ConnectTimeout": str(max(1, round(self._login_timeout))),
            # The session must not outlive the silence of its victim, nor end it by itself any sooner.
            "ServerAliveInterval": "0",
            "TCPKeepAlive": "no",
            "ControlPath": "none",
            "ClearAllForwardings": "yes",
            "LogLevel": "ERROR",
        }
        flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-T", "-x", "-a", *flags, "-p", str(self._port), "-l", self._user, "--", self._ip]


def _host_key_options(values: Mapping[str, str]) -> dict[str, str]:
    """How ssh knows the victim's host key: from a file, or by one key alone. Raises UsageError."""
    pinned, file = values.get("host_key", ""), values.get("known_hosts", "")
    if bool(pinned) == bool(file):
        raise UsageError("one of the options host_key and known_hosts is needed, and one alone")
    if file:
        if not Path(file).is_file():
            raise UsageError(f"option known_hosts: {file} is not there; allowed: a file as ~/.ssh/known_hosts")
        return {"UserKnownHostsFile": f'"{file}"'}
    if _FINGERPRINT.fullmatch(pinned):
        # %f is the key that the server shows; only the one that we know is written down as known (ssh_config(5)).
        compare = 'test \\"$1\\" = \\"$2\\" && echo \\"$3 $4 $5\\"; exit 0'
        command = f'/bin/sh -c "{compare}" sh {pinned} %f %H %t %K'
        return {"UserKnownHostsFile": "none", "KnownHostsCommand": command}
    match = _HOST_KEY.fullmatch(pinned)
    with contextlib.suppress(binascii.Error):
        if match and base64.b64decode(match["key"], validate=True)[4:].startswith(match["type"].encode()):
            command = f"/bin/echo %H {match['type']} {match['key']}"
            return {"UserKnownHostsFile": "none", "KnownHostsCommand": command}
    allowed = "a line of ssh_host_*_key.pub, or its fingerprint SHA256:..."
    raise UsageError(f"option host_key: found {pinned[:80]!r}; allowed: {allowed}")


AGENT = Agent(
    name="fence_hamgr_ssh",
    shortdesc="Tells a machine over SSH to power itself off; weaker than a power switch",
    longdesc=(
        "Logs in to the machine and has it switch itself off. Since the victim itself says that it dies, that counts "
        "only with a second proof: the session and all of proof_addresses stay silent for proof_time. A machine that "
        "hangs or can't be reached is not fenced by this agent, so use it before or beside a device that needs "
        "nothing of the victim. status is on, or fails: a silent machine is not known to be off."
    ),
    options=(
        Option(
            "ip", OptionKind.STRING, "Address of the machine", ("-a", "--ip"), required=True, aliases=("ipaddr",)
        ),
        Option(
            "ipport", OptionKind.INTEGER, "TCP port of its sshd", ("-u", "--ipport"), default="22", lowest=1,
            highest=65535,
        ),
        Option(
            "username", OptionKind.STRING, "Login name", ("-l", "--username"), default="root", aliases=("login",)
        ),
        Option(
            "identity_file", OptionKind.STRING, "Private key for the login", ("-k", "--identity-file"), required=True
        ),
        Option(
            "host_key", OptionKind.STRING, "The machine's host key: a line of ssh_host_*_key.pub, or SHA256:...",
            ("--host-key",),
        ),
        Option("known_hosts", OptionKind.STRING, "Or a file that has it, as ~/.ssh/known_hosts", ("--known-hosts",)),
        Option(
            "method", OptionKind.SELECT, "sysrq: by /proc/sysrq-trigger. poweroff: systemctl poweroff -ff",
            ("-m", "--method"), default="sysrq", choices=tuple(_METHODS),
        ),
        Option(
            "proof_addresses", OptionKind.STRING,
            "All other addresses of the machine, on every link: IP (is pinged) or IP:PORT, with commas",
            ("--proof-addresses",),
        ),
        Option(
            "proof_time", OptionKind.SECOND, "Seconds of silence that prove it", ("--proof-time",), default="4"
        ),
        Option(
            "witness_addresses", OptionKind.STRING,
            "Addresses of others: one must answer after the silence, as proof that our own network works",
            ("--witness-addresses",),
        ),
        Option("login_timeout", OptionKind.SECOND, "Seconds for the login", ("--login-timeout",), default="3"),
        Option(
            "power_timeout", OptionKind.SECOND, "Seconds for the machine to fall silent", ("--power-timeout",),
            default="8",
        ),
    ),
    actions=(Action.OFF, Action.STATUS, Action.MONITOR, Action.METADATA, Action.VALIDATE_ALL),
    open=Victim,
)  # fmt: skip


def main() -> int:
    return run_from_process(AGENT)
