"""What a fence agent says of itself: the XML of its action `metadata`, read as values.

The agent may be anybody's: the text is bounded, nesting too, and entities are refused, which can make gigabytes out
of a page. Only elements and attributes are looked at, none of the prose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

LONGEST = 256 * 1024
"""Bytes. The longest of Debian's agents print 11 kB."""

DEEPEST = 16
"""Elements within elements; the schema (metadata.rng of ClusterLabs) needs 5."""

_TRUE = frozenset({"1", "true", "yes"})


class MetadataError(Exception):
    """What the agent says of itself can't be used; the text is the reason, in one line."""


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
    if len(xml) > LONGEST:
        raise MetadataError(f"its metadata is longer than {LONGEST >> 10} KiB")
    reader = _Reader()
    # The text is decoded already, whatever encoding its first line names.
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(xml.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        where = f"line {error.lineno}: {expat.ErrorString(error.code)}"
        raise MetadataError(f"its metadata is no XML: {where}" if xml.strip() else "it prints no metadata") from None
    if not reader.seen_root:
        raise MetadataError("its metadata has no <resource-agent> around it")
    if not reader.found.actions:
        raise MetadataError("its metadata names no actions")
    return reader.found


def _refuse_entity(*declaration: object) -> None:
    raise MetadataError("its metadata declares entities, which are not allowed")


class _Reader:
    def __init__(self) -> None:
        self.found = Metadata()
        self.seen_root = False
        self._depth = 0
        self._parameter: Parameter | None = None

    def begin(self, tag: str, given: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise MetadataError(f"its metadata has elements more than {DEEPEST} deep")
        if self._depth == 1:
            self.seen_root = tag == "resource-agent"
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
        self._depth -= 1
        if tag == "parameter":
            self._parameter = None
