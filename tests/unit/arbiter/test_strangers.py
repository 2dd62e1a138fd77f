"""Whoever has no place here: refused with a reason that the log and the counts tell, and never in a node's way."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from arbiter_host import REPORT, Member, free_ports, joined, speaking, token, write_config
from cryptography.x509 import load_pem_x509_certificate

from arbiter.authority import certify, make_authority, serial_of
from arbiter.door import RELAYED
from arbiter.handshakes import reason_of
from arbiter.pace import BURST, Pace
from arbiter.refusals import MOST_REASONS, Refusals
from arbiter.registry import Registry
from hamgr.core.messages import ArbiterReport, Packet
from hamgr.links.arbiter import ARBITER, LINK
from hamgr.links.codec import Codec
from hamgr.links.identity import ARBITER_NAME, Identity
from hamgr.links.issuing import new_secret, private_pem, public_pem
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

COMMAND = [str(Path(sys.executable).with_name("hamgr-arbiter"))]
STRANGERS = int(os.environ.get("HAMGR_STRANGERS", "300"))
"""Connections that say nothing, or garbage; 4000 is what was promised."""

Capsys = pytest.CaptureFixture[str]


@contextmanager
def running(path: Path, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as file,
        subprocess.Popen([*COMMAND, "--config", str(path)], stderr=file, env={**os.environ, **environment}) as process,
    ):
        try:
            end = time.monotonic() + 20
            while "ready on" not in log.read_text():
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def refused(path: Path) -> dict[str, int]:
    """What the one that serves has counted."""
    from arbiter.config import load
    from arbiter.control import ask

    found: dict[str, int] = ask(load(path).state_dir, {"do": "status"})["refused"]
    return found


async def counted(path: Path, reason: str) -> None:
    async with asyncio.timeout(10):
        while not any(reason in key for key in await asyncio.to_thread(refused, path)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@asynccontextmanager
async def stub(identity: Identity, certificate: bytes | None, key: bytes | None) -> AsyncIterator[pb_grpc.ArbiterStub]:
    """A client with these, that trusts the arbiter."""
    credentials = grpc.ssl_channel_credentials(identity.authorities.encode(), key, certificate)
    options = [("grpc.ssl_target_name_override", ARBITER_NAME)]
    async with grpc.aio.secure_channel(identity.sessions[0], credentials, options=options) as channel:
        yield pb_grpc.ArbiterStub(channel)


async def test_expired_foreign_missing_and_wrong_certificates_are_refused_and_counted_by_their_reason(
    tmp_path: Path, capsys: Capsys
) -> None:
    path, log = write_config(tmp_path), tmp_path / "log"
    with running(path, log):
        a = await joined(await token(path, capsys, "office"), "a")
        registry = Registry(tmp_path / "state")
        ours = registry.load().signer
        registry.close()
        assert ours is not None
        secret = new_secret()
        public = secret.public_key()
        expired = certify(ours, public, "office", "a", timedelta(minutes=-1))
        foreign = certify(make_authority(1, True), public, "office", "a", timedelta(days=1))
        unknown = certify(ours, public, "office", "a", timedelta(days=1))
        key = private_pem(secret)
        for shown, reason in (
            (public_pem(expired), "the certificate has expired"),
            (public_pem(foreign), "a certificate of another authority"),
            (None, "no certificate"),
            (public_pem(unknown), "this certificate is not known here"),
        ):
            async with stub(a, shown, key if shown else None) as strange:
                with pytest.raises(grpc.aio.AioRpcError):
                    await asyncio.wait_for(strange.Session(None).read(), 10)
            await counted(path, f"session: {reason}")
        mine = Member(tmp_path, a)
        async with speaking(mine):
            await mine.answer()
        told = log.read_text()
        assert "WARNING session: refused 1 time(s): the certificate has expired" in told
        assert "ssl_transport_security" not in told


async def test_a_node_that_says_that_it_passes_another_on_is_believed_nothing(tmp_path: Path, capsys: Capsys) -> None:
    path = write_config(tmp_path)
    with running(path, tmp_path / "log"):
        office = await joined(await token(path, capsys, "office"), "a")
        shop = await joined(await token(path, capsys, "shop"), "a")
        serial = serial_of(load_pem_x509_certificate(office.certificate.encode()))
        codec = Codec("office", "a", office.keys.keys, 1, 7)
        frame = pb.Frame(data=codec.seal(LINK, Packet("a", 7, ARBITER, 0, REPORT)))
        async with stub(shop, shop.certificate.encode(), shop.key.encode()) as liar:
            call = liar.Session(None, metadata=((RELAYED, serial),))
            await call.write(frame)
            with pytest.raises(grpc.aio.AioRpcError, match="unauthenticated"):
                await asyncio.wait_for(call.read(), 10)


def test_what_grpc_says_of_handshakes_is_read_and_nothing_else() -> None:
    line = b"I1125 18:48:11.488158   24131 ssl_transport_security.cc:2563] Handshake failed with error SSL_ERROR_SSL: "
    start = line + b"error:1000007d:SSL routines:OPENSSL_internal:"
    assert reason_of(start + b"CERTIFICATE_VERIFY_FAILED: certificate has expired") == "the certificate has expired"
    assert reason_of(start + b"SOMETHING_NEW: x") == "the handshake failed (SOMETHING_NEW: x)"
    assert reason_of(b"2026-11-25 19:08:30 INFO hamgr-arbiter: ready") == ""


def test_the_reasons_of_strangers_do_not_fill_the_memory() -> None:
    refusals = Refusals(clock=lambda: 0.0)
    for number in range(MOST_REASONS + 100):
        refusals.note("joining", f"reason {number}")
    assert len(refusals.counts) == MOST_REASONS + 1
    assert refusals.counts["joining: other"] == 100


# -- many -------------------------------------------------------------------------------------------------------


async def test_thousands_that_say_nothing_or_garbage_do_not_keep_nodes_from_their_answers(
    tmp_path: Path, capsys: Capsys
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, STRANGERS + 512)), hard))
    path, log = write_config(tmp_path), tmp_path / "log"
    strangers: list[socket.socket] = []
    try:
        with running(path, log) as process:
            text = await token(path, capsys, "office")
            a = Member(tmp_path, await joined(text, "a"))
            b = await joined(text, "b")
            ports = [int(where.rpartition(":")[2]) for where in (*b.sessions, *b.joining)]
            async with speaking(a):
                await a.answer()
                asking = asyncio.create_task(asked_again_and_again(a))
                for number in range(STRANGERS):
                    one = socket.socket()
                    one.setblocking(False)
                    strangers.append(one)
                    await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", ports[number % 2]))
                    if number % 4 >= 2:
                        one.send(os.urandom(200))
                    if number % 16 == 0:
                        await asyncio.sleep(0)
                late = Member(tmp_path, b, life=2)
                async with speaking(late):
                    await late.answer(replace(REPORT, alive=("b",)))
                await joined(await token(path, capsys, "office", "--nodes", "1"), "c")
                asking.cancel()
                slowest = max(await asking)
            assert slowest < 5.0
            resident = int((Path("/proc") / str(process.pid) / "statm").read_text().split()[1]) * 4096
            print(f"{STRANGERS} strangers: slowest answer {slowest * 1000:.0f} ms, {resident / 1e6:.0f} MB")
            assert resident < 500e6
            assert len(log.read_bytes()) < 20_000
    finally:
        for one in strangers:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def asked_again_and_again(member: Member) -> list[float]:
    """How long each answer took, until we are cancelled."""
    took = [0.0]
    try:
        while True:
            began = time.monotonic()
            await member.answer()
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return took


async def test_a_cluster_that_floods_is_slowed_and_others_are_not(tmp_path: Path, capsys: Capsys) -> None:
    path = write_config(tmp_path, "[limits]\nreports = 50")
    with running(path, tmp_path / "log"):
        noisy = await joined(await token(path, capsys, "noisy"), "a")
        quiet = Member(tmp_path, await joined(await token(path, capsys, "office"), "a"))
        async with speaking(quiet), stub(noisy, noisy.certificate.encode(), noisy.key.encode()) as flooding:
            await quiet.answer()
            call = flooding.Session(None)
            heard = asyncio.create_task(answers_of(call))
            flood = asyncio.create_task(flooded(call, noisy))
            asking = asyncio.create_task(asked_again_and_again(quiet))
            began = time.monotonic()
            await asyncio.wait({flood, heard}, timeout=3.0)
            spent = time.monotonic() - began
            for task in (flood, asking, heard):
                task.cancel()
            took = sorted(await asking)
            assert await heard < 50 * (spent + BURST) + 10
            assert len(took) > 30
            assert took[len(took) * 9 // 10] < 0.5


async def flooded(call: grpc.aio.StreamStreamCall[pb.Frame, pb.Frame], identity: Identity) -> None:
    """As many reports as the stream takes."""
    codec = Codec(identity.cluster, identity.node, identity.keys.keys, 1, 7)
    for number in range(1, 1_000_000):
        report = ArbiterReport(number, 4, nodes=("a", "b"), alive=("a",))
        frame = codec.seal(LINK, Packet("a", 7, ARBITER, 0, report))
        await call.write(pb.Frame(data=frame))


async def answers_of(call: grpc.aio.StreamStreamCall[pb.Frame, pb.Frame]) -> int:
    count = 0
    try:
        while await call.read():
            count += 1
    except asyncio.CancelledError:
        pass
    return count


def test_a_stream_may_be_ahead_for_a_moment_and_keeps_its_pace_after_that() -> None:
    pace = Pace()
    waits = [pace.wait(100.0, 10.0) for _ in range(12)]
    assert waits[:10] == [0.0] * 10
    assert waits[11] == pytest.approx(0.2)
    assert pace.wait(200.0, 10.0) == 0.0


# -- those who watch --------------------------------------------------------------------------------------------


async def test_health_and_reflection_answer_whoever_asks(tmp_path: Path) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    (port,) = free_ports(1)
    path = write_config(tmp_path, f'listen = "127.0.0.1:{port}"')
    with running(path, tmp_path / "log") as process:
        before = resident(process)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", "hamgr.v1.Arbiter"):
                found = await health.Check(health_pb2.HealthCheckRequest(service=name))
                assert found.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.aio.AioRpcError, match="served here"):
                await health.Check(health_pb2.HealthCheckRequest(service="nothing"))
            watching = health.Watch(health_pb2.HealthCheckRequest())
            assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
            watching.cancel()
            asked = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            )
            listed = (await asked.read()).list_services_response
            assert "hamgr.v1.Arbiter" in {service.name for service in listed.service}
        print(f"before {before / 1e6:.0f} MB, with both services {resident(process) / 1e6:.0f} MB")


def resident(process: subprocess.Popen[bytes]) -> int:
    return int((Path("/proc") / str(process.pid) / "statm").read_text().split()[1]) * 4096


def test_systemd_hears_that_it_is_ready_that_it_lives_and_that_it_ends(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "n"))
        systemd.settimeout(10)
        with running(path, tmp_path / "log", NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="400000") as process:
            heard = {systemd.recv(100) for _ in range(3)}
            assert heard == {b"READY=1", b"WATCHDOG=1"}
            process.send_signal(signal.SIGTERM)
            while systemd.recv(100) != b"STOPPING=1":
                pass
            assert process.wait(10) == 0


def test_the_status_of_nobody_is_told_as_such(tmp_path: Path, capsys: Capsys) -> None:
    from arbiter import server

    path = write_config(tmp_path)
    assert server.main(["enroll", "office", "--config", str(path), "--json"]) == 0
    capsys.readouterr()
    assert server.main(["list", "--config", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["serving"] is False


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives files away")
def test_what_roots_commands_make_belongs_to_the_services_user(tmp_path: Path, capsys: Capsys) -> None:
    from arbiter import server

    path = write_config(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    os.chown(tmp_path / "state", 65534, 65534)
    assert server.main(["enroll", "office", "--config", str(path)]) == 0
    assert server.main(["list", "--config", str(path)]) == 0
    assert {file.stat().st_uid for file in (tmp_path / "state").iterdir()} == {65534}
