"""What several lab tests say of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hamgr.lab.lab import Lab
from hamgr.lab.watch import Prober

FAST = {"keepalive": "100ms", "warntime": "300ms", "deadtime": "600ms", "lease": "1500ms", "initdead": "2s"}


class BrokenPromise(AssertionError):
    """Two owners at once, or something lost that was acknowledged: a busy machine is no excuse for it."""


@contextmanager
def promised() -> Iterator[None]:
    """What is asserted within, or by the function that this decorates, must hold the first time."""
    try:
        yield
    except AssertionError as error:
        raise BrokenPromise(*error.args) from error


@promised()
def one_owner_at_a_time(prober: Prober) -> None:
    assert prober.owners_overlapping() == []


@contextmanager
def watched(lab: Lab, url: str = "") -> Iterator[Prober]:
    """The VIP under watch, and the page there; two owners at any moment are a failure."""
    with lab.watch_vip(url=url) as prober:
        yield prober
    one_owner_at_a_time(prober)


def kinds(lab: Lab, reporter: str) -> list[str]:
    return [event.kind for event in lab.events(reporter)]


def runs(lab: Lab, **owners: str) -> Callable[[], bool]:
    """Whether these groups are started on these nodes, as `hamgr status` says on one that is on."""

    def all_run() -> bool:
        asked = next(name for name in lab.options.node_names if lab.node(name).is_on())
        found = {one["name"]: (one["owner"], one["state"]) for one in lab.status(asked)["groups"]}
        return all(found[group] == (owner, "started") for group, owner in owners.items())

    return all_run


def insist(lab: Lab, node: str, *words: str) -> None:
    """Say a command of `hamgr` until it is accepted."""
    command = ["hamgr", "--config", str(lab.layout.config), *words]
    lab.wait(lambda: lab.node(node).exec(command, check=False).returncode == 0, 20, f"`{words}` to be accepted")
