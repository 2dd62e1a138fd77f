"""The health of a node: what answers it, less what keeps clients from it."""

from __future__ import annotations

from hamgr.health import Health

DOWN = "interface eth0 is down"


def test_one_dead_cable_counts_once_however_many_addresses_it_hinders() -> None:
    told: list[tuple[int, str]] = []
    health = Health(lambda score, detail, _: told.append((score, detail)))
    for number in range(3):
        health.hindered("web", f"vip-{number}", DOWN)
    health.hindered("mail", "vip", "interface eth1 has no carrier")
    assert told == [(-1, DOWN), (-2, f"{DOWN}; interface eth1 has no carrier")]


def test_it_is_well_again_when_nothing_hinders_anymore() -> None:
    told: list[tuple[int, str]] = []
    health = Health(lambda score, detail, _: told.append((score, detail)))
    health.hindered("web", "vip", DOWN)
    health.hindered("mail", "vip", DOWN)
    health.hindered("web", "vip", "")
    assert told == [(-1, DOWN)]
    health.hindered("mail", "vip", "")
    assert told[-1] == (0, "nothing hinders clients")


def test_hindrances_are_taken_from_what_the_ping_targets_give() -> None:
    told: list[tuple[int, str]] = []
    health = Health(lambda score, detail, _: told.append((score, detail)))
    health.pinged(5, "every ping target answers")
    health.hindered("web", "vip", DOWN)
    assert told == [(5, "every ping target answers"), (4, f"{DOWN}; every ping target answers")]


def test_ping_targets_and_checks_are_added_up() -> None:
    told: list[tuple[int, str]] = []
    health = Health(lambda score, detail, _: told.append((score, detail)))
    health.pinged(2, "every ping target answers")
    health.checked(3, "")
    health.checked(0, "check storage ended with 1")
    assert told == [
        (2, "every ping target answers"),
        (5, "every ping target answers"),
        (2, "check storage ended with 1; every ping target answers"),
    ]


def test_what_hinders_is_told_apart_from_the_ping_targets() -> None:
    hindrances: list[str] = []
    health = Health(lambda score, detail, hindrance: hindrances.append(hindrance))
    health.pinged(0, "no answer from gateway")
    health.hindered("web", "vip", DOWN)
    assert hindrances == ["", DOWN]
