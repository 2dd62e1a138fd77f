"""The hand-written cases: what each timeline expects holds, and its log is the expected one, line by line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hamgr.core.transition import CLAUSES
from hamgr.sim.cli import main
from hamgr.sim.faults import TimelineError
from hamgr.sim.run import plan, run
from hamgr.sim.scenario import accept, cluster_tables, expected, play, read, timeline
from hamgr.sim.shape import ShapeError, Wanted, spec_to_toml

FOLDER = Path(__file__).parent.parent / "scenarios"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_it_comes_as_expected(name: str) -> None:
    scenario = read(FOLDER / name)
    played = play(scenario)
    assert played.failure == ""
    assert played.log == expected(scenario), f"shown by python -m hamgr.sim --scenario tests/scenarios/{name}"


def written(folder: Path, timeline: str, cluster: str = 'nodes = ["a", "b"]\narbiter = true\n') -> Path:
    (folder / "cluster.toml").write_text(cluster)
    (folder / "timeline.txt").write_text(timeline)
    return folder


def test_an_expectation_that_does_not_hold_names_its_line(tmp_path: Path) -> None:
    played = play(read(written(tmp_path, "# nothing moves\n10s power-off a\n20s expect web a\n")))
    assert "line 3: expect web a: it is b" in played.failure


def test_a_broken_invariant_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLAUSES, "fenced", lambda facts, now: not facts.heard)
    played = play(read(written(tmp_path, "10s fence-mode a fail\n    kill a\n30s expect web a\n")))
    assert "one-owner" in played.failure


def test_another_log_than_expected_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(FOLDER / "power-off", tmp_path / "case")
    folder = tmp_path / "case"
    assert main(["--scenario", str(folder)]) == 0
    file = folder / "expected.txt"
    file.write_text(file.read_text().replace("node-dead", "node-left"))
    assert main(["--scenario", str(folder)]) == 1
    assert "-   13.0s  b        node-left a" in capsys.readouterr().out
    assert main(["--scenario", str(folder), "--accept"]) == 0
    assert file.read_text() == (FOLDER / "power-off" / "expected.txt").read_text()


def test_lines_without_a_time_happen_at_the_time_above(tmp_path: Path) -> None:
    scenario = read(written(tmp_path, "10s kill a\n    wipe a   # a comment\n\n11.5s start a\n"))
    assert [line.at for line in scenario.lines] == [10.0, 10.0, 11.5]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("10s explode a", "unknown; allowed are absent, arbiter-accept"),
        ("10s kill x", "'x' does not fit; allowed is kill NODE, with the nodes a, b"),
        ("10s kill", "NODE is missing"),
        ("10s kill a b", "'b' is too much"),
        ("10s pause a long", "'long' does not fit; allowed is pause NODE TIME"),
        ("10s cut a", "'a' does not fit; allowed is cut PAIR [LINK]"),
        ("10s cut a->x", "'a->x' does not fit"),
        ("10s cut a b link9", "'link9' does not fit"),
        ("10s fail a db", "'db' does not fit"),
        ("10s fence-mode a maybe", "'maybe' does not fit"),
        ("10s expect web c", "'c' does not fit"),
        ("10s kill a\n9s kill b", "9 s is before the line above it, 10 s"),
        ("10s peace\n20s kill b", "nothing comes after peace"),
    ],
)
def test_a_line_that_says_nothing_is_told_with_file_and_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(TimelineError) as caught:
        read(written(tmp_path, f"{line}\n"))
    assert says in str(caught.value)
    assert f"timeline.txt:{line.count(chr(10)) + 1}:" in str(caught.value)


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ("nodez = []", "unknown key 'nodez'; allowed: algorithm, arbiter"),
        ("[timing]\nlives = 9", "[timing]: unknown key 'lives'"),
        ("[group.web]\nnode = 'a'", "[group.web]: unknown key 'node'"),
        ("[conditions]\nsun = 1", "[conditions]: unknown key 'sun'"),
        ("[watchdog]\nx = 3.0", "'x' is no node"),
        ("on_quorum_loss = 'pray'", "allowed: stop, freeze"),
        ("nodes = ", "Invalid value"),
    ],
)
def test_a_cluster_that_is_none_is_told(tmp_path: Path, cluster: str, says: str) -> None:
    with pytest.raises(ShapeError) as caught:
        read(written(tmp_path, "", cluster))
    assert says in str(caught.value)
    assert "cluster.toml" in str(caught.value)


def test_wrong_usage_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--scenario", str(tmp_path / "none")], ["--accept"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    assert "cluster.toml" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [5, 12, 31])
def test_a_seed_that_is_written_down_is_the_same_story(tmp_path: Path, seed: int) -> None:
    """So what the shrinker prints can be kept as a scenario."""
    what = plan(seed, Wanted())
    told: list[str] = []
    assert run(what, show=told.append).failure is None
    cluster = f"{spec_to_toml(what.spec)}\n\n{cluster_tables(what)}\n"
    scenario = read(written(tmp_path, timeline(what, what.faults), cluster))
    assert (scenario.spec.groups, scenario.spec.timing) == (what.spec.groups, what.spec.timing)
    again: list[str] = []
    played = play(scenario, again.append)
    assert played.failure == ""
    assert again == told
    accept(scenario, played)
    assert expected(scenario) == played.log
