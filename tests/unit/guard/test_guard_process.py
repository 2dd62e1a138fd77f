"""A real guard, fed and not fed: what it ends, when, and who may tell it so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hamgr.guard import orders
from hamgr.guarding import Guarding, GuardSettings
from hamgr.resources.mark import machine_life

DEADLINE = 10.0


class Told:
    """What hamgrd was told of its guard."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


def state(pid: int) -> str:
    """Of /proc/PID/stat; "" for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def gone(pid: int) -> bool:
    return state(pid) in ("", "Z")


@pytest.fixture
async def guards(tmp_path: Path) -> AsyncIterator[Callable[..., Guarding]]:
    """`guards(orders, trigger=...)`: hamgrd's side of one; whatever guard is left is killed."""
    made: list[Guarding] = []

    def make(*given: orders.Order, told: Callable[[str], None] | None = None, **settings: object) -> Guarding:
        found = GuardSettings(tmp_path / "admin.sock.guard", **settings)  # type: ignore[arg-type]
        made.append(Guarding(found, given, told or Told()))
        return made[-1]

    yield make
    for guarding in made:
        pid = guarding.pid
        await guarding.close()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def started(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, start_new_session=True)


def touching(path: Path) -> orders.Order:
    return orders.run(5.0, [("WHERE", str(path))], ["/bin/sh", "-c", 'echo ended >>"$WHERE"'])


async def test_it_acts_when_the_time_has_passed_and_not_before(guards, tmp_path: Path) -> None:
    file = tmp_path / "ended"
    guarding = guards(touching(file))
    await guarding.start()
    now = time.monotonic()
    guarding.feed(now + 0.2)
    guarding.feed(now + 0.5)
    await until(file.exists, "the stop command")
    assert time.monotonic() - now >= 0.5


async def test_a_killed_hamgrd_is_acted_for_when_its_time_has_passed(guards, tmp_path: Path) -> None:
    file = tmp_path / "ended"
    guarding = guards(touching(file))
    await guarding.start()
    guard = guarding.pid
    guarding.feed(time.monotonic() + 0.3)
    await guarding.close()
    await until(file.exists, "the stop command")
    await until(lambda: gone(guard), "the guard to end after it acted")


async def test_nothing_is_ended_while_nothing_must_be(guards, tmp_path: Path) -> None:
    guarding = guards(touching(tmp_path / "ended"))
    await guarding.start()
    guard = guarding.pid
    guarding.feed(time.monotonic() + 0.2)
    guarding.feed(float("inf"))
    await guarding.close()
    await until(lambda: gone(guard), "the guard to end")
    assert not (tmp_path / "ended").exists()


async def test_it_ends_at_once_when_told_so_and_acts_once(guards, tmp_path: Path) -> None:
    file = tmp_path / "ended"
    guarding = guards(touching(file))
    await guarding.start()
    guarding.feed(time.monotonic() + 3600)
    guarding.act("a stop failed")
    await until(file.exists, "the stop command")
    guarding.feed(time.monotonic() - 1)
    guarding.feed(time.monotonic() + 3600)
    guarding.act("another stop failed")
    await until(lambda: file.read_text().count("ended") == 2, "the stop command of the second time")


async def test_the_sessions_of_marked_programs_are_killed(guards, tmp_path: Path) -> None:
    program = started("/bin/sh", "-c", "sleep 1000 & wait")
    try:
        children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
        await until(children.read_text, "its child")
        child = int(children.read_text())
        mark = tmp_path / "mark"
        mark.write_text(f"{machine_life()}\n{Path(f'/proc/{program.pid}/stat').read_text()}")
        guarding = guards(orders.session(str(mark)))
        await guarding.start()
        guarding.act("a test")
        await until(lambda: gone(program.pid), "the program to be killed")
        await until(lambda: gone(child), "its child to be killed")
    finally:
        program.kill()
        program.wait()


async def test_a_number_that_is_anothers_by_now_is_left_alone(guards, tmp_path: Path) -> None:
    program = started("sleep", "1000")
    try:
        head, _, rest = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")
        fields = rest.split()
        fields[19] = str(int(fields[19]) - 1)
        mark, file = tmp_path / "mark", tmp_path / "ended"
        mark.write_text(f"{machine_life()}\n{head}) {' '.join(fields)}\n")
        guarding = guards(orders.session(str(mark)), touching(file))
        await guarding.start()
        guarding.act("a test")
        await until(file.exists, "what comes after the session")
        assert program.poll() is None
    finally:
        program.kill()
        program.wait()


async def test_a_stop_command_that_hangs_holds_up_no_other(guards, tmp_path: Path) -> None:
    file = tmp_path / "ended"
    guarding = guards(orders.run(0.2, [], ["sleep", "1000"]), touching(file))
    await guarding.start()
    guarding.act("a test")
    await until(file.exists, "the second stop command")


async def test_the_machine_is_reset_by_sysrq_where_that_is_asked_for(guards, tmp_path: Path) -> None:
    trigger = tmp_path / "sysrq-trigger"
    guarding = guards(trigger=str(trigger))
    await guarding.start()
    guarding.feed(time.monotonic() + 0.1)
    await until(lambda: trigger.exists() and trigger.read_text() == "b", "the reset")


async def test_the_next_hamgrd_finds_the_guard_which_kept_its_time(guards, tmp_path: Path) -> None:
    file = tmp_path / "ended"
    first = guards(touching(tmp_path / "not this"))
    await first.start()
    pid = first.pid
    first.feed(time.monotonic() + 2.0)
    await first.close()
    second = guards(touching(file))
    await second.start()
    assert second.pid == pid
    await until(file.exists, "the time that the first hamgrd gave to pass")
    assert not (tmp_path / "not this").exists(), "the orders are the last hamgrd's"


async def test_a_guard_with_other_settings_is_replaced(guards, tmp_path: Path) -> None:
    first = guards()
    await first.start()
    pid = first.pid
    first.feed(time.monotonic() + 3600)
    await first.close()
    second = guards(trigger=str(tmp_path / "trigger"))
    await second.start()
    assert second.pid not in (0, pid)
    await until(lambda: gone(pid), "the first guard to end")


async def test_a_guard_with_a_watchdog_gives_way_only_when_nothing_may_be_running(guards, tmp_path: Path) -> None:
    device = tmp_path / "watchdog"
    device.touch()
    first = guards(device=str(device), timeout=60.0, ioctls=False)
    await first.start()
    pid = first.pid
    first.feed(time.monotonic() + 3600)
    await first.close()
    told = Told()
    second = guards(told=told, device=str(device), timeout=30.0, ioctls=False)
    await second.start()
    assert "end hamgrd cleanly before its watchdog is changed" in told.reasons[0]
    assert not gone(pid)
    assert "V" not in device.read_text(), "it is not disarmed"
    again = guards(device=str(device), timeout=60.0, ioctls=False)
    await again.start()
    assert again.pid == pid
    again.feed(float("inf"))
    await until(lambda: second.pid not in (0, pid), "the guard with the other settings, once nothing runs")


async def test_a_guard_that_dies_is_told_of_and_replaced_and_knows_the_time(guards, tmp_path: Path) -> None:
    file, told = tmp_path / "ended", Told()
    guarding = guards(touching(file), told=told)
    await guarding.start()
    guarding.feed(time.monotonic() + 1.0)
    os.kill(guarding.pid, signal.SIGKILL)
    await until(lambda: told.reasons.count("") == 2, "another guard")
    await until(file.exists, "the new guard to act in time")


async def test_a_guard_that_cannot_come_up_is_told_of(guards, tmp_path: Path) -> None:
    told = Told()
    guarding = guards(told=told, device=str(tmp_path / "no-watchdog"), timeout=1.0)
    await guarding.start()
    assert told.reasons == [f"{tmp_path}/no-watchdog: No such file or directory"]
    assert guarding.pid == 0


async def test_it_is_small_and_goes_when_it_is_released(guards) -> None:
    guarding = guards()
    await guarding.start()
    pid = guarding.pid
    guarding.feed(time.monotonic() + 3600)
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident < 13 * 1024, f"{resident} kB of {sys.executable}"
    guarding.release()
    await until(lambda: gone(pid), "the guard to end")


async def test_any_number_of_orders_arrives(guards, tmp_path: Path) -> None:
    """Those of agents come with their whole environment."""
    many = [orders.run(5.0, [("PADDING", "x" * 3000)], ["true"]) for _ in range(100)]
    file = tmp_path / "ended"
    guarding = guards(*many, touching(file))
    await guarding.start()
    guarding.act("a test")
    await until(file.exists, "the last stop command")
