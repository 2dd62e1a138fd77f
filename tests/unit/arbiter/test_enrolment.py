"""Clusters that are enrolled by a token: who gets in, who doesn't, and what it is told; over real connections."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from arbiter_host import REPORT, Member, command, hosting, joined, speaking, token, write_config

from arbiter.hosting import Host
from arbiter.registry import Registry
from hamgr.links import joining
from hamgr.links.identity import Identity, read_identity, write_identity
from hamgr.links.token import Token, parse_token
from hamgr.renewal import Renewal

Capsys = pytest.CaptureFixture[str]
NODES_CONFIG = """
[cluster]
name = "office"
key_file = "/etc/hamgr/cluster.key"
[arbiter]
address = "127.0.0.1"
identity = "{identity}"
[link.ha]
kind = "udp"
[node.a]
address = {{ ha = "10.0.0.1" }}
[node.b]
address = {{ ha = "10.0.0.2" }}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_config(tmp_path)


async def refused(text: str, node: str, key: str = "") -> str:
    with pytest.raises(joining.Refused) as why:
        await joined(text, node, key)
    return str(why.value)


# -- joining ----------------------------------------------------------------------------------------------------


async def test_two_nodes_join_by_one_token_and_get_a_vote(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    async with hosting(path):
        text = await token(path, capsys, "office")
        a, b = Member(tmp_path, await joined(text, "a")), Member(tmp_path, await joined(text, "b"))
        async with speaking(a, b):
            assert not (await a.answer()).voter
            assert (await b.answer(replace(REPORT, alive=("b",)))).voter
            quick = replace(REPORT, deadtime=0.1, settle=0.0, claim=5)
            for _ in range(100):
                voted = await a.answer(quick)
                if voted.voted_for:
                    break
            assert (voted.vote_epoch, voted.voted_for) == (5, "a")


async def test_a_token_is_for_so_many_nodes_each_once(path: Path, capsys: Capsys) -> None:
    async with hosting(path):
        text = await token(path, capsys, "office", "--nodes", "2")
        key = joining.fresh_key()
        await joined(text, "a", key)
        await joined(text, "a", key)  # the answer was lost
        assert "a has joined by this token already, with another key" in await refused(text, "a")
        await joined(text, "b")
        assert "all 2 places of the token are taken: a, b" in await refused(text, "c")


async def test_a_token_may_be_for_certain_nodes_and_ends(
    path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(path):
        text = await token(path, capsys, "office", "--node", "a")
        assert "the token is for a, not for b" in await refused(text, "b")
        short = await token(path, capsys, "office", "--valid", "1s")
        await joined(short, "a")
        later = time.time() + 2
        monkeypatch.setattr("arbiter.registry.time.time", lambda: later)
        assert "the token has expired" in await refused(short, "b")


async def test_who_has_no_token_or_the_wrong_arbiter_learns_nothing(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    async with hosting(path) as host:
        good = parse_token(await token(path, capsys, "office"))
        guessed = Token("office", good.joining, good.authority, bytes(24))
        assert "no such token" in await refused(str(guessed), "a")
        elsewhere = Token("shop", good.joining, good.authority, good.secret)
        assert "no such token" in await refused(str(elsewhere), "a")
        other = Token("office", good.joining, bytes(32), good.secret)
        with pytest.raises(joining.NotReached, match="its authority is not the one of the token"):
            await joined(str(other), "a")
        assert sum(host.refusals.counts.values()) == 2  # the last one said nothing that could be refused
        await joined(str(good), "a")


async def test_what_the_arbiter_may_take_is_bounded(tmp_path: Path, capsys: Capsys) -> None:
    path = write_config(tmp_path, "[limits]\nclusters = 1\nnodes = 2")
    async with hosting(path):
        text = await token(path, capsys, "office", "--nodes", "3")
        await joined(text, "a")
        await joined(text, "b")
        assert "limits.nodes allows 2" in await refused(text, "c")
        assert await command(path, "enroll", "shop") == 1
        assert "limits.clusters allows 1" in capsys.readouterr().err


# -- sessions ---------------------------------------------------------------------------------------------------


async def pair(path: Path, capsys: Capsys, cluster: str) -> tuple[Identity, Identity]:
    text = await token(path, capsys, cluster)
    return await joined(text, "a"), await joined(text, "b")


def counted(host: Host, part: str) -> int:
    return sum(count for reason, count in host.refusals.counts.items() if part in reason)


async def test_another_clusters_certificate_opens_no_door_even_with_this_ones_key(
    path: Path, tmp_path: Path, capsys: Capsys
) -> None:
    async with hosting(path):
        office, _ = await pair(path, capsys, "office")
        shop, _ = await pair(path, capsys, "shop")
        thief = Member(tmp_path, replace(shop, cluster="office", seal=office.seal), life=7)
        mine = Member(tmp_path, office)
        async with speaking(thief, mine):
            thief.session.send(replace(REPORT, alive=("a",)))
            assert "unauthenticated" in await thief.why_lost()
            await mine.answer()
            assert thief.answers.empty()


async def test_a_node_can_not_speak_as_another_of_its_cluster(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    async with hosting(path):
        a, b = await pair(path, capsys, "office")
        liar, honest = Member(tmp_path, replace(b, node="a"), life=7), Member(tmp_path, a)
        async with speaking(liar, honest):
            liar.session.send(REPORT)
            assert "other-speaker" in await liar.why_lost()
            await honest.answer()
            assert liar.answers.empty()


async def test_a_revoked_node_is_out_at_once_and_told_why(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    async with hosting(path) as host:
        a, b = (Member(tmp_path, identity) for identity in await pair(path, capsys, "office"))
        unused = await token(path, capsys, "office")
        async with speaking(a, b):
            await a.answer()
            await b.answer()
            assert await command(path, "revoke", "office", "b") == 0
            assert "the hamgr-arbiter here took it" in capsys.readouterr().out
            for _ in range(2):  # the stream ends, and the next one is refused
                assert "the certificate of b in cluster office was revoked: by" in await b.why_lost()
            await a.answer()
            assert counted(host, "was revoked") >= 2
            with pytest.raises(joining.Refused, match="was revoked"):
                await asyncio.to_thread(joining.renew, await read(b), True)
            assert "no such token" in await refused(unused, "b")
        again = Member(tmp_path, await joined(await token(path, capsys, "office"), "b"), life=2)
        async with speaking(again):
            await again.answer()


async def read(member: Member) -> Identity:
    return read_identity(member.file)


async def test_a_whole_cluster_is_revoked_and_nobody_else(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    async with hosting(path):
        office, shop = await pair(path, capsys, "office"), await pair(path, capsys, "shop")
        out, stays = Member(tmp_path, office[0]), Member(tmp_path, shop[0])
        async with speaking(out, stays):
            await out.answer()
            await stays.answer()
            assert await command(path, "revoke", "office") == 0
            assert "was revoked" in await out.why_lost()
            await stays.answer()
        assert await command(path, "revoke", "nowhere") == 1
        assert "there is no cluster 'nowhere' here" in capsys.readouterr().err


async def test_a_stream_ends_with_its_certificate(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    async with hosting(path, certificate_days=2.5 / 86400):
        a = Member(tmp_path, (await pair(path, capsys, "office"))[0])
        async with speaking(a):
            await a.answer()
            assert "has expired" in await a.why_lost()
            assert "found a certificate that expired at" in await a.why_lost()  # it is not even tried again


async def test_renewal_takes_effect_while_the_old_certificate_is_still_good(
    path: Path, tmp_path: Path, capsys: Capsys
) -> None:
    async with hosting(path):
        old, _ = await pair(path, capsys, "office")
        assert isinstance(await asyncio.to_thread(joining.renew, old, False), joining.StillGood)
        new = await asyncio.to_thread(joining.renew, old, True)
        assert isinstance(new, Identity)
        assert new.certificate != old.certificate
        assert new.key != old.key
        for life, identity in enumerate((new, old), 1):
            member = Member(tmp_path, identity, life)
            async with speaking(member):
                await member.answer()


async def test_a_session_that_is_dialled_anew_uses_the_renewed_certificate(
    path: Path, tmp_path: Path, capsys: Capsys
) -> None:
    async with hosting(path, certificate_days=3 / 86400) as host:
        old, _ = await pair(path, capsys, "office")
        host._joining._desk._terms = replace(host._joining._desk._terms, days=1)
        new = await asyncio.to_thread(joining.renew, old, True)
        assert isinstance(new, Identity)
        a = Member(tmp_path, old)
        async with speaking(a):
            await a.answer()
            write_identity(a.file, new)
            assert "has expired" in await a.why_lost()
            await a.answer()
            assert a.lost.empty()


async def test_the_newest_few_certificates_of_a_node_are_good(path: Path, capsys: Capsys) -> None:
    async with hosting(path):
        first, _ = await pair(path, capsys, "office")
        held = first
        for _ in range(4):
            renewed = await asyncio.to_thread(joining.renew, held, True)
            assert isinstance(renewed, Identity)
            held = renewed
        with pytest.raises(joining.Refused, match="newer ones have replaced it"):
            await asyncio.to_thread(joining.renew, first, True)
        await asyncio.to_thread(joining.renew, held, True)


# -- the authority ----------------------------------------------------------------------------------------------


async def test_an_authority_is_replaced_and_no_node_is_cut_off(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    async with hosting(path):
        a, b = await pair(path, capsys, "office")
        assert await command(path, "ca", "new") == 0
        assert await command(path, "ca", "activate", "2") == 1
        assert "a of office, b of office: does not know authority 2 yet" in capsys.readouterr().err
        told = [await asyncio.to_thread(joining.renew, identity, False) for identity in (a, b)]  # it is time by itself
        assert all(isinstance(identity, Identity) for identity in told)
        assert await command(path, "ca", "activate", "2") == 0
        assert await command(path, "ca", "retire", "1") == 1
        assert "has a certificate of authority 1" in capsys.readouterr().err
        assert isinstance(told[0], Identity)
        member = Member(tmp_path, told[0])
        async with speaking(member):
            await member.answer()  # the arbiter shows the new one's certificate, and takes the old one's
        fresh = [await asyncio.to_thread(joining.renew, identity, False) for identity in told]  # type: ignore[arg-type]
        assert await command(path, "ca", "retire", "1") == 0
        assert isinstance(fresh[1], Identity)
        last = Member(tmp_path, fresh[1], life=2)
        async with speaking(last):
            await last.answer()
        await joined(await token(path, capsys, "office", "--nodes", "1"), "c")


async def test_hamgrd_has_its_certificate_renewed_when_it_is_time(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    config, file = tmp_path / "hamgr.toml", tmp_path / "identity"
    config.write_text(NODES_CONFIG.format(identity=file))
    async with hosting(path):
        old, _ = await pair(path, capsys, "office")
        write_identity(file, old)
        await Renewal(file, config)._ask()
        assert read_identity(file) == old  # it is good for long
        assert await command(path, "ca", "new") == 0
        await Renewal(file, config)._ask()
        new = read_identity(file)
        assert new.certificate != old.certificate
        assert new.authorities.count("BEGIN CERTIFICATE") == 2
        assert (new.sessions, new.joining) == (old.sessions, old.joining)


# -- forgetting -------------------------------------------------------------------------------------------------


async def test_a_forgotten_cluster_is_out_and_learns_again_above_its_last_vote(
    path: Path, tmp_path: Path, capsys: Capsys
) -> None:
    async with hosting(path):
        a, b = (Member(tmp_path, identity) for identity in await pair(path, capsys, "office"))
        async with speaking(a, b):
            await a.answer(replace(REPORT, epoch=9))
            assert (await b.answer(replace(REPORT, epoch=9, alive=("b",)))).voter
            assert await command(path, "forget", "office", "--yes") == 0
            assert "is not enrolled here any more" in await a.why_lost()
        capsys.readouterr()
        assert await command(path, "show", "office") == 0
        assert "office: has not learned the epoch" in capsys.readouterr().out
        new = [Member(tmp_path, identity, life=2) for identity in await pair(path, capsys, "office")]
        async with speaking(*new):
            assert not (await new[0].answer(replace(REPORT, epoch=0))).voter
            learned = await new[1].answer(replace(REPORT, epoch=0, alive=("b",)))
            assert (learned.voter, learned.vote_epoch, learned.voted_for) == (True, 9, "")


async def test_to_forget_asks_for_the_name(path: Path, capsys: Capsys) -> None:
    async with hosting(path):
        await pair(path, capsys, "office")
        assert await command(path, "forget", "office") == 1
        assert "without one, say --yes" in capsys.readouterr().err
        assert await command(path, "forget", "nowhere", "--yes") == 1
        assert "there is no cluster 'nowhere' here; there are: office" in capsys.readouterr().err


async def test_it_forgets_without_a_server_too(path: Path, tmp_path: Path, capsys: Capsys) -> None:
    await token(path, capsys, "office")
    assert await command(path, "forget", "office", "--yes") == 0
    registry = Registry(tmp_path / "state")
    assert registry.load().clusters == {}
    registry.close()
