"""A watchdog device as the kernel presents it (a stand-in for ioctl(2) here), and what can only be written to."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

import pytest

from hamgr.guard import watchdog
from hamgr.guard.watchdog import CAN_PING, CAN_SET_TIMEOUT, MAGIC_CLOSE, Unusable, Watchdog

EVERYTHING = CAN_PING | CAN_SET_TIMEOUT | MAGIC_CLOSE


class Device:
    """A driver: its options, and the time-outs that it has."""

    def __init__(self, options: int = EVERYTHING, timeout: int = 60, rounds: int = 1, pretimes: bool = True) -> None:
        self.options = options
        self.timeout = timeout
        self.pretimeout = 0
        self.pings = 0
        self._rounds = rounds
        self._pretimes = pretimes

    def ioctl(self, descriptor: int, request: int, argument: bytes | int) -> bytes | int:
        if request == watchdog.GETSUPPORT:
            return watchdog.IDENTITY.pack(self.options, 0, b"Software Watchdog")
        if request == watchdog.KEEPALIVE:
            self.pings += 1
            return 0
        assert isinstance(argument, bytes)
        (value,) = struct.unpack("=i", argument)
        if request == watchdog.SETTIMEOUT:
            if value > 65535:
                raise OSError(errno.EINVAL, "Invalid argument")
            self.timeout = -(-value // self._rounds) * self._rounds
        elif request == watchdog.SETPRETIMEOUT:
            if not self._pretimes:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            self.pretimeout = value
        else:
            assert request == watchdog.GETTIMEOUT
        return struct.pack("=i", self.timeout)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What is written to the device lands here."""
    path = tmp_path / "watchdog"
    path.touch()
    return path


def plugged(monkeypatch: pytest.MonkeyPatch, device: Device) -> Device:
    monkeypatch.setattr(fcntl, "ioctl", device.ioctl)
    return device


def test_the_time_outs_are_set_and_it_is_fed_by_ioctl(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    device = plugged(monkeypatch, Device())
    dog = Watchdog(str(file), 10.0, 2.0)
    assert (device.timeout, device.pretimeout) == (10, 2)
    assert (dog.identity, dog.interval) == ("Software Watchdog", 2.5)
    dog.feed()
    assert device.pings == 1
    assert file.read_text() == ""
    dog.disarm()
    assert file.read_text() == "V", "the magic close"


def test_a_driver_without_the_ping_is_written_to(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    plugged(monkeypatch, Device(EVERYTHING & ~CAN_PING))
    dog = Watchdog(str(file), 10.0)
    dog.feed()
    assert file.read_text() == "."


@pytest.mark.parametrize(
    ("device", "settings", "sentence"),
    [
        (Device(EVERYTHING & ~CAN_SET_TIMEOUT), (10.0, 0.0), "resets after 60 s, and not after 10 s"),
        (Device(rounds=16), (10.0, 0.0), "resets after 16 s, and not after 10 s"),
        (Device(), (70000.0, 0.0), "takes no time-out of 70000 s: Invalid argument"),
        (Device(pretimes=False), (10.0, 2.0), "takes no pretimeout of 2 s: Operation not supported"),
        (
            Device(EVERYTHING & ~MAGIC_CLOSE),
            (10.0, 0.0),
            "is stopped by the death of the program that feeds it: load its driver with nowayout=1",
        ),
    ],
)
def test_a_device_that_does_otherwise_is_refused_and_left_disarmed(
    monkeypatch: pytest.MonkeyPatch, file: Path, device: Device, settings: tuple[float, float], sentence: str
) -> None:
    plugged(monkeypatch, device)
    with pytest.raises(Unusable) as caught:
        Watchdog(str(file), *settings)
    assert str(caught.value) == f"{file} (Software Watchdog) {sentence}"
    assert file.read_text() == "V"


def test_a_shorter_time_out_of_a_fixed_device_is_good(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    plugged(monkeypatch, Device(EVERYTHING & ~CAN_SET_TIMEOUT, timeout=4))
    assert Watchdog(str(file), 10.0).interval == 1.0


def test_what_knows_no_ioctl_is_refused_by_the_real_kernel_unless_that_is_configured(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(Unusable, match="knows no ioctl of a watchdog"):
            Watchdog(str(pipe), 1.0)
        assert os.read(reader, 9) == b"V"
        dog = Watchdog(str(pipe), 1.0, ioctls=False)
        dog.feed()
        assert os.read(reader, 9) == b"."
        dog.disarm()
        assert os.read(reader, 9) == b"V"
    finally:
        os.close(reader)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="No such file"):
        Watchdog(str(tmp_path / "watchdog"), 10.0)
