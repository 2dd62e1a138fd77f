"""An etcd that asks who one is: TLS with clients' certificates, users with roles. Who is not let in gives no vote."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from claimants import Claimant, speaking
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from etcds import NEEDS_ETCD, EtcdCluster, Tls, etcd, free_ports

from hamgr.links.issuing import certificate_for, named, new_authority, new_secret, private_pem, public_pem
from hamgr.links.keyfile import write_key_file
from hamgr.links.private import write_private

pytestmark = NEEDS_ETCD

COMMAND = [str(Path(sys.executable).with_name("hamgr-arbiter"))]
DEADLINE = 20.0
ROOT = "root:of all"
GRANT = ("role", "grant-permission", "arbiters", "readwrite", "--prefix=true", "/hamgr-arbiter/")


class Authority:
    """Who vouches for names, with all of its files in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._certificate, self._secret = new_authority(name)
        self.file = directory / f"{name}.ca.pem"
        self.file.write_bytes(public_pem(self._certificate))

    def vouches(self, name: str, *addresses: str) -> tuple[Path, Path]:
        secret = new_secret()
        builder = certificate_for(named(name), self._certificate.subject, secret.public_key(), timedelta(days=1))
        if addresses:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(one)) for one in addresses])
            builder = builder.add_extension(names, critical=False)
        files = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        files[0].write_bytes(public_pem(builder.sign(self._secret, hashes.SHA256())))
        write_private(files[1], private_pem(secret).decode())
        return files


@dataclass
class Guarded:
    """An etcd with TLS and users, and what an arbiter process says of itself."""

    directory: Path
    etcd: EtcdCluster
    ours: dict[str, str]
    port: int = field(default_factory=lambda: free_ports(1)[0])

    @property
    def key(self) -> Path:
        return self.directory / "office.key"

    @property
    def password(self) -> Path:
        return self.directory / "password"

    def config(self, **changes: str) -> Path:
        """Of an arbiter process. changes: to keys of [etcd]; "" for one that is not there."""
        keys = {name: value for name, value in {**self.ours, **changes}.items() if value}
        lines = [f'{name} = "{value}"' for name, value in keys.items()]
        path = self.directory / "arbiter.toml"
        path.write_text(
            f'listen = "127.0.0.1:{self.port}"\nstate_dir = "{self.directory}/state"\nstore = "etcd"\n'
            f'[cluster.office]\nkey_file = "{self.key}"\n[etcd]\nendpoints = ["{self.etcd.endpoints[0]}"]\n'
            + "\n".join(lines)
        )
        return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EtcdCluster, dict[str, str], Authority]]:
    directory = tmp_path_factory.mktemp("guarded")
    ours, others = Authority(directory, "ours"), Authority(directory, "others")
    tls = Tls(ours.file, ours.vouches("etcd", "127.0.0.1"), ours.vouches("operator"))
    certificate, key = ours.vouches("nobody")
    files = {"ca": str(ours.file), "certificate": str(certificate), "key": str(key), "user": "hamgr"}
    # (A cost at which passwords are quick to try.)
    with etcd(directory / "etcd", tls=tls, options=("--bcrypt-cost", "4")) as cluster:
        cluster.ctl("role", "add", "arbiters")
        cluster.ctl(*GRANT)
        for user in (ROOT, "hamgr:secret", "visitor:secret"):
            cluster.ctl("user", "add", user)
        cluster.ctl("user", "grant-role", "root", "root")
        cluster.ctl("user", "grant-role", "hamgr", "arbiters")
        cluster.ctl("auth", "enable")
        cluster.user = ROOT
        yield cluster, files, others


@pytest.fixture
def guarded(server: tuple[EtcdCluster, dict[str, str], Authority], tmp_path: Path) -> Guarded:
    cluster, files, _others = server
    made = Guarded(tmp_path, cluster, {**files, "password_file": str(tmp_path / "password")})
    write_key_file(made.key)
    write_private(made.password, "secret\n")
    return made


def said(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words, "--config", str(config)], capture_output=True, text=True, timeout=60)


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[None]:
    words = [*COMMAND, "--config", str(config)]
    process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        while b"ready on" not in (line := await process.stderr.readline()):
            assert line, "hamgr-arbiter did not start"
        yield
    finally:
        process.kill()
        await process.communicate()


class Office:
    """Both nodes of the cluster, who claim one epoch after the other."""

    def __init__(self, guarded: Guarded) -> None:
        self.votes: dict[int, str] = {}
        self.epoch = 4
        self.nodes = [Claimant(name, guarded.key, [guarded.port], self.votes) for name in "ab"]

    def claim(self) -> None:
        self.epoch += 1
        for node in self.nodes:
            node.losses.clear()
            node.claim(self.epoch)

    async def voted(self) -> None:
        """Epochs whose vote is spent, or whose outcome was not known, are passed over, as nodes do."""
        async with asyncio.timeout(DEADLINE):
            while not all(node.answer is not None and node.answer.voter for node in self.nodes):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            while self.epoch not in self.votes:
                self.claim()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(3.0):
                        while self.epoch not in self.votes:  # noqa: ASYNC110
                            await asyncio.sleep(0.02)

    async def refused(self, reason: str) -> None:
        """Both are told why, and neither gets a vote."""
        self.claim()
        asked = self.epoch
        async with asyncio.timeout(DEADLINE):
            while not all(any(reason in loss for loss in node.losses) for node in self.nodes):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert asked not in self.votes


async def test_votes_are_kept_by_a_user_with_a_certificate_and_not_while_etcd_does_not_let_him(
    guarded: Guarded,
) -> None:
    office = Office(guarded)
    config = guarded.config()
    async with running(config), speaking(*office.nodes):
        await office.voted()
        assert "hamgr join hamgr-join-" in said(config, "enroll", "shop", "--address", "127.0.0.1").stdout
        # Other users come and go: nobody notices.
        guarded.etcd.ctl("user", "add", "guest:secret")
        guarded.etcd.ctl("user", "delete", "guest")
        await office.voted()
        guarded.etcd.ctl("user", "revoke-role", "hamgr", "arbiters")
        await office.refused("etcd lets user hamgr not read and write below /hamgr-arbiter/")
        guarded.etcd.ctl("user", "grant-role", "hamgr", "arbiters")
        await office.voted()
        # Another password: the file counts as it is, without a restart.
        for password in ("another", "secret"):
            new_password(guarded, password)
            await office.refused(f"etcd does not take user hamgr with the password in {guarded.password}")
            write_private(guarded.password, f"{password}\n")
            await office.voted()


def new_password(guarded: Guarded, password: str) -> None:
    words = ["etcdctl", "--endpoints", guarded.etcd.endpoints[0], *guarded.etcd._as()]
    words += ["user", "passwd", "hamgr", "--interactive=false"]
    subprocess.run(
        words, input=f"{password}\n", env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}, text=True, check=True
    )


def test_a_wrong_password_is_one_clear_error(guarded: Guarded) -> None:
    write_private(guarded.password, "guessed\n")
    config = guarded.config()
    told = f"hamgr-arbiter: etcd does not take user hamgr with the password in {guarded.password}"
    for words, code in ((["check"], 2), (["list"], 2), (["run"], 1)):
        done = said(config, *words)
        assert (done.returncode, done.stderr.splitlines()) == (code, [told])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"user": "visitor"}, "etcd lets user visitor not read and write below /hamgr-arbiter/: `etcdctl role"),
        ({"user": "hamster"}, "etcd does not take user hamster with the password in"),
        ({"user": "", "password_file": ""}, "etcd lets whoever our certificate names not read and write below"),
        ({"ca": "OTHERS"}, "its certificate is not good for this address by OTHERS (unable to get local issuer"),
        ({"certificate": "", "key": ""}, "it ended the TLS session: does it ask for a certificate"),
        (
            {"certificate": "FOREIGN.pem", "key": "FOREIGN.key"},
            "it ended the TLS session: does it ask for a certificate, of an authority that it knows?",
        ),
        (
            {"certificate": "", "key": "", "ca": ""},
            "etcd does not answer (ENDPOINT: it ended the connection: does it speak TLS (etcd.ca)?)",
        ),
    ],
)
def test_who_is_not_let_in_is_told_what_to_mend(
    guarded: Guarded,
    server: tuple[EtcdCluster, dict[str, str], Authority],
    changes: dict[str, str],
    sentence: str,
) -> None:
    others = server[2]
    foreign = others.vouches("foreign")[0].with_suffix("")
    places = {"OTHERS": str(others.file), "FOREIGN": str(foreign), "ENDPOINT": guarded.etcd.endpoints[0]}
    for word, path in places.items():
        changes = {name: value.replace(word, path) for name, value in changes.items()}
        sentence = sentence.replace(word, path)
    done = said(guarded.config(**changes), "check")
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]


async def test_an_etcd_without_users_and_without_tls_is_told_as_such(tmp_path: Path, guarded: Guarded) -> None:
    with etcd(tmp_path / "open") as cluster:
        made = Guarded(tmp_path, cluster, guarded.ours)
        done = said(made.config(ca="", certificate="", key=""), "check")
        assert "etcd has no users, and etcd.user is hamgr: take it out, or say `etcdctl auth enable`" in done.stderr
        done = said(made.config(), "check")
        assert "there is no TLS with it: does it speak TLS at all, as etcd.ca says?" in done.stderr
