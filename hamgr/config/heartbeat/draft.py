"""The tables that Heartbeat's files make, and from which line each of them comes.

The tables are those of a hamgr.toml. So one reader checks both forms, and one model comes out of both; here its
mistakes get the file and the line that an administrator of Heartbeat knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hamgr.config.heartbeat.lines import Line
from hamgr.config.problems import ConfigWarning, Problem
from hamgr.config.table import key_of


class Draft:
    """notes: what hamgr does differently, or leaves out. problems: the mistakes so far. waiting: those that may be none
    once the interfaces of this machine are up."""

    def __init__(self) -> None:
        self.tables: dict[str, Any] = {}
        self.origins: dict[str, Line] = {}
        self.notes: list[ConfigWarning] = []
        self.problems: list[Problem] = []
        self.waiting: list[Problem] = []

    def put(self, line: Line, *path: str, value: Any) -> None:
        """Set the key at `path`; a table is added to one that is there."""
        *tables, name = path
        table, where = self.tables, ""
        for part in tables:
            table = table.setdefault(part, {})
            where = key_of(where, part)
        table[name] = value
        self.origins[key_of(where, name)] = line

    def note(self, line: Line, text: str) -> None:
        self.notes.append(ConfigWarning(line.file, line.key, text))

    def wrong(self, line: Line, found: str, allowed: str) -> None:
        self.problems.append(Problem(line.file, line.key, found, allowed))

    def wrong_for_now(self, line: Line, found: str, allowed: str) -> None:
        self.waiting.append(Problem(line.file, line.key, found, allowed))

    def origin(self, key: str) -> Line | None:
        """The line that made a key, or the table around it."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return None

    def located(self, problem: Problem) -> Problem:
        """A mistake of the tables' reader, at its line. A key that no line made keeps its name."""
        lines = [line for key in problem.key.split(", ") if (line := self.origin(key)) is not None]
        if not lines:
            return problem
        line = max(lines, key=lambda line: line.number)  # rather a line than a default
        return Problem(line.file, line.key, problem.found, problem.allowed)


def nowhere(file: Path, word: str) -> Line:
    """In place of a line: for what is said of a whole file."""
    return Line(file, 0, word)
