"""Which options of a fence agent are secrets, and texts without them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SECRET = re.compile("pass|secret|token|key|_kg$|^parameters$|^positional$")
_NOT_ITSELF = ("_file", "_script", "_path")
"""Endings of options that say where a secret is, and are none themselves."""


def is_secret(option: str) -> bool:
    return _SECRET.search(option) is not None and not option.endswith(_NOT_ITSELF)


def without_secrets(text: str, options: Mapping[str, str]) -> str:
    """The text with every secret's value blotted out."""
    for name, value in options.items():
        if value and is_secret(name):
            text = text.replace(value, "***")
    return text
