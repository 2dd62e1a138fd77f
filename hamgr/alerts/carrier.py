"""One attempt to deliver one message: a program that runs for at most so long, whatever it waits for.

Mail and webhooks are sent by a program of ours (`hamgr.alerts.deliver`): a name server, a TLS handshake or a server
that drips a byte a minute holds up that process alone, which can be killed. A thread could not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from hamgr.alerts.message import Message
from hamgr.config.model import AlertConfig
from hamgr.resources import program

DELIVERY = "HAMGR_DELIVERY"
"""The variable with what is to be delivered. It has the names of files with secrets, and no secret."""


class NotSent(Exception):
    """The message did not arrive, as far as is known; the text says why."""


def way(alert: AlertConfig) -> str:
    """How and to whom, for people."""
    if alert.program is not None:
        return f"program {alert.program.path}"
    if alert.mail is not None:
        return f"mail to {', '.join(alert.mail.recipients)} by {alert.mail.host}:{alert.mail.port}"
    assert alert.webhook is not None
    return f"webhook {alert.webhook.url}"


async def carry(alert: AlertConfig, message: Message) -> None:
    """Raises NotSent."""
    command, environment = _call(alert, message)
    try:
        async with asyncio.timeout(alert.timeout):
            ended = await program.run(command, {**program.ENVIRONMENT, **environment})
    except TimeoutError:
        raise NotSent(f"no end after {alert.timeout:g} s: killed") from None
    except program.CantRun as error:
        raise NotSent(str(error)) from None
    except OSError as error:
        raise NotSent(error.strerror or str(error)) from None
    if ended.code != 0:
        raise NotSent(str(ended) if alert.program is not None else ended.output or ended.how)


def _call(alert: AlertConfig, message: Message) -> tuple[list[str], dict[str, str]]:
    if (own := alert.program) is not None:
        variables = message.environment(time.time())
        if own.recipient:
            variables["CRM_alert_recipient"] = own.recipient
        found = {**own.environment, **variables}
        return [str(own.path)], {name: value.replace("\0", "") for name, value in found.items()}
    carried = alert.mail or alert.webhook
    assert carried is not None
    order: dict[str, Any] = {"timeout": alert.timeout, "to": asdict(carried)}
    if alert.mail is not None:
        order |= {"way": "mail", "subject": message.subject, "text": message.text}
    else:
        order |= {"way": "webhook", "json": message.as_json()}
    # -I: nothing of the environment or the working directory changes what our program is.
    command = [sys.executable, "-I", "-X", "utf8", "-m", "hamgr.alerts.deliver"]
    return command, {DELIVERY: json.dumps(order, default=str, ensure_ascii=False)}
