"""The alerts of a configuration: `[alert.NAME]`, who is told what, by a program, by mail or by a webhook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hamgr.config import addresses
from hamgr.config.model import AlertConfig, MailConfig, OptionValue, ProgramConfig, WebhookConfig
from hamgr.config.problems import describe
from hamgr.config.table import Table, did_you_mean, either
from hamgr.core.effects import Kind

ALARMING = (
    Kind.LINK_DOWN,
    Kind.NODE_SUSPECTED,
    Kind.NODE_DEAD,
    Kind.NODE_OUTSIDE,
    Kind.ARBITER_LOST,
    Kind.QUORUM_LOST,
    Kind.FENCE_ASKED,
    Kind.FENCE_CONFIRMED,
    Kind.FENCE_FAILED,
    Kind.FENCE_ACKNOWLEDGED,
    Kind.FENCE_DEVICE_FAILED,
    Kind.FENCE_LIMITED,
    Kind.POWER_ON_FAILED,
    Kind.TAKEOVER_WAITS,
    Kind.TAKEOVER_ASKED,
    Kind.GROUP_STARTED,
    Kind.GROUP_FAILED,
    Kind.ADDRESS_CONFLICT,
    Kind.SPLIT_BRAIN,
    Kind.DISK_FAILED,
    Kind.SELF_FENCE,
)
"""What is told of when the file does not say."""

WAYS = ("program", "smtp", "webhook")
SENDERS = ("coordinator", "all")
ALL = "all"

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAILBOX = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")
MAILBOX = 'a mail address such as "ops@example.org"'
URL = 'a URL that begins with "http://" or "https://"'


def read(root: Table) -> tuple[AlertConfig, ...]:
    """All alerts. Notes every mistake."""
    found = []
    for name, table in root.tables("alert").items():
        if allowed := addresses.check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        ways = [way for way in WAYS if way in table.values]
        if len(ways) != 1:
            shown = " and ".join(ways) or "none of them"
            root.mistakes.note(table.path, shown, f"exactly one of {either(WAYS)}")
        program = _program(table) if "program" in table.values else None
        mail = _mail(table.table("smtp")) if "smtp" in table.values else None
        webhook = _webhook(table) if "webhook" in table.values else None
        found.append(
            AlertConfig(
                name=name,
                events=_events(table),
                program=program,
                mail=mail,
                webhook=webhook,
                every_node=table.choice("sent_by", SENDERS[0], SENDERS) == ALL,
                min_interval=table.duration("min_interval", 0.0 if program is not None else 10.0, 0.0),
                timeout=table.duration("timeout", 30.0),
                give_up=table.duration("give_up", 600.0),
            )
        )
        table.finish()
    return tuple(found)


def _events(table: Table) -> frozenset[Kind]:
    names = {kind.value: kind for kind in Kind}
    allowed = f'an array of event names as `hamgr watch` shows them, or "{ALL}" and "default"'

    def convert(value: Any) -> frozenset[Kind]:
        if not isinstance(value, list) or not value:
            raise ValueError(allowed)
        found: set[Kind] = set()
        for name in value:
            if name == ALL:
                found.update(Kind)
            elif name == "default":
                found.update(ALARMING)
            elif isinstance(name, str) and name in names:
                found.add(names[name])
            else:
                raise ValueError(allowed + (did_you_mean(name, names) if isinstance(name, str) else ""))
        return frozenset(found)

    return table.take("events", frozenset(ALARMING), convert)


def _program(table: Table) -> ProgramConfig:
    return ProgramConfig(
        path=table.file_path("program", Path("/"), required="the absolute path of a program"),
        recipient=table.text("recipient"),
        environment=_pairs(table, "environment", _VARIABLE, "a table of variables: letters, digits and _, with texts"),
    )


def _mail(table: Table) -> MailConfig:
    starttls, tls = table.flag("starttls", False), table.flag("tls", False)
    if starttls and tls:
        table.wrong("tls", "one of starttls (a plain connection turns into TLS) and tls (TLS from the first byte)")
    user, password_file = table.text("user"), table.optional_path("password_file")
    if bool(user) != (password_file is not None):
        table.wrong("password_file" if user else "user", "user and password_file, or neither")
    elif user and not (starttls or tls):
        table.wrong("user", "user only with starttls or tls, or the password goes over the network in clear")
    ca_file = table.optional_path("ca_file")
    if ca_file is not None and not (starttls or tls):
        table.wrong("ca_file", "ca_file only with starttls or tls")
    found = MailConfig(
        host=table.text("host", required="the name or address of a mail server"),
        port=table.number("port", 465 if tls else 587 if user else 25, 1, addresses.HIGHEST_PORT),
        sender=table.text("from", required=MAILBOX, check=lambda value: "" if _MAILBOX.fullmatch(value) else MAILBOX),
        recipients=_recipients(table),
        starttls=starttls,
        tls=tls,
        user=user,
        password_file=password_file,
        ca_file=ca_file,
    )
    table.finish()
    return found


def _recipients(table: Table) -> tuple[str, ...]:
    allowed = 'one or more mail addresses: "ops@example.org" or ["ops@example.org", ...]'

    def convert(value: Any) -> tuple[str, ...]:
        several = [value] if isinstance(value, str) else value
        if not isinstance(several, list) or not several:
            raise ValueError(allowed)
        if not all(isinstance(one, str) and _MAILBOX.fullmatch(one) for one in several):
            raise ValueError(allowed)
        return tuple(several)

    return table.take("to", (), convert, allowed)


def _webhook(table: Table) -> WebhookConfig:
    url = table.text("webhook", required=URL, check=_check_url)
    if url and urlsplit(url).username is not None:
        # Not shown: `hamgr check` may be seen by others than the file.
        allowed = "a URL without: use token_file or headers"
        table.mistakes.note(table.key("webhook"), "a user or a password in it", allowed)
    ca_file = table.optional_path("ca_file")
    if ca_file is not None and url.startswith("http:"):
        table.wrong("ca_file", "ca_file only with https")
    return WebhookConfig(
        url=url,
        headers=_pairs(table, "headers", _HEADER, "a table of HTTP headers with texts"),
        token_file=table.optional_path("token_file"),
        secret_file=table.optional_path("secret_file"),
        ca_file=ca_file,
    )


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return "" if good and " " not in value else URL


def _pairs(table: Table, name: str, keys: re.Pattern[str], allowed: str) -> dict[str, str]:
    nothing: dict[str, OptionValue] = {}

    def convert(value: Any) -> dict[str, OptionValue]:
        if not isinstance(value, dict):
            raise ValueError(allowed)
        for key, text in value.items():
            if not keys.fullmatch(key) or not isinstance(text, str) or not text.isprintable():
                raise ValueError(allowed)
        return value

    return {key: str(text) for key, text in table.take(name, nothing, convert).items()}
