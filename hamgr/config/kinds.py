"""What a kind of resource tells the configuration of itself: its options.

The registry of kinds lives above this layer (`hamgr.resources`), so the callers of `load` hand it in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Option(Protocol):
    """One option of a kind: type is `str`, `int`, `bool` or `list` (of strings).

    check: returns what is allowed, as a phrase, when the value is wrong, and "" or None when it is right
    (raising ValueError with the phrase is as good); None: any value of the type will do.
    """

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Any: ...
    @property
    def required(self) -> bool: ...
    @property
    def default(self) -> Any: ...
    @property
    def check(self) -> Callable[[Any], str | None] | None: ...


class Kind(Protocol):
    @property
    def options(self) -> Sequence[Option]: ...


Kinds = Mapping[str, Kind]
