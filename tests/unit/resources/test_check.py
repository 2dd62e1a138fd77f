"""Checks of services that are really there, or hang, or answer nonsense."""

from __future__ import annotations

import asyncio
import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hamgr.config.model import ResourceConfig
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.resource import Explaining, Resource, ResourceError, ResourceStatus, Surroundings

RUNNING, STOPPED = ResourceStatus.RUNNING, ResourceStatus.STOPPED


def resource(kind: str, start_timeout: float = 1.0, **options: object) -> Resource:
    config = ResourceConfig("check", kind, dict(options), start_timeout=start_timeout)
    return RESOURCE_KINDS[kind].build(config, Surroundings())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/").split("?")[0] or 200))
        self.end_headers()
        self.wfile.write(b"all is well here")

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def web(port: int = 0) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


async def test_a_port_that_takes_connections_runs() -> None:
    port = free_port()
    check = resource("tcp", address="127.0.0.1", port=port)
    assert await check.status() is STOPPED
    with socket.create_server(("127.0.0.1", port)):
        assert await check.status() is RUNNING
    assert await check.status() is STOPPED


async def test_a_web_server_runs_while_it_answers_well() -> None:
    with web() as port:
        assert await resource("http", url=f"http://127.0.0.1:{port}/").status() is RUNNING
        assert await resource("http", url=f"http://127.0.0.1:{port}/204?x=1").status() is RUNNING
        assert await resource("http", url=f"http://127.0.0.1:{port}/503").status() is STOPPED
        assert await resource("http", url=f"http://127.0.0.1:{port}/", contains="well").status() is RUNNING
        assert await resource("http", url=f"http://127.0.0.1:{port}/", contains="ill").status() is STOPPED
    assert await resource("http", url=f"http://127.0.0.1:{port}/").status() is STOPPED


async def test_what_answers_nonsense_does_not_run() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff\x00 220 what do you want\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await resource("tcp", address="127.0.0.1", port=port).status() is RUNNING
        assert await resource("http", url=f"http://127.0.0.1:{port}/").status() is STOPPED


async def test_a_start_waits_for_the_first_good_answer() -> None:
    port = free_port()
    check = resource("http", start_timeout=20.0, url=f"http://127.0.0.1:{port}/")
    starting = asyncio.create_task(check.start())
    await asyncio.sleep(0.2)
    assert not starting.done()
    with web(port):
        await starting


async def test_a_start_that_waits_in_vain_says_why() -> None:
    port = free_port()
    with pytest.raises(ResourceError, match=f"127.0.0.1 port {port}: Connect"):
        await resource("tcp", start_timeout=0.3, address="127.0.0.1", port=port).start()
    with web() as port, pytest.raises(ResourceError, match="/500: it answers 500 Internal Server Error"):
        await resource("http", start_timeout=0.3, url=f"http://127.0.0.1:{port}/500").start()


async def test_what_answers_on_another_machine_is_not_our_service() -> None:
    """The address may be on the other node now: there it is looked at by that node."""
    check = resource("tcp", start_timeout=0.2, address="203.0.113.9", port=80)
    assert await check.status() is STOPPED
    with pytest.raises(ResourceError, match="the address is not on this machine"):
        await check.start()


async def test_a_stop_stops_nothing() -> None:
    with web() as port:
        check = resource("http", url=f"http://127.0.0.1:{port}/")
        await check.stop()
        assert await check.status() is RUNNING


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/",
        "http://localhost/",
        "ftp://127.0.0.1/",
        "127.0.0.1",
        "http://[::1/",
        "http://127.0.0.1:99999/",
    ],
)
def test_a_url_that_can_not_be_asked_is_a_mistake(url: str) -> None:
    option = next(option for option in RESOURCE_KINDS["http"].options if option.name == "url")
    assert option.check is not None
    assert option.check(url).startswith("a URL with an address in it")


async def test_a_command_says_by_its_exit_code_whether_the_service_works(tmp_path: Path) -> None:
    good = tmp_path / "good"
    check = resource("check", command=["test", "-e", str(good)], environment={})
    assert await check.status() is STOPPED
    good.touch()
    assert await check.status() is RUNNING


async def test_a_command_that_fails_is_told_with_what_it_said() -> None:
    check = resource("check", 0.2, command=["sh", "-c", "echo 'replica is 3 h behind'; exit 2"], environment={})
    assert await check.status() is STOPPED
    assert isinstance(check, Explaining)
    assert check.reason == "ended with 2: replica is 3 h behind"
    with pytest.raises(ResourceError, match="replica is 3 h behind"):
        await check.start()


async def test_a_check_that_can_not_be_run_says_nothing_of_the_service() -> None:
    with pytest.raises(ResourceError, match="/nowhere/check can't be run: No such file or directory"):
        await resource("check", command=["/nowhere/check"], environment={}).status()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed one for www.example.org and 127.0.0.1; key and certificate in one file."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site")])
    names = [x509.DNSName("www.example.org"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(secret, hashes.SHA256())
    )
    key = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "site.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + key)
    return file


@contextmanager
def secure_web(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


async def test_https_is_spoken_and_the_certificate_checked(certificate: Path) -> None:
    with secure_web(certificate) as port:
        url, ca = f"https://127.0.0.1:{port}/", str(certificate)
        assert await resource("http", url=url, ca=ca).status() is RUNNING
        assert await resource("http", url=url, ca=ca, host="www.example.org").status() is RUNNING
        assert await resource("http", url=url, verify=False).status() is RUNNING
        assert await resource("http", url=f"{url}503", verify=False).status() is STOPPED
        for options in ({}, {"ca": ca, "host": "www.example.com"}):
            check = resource("http", url=url, **options)
            assert await check.status() is STOPPED
            assert isinstance(check, Explaining)
            assert check.reason.startswith("its certificate is refused: ")


async def test_the_site_is_named_to_the_server() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await resource("http", url=f"http://127.0.0.1:{port}/", host="shop.example.org").status() is RUNNING
    assert (await heard).lower().count(b"\r\nhost:") == 1
    assert b"\r\nHost: shop.example.org\r\n" in await heard


async def test_a_server_that_sends_a_byte_now_and_then_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not hold a thread for as long as it likes."""
    monkeypatch.setattr("hamgr.resources.check.CONNECT_TIMEOUT", 0.3)
    gone = asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        writer.close()
        gone.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        check = resource("http", url=f"http://127.0.0.1:{port}/")
        assert await check.status() is STOPPED
        assert isinstance(check, Explaining)
        assert check.reason == "no answer in 0.3 s"
        await asyncio.wait_for(gone.wait(), 10)


async def test_forty_servers_that_hang_keep_no_other_check_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hamgr.resources.check.CONNECT_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent, web() as port:
        hanging = resource("http", url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        asked = [asyncio.create_task(hanging.status()) for _ in range(40)]
        await asyncio.sleep(0)
        async with asyncio.timeout(0.9):
            assert await resource("http", url=f"http://127.0.0.1:{port}/").status() is RUNNING
        assert set(await asyncio.gather(*asked)) == {STOPPED}
