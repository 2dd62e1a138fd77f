"""gRPC links with certificates: who is let in, who may speak for whom, and files that change."""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Issued, files, issue, put
from test_stream import DEADLINE, KEYS, End, lan, running

from hamgr.config.model import LinkConfig, TlsConfig
from hamgr.core.messages import Heartbeat, Packet
from hamgr.links.codec import Codec, RejectReason
from hamgr.links.stream import CHANNEL_OPTIONS
from hamgr.links.tls import Certificates, Credentials, TlsError, names_of, read_certificates
from hamgr.v1 import cluster_pb2 as pb
from hamgr.v1 import cluster_pb2_grpc as pb_grpc

AUTHORITY = issue("ca")
FOREIGN = issue("ca")
lives = itertools.count(1000)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hamgr.links.stream.LOOK_AGAIN", 0.1)


def end(directory: Path, node: str, link: LinkConfig, own: Issued | None = None, by: Issued = AUTHORITY) -> End:
    """A node with a certificate of its own."""
    return End(node, link, tls=put(directory / node, by, own or issue(node, by)))


async def until(holds: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.02)
    assert holds(), what


@asynccontextmanager
async def dialled(link: LinkConfig, own: Issued | None, authority: Issued = AUTHORITY) -> AsyncIterator[Any]:
    """A stream to node a, with a certificate or without."""
    pair = (own.key_pem, own.pem) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.pem, *pair)
    options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", "a")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{link.port}", credentials, options=options) as channel:
        yield pb_grpc.PeerStub(channel).Exchange(None)


async def said(call: Any, sender: str) -> object:
    """Say one frame on a stream; how the stream ends. Raises AioRpcError."""
    await call.write(frame(sender))
    await call.done_writing()
    return await asyncio.wait_for(call.read(), DEADLINE)


def frame(sender: str) -> pb.Frame:
    """The first frame of a life that nobody heard before."""
    life = next(lives)
    by = Codec("office", sender, KEYS, 1, life)
    return pb.Frame(data=by.seal("lan", Packet(sender, life, "a", 0, Heartbeat(1, 0))))


@pytest.mark.parametrize("dns", [True, False], ids=["dns name", "common name"])
async def test_heartbeats_go_both_ways(tmp_path: Path, dns: bool) -> None:
    link = lan()
    a, b = (end(tmp_path, node, link, issue(node, AUTHORITY, dns=dns)) for node in "ab")
    async with running(a, b):
        await a.hears_anew()
        await b.hears_anew()
        up, detail = a.transport.states["lan"].up, a.transport.states["lan"].detail
        assert (up, detail) == (
            True,
            f"127.0.0.1:{link.port}, certificate until {ends(issue('a', AUTHORITY)):%Y-%m-%d}",
        )


def ends(issued: Issued) -> datetime:
    return issued.certificate.not_valid_after_utc


async def test_a_nodes_certificate_can_not_speak_for_another_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = lan()
    a, b = end(tmp_path, "a", link), end(tmp_path, "b", link)
    async with running(a, b):
        await a.hears_anew()
        async with dialled(link, issue("c", AUTHORITY)) as call:
            with pytest.raises(grpc.aio.AioRpcError, match="other-speaker"):
                await said(call, "b")
        assert a.transport.counters.of("lan").rejected == {RejectReason.OTHER_SPEAKER: 1}
        assert "with the certificate of c spoke as another node" in caplog.text
        await a.hears_anew()
        async with dialled(link, issue("b", AUTHORITY)) as call:
            assert await said(call, "b") is grpc.aio.EOF
        assert a.transport.counters.of("lan").rejected == {RejectReason.OTHER_SPEAKER: 1}


@pytest.mark.parametrize(
    "own", [None, issue("b", FOREIGN), issue("b", AUTHORITY, days=-1)], ids=["missing", "foreign", "expired"]
)
async def test_a_diallers_bad_certificate_is_refused(tmp_path: Path, own: Issued | None) -> None:
    link = lan()
    async with running(a := end(tmp_path, "a", link)):
        async with dialled(link, own) as call:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await said(call, "b")
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        async with dialled(link, issue("b", AUTHORITY)) as call:
            assert await said(call, "b") is grpc.aio.EOF
        assert a.heard.qsize() == 1


async def test_a_stream_without_tls_is_refused(tmp_path: Path) -> None:
    link = lan()
    a, b = end(tmp_path, "a", link), End("b", link)
    async with running(a, b):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{link.port}", options=CHANNEL_OPTIONS) as channel:
            call = pb_grpc.PeerStub(channel).Exchange(None)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await said(call, "b")
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        assert a.heard.empty()


async def test_a_server_that_is_not_the_peer_is_not_spoken_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Node c answers at b's address, with a good certificate of its own."""
    link = lan()
    a, b = end(tmp_path, "a", link), end(tmp_path, "b", link)
    config = put(tmp_path / "b", AUTHORITY, issue("c", AUTHORITY))
    b.transport._links["lan"]._credentials = Credentials(config, "c", "lan")  # type: ignore[attr-defined]
    async with running(a, b):
        await until(lambda: "no stream to b" in caplog.text, "the refusal")
        assert "Hostname Verification Check failed" in caplog.text
        assert b.heard.empty()


async def test_new_certificates_of_a_new_authority_are_taken_without_a_restart(tmp_path: Path) -> None:
    link = lan()
    a, b = end(tmp_path, "a", link), end(tmp_path, "b", link)
    async with running(a, b):
        for _ in range(3):
            authority = issue("ca")
            for one in (a, b):
                put(tmp_path / one.node, authority, issue(one.node, authority))
            for one in (a, b):
                await until(partial(has_ca, one, authority.pem), "the files")
            await a.hears_anew()
            await b.hears_anew()
            async with dialled(link, issue("b", authority), authority) as call:
                assert await said(call, "b") is grpc.aio.EOF
            async with dialled(link, issue("b", AUTHORITY), authority) as call:
                with pytest.raises(grpc.aio.AioRpcError):
                    await said(call, "b")


async def test_broken_files_keep_the_old_certificate_and_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = lan()
    a, b = end(tmp_path, "a", link), end(tmp_path, "b", link)
    async with running(a, b):
        good = files(tmp_path / "a").certificate.read_bytes()
        for broken, told in (
            (good[: len(good) // 2], "found no certificate"),
            (issue("a", AUTHORITY).pem, "found the key of another certificate"),
        ):
            caplog.clear()
            files(tmp_path / "a").certificate.write_bytes(broken)
            await until(lambda: told in caplog.text, told)  # noqa: B023
            assert "the old certificate stays in use" in caplog.text
            await a.hears_anew()
            await b.hears_anew()
            assert a.transport.states["lan"].up
        files(tmp_path / "a").certificate.write_bytes(good)
        await until(lambda: not a.transport._links["lan"]._credentials.problem, "the good file")  # type: ignore[attr-defined]


async def test_an_expired_certificate_leaves_the_link_down_until_a_new_one_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = lan()
    a, b = end(tmp_path, "a", link, issue("a", AUTHORITY, days=-1)), end(tmp_path, "b", link)
    async with running(a, b):
        up, detail = await a.change()
        assert not up
        assert "found a certificate valid from" in detail
        assert "the link waits for others" in caplog.text
        put(tmp_path / "a", AUTHORITY, issue("a", AUTHORITY))
        assert (await a.change())[0]
        await a.hears_anew()
        await b.hears_anew()


async def test_a_certificate_that_ends_soon_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    credentials = Credentials(put(tmp_path / "a", AUTHORITY, issue("a", AUTHORITY, days=3)), "a", "lan")
    with caplog.at_level(logging.WARNING):
        assert await credentials.refresh()
        for _ in range(3):
            assert not await credentials.refresh()
    assert caplog.text.count("renew it") == 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda tls: tls.key.unlink(), r"node\.key: found no readable file \(No such file or directory\)"),
        (lambda tls: tls.ca.write_bytes(b"x"), r"ca\.pem: found no certificate"),
        (lambda tls: tls.certificate.write_bytes(b""), r"node\.pem: found no certificate"),
        (lambda tls: tls.key.write_bytes(b"x"), r"node\.key: found no private key"),
        (lambda tls: tls.key.write_bytes(FOREIGN.key_pem), r"node\.key: found the key of another certificate"),
        (lambda tls: put(tls.ca.parent, AUTHORITY, issue("b", AUTHORITY)), "for b, allowed one for this node, a"),
        (lambda tls: put(tls.ca.parent, AUTHORITY, issue("a", FOREIGN)), "found another issuer"),
        (lambda tls: put(tls.ca.parent, AUTHORITY, issue("a", AUTHORITY, days=-2)), "found a certificate valid from"),
    ],
    ids=["no key", "bad ca", "empty", "bad key", "other key", "other name", "other issuer", "expired"],
)
def test_files_that_no_peer_would_take_are_told(tmp_path: Path, spoil: Any, told: str) -> None:
    config = put(tmp_path / "a", AUTHORITY, issue("a", AUTHORITY))
    read_certificates(config, "a", datetime.now(UTC))
    spoil(config)
    with pytest.raises(TlsError, match=told):
        read_certificates(config, "a", datetime.now(UTC))


def test_a_certificates_dns_names_count_and_its_common_name_only_without_them() -> None:
    assert names_of(issue("a", AUTHORITY).certificate) == {"a"}
    assert names_of(issue("a", AUTHORITY, dns=False).certificate) == {"a"}


async def test_the_authority_changes_while_some_nodes_know_only_one_of_the_two(tmp_path: Path) -> None:
    """docs/keys.md: both authorities in every file, then new certificates, then the new authority alone."""
    link, newer = lan(), issue("newer")
    a, b = end(tmp_path, "a", link), end(tmp_path, "b", link)
    both = replace_ca(AUTHORITY.pem + newer.pem)
    async with running(a, b):
        for one in (a, b):
            both(tmp_path / one.node)
            await until(partial(has_ca, one, AUTHORITY.pem + newer.pem), "both authorities")
        for one in (b, a):
            config = files(tmp_path / one.node)
            own = issue(one.node, newer)
            config.certificate.write_bytes(own.pem)
            config.key.write_bytes(own.key_pem)
            await until(partial(has_key, one, own), "the new certificate")
            await a.hears_anew()
            await b.hears_anew()
        for one in (a, b):
            replace_ca(newer.pem)(tmp_path / one.node)
            await until(partial(has_ca, one, newer.pem), "the new authority")
            await a.hears_anew()
            await b.hears_anew()


def replace_ca(pem: bytes) -> Callable[[Path], int]:
    return lambda directory: files(directory).ca.write_bytes(pem)


def current(one: End) -> Certificates:
    credentials: Credentials = one.transport._links["lan"]._credentials  # type: ignore[attr-defined]
    assert credentials.current is not None
    return credentials.current


def has_ca(one: End, pem: bytes) -> bool:
    return current(one).ca == pem


def has_key(one: End, own: Issued) -> bool:
    return current(one).key == own.key_pem


# -- hamgr tls ---------------------------------------------------------------------------------------------------------


def hamgr_tls(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("hamgr"), "tls", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


async def test_hamgr_tls_makes_what_the_links_take(tmp_path: Path) -> None:
    authority, link = tmp_path / "office", lan()
    ends = []
    assert hamgr_tls("ca", authority).returncode == 0
    for node in "ab":
        assert hamgr_tls("issue", authority, node).returncode == 0
        tls = TlsConfig(authority / "ca.pem", authority / f"{node}.pem", authority / f"{node}.key")
        ends.append(End(node, link, tls=tls))
        assert tls.key.stat().st_mode & 0o777 == 0o600
    assert (authority / "ca.key").stat().st_mode & 0o777 == 0o600
    async with running(*ends):
        for one in ends:
            await one.hears_anew()
        before = current(ends[0]).ends
        assert hamgr_tls("issue", authority, "a", "--days", "3").returncode == 0
        await until(lambda: current(ends[0]).ends < before, "the new certificate")
        await ends[1].hears_anew()


def test_hamgr_tls_never_replaces_an_authority_and_tells_wrong_words(tmp_path: Path) -> None:
    assert "No such file" in hamgr_tls("issue", tmp_path, "a").stderr
    hamgr_tls("ca", tmp_path)
    before = (tmp_path / "ca.pem").read_bytes()
    again = hamgr_tls("ca", tmp_path)
    assert (again.returncode, "File exists" in again.stderr) == (1, True)
    assert (tmp_path / "ca.pem").read_bytes() == before
    for words, told in ((("issue", tmp_path), "issue DIRECTORY NODE"), (("issue", tmp_path, "../x"), "found node")):
        done = hamgr_tls(*words)
        assert done.returncode == 2
        assert told in done.stderr
