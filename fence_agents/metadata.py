"""The metadata of a fence agent as XML, as cluster managers read it (metadata.rng of ClusterLabs)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from fence_agents.options import Action, Option, OptionKind


def _parameter(option: Option) -> list[str]:
    obsoletes = f" obsoletes={quoteattr(', '.join(option.aliases))}" if option.aliases else ""
    lines = _described(option, f'{quoteattr(option.name)} unique="0" required="{int(option.required)}"{obsoletes}')
    for alias in option.aliases:
        lines += _described(option, f'{quoteattr(alias)} unique="0" required="0" deprecated="1"')
    return lines


def _described(option: Option, attributes: str) -> list[str]:
    """The element of an option under one of its names."""
    lines = [f"\t<parameter name={attributes}>"]
    # The schema wants a getopt element always; an option without a flag is stdin's alone.
    mixed = ", ".join(
        flag if not flag.startswith("--") or option.kind is OptionKind.BOOLEAN else f"{flag}=[{option.name}]"
        for flag in option.flags
    )
    lines.append(f"\t\t<getopt mixed={quoteattr(mixed)} />")
    default = "" if option.default is None else f" default={quoteattr(option.default)}"
    if option.choices:
        lines.append(f'\t\t<content type="{option.kind.value}"{default}>')
        lines += [f"\t\t\t<option value={quoteattr(choice)} />" for choice in option.choices]
        lines.append("\t\t</content>")
    else:
        lines.append(f'\t\t<content type="{option.kind.value}"{default} />')
    lines += [f'\t\t<shortdesc lang="en">{escape(option.shortdesc)}</shortdesc>', "\t</parameter>"]
    return lines


def metadata_xml(
    name: str, shortdesc: str, longdesc: str, options: Sequence[Option], actions: Sequence[Action], lets_in: bool
) -> str:
    """The answer to `-o metadata`. lets_in: `on` is called by the machine that it is for, before that one is used."""
    lines = [
        '<?xml version="1.0" ?>',
        f"<resource-agent name={quoteattr(name)} shortdesc={quoteattr(shortdesc)}>",
        f"<longdesc>{escape(longdesc)}</longdesc>",
        "<vendor-url></vendor-url>",
        "<parameters>",
    ]
    for option in options:
        lines += _parameter(option)
    lines += ["</parameters>", "<actions>"]
    for action in actions:
        when = ' on_target="1" automatic="1"' if lets_in else ' automatic="0"'
        automatic = when if action is Action.ON else ""
        lines.append(f'\t<action name="{action.value}"{automatic} />')
    lines += ["</actions>", "</resource-agent>", ""]
    return "\n".join(lines)
