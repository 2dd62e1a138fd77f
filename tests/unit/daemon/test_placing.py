"""A committed configuration comes into the file, however often the start is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.model import Config
from hamgr.config.toml import digest, parse
from hamgr.core.effects import StagedRecord, StateRecord
from hamgr.core.messages import ClusterState, ConfigStamp, Stamp
from hamgr.placing import put_in_place, unwritable
from hamgr.store import StateStore, StoreError

TEXT = """
[cluster]
name = "t"
key_file = "{dir}/key"
state_dir = "{dir}/state"
[link.one]
kind = "udp"
[node.a]
address = {{ one = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2" }}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "hamgr.toml"
    file.write_text(TEXT.format(dir=tmp_path))
    file.chmod(0o640)
    return parse(file.read_bytes(), file)


def commit(config: Config, text: bytes, version: int, staged: bool = True) -> None:
    store = StateStore(config.state_dir, "t", "a")
    if staged:
        store.write(StagedRecord(digest(text), (), text))
    store.write(StateRecord(ClusterState(Stamp(version, 1), config=ConfigStamp(version, digest(text)))))
    store.close()


def test_it_is_put_there_once_with_its_mode_and_the_last_one_is_kept(config: Config) -> None:
    old, new = config.path.read_bytes(), b"# new\n"
    assert not put_in_place(config, "a")
    commit(config, new, 1)
    assert put_in_place(config, "a")
    assert config.path.read_bytes() == new
    assert config.path.stat().st_mode & 0o777 == 0o640
    assert (config.path.parent / "hamgr.toml.previous").read_bytes() == old
    config.path.write_bytes(b"# by hand\n")
    assert not put_in_place(config, "a"), "what an administrator wrote later stays"


def test_a_crash_after_the_file_was_replaced_does_no_harm(config: Config) -> None:
    old = config.path.read_bytes()
    commit(config, b"# new\n", 1)
    (config.path.parent / "hamgr.toml.previous").write_bytes(old)
    config.path.write_bytes(b"# new\n")
    assert put_in_place(config, "a")
    assert (config.path.parent / "hamgr.toml.previous").read_bytes() == old


def test_a_symbolic_link_is_followed(config: Config) -> None:
    real = config.path.parent / "real.toml"
    config.path.rename(real)
    config.path.symlink_to(real)
    commit(config, b"# new\n", 1)
    assert put_in_place(config, "a")
    assert config.path.is_symlink()
    assert real.read_bytes() == b"# new\n"


def test_a_text_that_was_never_staged_here_is_not_waited_for(config: Config) -> None:
    commit(config, b"# new\n", 1, staged=False)
    assert not put_in_place(config, "a")


def test_a_file_that_can_not_be_replaced_is_one_clear_error(config: Config) -> None:
    commit(config, b"# new\n", 1)
    config.path.unlink()
    with pytest.raises(StoreError, match=r"hamgr\.toml: can't be replaced by the pushed configuration: No such file"):
        put_in_place(config, "a")


def test_the_newest_eight_staged_texts_are_kept_and_what_is_needed_of_older_ones(config: Config) -> None:
    store = StateStore(config.state_dir, "t", "a")
    for number in range(10):
        store.write(StagedRecord(f"{number:016x}", ("web",), b"%d" % number))
    store.write(StagedRecord(f"{5:016x}", (), b"again"))
    for_later = ClusterState(Stamp(1, 1), config=ConfigStamp(1, f"{2:016x}"), proposed=ConfigStamp(2, f"{3:016x}"))
    store.write(StateRecord(for_later))
    kept = [(record.digest[-1], record.idle) for record in store.load().staged]
    assert kept == [*((digit, ("web",)) for digit in "2346789"), ("5", ())]
    assert store.text(f"{5:016x}") == b"again"
    for number in range(20, 30):
        store.write(StagedRecord(f"{number:016x}", (), b""))
    assert [int(record.digest, 16) for record in store.load().staged] == [2, 3, *range(24, 30)]
    store.close()


def test_heartbeats_files_are_not_replaced_by_a_pushed_one(tmp_path: Path) -> None:
    assert "`hamgr import" in unwritable(tmp_path)
