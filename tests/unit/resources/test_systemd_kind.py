"""The names of units in the configuration."""

from __future__ import annotations

import pytest

from hamgr.resources.kinds.systemd import KIND, full_name

CHECK = {option.name: option.check for option in KIND.options}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("nginx", "nginx.service"),
        ("nginx.service", "nginx.service"),
        ("php8.2-fpm", "php8.2-fpm.service"),
        ("docker.socket", "docker.socket"),
        ("srv-data.mount", "srv-data.mount"),
        ("openvpn@office", "openvpn@office.service"),
        (r"dev-disk-by\x2dlabel-data.swap", r"dev-disk-by\x2dlabel-data.swap"),
    ],
)
def test_a_unit_without_a_type_is_a_service(said: str, meant: str) -> None:
    check = CHECK["unit"]
    assert check is not None
    assert check(said) == ""
    assert full_name(said) == meant


@pytest.mark.parametrize("said", ["", "two words", "../x.service", "/etc/x.service", "openvpn@", ".service"])
def test_what_names_no_unit_is_refused(said: str) -> None:
    check = CHECK["unit"]
    assert check is not None
    assert check(said) != ""


def test_a_template_needs_an_instance() -> None:
    check = CHECK["unit"]
    assert check is not None
    assert check("openvpn@.service") == 'an instance of the template too, as "openvpn@1.service"'


@pytest.mark.parametrize("type_name", ["device", "scope", "slice"])
def test_what_can_not_be_started_by_its_name_is_taken_for_a_service(type_name: str) -> None:
    """Which systemd then does not know, and `hamgr check --node` says so."""
    assert full_name(f"x.{type_name}") == f"x.{type_name}.service"
