"""The machine that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from booted import NotBooted, why_not
from shipped import Shipped, why_not_shipped


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    if reason := why_not() or why_not_shipped():
        pytest.skip(reason)
    shipped = Shipped(tmp_path_factory.mktemp("systemd"))
    try:
        shipped.boot()
        shipped.install()
        yield shipped
    except NotBooted as error:
        pytest.skip(f"no systemd can be booted here: {error}")
    finally:
        shipped.end()
