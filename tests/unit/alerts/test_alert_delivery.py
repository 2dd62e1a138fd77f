"""Messages that really go out: to a mail server, to a web server, to programs; and to some that misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from alerted import event
from certified import self_signed

from hamgr.alerts.carrier import NotSent, carry
from hamgr.alerts.message import Message
from hamgr.config.model import AlertConfig, MailConfig, ProgramConfig, WebhookConfig
from hamgr.core.effects import Kind

MESSAGE = Message(
    "office", "ops", "a", (event(Kind.LINK_DOWN, "lan is down"), event(Kind.NODE_DEAD, "b ist tot (Kälte)"))
)
PACEMAKERS = Path("/usr/share/pacemaker/alerts/alert_file.sh.sample")


def alert(
    program: ProgramConfig | None = None,
    mail: MailConfig | None = None,
    webhook: WebhookConfig | None = None,
    timeout: float = 20.0,
) -> AlertConfig:
    return AlertConfig("ops", frozenset(Kind), program=program, mail=mail, webhook=webhook, timeout=timeout)


def secret(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    file = tmp_path / "secret"
    file.write_text(text + "\n")
    file.chmod(mode)
    return file


# -- mail ---------------------------------------------------------------------------------------------------------


class Mailbox:
    """What a mail server took; it refuses the addresses of `nobody`."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(self, server, session, envelope, address: str, options) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 OK"

    def login(self, server, session, envelope, mechanism: str, data) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"s3cret", handled=False)

    def only_mail(self) -> EmailMessage:
        (envelope,) = self.envelopes
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        return found


@pytest.fixture
def mailbox() -> Iterator[SimpleNamespace]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield SimpleNamespace(box=box, port=controller.port)
    controller.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_a_mail_arrives_with_its_sentences_whole(mailbox) -> None:
    await carry(alert(mail=MailConfig("127.0.0.1", mailbox.port, "hamgr@x.org", ("ops@x.org", "boss@x.org"))), MESSAGE)
    mail = mailbox.box.only_mail()
    assert mailbox.box.envelopes[0].rcpt_tos == ["ops@x.org", "boss@x.org"]
    assert mail["Subject"] == "[office] node-dead: b ist tot (Kälte) (and 1 more)"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines()[1].endswith("node-dead: b ist tot (Kälte)")


async def test_a_recipient_who_is_refused_is_named(mailbox) -> None:
    with pytest.raises(NotSent, match=r"^nobody@x.org is refused: 550 no such user$"):
        await carry(alert(mail=MailConfig("127.0.0.1", mailbox.port, "h@x.org", ("nobody@x.org",))), MESSAGE)


async def test_a_mail_with_a_password_goes_only_over_tls_that_is_trusted(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    box = Mailbox()
    controller = Controller(
        box, hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True,
        authenticator=box.login, auth_required=True,
    )  # fmt: skip
    controller.start()
    try:
        good = MailConfig(
            "localhost", controller.port, "h@x.org", ("ops@x.org",), starttls=True, user="hamgr",
            password_file=secret(tmp_path, "s3cret"), ca_file=certificate,
        )  # fmt: skip
        await carry(alert(mail=good), MESSAGE)
        assert box.logins == [(b"hamgr", b"s3cret")]
        assert len(box.envelopes) == 1
        unknown = MailConfig("localhost", controller.port, "h@x.org", ("ops@x.org",), starttls=True)
        with pytest.raises(NotSent, match=r"(?i)certificate.verify.failed"):
            await carry(alert(mail=unknown), MESSAGE)
        secret(tmp_path, "wrong")
        with pytest.raises(NotSent, match="535"):
            await carry(alert(mail=good), MESSAGE)
    finally:
        controller.stop()
    assert len(box.envelopes) == 1


async def test_a_secret_that_others_can_read_is_not_used(tmp_path: Path, mailbox) -> None:
    file = secret(tmp_path, "s3cret", 0o644)
    mail = MailConfig("127.0.0.1", mailbox.port, "h@x.org", ("o@x.org",), user="u", password_file=file)
    with pytest.raises(NotSent, match="mode 0644 and others can read it"):
        await carry(alert(mail=mail), MESSAGE)


async def test_nobody_listening_is_told_as_it_is() -> None:
    with pytest.raises(NotSent, match=r"^Connection refused$"):
        await carry(alert(mail=MailConfig("127.0.0.1", free_port(), "h@x.org", ("o@x.org",))), MESSAGE)


async def test_a_server_that_accepts_and_says_nothing_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        mail = MailConfig("127.0.0.1", silent.getsockname()[1], "h@x.org", ("o@x.org",))
        with pytest.raises(NotSent):
            await carry(alert(mail=mail, timeout=1.0), MESSAGE)
        assert time.monotonic() - began < 4.0


# -- webhooks -----------------------------------------------------------------------------------------------------


class Web:
    """Answers POSTs with the statuses of a list, the last of them for ever, and keeps what came."""

    def __init__(self, *statuses: int) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        left = list(statuses)
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.requests.append((self.path, dict(self.headers), body))
                self.send_response(left.pop(0) if len(left) > 1 else left[0])
                self.end_headers()
                self.wfile.write(b"so it is")

            def log_message(self, *words: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


async def test_a_webhook_gets_json_that_it_can_trust(tmp_path: Path) -> None:
    file = secret(tmp_path, "s3cret")
    with Web(204) as web:
        url = f"http://127.0.0.1:{web.port}/hook?room=7"
        webhook = WebhookConfig(url, {"X-Team": "ops"}, token_file=file, secret_file=file)
        await carry(alert(webhook=webhook), MESSAGE)
    ((path, headers, body),) = web.requests
    assert path == "/hook?room=7"
    assert (headers["X-Team"], headers["Authorization"]) == ("ops", "Bearer s3cret")
    assert headers["X-Hamgr-Signature"] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert (told["cluster"], told["reporter"], told["count"]) == ("office", "a", 2)
    assert [one["kind"] for one in told["events"]] == ["link-down", "node-dead"]
    assert told["text"].startswith("[office] node-dead: ")


async def test_a_status_that_is_no_success_is_told_with_what_the_server_says() -> None:
    with Web(503) as web, pytest.raises(NotSent, match=r"^503 Service Unavailable: so it is$"):
        await carry(alert(webhook=WebhookConfig(f"http://127.0.0.1:{web.port}/")), MESSAGE)


async def test_the_longest_messages_go_through_every_way(tmp_path: Path, mailbox) -> None:
    """Of 200 events with endless sentences that need more than a byte a letter."""
    storm = Message("office", "ops", "a", tuple(event(Kind.GROUP_FAILED, "ошибка " * 900) for _ in range(200)), 7)
    await carry(alert(mail=MailConfig("127.0.0.1", mailbox.port, "h@x.org", ("o@x.org",))), storm)
    with Web(200) as web:
        await carry(alert(webhook=WebhookConfig(f"http://127.0.0.1:{web.port}/")), storm)
    await carry(alert(program(tmp_path, 'printf %s "$HAMGR_COUNT"')), storm)
    assert "7 older events were dropped" in mailbox.box.only_mail().get_content()
    assert json.loads(web.requests[0][2])["count"] == 207


# -- programs -----------------------------------------------------------------------------------------------------


def program(tmp_path: Path, text: str) -> ProgramConfig:
    file = tmp_path / "program"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return ProgramConfig(file, "me", {"colour": "red"})


async def test_a_program_has_all_in_its_environment(tmp_path: Path) -> None:
    await carry(alert(program(tmp_path, f"env >{tmp_path}/said")), MESSAGE)
    said = (tmp_path / "said").read_text()
    for line in (
        "HAMGR_EVENT=node-dead",
        "HAMGR_COUNT=2",
        "CRM_alert_recipient=me",
        "CRM_alert_kind=node",
        "colour=red",
    ):
        assert f"{line}\n" in said


async def test_a_program_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(NotSent, match=r"^ended with 3: no modem$"):
        await carry(alert(program(tmp_path, "echo no modem >&2; exit 3")), MESSAGE)


async def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(NotSent, match=r"^no end after 0.5 s: killed$"):
        await carry(alert(program(tmp_path, f"sleep 600 & echo $! >{tmp_path}/child; sleep 600"), timeout=0.5), MESSAGE)
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    async with asyncio.timeout(30.0):
        while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_program_that_prints_megabytes_disturbs_nobody(tmp_path: Path) -> None:
    await carry(alert(program(tmp_path, "head -c 30000000 /dev/zero | tr '\\0' x")), MESSAGE)


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotSent, match="can't be run: No such file or directory"):
        await carry(alert(ProgramConfig(tmp_path / "none")), MESSAGE)


@pytest.mark.skipif(not PACEMAKERS.exists(), reason="no alert agents of Pacemaker here")
async def test_an_alert_agent_of_pacemaker_understands(tmp_path: Path) -> None:
    agent = tmp_path / "alert_file.sh"
    agent.write_text(PACEMAKERS.read_text())
    agent.chmod(0o755)
    (tmp_path / "log").touch()
    said = []
    for kind, group in ((Kind.NODE_DEAD, ""), (Kind.FENCE_CONFIRMED, ""), (Kind.GROUP_FAILED, "web")):
        one = Message("office", "ops", "a", (event(kind, "so it is", group=group),))
        await carry(alert(ProgramConfig(agent, str(tmp_path / "log"))), one)
    said = [line.partition(": ")[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert said == [
        "Node 'b' is now 'so it is'",
        "Fencing so it is",
        "Resource operation 'monitor' for 'web' on 'b': so it is",
    ]
