"""One table of a TOML file, read key by key, with every mistake noted and none raised.

A reader returns the default when the value is wrong, so that one pass finds all mistakes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from hamgr.config import durations
from hamgr.config.problems import Problem, describe
from hamgr.core.cluster import MIN_DURATION

T = TypeVar("T")

MISSING = "nothing"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Mistakes:
    """The list of mistakes of one file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def note(self, key: str, found: str, allowed: str) -> None:
        self.problems.append(Problem(self.file, key, found, allowed))


class Table:
    """A table and its place in the file. `finish` notes the keys that nobody asked for."""

    def __init__(self, mistakes: Mistakes, path: str, values: dict[str, Any]) -> None:
        self.mistakes = mistakes
        self.path = path
        self.values = values
        self._known: dict[str, None] = {}

    def key(self, name: str) -> str:
        return key_of(self.path, name)

    def wrong(self, name: str, allowed: str) -> None:
        found = describe(self.values[name]) if name in self.values else MISSING
        self.mistakes.note(self.key(name), found, allowed)

    def take(self, name: str, default: T, convert: Callable[[Any], T], required: str = "") -> T:
        """The converted value; `convert` raises ValueError with what is allowed."""
        self._known[name] = None
        if name not in self.values:
            if required:
                self.wrong(name, required)
            return default
        try:
            return convert(self.values[name])
        except ValueError as error:
            self.wrong(name, str(error))
            return default

    def text(
        self, name: str, default: str = "", *, required: str = "", check: Callable[[str], str] | None = None
    ) -> str:
        """A string that isn't empty. check: returns what is allowed when the value is wrong, else ""."""

        def convert(value: Any) -> str:
            if not isinstance(value, str) or not value or not value.isprintable():
                raise ValueError(required or "a text")
            if check is not None and (allowed := check(value)):
                raise ValueError(allowed)
            return value

        return self.take(name, default, convert, required)

    def choice(self, name: str, default: str, allowed: Collection[str], *, required: bool = False) -> str:
        phrase = either(allowed)

        def convert(value: Any) -> str:
            if not isinstance(value, str):
                raise ValueError(phrase)
            if value not in allowed:
                raise ValueError(phrase + did_you_mean(value, allowed))
            return value

        return self.take(name, default, convert, phrase if required else "")

    def flag(self, name: str, default: bool) -> bool:
        def convert(value: Any) -> bool:
            if not isinstance(value, bool):
                raise ValueError("true or false")
            return value

        return self.take(name, default, convert)

    def number(self, name: str, default: int, low: int, high: int) -> int:
        def convert(value: Any) -> int:
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"a whole number from {low} to {high}")
            return value

        return self.take(name, default, convert)

    def optional_duration(self, name: str, low: float = MIN_DURATION) -> float | None:
        """Seconds; None when it isn't given or is wrong."""

        def convert(value: Any) -> float:
            seconds = durations.parse(value)
            if seconds < low:
                raise ValueError(f"a duration from {durations.show(low)} up")
            return seconds

        return self.take(name, None, convert)

    def duration(self, name: str, default: float, low: float = MIN_DURATION) -> float:
        found = self.optional_duration(name, low)
        return default if found is None else found

    def texts(self, name: str, default: tuple[str, ...], allowed: str) -> tuple[str, ...]:
        """An array of different strings."""

        def convert(value: Any) -> tuple[str, ...]:
            if not isinstance(value, list) or not all(isinstance(i, str) and i for i in value):
                raise ValueError(allowed)
            if len(set(value)) != len(value):
                raise ValueError(f"{allowed}, each once")
            return tuple(value)

        return self.take(name, default, convert)

    def file_path(self, name: str, default: Path, *, required: str = "") -> Path:
        text = self.text(name, "", required=required, check=_absolute)
        return Path(text) if text else default

    def optional_path(self, name: str) -> Path | None:
        text = self.text(name, "", check=_absolute)
        return Path(text) if text else None

    def table(self, name: str, *, required: str = "") -> Table:
        """The sub-table; an empty one when it is missing or something else."""

        def convert(value: Any) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise ValueError(required or f"a table [{self.key(name)}]")
            return value

        return Table(self.mistakes, self.key(name), self.take(name, {}, convert, required))

    def tables(self, name: str, *, required: str = "") -> dict[str, Table]:
        """The named tables below: [node.a], [node.b] -> {"a": ..., "b": ...}. Mistaken ones are left out."""
        parent = self.table(name, required=required)
        return {child: parent.table(child) for child, value in parent.values.items() if _is_table(parent, child, value)}

    def array(self, name: str, *, required: str = "") -> list[Table]:
        """The tables of an array [[...]], each with its place, counted from 1."""

        def convert(value: Any) -> list[dict[str, Any]]:
            if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
                raise ValueError(required or f"tables [[{self.key(name)}]]")
            if required and not value:
                raise ValueError(required)
            return value

        nothing: list[dict[str, Any]] = []
        found = self.take(name, nothing, convert, required)
        return [Table(self.mistakes, f"{self.key(name)}[{i}]", item) for i, item in enumerate(found, 1)]

    def finish(self) -> None:
        """Note every key that no reader asked for."""
        for name in self.values:
            if name not in self._known:
                allowed = "one of " + ", ".join(self._known) + did_you_mean(name, self._known)
                self.mistakes.note(self.key(name), "an unknown key", allowed)


def key_of(path: str, name: str) -> str:
    """A key below the table `path` ("" for the whole file), as TOML writes it."""
    shown = name if _BARE_KEY.fullmatch(name) else describe(name)
    return f"{path}.{shown}" if path else shown


def either(words: Collection[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)


def did_you_mean(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f' (did you mean "{near[0]}"?)' if near else ""


def _absolute(value: str) -> str:
    return "" if value.startswith("/") else 'an absolute path, which begins with "/"'


def _is_table(parent: Table, child: str, value: object) -> bool:
    if isinstance(value, dict):
        return True
    parent.wrong(child, f"a table [{parent.key(child)}]")
    return False
