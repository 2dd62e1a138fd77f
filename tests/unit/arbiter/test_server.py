"""The arbiter as a process: real sessions over gRPC on loopback."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from hamgr.config.model import ArbiterConfig
from hamgr.core.messages import ArbiterAnswer, ArbiterReport
from hamgr.links.arbiter import CLUSTER, ArbiterSession
from hamgr.links.codec import Codec
from hamgr.links.keyfile import activate_key, add_key, write_key_file
from hamgr.links.keys import load_keys
from hamgr.links.seal import Method
from hamgr.v1 import arbiter_pb2_grpc, cluster_pb2

COMMAND = [str(Path(sys.executable).with_name("hamgr-arbiter"))]
READY_WITHIN = 20.0
REPORT = ArbiterReport(1, 4, nodes=("a", "b"), alive=("a",), deadtime=5.0, settle=0.5)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two clusters on one arbiter."""
    lines = [f'listen = "127.0.0.1:{free_port()}"', f'state_dir = "{tmp_path}/state"']
    for cluster in ("one", "two"):
        write_key_file(tmp_path / f"{cluster}.key")
        lines += [f"[cluster.{cluster}]", f'key_file = "{tmp_path}/{cluster}.key"']
    path = tmp_path / "arbiter.toml"
    path.write_text("\n".join(lines))
    return path


def port_of(config: Path) -> int:
    return int(config.read_text().splitlines()[0].rsplit(":", 1)[1].strip('"'))


def initialised(config: Path, *clusters: str) -> None:
    for cluster in clusters:
        subprocess.run([*COMMAND, "init", cluster, "--config", str(config)], check=True)


def explain(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "explain", *words, "--config", str(config)], capture_output=True, text=True)


@contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([*COMMAND, "--config", str(config)], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "ready on" in line:
                    break
            yield process
        finally:
            process.kill()


async def line_with(process: subprocess.Popen[str], text: str) -> str:
    """The next line of its log that says this."""
    assert process.stderr is not None
    lines = process.stderr
    async with asyncio.timeout(10):
        return await asyncio.to_thread(lambda: next(line for line in lines if text in line))


class Node:
    """One node's session, with the real client."""

    def __init__(self, config: Path, cluster: str, name: str, key: Path | None = None, life: int = 1) -> None:
        keys = load_keys(key or config.with_name(f"{cluster}.key"))
        codec = self.codec = Codec(cluster, name, keys.keys, keys.active, life)
        self.answers: asyncio.Queue[ArbiterAnswer] = asyncio.Queue()
        self.lost: asyncio.Queue[str] = asyncio.Queue()
        address = ArbiterConfig("127.0.0.1", port_of(config))
        self.session = ArbiterSession(
            address, codec, lambda answer, _where: self.answers.put_nowait(answer), self.lost.put_nowait
        )

    async def answer(self, report: ArbiterReport) -> ArbiterAnswer:
        self.session.send(report)
        async with asyncio.timeout(10):
            while True:
                answer = await self.answers.get()
                if answer.echo_us == report.sent_us:
                    return answer

    async def until(self, voted_for: str) -> ArbiterAnswer:
        async with asyncio.timeout(10):
            while True:
                answer = await self.answers.get()
                if answer.voted_for == voted_for:
                    return answer


@asynccontextmanager
async def nodes(*found: Node) -> AsyncIterator[None]:
    for node in found:
        await node.session.start()
    try:
        yield
    finally:
        for node in found:
            await node.session.close()


async def test_it_learns_votes_once_and_remembers_over_a_kill(config: Path) -> None:
    a, b = Node(config, "one", "a"), Node(config, "one", "b")
    with running(config) as process:
        async with nodes(a, b):
            assert not (await a.answer(REPORT)).voter
            assert (await b.answer(replace(REPORT, alive=("b",)))).voter
            a.session.send(replace(REPORT, sent_us=2, claim=5))
            b.session.send(replace(REPORT, sent_us=2, claim=5, alive=("b",), load=3))
            assert (await b.until("b")).vote_epoch == 5
            assert "b runs more" in (await a.until("b")).refused
        process.send_signal(signal.SIGKILL)
        process.wait()
    late = Node(config, "one", "a", life=2)
    with running(config):
        async with nodes(late):
            told = await late.answer(replace(REPORT, sent_us=3, claim=5))
            assert (told.vote_epoch, told.voted_for) == (5, "b")
            assert told.refused


async def test_it_can_say_afterwards_why_it_voted_and_the_winner_knows_at_once(config: Path) -> None:
    initialised(config, "one")
    a, b = Node(config, "one", "a"), Node(config, "one", "b")
    with running(config) as process:
        async with nodes(a, b):
            a.session.send(replace(REPORT, sent_us=2, claim=5))
            b.session.send(replace(REPORT, sent_us=2, claim=5, alive=("b",), load=3))
            assert (await b.until("b")).why == "b runs more than a (3, 0)"
        process.send_signal(signal.SIGTERM)
        process.wait()
    told = explain(config, "one")
    assert "voted      b gets the vote of epoch 5: b runs more than a (3, 0)" in told.stdout
    assert "worse      a does not get the vote of epoch 5: b got the vote" in told.stdout
    vote, *_ = map(json.loads, explain(config, "one", "--json").stdout.splitlines())
    assert (vote["rule"], vote["node"], vote["epoch"]) == ("voted", "b", 5)
    assert {side["claimant"] for side in vote["knew"]["sides"]} == {"a", "b"}
    other = explain(config, "none")
    assert (other.returncode, "there is no cluster 'none' here; did you mean one?" in other.stderr) == (1, True)


async def test_killed_in_the_middle_of_a_contest_it_votes_once_afterwards(config: Path) -> None:
    initialised(config, "one")
    a, b = Node(config, "one", "a"), Node(config, "one", "b")
    slow = replace(REPORT, settle=60.0)
    async with nodes(a, b):
        with running(config) as process:
            await b.answer(replace(slow, alive=("b",)))
            waiting = await a.answer(replace(slow, sent_us=2, claim=5))
            assert waiting.voted_for == ""
            process.send_signal(signal.SIGKILL)
            process.wait()
        with running(config):
            b.session.send(replace(slow, sent_us=3, claim=5, alive=("b",)))
            for attempt in range(100):
                a.session.send(replace(slow, sent_us=3 + attempt, claim=5))
                b.session.send(replace(slow, sent_us=3 + attempt, claim=5, alive=("b",)))
                found = await asyncio.wait_for(a.answers.get(), 10)
                if found.voted_for:
                    break
            assert found.voted_for == "a"
            assert (await b.until("a")).vote_epoch == found.vote_epoch == 5


async def test_clusters_do_not_see_each_other(config: Path) -> None:
    initialised(config, "one", "two")
    one, two = Node(config, "one", "a"), Node(config, "two", "b")
    with running(config):
        async with nodes(one, two):
            quick = replace(REPORT, deadtime=0.1, settle=0.0, claim=5)
            one.session.send(quick)
            two.session.send(replace(quick, alive=("b",), claim=9))
            assert (await one.until("a")).vote_epoch == 5
            assert (await two.until("b")).vote_epoch == 9


async def test_a_wrong_key_gets_no_answer(config: Path, tmp_path: Path) -> None:
    write_key_file(tmp_path / "stranger.key")
    stranger = Node(config, "one", "a", key=tmp_path / "stranger.key")
    with running(config):
        async with nodes(stranger):
            stranger.session.send(REPORT)
            assert "unauthenticated" in await asyncio.wait_for(stranger.lost.get(), 10)
            assert stranger.answers.empty()


async def test_naming_another_cluster_opens_no_door(config: Path) -> None:
    liar = Node(config, "two", "a", key=config.with_name("one.key"))
    with running(config):
        async with nodes(liar):
            liar.session.send(REPORT)
            assert "unauthenticated" in await asyncio.wait_for(liar.lost.get(), 10)


@pytest.mark.parametrize("method", Method)
async def test_every_method_reaches_the_arbiter(config: Path, method: Method) -> None:
    config.with_name("one.key").unlink()
    write_key_file(config.with_name("one.key"), method)
    initialised(config, "one")
    a = Node(config, "one", "a")
    with running(config):
        async with nodes(a):
            assert (await a.answer(REPORT)).voter


async def test_its_keys_are_read_again_and_a_mistaken_file_changes_nothing(config: Path) -> None:
    initialised(config, "one")
    file = config.with_name("one.key")
    a = Node(config, "one", "a")
    with running(config) as process:
        async with nodes(a):
            await a.answer(REPORT)
            good = file.read_text()
            file.write_text(good + "x\n")
            process.send_signal(signal.SIGHUP)
            assert "one.key, line 3: 1 word(s), allowed" in await line_with(process, "the keys stay as they were")
            await a.answer(replace(REPORT, sent_us=2))
            file.write_text(good)
            add_key(file, Method.CHACHA20_POLY1305)
            activate_key(file, 2)
            process.send_signal(signal.SIGHUP)
            told = await line_with(process, "keys read again")
            assert "one: key 2 (chacha20-poly1305) seals; 1 also opens; two: key 1 (hmac-sha256) seals" in told
            keys = load_keys(file)
            a.codec.reload(keys.keys, keys.active)
            await a.answer(replace(REPORT, sent_us=4))
            assert a.codec.peers["arbiter"].seals == 2


@pytest.mark.parametrize(
    ("named", "told"),
    [(None, "other-cluster"), ("three", "other-cluster"), ("two", "unauthenticated"), ("one", "unauthenticated")],
)
async def test_garbage_ends_its_stream_and_nothing_else(config: Path, named: str | None, told: str) -> None:
    initialised(config, "one")
    a = Node(config, "one", "a")
    with running(config):
        async with nodes(a), grpc.aio.insecure_channel(f"127.0.0.1:{port_of(config)}") as channel:
            metadata = ((CLUSTER, named),) if named else None
            call = arbiter_pb2_grpc.ArbiterStub(channel).Session(None, metadata=metadata)
            if told == "unauthenticated":
                await call.write(cluster_pb2.Frame(data=b"hg\1\1" + bytes(99)))
            with pytest.raises(grpc.aio.AioRpcError, match=told) as refused:
                await asyncio.wait_for(call.read(), 10)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert (await a.answer(REPORT)).voter


def test_a_busy_port_is_one_clear_error(config: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port_of(config)))
        taken.listen()
        ended = subprocess.run(
            [*COMMAND, "--config", str(config)], capture_output=True, text=True, check=False, timeout=30
        )
    assert ended.returncode == 2
    assert f"127.0.0.1:{port_of(config)}" in ended.stderr.splitlines()[-1]


def test_all_mistakes_of_the_configuration_at_once(tmp_path: Path) -> None:
    path = tmp_path / "arbiter.toml"
    path.write_text('listen = "nowhere"\nstate_dri = "/x"\n[cluster.one]\nkey_fiel = "/k"\n')
    ended = subprocess.run(
        [*COMMAND, "check", "--config", str(path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 2
    for key in ("listen", "state_dri", "cluster.one.key_file", "cluster.one.key_fiel"):
        assert f"{path}: {key}: found" in ended.stderr


def test_list_and_show_tell_the_votes(config: Path) -> None:
    initialised(config, "one")
    listed = subprocess.run([*COMMAND, "list", "--config", str(config)], capture_output=True, text=True, check=True)
    assert "one: votes; last vote: none yet" in listed.stdout
    assert "two: has not learned the epoch" in listed.stdout
    again = subprocess.run(
        [*COMMAND, "init", "one", "--config", str(config)], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "no hamgr-arbiter serves now" in listed.stderr
    show = [*COMMAND, "show", "two", "--config", str(config)]
    shown = subprocess.run(show, capture_output=True, text=True, check=True)
    assert shown.stdout == "two: has not learned the epoch; last vote: none yet\n"
    for verb in ("show", "explain", "revoke", "init"):
        words = [*COMMAND, verb, "office", "--config", str(config)]
        unknown = subprocess.run(words, capture_output=True, text=True, check=False)
        told = f"hamgr-arbiter {verb}: refused: there is no cluster 'office' here; there are: one, two\n"
        assert (unknown.returncode, unknown.stderr) == (1, told)
