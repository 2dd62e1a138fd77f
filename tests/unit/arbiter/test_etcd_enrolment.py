"""Clusters that are enrolled with several arbiter processes over one real etcd: joined at any, known at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from arbiter_host import REPORT, Member, command, joined, speaking, token
from etcds import NEEDS_ETCD, EtcdCluster, etcd, free_ports

pytest.importorskip("aetcd")

from arbiter.config import load
from arbiter.hosting import Host, service_of
from arbiter.registries import registry_of
from arbiter.registry import Changed, RegistryError

pytestmark = NEEDS_ETCD
Capsys = pytest.CaptureFixture[str]
HOSTS = ("127.0.0.1", "127.0.0.2")


@pytest.fixture
def paths(tmp_path: Path) -> AsyncIterator[list[Path]]:
    """Two hosts' configurations, over one etcd."""
    with etcd(tmp_path / "etcd") as cluster:
        yield written(tmp_path, cluster)  # type: ignore[misc]


def written(tmp_path: Path, cluster: EtcdCluster) -> list[Path]:
    tls, join, plain = free_ports(3)
    paths = []
    for host in HOSTS:
        path = tmp_path / f"{host}.toml"
        path.write_text(
            f'state_dir = "{tmp_path}/{host}"\nlisten = "{host}:{plain}"\ntls_listen = "{host}:{tls}"\n'
            f'join_listen = "{host}:{join}"\nstore = "etcd"\n[enroll]\naddresses = ["{host}"]\n'
            f'[etcd]\nendpoints = ["{cluster.endpoints[0]}"]\n'
        )
        paths.append(path)
    return paths


@asynccontextmanager
async def host(path: Path) -> AsyncIterator[Host]:
    config = load(path)
    registry = await asyncio.to_thread(registry_of, config)
    await asyncio.to_thread(registry.ensure_authority)
    one = Host(config, {}, service_of(config), registry)
    try:
        await one.open()
        yield one
    finally:
        await one.close()


async def test_nodes_that_joined_at_different_hosts_are_one_cluster_and_are_revoked_everywhere(
    paths: list[Path], tmp_path: Path, capsys: Capsys
) -> None:
    async with host(paths[0]), host(paths[1]):
        a = Member(tmp_path, await joined(await token(paths[0], capsys, "office", "--node", "a"), "a"))
        b = Member(tmp_path, await joined(await token(paths[1], capsys, "office", "--node", "b"), "b"))
        async with speaking(a, b):
            await known(a, REPORT)
            assert (await known(b, replace(REPORT, alive=("b",)))).voter
            asked = replace(REPORT, deadtime=0.1, settle=0.0, claim=5)
            voted = await a.answer(asked)
            for _ in range(100):
                if voted.voted_for:
                    break
                voted = await a.answer(asked)
            assert (voted.vote_epoch, voted.voted_for) == (5, "a")
            told = await b.answer(replace(REPORT, alive=("b",)))  # by way of the process that leads
            assert (told.vote_epoch, told.voted_for) == (5, "a")
            while not a.lost.empty():
                a.lost.get_nowait()
            assert await command(paths[1], "revoke", "office", "a") == 0
            assert "was revoked" in await a.why_lost()
            await b.answer(replace(REPORT, alive=("b",)))


async def known(member: Member, report: object) -> object:
    """The first answer: each host looks once a second for what was enrolled at the other."""
    for _ in range(5):
        try:
            return await member.answer(report)  # type: ignore[arg-type]
        except TimeoutError:
            continue
    raise AssertionError("no answer")


async def test_two_changes_at_the_same_moment_are_one_after_the_other(paths: list[Path], capsys: Capsys) -> None:
    registries = [registry_of(load(path)) for path in paths]
    try:
        first, second = registries
        first.ensure_authority()
        assert second.load().signer == first.load().signer
        version = second.version()

        def both() -> None:
            with first._together() as rows:
                rows.execute("insert into clusters values ('mine', '00', 1.0)")
                second.enrol("office", "d", 9e9, (), 2, 9)

        with pytest.raises(Changed):
            both()
        assert set(first.load().clusters) == {"office"}
        assert second.version() != version
    finally:
        for registry in registries:
            registry.close()


async def test_joins_by_both_hosts_at_once_all_succeed(paths: list[Path], capsys: Capsys) -> None:
    async with host(paths[0]), host(paths[1]):
        texts = [await token(path, capsys, "office", "--nodes", "4") for path in paths]
        names = [f"n{number}" for number in range(4)]  # one thread each, of this process
        found = await asyncio.gather(*(joined(texts[n % 2], name) for n, name in enumerate(names)))
        assert [identity.node for identity in found] == names
    registry = registry_of(load(paths[0]))
    assert len(registry.load().certificates) == 4
    registry.close()


async def test_a_cluster_is_forgotten_everywhere(paths: list[Path], tmp_path: Path, capsys: Capsys) -> None:
    async with host(paths[0]), host(paths[1]):
        a = Member(tmp_path, await joined(await token(paths[0], capsys, "office"), "a"))
        async with speaking(a):
            await a.answer()
            assert await command(paths[1], "forget", "office", "--yes") == 0
            assert "is not enrolled here any more" in await a.why_lost()
        capsys.readouterr()
        assert await command(paths[1], "list") == 0
        assert "neither enrolled nor in the configuration" in capsys.readouterr().out


async def test_without_etcd_it_is_one_clear_error(tmp_path: Path, capsys: Capsys) -> None:
    with etcd(tmp_path / "etcd") as cluster:
        paths = written(tmp_path, cluster)
    registry = registry_of(load(paths[0]))
    with pytest.raises(RegistryError, match="etcd does not answer"):
        registry.load()
    registry.close()
    assert await command(paths[0], "enroll", "office") == 2
    assert "etcd does not answer" in capsys.readouterr().err
