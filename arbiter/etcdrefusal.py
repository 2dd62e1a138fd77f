"""What it means when etcd does not let an arbiter process in, in a sentence for whoever has to mend it."""

from __future__ import annotations

from arbiter.etcdconfig import EtcdConfig
from arbiter.store import StoreError

SHUT = 1.0
"""Seconds for which a user that etcd did not take is not tried again: each try costs etcd much, by design."""

_SPENT = ("invalid auth token", "revision of auth store is old", "revision in header is old")


class Refused(StoreError):
    """etcd answers, and does not let us: nothing was done, and only a human changes that."""


def token_is_spent(details: str) -> bool:
    """It ran out, or users were changed, or the member was started anew: another one may do."""
    return any(text in details for text in _SPENT)


def why_refused(config: EtcdConfig, details: str) -> str:
    """details: as a member of etcd puts it. "" if it is nothing that a member refuses on purpose."""
    if "invalid user ID or password" in details:
        return f"etcd does not take user {config.user} with the password in {config.password_file}"
    if "authentication is not enabled" in details:
        return f"etcd has no users, and etcd.user is {config.user}: take it out, or say `etcdctl auth enable`"
    if "user name is empty" in details:
        return "etcd asks for a user: etcd.user and etcd.password_file, or a certificate with a user's name (CN)"
    if "permission denied" in details:
        who = f"user {config.user}" if config.user else "whoever our certificate names"
        grant = f"etcdctl role grant-permission ROLE readwrite --prefix=true {config.prefix}"
        return f"etcd lets {who} not read and write below {config.prefix}: `{grant}`"
    return ""


def explained(config: EtcdConfig, details: str) -> str:
    """What a member that can't be spoken to said, and what that may be about."""
    if "CERTIFICATE_VERIFY_FAILED" in details or "Verification Check failed" in details:
        reason = details.rpartition("CERTIFICATE_VERIFY_FAILED: ")[2].removesuffix(": OK")
        return f"its certificate is not good for this address by {config.ca} ({reason})"
    if "Unwrap failed" in details or "ALERT" in details:
        return "it ended the TLS session: does it ask for a certificate, of an authority that it knows?"
    if "Handshake read failed" in details or "WRONG_VERSION_NUMBER" in details:
        return "there is no TLS with it: does it speak TLS at all, as etcd.ca says?"
    if "Socket closed" in details and config.ca is None:
        return "it ended the connection: does it speak TLS (etcd.ca)?"
    return details
