"""What is wrong with a configuration: mistakes that stop everything, and warnings of what will hurt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_LONGEST_FOUND = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, what is there, and what may be there."""

    file: Path
    key: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: found {self.found}, allowed {self.allowed}"


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """Something that is allowed and will hurt: a sentence that says what will happen and what to do."""

    file: Path
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: warning: {self.text}"


class ConfigError(Exception):
    """The file can't be used; `problems` are all of its mistakes, and the text is one line for each."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class NotYet(ConfigError):
    """Mistakes that may be none once the network of this machine is up: who can wait, tries again."""


def describe(value: object) -> str:
    """A value of a TOML file as an administrator would write it, cut when it is long."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, int) and abs(value) >= 10**20:
        text = "a number of more than 20 digits"  # str() of a huge one raises (sys.set_int_max_str_digits)
    elif isinstance(value, dict):
        text = "a table"
    elif isinstance(value, list):
        text = "[" + ", ".join(describe(item) for item in value[:10]) + "]"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_FOUND else text[: _LONGEST_FOUND - 3] + "..."
