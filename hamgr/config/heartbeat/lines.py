"""Heartbeat's files line by line: comments off, continuations joined, each line with its number.

Heartbeat cuts ha.cf and haresources at the first "#" of a line, wherever it stands; authkeys only has whole lines of
comment, because a secret may contain one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hamgr.config.problems import ConfigError, Problem

MOST_BYTES = 1 << 20
"""Far more than any of these files has."""

_SEPARATORS = re.compile(r"[,\s]+")
"""Heartbeat takes commas for blanks between the words of ha.cf."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that says something. rest: what follows its first word, as it is written."""

    file: Path
    number: int
    word: str
    rest: str = ""

    @property
    def key(self) -> str:
        """What a message names the line by."""
        return f"line {self.number} ({self.word})" if self.number else self.word

    @property
    def words(self) -> list[str]:
        """The words after the first; commas count as blanks."""
        return [word for word in _SEPARATORS.split(self.rest) if word]

    @property
    def is_readable(self) -> bool:
        return all(word.isprintable() for word in self.text.split())

    @property
    def text(self) -> str:
        return f"{self.word} {self.rest}".strip()


def lines_of(file: Path) -> Iterator[Line]:
    """The lines of ha.cf."""
    for number, text in enumerate(read(file).split("\n"), 1):
        if (line := _line(file, number, text.partition("#")[0])) is not None:
            yield line


def joined_lines_of(file: Path) -> Iterator[Line]:
    """The lines of haresources: one that ends with a backslash goes on in the next."""
    begun, kept = 0, ""
    for number, text in enumerate(read(file).split("\n"), 1):
        # The comment goes first, as in Heartbeat: a backslash inside of one joins nothing.
        text = text.partition("#")[0].rstrip()
        begun = begun or number
        if text.endswith("\\"):
            kept += text[:-1]
            continue
        if (line := _line(file, begun, kept + text)) is not None:
            yield line
        begun, kept = 0, ""
    if (line := _line(file, begun, kept)) is not None:
        yield line


def read(file: Path) -> str:
    """The text of a file; bytes that are no UTF-8 are kept as surrogates, most of them stand in comments.

    Raises ConfigError.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            (Problem(file, "the file", error.strerror or str(error), "a file that can be read"),)
        ) from None
    if len(content) > MOST_BYTES:
        raise ConfigError((Problem(file, "the file", f"more than {MOST_BYTES} bytes", "a file of Heartbeat"),))
    return content.decode("utf-8", errors="surrogateescape")


def _line(file: Path, number: int, text: str) -> Line | None:
    word, *rest = text.split(None, 1)[:2] or [""]
    return Line(file, number, word, rest[0].strip() if rest else "") if word else None
