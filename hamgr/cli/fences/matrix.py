"""What `fence-test` found, as a table for a terminal: a line for each device and each node that would use it."""

from __future__ import annotations

from collections.abc import Sequence

from hamgr.fencing.trial import CHECKS, Trial, Verdict

_WORDS = {Verdict.GOOD: "ok", Verdict.WARNING: "warn", Verdict.FAILED: "FAIL", Verdict.SKIPPED: "-"}
_COLOURS = {Verdict.GOOD: "32", Verdict.WARNING: "33", Verdict.FAILED: "31"}
_HEAD = ("node", "level", "device", "from")


def render(trials: Sequence[Trial], colour: bool = False) -> str:
    """The table; below it, what is not good, and why."""
    rows = [(trial.victim, str(trial.level), trial.device, trial.tester) for trial in trials]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    lines = [_line(_HEAD, widths) + "  " + _line(CHECKS, [_width(check, trials) for check in CHECKS])]
    for trial, row in zip(trials, rows, strict=True):
        cells = [_cell(trial, check, _width(check, trials), colour) for check in CHECKS]
        lines.append((_line(row, widths) + "  " + "  ".join(cells)).rstrip())
    lines += [""] if any(_remarks(trial) for trial in trials) else []
    for trial in trials:
        lines += [
            f"{trial.device} from {trial.tester}: {_paint(_WORDS[verdict], verdict, colour)}: {check}: {text}"
            for verdict, check, text in _remarks(trial)
        ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def summary(trials: Sequence[Trial], untried: Sequence[str]) -> str:
    """One sentence."""
    failed = [trial for trial in trials if trial.failed]
    if failed:
        return f"{len(failed)} of {len(trials)} trials FAILED"
    if not trials:
        return "NOTHING WAS TRIED"
    warned = sum(1 for trial in trials if any(f.verdict is Verdict.WARNING for f in trial.findings))
    return (
        f"all {len(trials)} trials are good"
        + (f", {warned} with warnings" if warned else "")
        + (f"; not tried: from {', '.join(untried)}" if untried else "")
    )


def _remarks(trial: Trial) -> list[tuple[Verdict, str, str]]:
    told = (Verdict.FAILED, Verdict.WARNING)
    return [(f.verdict, f.check, f.text) for f in trial.findings if f.verdict in told]


def _shown(trial: Trial, check: str) -> str:
    """A time that is good says how long it took, a plug what it reads."""
    finding = trial.finding(check)
    if check == "time" and finding.verdict is Verdict.GOOD:
        return finding.text
    if check == "status" and finding.verdict is Verdict.GOOD:
        return trial.power
    return _WORDS[finding.verdict]


def _width(check: str, trials: Sequence[Trial]) -> int:
    return max([len(check), *(len(_shown(trial, check)) for trial in trials)])


def _cell(trial: Trial, check: str, width: int, colour: bool) -> str:
    text = _shown(trial, check)
    return _paint(text, trial.finding(check).verdict, colour) + " " * (width - len(text))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))


def _paint(text: str, verdict: Verdict, colour: bool) -> str:
    return f"\x1b[{_COLOURS[verdict]}m{text}\x1b[0m" if colour and verdict in _COLOURS else text
