"""`kind = "route"`: a route that moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hamgr.config.addresses import check_interface
from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.config.routes import check_metric, check_table, check_target, check_way, what_is_wrong
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings


def _problems(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    texts = {key: value for key, value in options.items() if isinstance(value, str)}
    return what_is_wrong(
        texts.get("to", ""), texts.get("via", ""), texts.get("interface", ""), texts.get("source", "")
    )


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.route import RouteResource

    return RouteResource(config, surroundings)


KIND = ResourceKind(
    (
        Option("to", str, required=True, check=check_target),
        Option("via", str, check=check_way),
        Option("interface", str, check=check_interface),
        Option("source", str, check=check_way),
        Option("metric", int, default=0, check=check_metric),
        Option("table", int, default=254, check=check_table),
        Option("replace", bool, default=False),
    ),
    _build,
    _problems,
)
