"""What an operator says to the arbiter: who may join, who may stay no longer, and what is known of whom."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from arbiter import showing
from arbiter.authority import fingerprint
from arbiter.config import ArbiterConfig, port_of
from arbiter.control import NobodyServes, ask
from arbiter.explanations import forget as forget_explanations
from arbiter.records import emptied
from arbiter.registries import enrolments, votes
from arbiter.registry import Refused, Roll
from arbiter.showing import clusters_of
from arbiter.store import SqliteStore
from hamgr.cli.typed_name import confirms
from hamgr.config import durations
from hamgr.config.addresses import check_address, check_name, check_node_name
from hamgr.links.stream import target
from hamgr.links.token import Token, digest, new_secret

DONE, FAILED, USAGE = 0, 1, 2

FORGOTTEN_EVERYWHERE = 3.0
"""Seconds within which each process over the same etcd has seen that the registry changed, if it can see it at all."""

LONGEST_VALID = 7 * 86400.0
"""Seconds: a token that lies about for longer is found by somebody."""


def carry_out(config: ArbiterConfig, args: argparse.Namespace) -> int:
    """Raises StoreError, RegistryError."""
    commands: dict[str, Callable[[ArbiterConfig, argparse.Namespace], int]] = {
        "enroll": _enroll,
        "revoke": _revoke,
        "forget": _forget,
        "ca": _ca,
        "init": _init,
        "list": showing.list_all,
        "show": showing.show,
        "explain": showing.explain,
    }
    try:
        return commands[args.command](config, args)
    except Refused as refused:
        print(f"hamgr-arbiter {args.command}: refused: {refused}", file=sys.stderr)
        return FAILED


def _tell(config: ArbiterConfig) -> str:
    """Have the one that serves here take what was changed; what it says, in a sentence."""
    try:
        ask(config.state_dir, {"do": "refresh"})
    except NobodyServes:
        return "no hamgr-arbiter serves here now: it is taken at its start"
    return "the hamgr-arbiter here took it"


# -- who may join -----------------------------------------------------------------------------------------------


def _enroll(config: ArbiterConfig, args: argparse.Namespace) -> int:
    wrong = ""
    try:
        valid = durations.parse(args.valid)
    except ValueError as error:
        valid, wrong = 0.0, f"--valid: found {args.valid!r}, allowed {error}"
    addresses = tuple(args.address) or config.addresses or _own_addresses()
    for name in args.node:
        if allowed := check_node_name(name):
            wrong = f"--node: found {name!r}, allowed {allowed}"
    for address in addresses:
        if check_address(address):
            wrong = f"--address: found {address!r}, allowed an IP address of this machine"
    if allowed := check_name(args.cluster):
        wrong = f"found cluster {args.cluster!r}, allowed {allowed}"
    if not wrong and not 1.0 <= valid <= LONGEST_VALID:
        wrong = f"--valid: found {args.valid!r}, allowed 1s to {durations.show(LONGEST_VALID)}"
    if not addresses:
        wrong = "this machine has no address that nodes could use; name one: --address ADDRESS"
    if wrong:
        print(f"hamgr-arbiter enroll: {wrong}", file=sys.stderr)
        return USAGE
    if args.cluster in config.key_files:
        raise Refused(f"cluster {args.cluster} has a key file in {config.path}; take it out there first, and restart")
    nodes, places = tuple(args.node), len(args.node) or args.nodes
    with enrolments(config) as registry:
        signer = registry.ensure_authority()
        secret = new_secret()
        ends = time.time() + valid
        registry.enrol(args.cluster, digest(secret), ends, nodes, places, config.limits.clusters)
    told = _tell(config)
    port = int(port_of(config.join_listen))
    token = Token(args.cluster, tuple(target(a, port) for a in addresses), fingerprint(signer.certificate), secret)
    until = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d %H:%M} UTC"
    if args.json:
        print(json.dumps({"token": str(token), "cluster": args.cluster, "ends": ends, "places": places}))
        return DONE
    who = ", ".join(nodes) if nodes else f"{places} node{'' if places == 1 else 's'}"
    print(f"hamgr join {token}")
    print(
        f"\nfor {who} of cluster {args.cluster}, each once, until {until}, at {', '.join(token.joining)}; {told}",
        file=sys.stderr,
    )
    return DONE


def _own_addresses() -> tuple[str, ...]:
    """The address by which this machine would reach others. Nothing is sent (udp(7))."""
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((somewhere, 9))
                return (str(probe.getsockname()[0]),)
        except OSError:
            continue
    return ()


# -- who may stay no longer -------------------------------------------------------------------------------------


def _revoke(config: ArbiterConfig, args: argparse.Namespace) -> int:
    if args.cluster in config.key_files:
        raise Refused(f"cluster {args.cluster} has a key file in {config.path}, and no certificates: change its key")
    if args.cluster not in (there := clusters_of(config)).all:
        raise Refused(there.unknown(args.cluster))
    whom = f"{args.node} of cluster {args.cluster}" if args.node else f"every node of cluster {args.cluster}"
    with enrolments(config) as registry:
        if args.node and args.node not in registry.load().nodes(args.cluster, time.time()):
            known = ", ".join(registry.load().nodes(args.cluster, time.time())) or "none"
            raise Refused(f"{args.node} has no good certificate in cluster {args.cluster}; these have: {known}")
        by = f"by {_operator()} at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        count = registry.revoke(args.cluster, args.node, by)
    print(f"revoked {count} certificate(s) of {whom}, and the cluster's tokens; {_tell(config)}")
    return DONE


def _operator() -> str:
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _forget(config: ArbiterConfig, args: argparse.Namespace) -> int:
    cluster = args.cluster
    if cluster in config.key_files:
        raise Refused(f"cluster {cluster} is in {config.path}: take it out there first, and restart hamgr-arbiter")
    there = clusters_of(config)
    if cluster not in there.all:
        raise Refused(there.unknown(cluster))
    warning = (
        f"Cluster {cluster} gets no vote from this arbiter any more: its nodes' certificates end, and so do its votes."
        " One that is enrolled under this name later begins anew."
    )
    if not args.yes and not confirms("hamgr-arbiter forget", warning, "cluster", cluster):
        return FAILED
    if config.etcd is not None:
        _forget_in_etcd(config, cluster)
    else:
        try:
            answer = ask(config.state_dir, {"do": "forget", "cluster": cluster})
            if "refused" in answer:
                raise Refused(answer["refused"])
        except NobodyServes:
            _forget_here(config, cluster)
    print(f"cluster {cluster} is forgotten")
    return DONE


def _forget_in_etcd(config: ArbiterConfig, cluster: str) -> None:
    with enrolments(config) as registry:
        registry.forget(cluster)
    _tell(config)
    # All processes must have ended the cluster's streams before, or one could learn from them again.
    time.sleep(FORGOTTEN_EVERYWHERE)
    with votes(config) as store:
        store.save(cluster, emptied(store.load(cluster)))


def _forget_here(config: ArbiterConfig, cluster: str) -> None:
    store = SqliteStore(config.state_dir)
    try:
        with enrolments(config) as registry:
            registry.forget(cluster)
        store.save(cluster, emptied(store.load(cluster)))
        forget_explanations(config.state_dir, cluster)
    finally:
        store.close()


# -- who vouches ------------------------------------------------------------------------------------------------


def _ca(config: ArbiterConfig, args: argparse.Namespace) -> int:
    if (args.number is not None) != (args.verb in ("activate", "retire")):
        allowed = "`ca list`, `ca new`, `ca activate NUMBER` or `ca retire NUMBER`"
        print(f"hamgr-arbiter ca: found wrong words, allowed {allowed}", file=sys.stderr)
        return USAGE
    with enrolments(config) as registry:
        match args.verb:
            case "new":
                new = registry.add_authority()
                print(
                    f"authority {new.number} is new, and does not sign yet; {_tell(config)}\n"
                    f"next: nodes learn of it within an hour, or by `hamgr join --renew` there; when `hamgr-arbiter ca"
                    f" list` says that all have, `hamgr-arbiter ca activate {new.number}`"
                )
            case "activate":
                registry.activate_authority(args.number, args.force)
                print(f"authority {args.number} signs; {_tell(config)}")
            case "retire":
                registry.retire_authority(args.number, args.force)
                print(f"authority {args.number} is gone; {_tell(config)}")
            case _:
                _list_authorities(registry.load(), args.json)
    return DONE


def _list_authorities(roll: Roll, as_json: bool) -> None:
    newest = roll.newest(time.time()).values()
    rows = [
        {
            "number": authority.number,
            "signs": authority.signs,
            "sha256": fingerprint(authority.certificate).hex(),
            "unknown_to": sorted(f"{c.node} of {c.cluster}" for c in newest if c.bundle < authority.number),
            "signed": sorted(f"{c.node} of {c.cluster}" for c in newest if c.authority == authority.number),
        }
        for authority in roll.authorities
    ]
    if as_json:
        print(json.dumps({"authorities": rows}))
        return
    for row in rows:
        facts = [f"{len(row['signed'])} node(s) have a certificate of it"]  # type: ignore[arg-type]
        facts += [f"NOT known to {', '.join(row['unknown_to'])}"] if row["unknown_to"] else []  # type: ignore[arg-type]
        sign = "signs" if row["signs"] else "vouches"
        print(f"{row['number']:>3}  {sign:<8} sha256 {str(row['sha256'])[:16]}...  {'; '.join(facts)}")


def _init(config: ArbiterConfig, args: argparse.Namespace) -> int:
    """An operator says that this cluster is new, or that its lost votes are known to be over."""
    cluster = args.cluster
    there = clusters_of(config)
    if cluster not in there.all:
        raise Refused(there.unknown(cluster))
    if cluster not in there.configured:
        raise Refused(f"cluster {cluster!r} is neither in {config.path} nor enrolled")
    with votes(config, shared=False) as store:
        book = store.load(cluster)
        if book.voter:
            raise Refused(f"cluster {cluster!r} has a record that votes already")
        store.save(cluster, replace(book, voter=True))
    print(f"the arbiter votes for cluster {cluster} from now on")
    return DONE
