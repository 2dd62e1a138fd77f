"""Each recipe of docs/recipes.md can be copied as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hamgr.config.toml import load, warnings
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.kinds.ocf import agent_of, parameters_of
from hamgr.resources.ocf_advice import mistakes

DOCS = Path(__file__).parents[3] / "docs"

CLUSTER = (DOCS / "example.toml").read_text().partition("[group.")[0]

RECIPES = re.findall(r"^```toml\n(.*?)^```$", (DOCS / "recipes.md").read_text(), re.MULTILINE | re.DOTALL)

KINDS = {kind for recipe in RECIPES for kind in re.findall(r'^kind = "(\w+)"', recipe, re.MULTILINE)}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_a_good_configuration_without_warnings(tmp_path: Path, recipe: str) -> None:
    file = tmp_path / "hamgr.toml"
    file.write_text(CLUSTER + recipe)
    config = load(file, RESOURCE_KINDS)
    assert config.groups
    assert [str(warning) for warning in warnings(config)] == []


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if '"ocf"' in recipe])
def test_its_agents_know_its_parameters(tmp_path: Path, recipe: str) -> None:
    file = tmp_path / "hamgr.toml"
    file.write_text(CLUSTER + recipe)
    for group in load(file, RESOURCE_KINDS).groups:
        for resource in group.resources:
            if resource.kind == "ocf":
                agent = agent_of(resource.options)
                if not agent.path.exists():
                    pytest.skip(f"missing {agent.path}")
                promotable = resource.options.get("promotable") is True
                assert list(mistakes(agent, parameters_of(resource.options), promotable)) == []


def test_there_are_recipes_for_what_people_run() -> None:
    assert len(RECIPES) >= 6
    assert {"vip", "systemd", "http", "filesystem", "check", "process", "tcp", "ocf", "heartbeat"} <= KINDS
