"""Sites: nodes that are lost together. `[site.NAME]` changes nothing of what is decided; it lets mistakes be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from hamgr.config.addresses import check_name
from hamgr.config.model import Config, SiteConfig
from hamgr.config.problems import describe
from hamgr.config.table import Table, did_you_mean, either


def read(root: Table, nodes: Collection[str], devices: Collection[str]) -> tuple[SiteConfig, ...]:
    """All sites. Notes every mistake."""
    found = []
    seen: dict[str, str] = {}
    for name, table in root.tables("site").items():
        if allowed := check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        members = table.texts("nodes", (), "an array of node names")
        stand = table.texts("devices", (), "an array of fence devices")
        for key, words, known in (("nodes", members, nodes), ("devices", stand, devices)):
            for word in words:
                if word not in known:
                    allowed = either(known) if known else "nothing, there are none"
                    table.mistakes.note(table.key(key), describe(word), allowed + did_you_mean(word, known))
                elif (other := seen.setdefault(f"{key} {word}", name)) != name:
                    table.mistakes.note(table.key(key), f"{describe(word)}, which is in site {other}", "one site each")
        found.append(SiteConfig(name, members, stand))
        table.finish()
    if found:
        for node in nodes:
            if f"nodes {node}" not in seen:
                root.mistakes.note("site", f"node {node} in no site", "every node in one, if there are sites")
    return tuple(found)


def warnings(config: Config) -> Iterator[tuple[str, str]]:
    """What the loss of a whole site would lead to, if that is not what sites are for."""
    electorate = config.spec.electorate
    at = {node: site for site in config.sites for node in site.nodes}
    for site in config.sites:
        rest = [node for node in config.spec.names if at.get(node) is not site]
        if not site.nodes or not rest:
            continue
        left = electorate.count(rest, arbiter=config.spec.arbiter)
        if left < electorate.majority:
            help_ = "" if config.spec.arbiter else "; add [arbiter] on a third site"
            yield (
                f"site.{site.name}",
                f"without site {site.name} {left} of {electorate.votes} votes are left, and {electorate.majority} are a"
                f" quorum: the others run nothing{help_}",
            )
        helpless = [node for node in site.nodes if node not in config.watchdogs and not _reached(config, site, node)]
        if helpless:
            yield (
                f"site.{site.name}",
                f"when site {site.name} is lost with its devices, nothing confirms that {' and '.join(helpless)} are"
                " off, and their groups wait for a human (hamgr fence ack); give them watchdogs, or devices that"
                " stand elsewhere",
            )
    for group in config.spec.groups:
        homes = {at[node].name for node in group.nodes or config.spec.names if node in at}
        if len(homes) == 1 and len(config.sites) > 1:
            (home,) = homes
            yield (
                f"group.{group.name}.nodes",
                f"all nodes of group {group.name} are in site {home}: it is lost with it",
            )


def _reached(config: Config, site: SiteConfig, node: str) -> bool:
    """Some fence level of the node needs nothing that stands in its site. A device stands where its node is, unless a
    site names it."""
    named = {device: other for other in config.sites for device in other.devices}
    levels: dict[int, bool] = {}
    for device in config.fence_devices:
        if device.node == node:
            away = named.get(device.name, site) is not site
            levels[device.level] = levels.get(device.level, True) and away
    return any(levels.values())
