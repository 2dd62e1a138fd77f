"""Virtual machines for tests: `machine("a", ...)` boots one, and it is gone after the test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import debian_kernel
import pytest
from virtual_machine import Machine, powered

INSIDE = Path(__file__).with_name("inside.py")

MachineFactory = Callable[..., Machine]


@pytest.fixture(scope="session")
def kernel() -> Iterator[debian_kernel.Kernel]:
    if why := debian_kernel.missing():
        pytest.skip(why)
    found = debian_kernel.kernel(INSIDE)
    yield found
    found.initrd.unlink()


@pytest.fixture(scope="module")
def machine(kernel: debian_kernel.Kernel) -> Iterator[MachineFactory]:
    """`machine(NAME, *QEMU_ARGUMENTS)`: booted, and gone after the tests of the module."""
    # Paths of sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="vm-") as directory, ExitStack() as machines:
        yield lambda name, *extra: machines.enter_context(powered(Machine(name, kernel, Path(directory), extra)))
