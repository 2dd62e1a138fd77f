"""`[alert.NAME]`: what each way needs, and one exact sentence for each mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hamgr.config.alerts import ALARMING
from hamgr.config.local import local_warnings
from hamgr.config.model import AlertConfig, Config, MailConfig, ProgramConfig, WebhookConfig
from hamgr.config.toml import ConfigError, load
from hamgr.core.effects import Kind

HEAD = """
[cluster]
name = "office"
key_file = "/etc/hamgr/cluster.key"
[link.lan]
kind = "udp"
[node.a]
address = { lan = "10.0.0.1" }
[node.b]
address = { lan = "10.0.0.2" }
[group.web]
[[group.web.resource]]
kind = "lsb"
script = "/etc/init.d/web"
"""
MAIL = 'host = "mail", from = "a@x", to = "b@x"'
USER = 'user = "u", password_file = "/p"'


def config(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "hamgr.toml"
    path.write_text(f"{HEAD}[alert.ops]\n{text}\n")
    return load(path)


def read(tmp_path: Path, text: str) -> AlertConfig:
    (found,) = config(tmp_path, text).alerts
    return found


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/hamgr.toml: ") for problem in caught.value.problems]


def test_a_program_is_told_of_each_event_by_itself(tmp_path: Path) -> None:
    found = read(tmp_path, 'program = "/x"\nrecipient = "me"\nenvironment = { email_sender = "hamgr@x" }')
    program = ProgramConfig(Path("/x"), "me", {"email_sender": "hamgr@x"})
    assert found == AlertConfig("ops", frozenset(ALARMING), program=program, min_interval=0.0)


def test_mail_goes_to_several_with_a_password_from_a_file(tmp_path: Path) -> None:
    smtp = 'host = "mail.x", from = "a@x", to = ["b@x", "c@x"], starttls = true, user = "u", password_file = "/p"'
    found = read(tmp_path, f'smtp = {{ {smtp} }}\nevents = ["fence-failed"]\nsent_by = "all"\nmin_interval = "1min"')
    mail = MailConfig("mail.x", 587, "a@x", ("b@x", "c@x"), starttls=True, user="u", password_file=Path("/p"))
    assert found == AlertConfig("ops", frozenset({Kind.FENCE_FAILED}), mail=mail, every_node=True, min_interval=60.0)


@pytest.mark.parametrize(("more", "port"), [("", 25), (", tls = true", 465), (", port = 2525", 2525)])
def test_the_port_of_mail_is_the_usual_one(tmp_path: Path, more: str, port: int) -> None:
    mail = read(tmp_path, f"smtp = {{ {MAIL}{more} }}").mail
    assert mail is not None
    assert mail.port == port


def test_a_webhook_has_headers_and_secrets_in_files(tmp_path: Path) -> None:
    text = 'webhook = "https://x/y?z=1"\nheaders = { X-Team = "ops" }\ntoken_file = "/t"\nsecret_file = "/s"'
    webhook = WebhookConfig("https://x/y?z=1", {"X-Team": "ops"}, Path("/t"), Path("/s"))
    assert read(tmp_path, text).webhook == webhook


def test_events_are_added_to_the_usual_ones(tmp_path: Path) -> None:
    assert read(tmp_path, 'program = "/x"\nevents = ["default", "node-up"]').events == {*ALARMING, Kind.NODE_UP}
    assert read(tmp_path, 'program = "/x"\nevents = ["all"]').events == set(Kind)


def test_the_example_of_the_documentation_is_good(tmp_path: Path) -> None:
    document = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
    lines = document.partition("\nThen,")[0].splitlines()
    path = tmp_path / "hamgr.toml"
    path.write_text("\n".join([HEAD, *(line.strip() for line in lines if line.startswith("    "))]))
    assert [alert.name for alert in load(path).alerts] == ["mail", "chat", "pager"]


def test_the_documentation_names_what_is_told_of_by_default() -> None:
    document = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
    listed = document.partition('`"default"`: ')[2].partition(";")[0]
    assert [re.sub(r"\(.*?\)", "", name).strip() for name in listed.split(",")] == [kind.value for kind in ALARMING]


EVENTS = 'an array of event names as `hamgr watch` shows them, or "all" and "default"'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", 'alert.ops: found none of them, allowed exactly one of "program" or "smtp" or "webhook"'),
        (
            'program = "/x"\nwebhook = "http://x"',
            'alert.ops: found program and webhook, allowed exactly one of "program" or "smtp" or "webhook"',
        ),
        ('program = "x"', 'alert.ops.program: found "x", allowed an absolute path, which begins with "/"'),
        (
            'program = "/x"\nevents = ["node-deed"]',
            f'alert.ops.events: found ["node-deed"], allowed {EVENTS} (did you mean "node-dead"?)',
        ),
        ('program = "/x"\nevents = []', f"alert.ops.events: found [], allowed {EVENTS}"),
        (
            'smtp = { host = "h", from = "a", to = "b@x" }',
            'alert.ops.smtp.from: found "a", allowed a mail address such as "ops@example.org"',
        ),
        (
            'smtp = { host = "h", from = "a@x", to = [] }',
            "alert.ops.smtp.to: found [], allowed one or more mail addresses:"
            ' "ops@example.org" or ["ops@example.org", ...]',
        ),
        (
            f"smtp = {{ {MAIL}, {USER} }}",
            'alert.ops.smtp.user: found "u", allowed user only with starttls or tls, or the password goes over the'
            " network in clear",
        ),
        (
            f'smtp = {{ {MAIL}, user = "u", tls = true }}',
            "alert.ops.smtp.password_file: found nothing, allowed user and password_file, or neither",
        ),
        (
            'webhook = "ftp://x"',
            'alert.ops.webhook: found "ftp://x", allowed a URL that begins with "http://" or "https://"',
        ),
        (
            'webhook = "https://me:pw@x"',
            "alert.ops.webhook: found a user or a password in it, allowed a URL without: use token_file or headers",
        ),
        (
            'webhook = "http://x"\nheaders = { "a b" = "c" }',
            "alert.ops.headers: found a table, allowed a table of HTTP headers with texts",
        ),
        (
            'program = "/x"\nsent_by = "a"',
            'alert.ops.sent_by: found "a", allowed "coordinator" or "all"',
        ),
    ],
)
def test_a_mistake_is_told_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert problems(tmp_path, text) == [sentence]


def test_what_an_alert_lacks_here_is_a_warning_and_keeps_no_daemon_from_starting(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    mail = f'smtp = {{ {MAIL}, tls = true, user = "u", password_file = "{secret}" }}'
    texts = ('program = "/nowhere"', mail)
    found = [warning for text in texts for warning in local_warnings(config(tmp_path, text), "a")]
    assert [(one.key, one.text) for one in found if one.key.startswith("alert.")] == [
        ("alert.ops.program", "/nowhere is not here, or not executable: this alert will not get through"),
        (
            "alert.ops.smtp.password_file",
            f"{secret} has mode 0644 and others can read it; it must be 0600: this alert will not get through",
        ),
    ]
