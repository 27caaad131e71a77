"""What happens when the file under the state is full, gone, another one, or of another boot."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import pytest
from tests.state.desk import Clock, Desk, budget, close, cost, limit, make_lmdb, row

from portico.errors import StateFull, StateUnavailable
from portico.rules import Rule
from portico.state import environment
from portico.state.clock import moment
from portico.state.contract import Permit, Refusal, Scope, Settled, Used
from portico.state.environment import open_environment
from portico.state.ledger import Asked, Ending, Ledger
from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner


async def test_when_the_file_is_full_new_calls_are_refused_and_others_settled(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    permits: list[Permit] = []

    async def fill() -> None:  # without the warning that comes of looking every second
        while True:
            name = f"customer:{len(permits)}"
            permits.append(await desk.admitted(row(limit(5), budget(100), name=name), bound=cost(1)))

    with pytest.raises(StateFull) as raised:
        await fill()
    assert (raised.value.status, raised.value.code) == (503, "state_full")
    assert len(permits) > 500
    desk.state.tidy(clock.now)
    assert desk.state.ledger.tight
    for permit in permits:
        await desk.settle(permit, Used(cost=1))
    assert desk.state.ledger.permits() == 0
    assert desk.counts("customer:0") == {"requests": (1, 0), "budget": (1, 0)}
    clock.pass_by(4 * 86_400)
    for _ in range(len(permits) // 50):
        desk.state.tidy(clock.now)  # what is over makes room
    assert not desk.state.ledger.tight
    await desk.admitted(row(limit(5), name="customer:new"))
    close(desk.state)


async def test_a_call_whose_row_finds_no_place_waits_and_keeps_no_other_waiting(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    free = await desk.admitted(row(budget(100), name="customer:free"))
    paid = await desk.admitted(row(budget(100)), bound=cost(60))
    desk.state.tidy(clock.now)  # there is nothing in the first row, and it goes
    others = [(row(budget(100), name=f"customer:{number}"), Used(cost=1), clock.now.wall_ns) for number in range(9_000)]

    def fill() -> None:
        for one in others:
            desk.state.charge([one], clock.now)

    with pytest.raises(StateFull, match="another row"):
        fill()
    asked = asyncio.ensure_future(desk.admit(row(budget(100), name="customer:new"), bound=cost(1)))
    waits = asyncio.ensure_future(desk.settle(free, Used()))
    assert await desk.settle(paid, Used(cost=50)) == Settled()
    assert desk.counts("key:web") == {"budget": (50, 0)}
    with pytest.raises(StateFull, match="another row"):
        await asked
    assert not waits.done()
    clock.pass_by(4 * 86_400)
    for _ in range(len(others) // 100 + 2):
        desk.state.tidy(clock.now)
    assert await waits == Settled()
    assert desk.state.ledger.permits() == 0
    close(desk.state)


async def test_rules_that_a_row_lost_again_in_the_same_turn_are_known_to_who_clears_up(
    tmp_path: Path, clock: Clock
) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    old, new = row(budget(1_000, "month")), row(budget(500, id="other"))
    await desk.admitted(old)
    await asyncio.gather(desk.admitted(new), desk.admitted(old))  # nothing is in its slot, and the row is as it was
    with desk.state.ledger._env.begin() as tx:
        assert tx.stat(desk.state.ledger._rules)["entries"] == 2
    assert len(desk.state.expire(desk.state.owner, clock.now)) == 3
    close(desk.state)


async def test_looking_every_second_keeps_room_for_settlements(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    permits: list[Permit] = []

    async def fill() -> None:
        while True:
            permits.append(await desk.admitted(row(limit(5), name=f"customer:{len(permits)}")))
            desk.state.tidy(clock.now)

    with pytest.raises(StateFull):
        await fill()
    stat = desk.state.ledger._env.info()
    with pytest.raises(StateFull):
        await desk.state.extend(permits[0], cost(1), clock.now)
    assert await desk.settle(permits[0], Used()) == Settled()
    assert stat["map_size"] == 1 << 20
    close(desk.state)


FILLS = """
import asyncio, resource, signal, sys
from collections.abc import Sequence
from pathlib import Path
from portico.errors import StateFull
from portico.state.on_lmdb import LmdbState
try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    LmdbState(Path(sys.argv[1]), "00" * 8, size=2 << 20)
except StateFull as error:
    print("refused", error)
"""


def test_a_state_for_which_the_disk_has_no_room_is_not_begun(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, "-c", FILLS, str(tmp_path)], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("refused there is no room for the state in")
    assert not (tmp_path / "money" / "data.mdb").exists()
    open_environment(tmp_path / "money", 1 << 20, preallocate=True).close()


def test_no_file_that_might_have_holes_is_left_where_the_disk_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _at: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(StateFull, match="No space left"):
            open_environment(tmp_path, 1 << 20, preallocate=True)
    assert not (tmp_path / "data.mdb").exists()
    again = open_environment(tmp_path, 1 << 20, preallocate=True)
    assert again.fresh
    again.close()


def test_what_is_written_through_a_map_has_all_its_room_from_the_start(tmp_path: Path) -> None:
    state = make_lmdb(tmp_path)
    stat = (tmp_path / "money" / "data.mdb").stat()
    assert stat.st_size == 1 << 20
    assert stat.st_blocks * 512 >= 1 << 20
    for folder in ("money", "keys", "objects"):
        locks = (tmp_path / folder / "lock.mdb").stat()
        assert locks.st_blocks * 512 >= locks.st_size > 0
    close(state)


async def test_what_is_counted_survives_the_state_being_closed(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    await desk.settle(await desk.admitted(row(budget(100)), bound=cost(60)), Used(cost=50))
    desk.state.ledger.mark_rebuilt()
    close(desk.state)
    desk = Desk(make_lmdb(tmp_path), clock)
    assert desk.counts("key:web") == {"budget": (50, 0)}
    assert desk.state.ledger.rebuilt
    assert desk.state.ledger.generation == 1
    close(desk.state)


async def test_a_file_of_another_boot_is_made_anew_and_waits_to_be_rebuilt(tmp_path: Path, clock: Clock) -> None:
    one = LmdbState(tmp_path, "01" * 8, size=2 << 20, boot="one")
    desk = Desk(one, clock)
    await desk.admitted(row(budget(100)), bound=cost(60))
    one.ledger.mark_rebuilt()
    one.close()
    (tmp_path / "money" / "data.mdb").write_bytes(b"what a loss of power leaves behind")
    two = LmdbState(tmp_path, "02" * 8, size=2 << 20, boot="two")
    assert (two.ledger.boot_id, two.ledger.generation, two.ledger.rebuilt) == ("two", 2, False)
    desk = Desk(two, clock)
    assert desk.counts("key:web") == {}
    two.charge([(row(budget(100)), Used(cost=45), clock.now.wall_ns)], clock.now)
    two.ledger.mark_rebuilt()
    assert two.ledger.rebuilt
    assert (await desk.refused(row(budget(100)), bound=cost(56))).left == 55
    two.close()


def test_a_file_of_another_form_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_environment(tmp_path, 1 << 20, preallocate=True).close()
    with monkeypatch.context() as patched:
        patched.setattr(environment, "FORM", environment.FORM + 1)
        opened = open_environment(tmp_path, 1 << 20, preallocate=True)
    assert opened.fresh
    assert opened.origin.generation == 2
    opened.close()


async def test_a_state_that_was_deleted_is_noticed_and_not_used_on(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    permit = await desk.admitted(row(budget(100)), bound=cost(60))
    (tmp_path / "money" / "data.mdb").unlink()
    with pytest.raises(StateUnavailable, match="no longer where"):
        desk.state.tidy(clock.now)
    with pytest.raises(StateUnavailable):
        await desk.admit(row(budget(100)), bound=cost(1))
    with pytest.raises(StateUnavailable, match="not the file"):
        LmdbState(tmp_path, "02" * 8, size=2 << 20, inode=desk.state.ledger.inode)
    anew = Ledger(tmp_path / "money", "03" * 8, 2 << 20)
    assert not anew.rebuilt
    assert anew.generation == 2
    anew.close()
    assert await desk.settle(permit, Used(cost=1)) == Settled()  # its record is written, its caller is answered
    close(desk.state)


def test_a_worker_refuses_another_file_than_that_of_all_others(tmp_path: Path) -> None:
    first = make_lmdb(tmp_path)
    second = LmdbState(tmp_path / "elsewhere", "02" * 8, size=2 << 20)
    second.close()
    with pytest.raises(StateUnavailable, match="not the file"):
        LmdbState(tmp_path / "elsewhere", "03" * 8, size=2 << 20, inode=first.ledger.inode)
    close(first)


def test_who_visits_makes_no_state(tmp_path: Path) -> None:
    assert Ledger.visit(tmp_path / "money") is None
    assert not (tmp_path / "money").exists()
    Ledger(tmp_path / "money", "01" * 8, 2 << 20, boot="one").close()
    assert Ledger.visit(tmp_path / "money", boot="two") is None
    assert (tmp_path / "money" / "data.mdb").exists()


async def test_a_visitor_reads_reopens_and_charges(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    await desk.settle(await desk.admitted(row(budget(100)), bound=cost(1)), Used(cost=2))
    assert (await desk.refused(row(budget(100)), bound=cost(1))).closed
    close(desk.state)
    visitor = Ledger.visit(tmp_path / "money")
    assert visitor is not None
    assert [counter.used for counter in visitor.counters(["key:web", "key:none"], clock.now)] == [2]
    visitor.reopen("key:web", "budget")
    visitor.charge([(row(budget(100)), Used(cost=3), clock.now.wall_ns)], clock.now)
    assert visitor.in_place()
    visitor.close()
    desk = Desk(make_lmdb(tmp_path), clock)
    await desk.admitted(row(budget(100)), bound=cost(95))
    close(desk.state)


async def test_settlements_wait_for_a_journal_that_cannot_be_written(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    permit = await desk.admitted(row(budget(100)), bound=cost(60))
    tries: list[int] = []

    def journal() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("disk full")

    desk.state.before_settling = journal
    await desk.settle(permit, Used(cost=50))
    assert len(tries) == 3
    assert [str(context["exception"]) for context in reported] == ["disk full"] * 2
    assert desk.counts("key:web") == {"budget": (50, 0)}
    close(desk.state)


@pytest.mark.source
async def test_one_call_that_cannot_be_booked_takes_no_other_with_it(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    permits = [await desk.admitted(row(budget(100)), bound=cost(10)) for _ in range(3)]
    told: list[Settled] = []
    end = Ledger.end

    def fails_at_two(ledger: Ledger, ending: Sequence[Ending]) -> list[Settled]:
        if any(used.cost == 2 for _, used, _, _ in ending):
            raise OverflowError
        return end(ledger, ending)

    monkeypatch.setattr(Ledger, "end", fails_at_two)
    for permit, used in zip(permits, (1, 2, 3), strict=True):
        desk.state.settle(permit, Used(cost=used), clock.now, told.append)
    await desk.admitted(row(budget(100)), bound=cost(5))
    assert len(told) == 3
    assert [context["message"] for context in reported] == ["call 'call-2' could not be settled"]
    assert desk.counts("key:web") == {"budget": (4, 15)}
    close(desk.state)


@pytest.mark.source
async def test_a_call_extended_twice_by_what_could_not_be_booked_at_first_holds_each_once(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    permit = await desk.admitted(row(budget(100)), bound=cost(10))
    admit = Ledger.admit

    def fails(ledger: Ledger, asked: Sequence[Asked[object]]) -> list[Refusal | Permit]:
        if any(admission.call_id == "bad" for _, admission, *_ in asked):
            raise OverflowError
        return admit(ledger, asked)

    monkeypatch.setattr(Ledger, "admit", fails)
    twice = [asyncio.ensure_future(desk.state.extend(permit, cost(more), clock.now)) for more in (5, 7)]
    with pytest.raises(OverflowError):
        await desk.admit(row(budget(100)), bound=cost(1), call="bad")
    assert [await one for one in twice] == [None, None]
    assert desk.counts("key:web") == {"budget": (0, 22)}
    await desk.settle(permit, Used(cost=22))
    assert desk.counts("key:web") == {"budget": (22, 0)}
    close(desk.state)


async def test_a_failing_listener_keeps_no_other_from_hearing(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    first, second = [await desk.admitted(row(budget(100)), bound=cost(10)) for _ in range(2)]
    desk.state.settle(first, Used(cost=1), clock.now, lambda _: 1 / 0)
    await desk.settle(second, Used(cost=1))
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]
    close(desk.state)


READS = """
import os, signal, sys, lmdb
env = lmdb.open(sys.argv[1], max_dbs=8, map_size=1 << 20, readonly=True, max_readers=512)
tx = env.begin()
print("reading", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_reader_that_died_is_forgotten(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    died = subprocess.run([sys.executable, "-c", READS, str(tmp_path / "money")], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL
    env: lmdb.Environment = desk.state.ledger._env
    assert env.readers().count(" ") > 0
    desk.state.tidy(clock.now)
    assert env.reader_check() == 0
    close(desk.state)


async def test_what_expired_is_settled_for_a_day_and_then_forgotten(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    week = row(budget(1_000, "month"))
    for name in ("soon", "late"):
        await desk.admitted(week, bound=cost(100), call=name)
    desk.state.expire(desk.state.owner, clock.now)
    clock.pass_by(86_399)
    desk.state.tidy(clock.now)
    await desk.settle(Permit("soon", (), cost(100)), Used(cost=1))
    assert desk.counts("key:web") == {"budget": (101, 0)}
    clock.pass_by(1)
    desk.state.tidy(clock.now)
    await desk.settle(Permit("late", (), cost(100)), Used(cost=1))
    assert desk.counts("key:web") == {"budget": (101, 0)}
    close(desk.state)


async def test_more_permits_than_a_slice_expire(tmp_path: Path, clock: Clock) -> None:
    dead = Owner.new(tmp_path / "owners")
    state = LmdbState(tmp_path, dead.id, size=4 << 20)
    desk = Desk(state, clock)
    web = row(limit(1_000, "in_flight"), budget(10**6))
    await asyncio.gather(*(desk.admit(web, bound=cost(10)) for _ in range(250)))
    assert len(state.expire(dead.id, clock.now)) == 250
    assert desk.counts("key:web") == {"in_flight": (0, 0), "budget": (2_500, 0)}
    state.close()
    dead.bury()


ELSEWHERE = """
import sys
from collections.abc import Sequence
from pathlib import Path
from portico.rules import Rule
from portico.state.clock import moment
from portico.state.contract import Scope, Used
from portico.state.ledger import Ending, Ledger
ledger = Ledger(Path(sys.argv[1]), "", 2 << 20)
at = moment()
ledger.charge([(Scope("key:web", (Rule("b", "budget", "cost", 1000),)), Used(cost=30), at.wall_ns)], at)
ledger.close()
"""


@pytest.mark.parametrize("idle", [0, 1, 3])
def test_what_others_count_is_kept_however_often_nothing_was_written_before(tmp_path: Path, idle: int) -> None:
    scope = Scope("key:web", (Rule("b", "budget", "cost", 1000),))
    ledger = Ledger(tmp_path, "", 2 << 20)
    at = moment()
    ledger.charge([(scope, Used(cost=1), at.wall_ns)], at)
    for _ in range(idle):
        with ledger.writing():
            pass
    for _ in range(max(idle, 1)):
        subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path)], check=True)
    ledger.charge([(scope, Used(cost=1), at.wall_ns)], at)
    (counter,) = ledger.counters(["key:web"], at)
    assert counter.used == 2 + 30 * max(idle, 1)
    ledger.close()
