"""Reads the XML in which agents, OCF's and those that fence, describe themselves.

The agent may be anybody's: the text is bounded, nesting too, and entities are refused, which can make gigabytes out
of a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from xml.parsers import expat

LONGEST = 1 << 20
"""Bytes. The largest of Debian's agents print 60 kB."""

DEEPEST = 32
"""Elements within elements; the schemas need 5."""

ROOT = "resource-agent"


class MetadataError(Exception):
    """What an agent says of itself can't be used; the text is the reason, in one line."""


class Reader(Protocol):
    """Is told of every element, with its attributes, and of its end."""

    def begin(self, tag: str, given: Mapping[str, str]) -> None: ...

    def end(self, tag: str) -> None: ...


def read(xml: bytes, reader: Reader, word: str, encoding: str | None = None) -> None:
    """Let the reader see all elements. Raises MetadataError.

    word: what the agents of this kind call it, for the message. encoding: whatever the text itself names.
    """
    if len(xml) > LONGEST:
        raise MetadataError(f"its {word} is longer than {LONGEST >> 20} MiB")
    depth = 0
    rooted = False

    def begin(tag: str, given: Mapping[str, str]) -> None:
        nonlocal depth, rooted
        depth += 1
        if depth > DEEPEST:
            raise MetadataError(f"its {word} has elements more than {DEEPEST} deep")
        rooted = rooted or (depth == 1 and tag == ROOT)
        reader.begin(tag, given)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        reader.end(tag)

    def refuse(*declaration: object) -> None:
        raise MetadataError(f"its {word} declares entities, which are not allowed")

    parser = expat.ParserCreate(encoding)
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        where = f"line {error.lineno}: {expat.ErrorString(error.code)}"
        raise MetadataError(f"its {word} is no XML: {where}" if xml.strip() else f"it prints no {word}") from error
    except LookupError as error:
        raise MetadataError(f"its {word} can't be read: {error}") from error
    if not rooted:
        raise MetadataError(f"its {word} has no <{ROOT}> around it")
