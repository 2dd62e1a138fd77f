"""What a kind of resource tells the configuration of itself: its options, what it needs here, how long it takes.

The registry of kinds lives above this layer (`hamgr.resources`), so the callers of `load` hand it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from hamgr.config.model import OptionValue

Fact = tuple[str, str, str]
"""A mistake in one option, or something that this machine lacks for it: key, what was found, what is allowed."""


class Option(Protocol):
    """One option of a kind: type is `str`, `int`, `bool`, `list` (of strings), `dict` (a table of strings, numbers and
    booleans, handed over as strings: true is "true") or `float` (a duration, handed over in seconds).

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
    """problems_here: what this machine lacks for a resource with these options; run on a node, and may run programs.
    advised_timeouts: start_timeout, stop_timeout, monitor_timeout or monitor_interval in seconds, as far as the file
    does not say; {} where this machine can't tell.
    thorough_problems_here: what takes long to find out, or may be right later: for who asks, not for the daemon.
    warnings_here: key and text of what is allowed and will hurt on this machine; for who asks, too."""

    @property
    def options(self) -> Sequence[Option]: ...
    @property
    def problems_here(self) -> Callable[[Mapping[str, OptionValue]], Iterable[Fact]]: ...
    @property
    def advised_timeouts(self) -> Callable[[Mapping[str, OptionValue]], Mapping[str, float]]: ...
    @property
    def thorough_problems_here(self) -> Callable[[Mapping[str, OptionValue]], Iterable[Fact]]: ...
    @property
    def warnings_here(self) -> Callable[[Mapping[str, OptionValue]], Iterable[tuple[str, str]]]: ...


Kinds = Mapping[str, Kind]
