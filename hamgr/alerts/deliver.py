"""The program that delivers one message, by mail or to a webhook, and ends: 0 delivered, 1 not, with the reason."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import smtplib
import ssl
import sys
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LONGEST_SUBJECT = 200
SIGNATURE = "X-Hamgr-Signature"
SHOWN = 120
"""Characters of a server's refusal that are shown."""


class Refused(Exception):
    """The text says by whom and why."""


def main() -> int:
    order = json.loads(os.environ["HAMGR_DELIVERY"])
    deliver = _mail if order["way"] == "mail" else _post
    try:
        deliver(order, order["to"])
    except (Refused, OSError, smtplib.SMTPException, http.client.HTTPException) as error:
        print(_reason(error), file=sys.stderr)
        return 1
    return 0


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(
            f"{who} is refused: {code} {said.decode(errors='replace')}"
            for who, (code, said) in error.recipients.items()
        )
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _mail(order: dict[str, Any], to: dict[str, Any]) -> None:
    mail = EmailMessage()
    subject = order["subject"]
    mail["Subject"] = subject if len(subject) <= LONGEST_SUBJECT else f"{subject[:LONGEST_SUBJECT]}..."
    mail["From"] = to["sender"]
    mail["To"] = ", ".join(to["recipients"])
    mail["Date"] = formatdate(localtime=True)
    mail["Message-ID"] = make_msgid(domain=to["sender"].rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: so that no robot answers
    mail.set_content(order["text"])
    password = _secret(to["password_file"])
    # A limit for each step; the whole has one too, which ends this process.
    options: dict[str, Any] = {"host": to["host"], "port": to["port"], "timeout": order["timeout"]}
    if to["tls"]:
        server: smtplib.SMTP = smtplib.SMTP_SSL(**options, context=_trust(to["ca_file"]))
    else:
        server = smtplib.SMTP(**options)
    with server:
        if to["starttls"]:
            server.starttls(context=_trust(to["ca_file"]))
        if to["user"]:
            server.login(to["user"], password)
        refused = server.send_message(mail)
    if refused:
        raise smtplib.SMTPRecipientsRefused(refused)


def _post(order: dict[str, Any], to: dict[str, Any]) -> None:
    url = urlsplit(to["url"])
    body = json.dumps(order["json"]).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "hamgr", **to["headers"]}
    if to["token_file"]:
        headers["Authorization"] = f"Bearer {_secret(to['token_file'])}"
    if to["secret_file"]:
        digest = hmac.new(_secret(to["secret_file"]).encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={digest}"
    assert url.hostname is not None
    if url.scheme == "https":
        server: http.client.HTTPConnection = http.client.HTTPSConnection(
            url.hostname, url.port, timeout=order["timeout"], context=_trust(to["ca_file"])
        )
    else:
        server = http.client.HTTPConnection(url.hostname, url.port, timeout=order["timeout"])
    try:
        server.request("POST", (url.path or "/") + (f"?{url.query}" if url.query else ""), body, headers)
        answer = server.getresponse()
        said = " ".join(answer.read(4 * SHOWN).decode(errors="replace").split())[:SHOWN]
    finally:
        server.close()
    if not 200 <= answer.status < 300:
        raise Refused(f"{answer.status} {answer.reason}" + (f": {said}" if said else ""))


def _trust(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)


def _secret(file: str | None) -> str:
    """The first line of a file that only its owner can read; "" without a file."""
    if not file:
        return ""
    with Path(file).open(encoding="utf-8") as opened:
        mode = os.fstat(opened.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise Refused(f"{file} has mode {mode:04o} and others can read it; it must be 0600")
        return opened.readline().strip()


if __name__ == "__main__":
    sys.exit(main())
