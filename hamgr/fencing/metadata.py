"""What a fence agent says of itself: the XML of its action `metadata`, read as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hamgr.selfdescription import ROOT, MetadataError, read

_TRUE = frozenset({"1", "true", "yes"})


@dataclass(slots=True)
class Parameter:
    """One option. type: string, integer, second, boolean or select, of `values`. obsoletes: its older name."""

    name: str
    type: str = "string"
    required: bool = False
    default: str | None = None
    deprecated: bool = False
    obsoletes: str = ""
    values: tuple[str, ...] = ()


@dataclass(slots=True)
class Metadata:
    name: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    actions: set[str] = field(default_factory=set)


def parse(xml: str) -> Metadata:
    """Raises MetadataError."""
    reader = _Reader()
    # The text is decoded already, whatever encoding its first line names.
    read(xml.encode("utf-8", "replace"), reader, "metadata", "utf-8")
    if not reader.found.actions:
        raise MetadataError("its metadata names no actions")
    return reader.found


class _Reader:
    def __init__(self) -> None:
        self.found = Metadata()
        self._parameter: Parameter | None = None

    def begin(self, tag: str, given: Mapping[str, str]) -> None:
        if tag == ROOT:
            self.found.name = given.get("name", "")
        elif tag == "parameter" and given.get("name"):
            self._parameter = self.found.parameters[given["name"]] = Parameter(
                given["name"],
                required=given.get("required") in _TRUE,
                deprecated=given.get("deprecated") in _TRUE,
                obsoletes=given.get("obsoletes", ""),
            )
        elif tag == "action" and given.get("name"):
            self.found.actions.add(given["name"])
        elif tag == "content" and self._parameter is not None:
            self._parameter.type = given.get("type", "string")
            self._parameter.default = given.get("default")
        elif tag == "option" and self._parameter is not None and "value" in given:
            self._parameter.values += (given["value"],)

    def end(self, tag: str) -> None:
        if tag == "parameter":
            self._parameter = None
