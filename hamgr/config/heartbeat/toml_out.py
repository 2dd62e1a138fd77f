"""A draft as the text of a hamgr.toml: each table with the line that it comes from, at the end what has no equal."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hamgr.config.heartbeat.draft import Draft
from hamgr.config.heartbeat.lines import Line
from hamgr.config.problems import ConfigWarning
from hamgr.config.table import key_of

WIDTH = 110
_ORDER = ("cluster", "timing", "arbiter", "link", "node", "ping", "fence", "group")
_SECRET = ("stonith", "stonith_host")
"""Directives whose words are not repeated: they may hold a password."""


def text_of(draft: Draft, directory: Path) -> str:
    """A whole file, which loads to the same model as the directory."""
    lines = [f"# Made by `hamgr import` from {_shown(str(directory))}."]
    names = [*(name for name in _ORDER if name in draft.tables), *(n for n in draft.tables if n not in _ORDER)]
    for name in names:
        lines += _table(draft, key_of("", name), draft.tables[name])
    return "\n".join([*lines, *_without_equal(draft.notes), ""])


def _table(draft: Draft, path: str, table: Mapping[str, Any]) -> Iterator[str]:
    """A table, then those below it. Tables of plain values below a named one are written on one line."""
    inline = {name: value for name, value in table.items() if not _stands_alone(path, value)}
    below = {name: value for name, value in table.items() if name not in inline}
    if inline or not below:
        yield ""
        yield from _comment(draft.origins.get(path))
        yield f"[{path}]"
        yield from _keys(draft, path, inline)
    for name, value in below.items():
        key = key_of(path, name)
        if isinstance(value, dict):
            yield from _table(draft, key, value)
            continue
        for item in value:
            yield from ("", f"[[{key}]]")
            yield from _keys(draft, key, item)


def _stands_alone(path: str, value: Any) -> bool:
    """[link.NAME] does, the options of a device and the addresses of a node don't."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and "." not in path


def _keys(draft: Draft, path: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        key = key_of(path, name)
        origin = draft.origins.get(key)
        said = f"  # {_said(origin)}" if origin is not None and origin.number else ""
        yield f"{key_of('', name)} = {_value(value)}{said}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A basic string of TOML is JSON's, but for this one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{key_of('', name)} = {_value(one)}" for name, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)


def _comment(origin: Line | None) -> Iterator[str]:
    if origin is not None and origin.number:
        yield f"# {_said(origin)}"


def _said(origin: Line) -> str:
    words = f"{origin.word} ..." if origin.word in _SECRET else origin.text
    return _shown(f"{origin.file.name} {origin.number}: {words}")


def _shown(text: str) -> str:
    """As a comment may hold it: on one line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _without_equal(notes: list[ConfigWarning]) -> Iterator[str]:
    if not notes:
        return
    yield from ("", "# What Heartbeat's files say and hamgr does not do, or does differently:")
    for note in notes:
        yield "#"
        yield from textwrap.wrap(
            _shown(f"{note.file.name} {note.key}: {note.text}"),
            WIDTH,
            initial_indent="# - ",
            subsequent_indent="#   ",
            break_long_words=False,
            break_on_hyphens=False,
        )
