"""Services with commands of their own; each a real process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.config.model import ResourceConfig
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.resource import Explaining, Resource, ResourceError, ResourceStatus, Surroundings

RUNNING, STOPPED, FAILED = ResourceStatus.RUNNING, ResourceStatus.STOPPED, ResourceStatus.FAILED


Make = Callable[..., Resource]


@pytest.fixture
def command(tmp_path: Path) -> Make:
    """`command(check=[...])`: a resource with this command, and others that do nothing and succeed."""

    def make(**options: object) -> Resource:
        nothing = ["true"]
        given = {"start": nothing, "stop": nothing, "check": nothing, "stopped_code": 3, "environment": {}, **options}
        surroundings = Surroundings(group="g", state_dir=tmp_path / "state")
        return RESOURCE_KINDS["command"].build(ResourceConfig("c", "command", given), surroundings)  # type: ignore[arg-type]

    return make


async def test_a_service_of_three_commands(command: Make, tmp_path: Path) -> None:
    on = str(tmp_path / "on")
    service = command(start=["touch", on], stop=["rm", "-f", on], check=["test", "-e", on], stopped_code=1)
    assert await service.status() is STOPPED
    await service.start()
    await service.start()
    assert await service.status() is RUNNING
    await service.stop()
    await service.stop()
    assert await service.status() is STOPPED


@pytest.mark.parametrize(("code", "status"), [(0, RUNNING), (3, STOPPED), (1, FAILED), (4, FAILED), (127, FAILED)])
async def test_only_a_certain_answer_counts_as_stopped(command: Make, code: int, status: ResourceStatus) -> None:
    service = command(check=["sh", "-c", f"echo 'so it is'; exit {code}"])
    assert await service.status() is status
    assert isinstance(service, Explaining)
    if status is FAILED:
        assert service.reason.endswith(f"ended with {code}: so it is")


async def test_words_are_not_split_again_and_the_environment_is_the_given_one(command: Make, tmp_path: Path) -> None:
    body = 'echo "$#:$0:$WHERE" > $1'
    service = command(start=["sh", "-c", body, "a b", str(tmp_path / "said")], environment={"WHERE": "over there"})
    await service.start()
    assert (tmp_path / "said").read_text() == "1:a b:over there\n"


async def test_a_failure_says_the_command_the_code_and_the_end_of_the_output(command: Make) -> None:
    with pytest.raises(ResourceError, match=r"^sh -c echo no license; exit 7 ended with 7: no license$"):
        await command(start=["sh", "-c", "echo no license; exit 7"]).start()
    with pytest.raises(ResourceError, match=r"^false ended with 1$"):
        await command(stop=["false"]).stop()


@pytest.mark.parametrize("program", ["no-such-program", "/nowhere/program"])
async def test_a_program_that_is_missing_is_an_error_and_no_answer(command: Make, program: str) -> None:
    await command().start()
    for operation, key in (("start", "start"), ("stop", "stop"), ("status", "check")):
        with pytest.raises(ResourceError, match=f"{program} can't be run: No such file or directory"):
            await getattr(command(**{key: [program]}), operation)()
    facts = list(RESOURCE_KINDS["command"].problems_here({"start": ["true"], "stop": [program], "check": ["sh"]}))
    assert [(key, found) for key, found, _ in facts] == [("stop", f'"{program}"')]


async def test_before_the_first_start_since_the_boot_a_missing_program_means_stopped(command: Make) -> None:
    service = command(check=["/nowhere/program"], stop=["/nowhere/program"])
    assert await service.status() is STOPPED
    await service.stop()
