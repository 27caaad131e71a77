"""Calls that no rule counts: put down before they go out, struck out once they are recorded, found when nobody did."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.state.desk import Clock, Desk, budget, close, cost, make_lmdb, row

from portico.rules import Bound
from portico.state import flights
from portico.state.contract import ANY_TIME, Orphan, Permit, Refusal, Settled, Used
from portico.state.on_lmdb import LmdbState

NOTHING = Bound(0, 0, 0)


def file_of(state: LmdbState, folder: Path) -> Path:
    return folder / "flights" / state.owner


def found(state: LmdbState, folder: Path) -> list[Orphan]:
    return list(flights.left_behind(file_of(state, folder), state.ledger.tag))


def begun(desk: Desk, call: str = "call", about: bytes = b"about") -> Permit:
    permit = desk.state.begin(call, about)
    assert isinstance(permit, Permit)
    return permit


async def test_a_call_is_begun_at_once_and_ends_once(desk: Desk) -> None:
    permit = begun(desk)
    assert permit.scopes == ()
    assert not any(permit.allowances)
    assert permit.left == ()
    for _ in range(2):
        assert await desk.settle(permit, Used(cost=60)) == Settled()
        assert await desk.release(permit) == Settled()


async def test_what_is_under_way_is_in_the_file_until_its_record_is_written(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    first, second = begun(desk, "first"), begun(desk, "second", b"more")
    assert found(desk.state, tmp_path) == [Orphan("first", NOTHING, b"about"), Orphan("second", NOTHING, b"more")]
    broken = True

    def write() -> None:
        if broken:
            raise OSError("the disk is full")
        written.append(len(found(desk.state, tmp_path)))

    written: list[int] = []
    desk.state.before_settling = write
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    done: asyncio.Future[Settled] = loop.create_future()
    desk.state.release(first, clock.now, done.set_result)
    desk.state.flush()
    assert not done.done()
    assert desk.state.waiting
    assert len(found(desk.state, tmp_path)) == 2
    broken = False
    desk.state.flush()
    assert done.done()
    assert not desk.state.waiting
    assert found(desk.state, tmp_path) == [Orphan("second", NOTHING, b"more")]
    assert not desk.state.settled()
    await desk.release(second)
    assert desk.state.settled()
    assert found(desk.state, tmp_path) == []
    assert written[:2] == [2, 1], "a record is written while its call is still in the file"
    close(desk.state)


async def test_a_place_is_taken_again_and_what_was_there_before_is_not_seen(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    for number in range(3 * flights.PLACES):
        permit = begun(desk, f"call {number}", b"x" * (number % 97))
        if number % 999 == 0:
            assert Orphan(permit.call_id, NOTHING, b"x" * (number % 97)) in found(desk.state, tmp_path)
        desk.state.release(permit, ANY_TIME)
        if number % 5 == 0:
            desk.state.flush()
    desk.state.flush()
    assert desk.state.settled()
    close(desk.state)


@pytest.mark.source
async def test_what_has_no_place_is_asked_for_in_the_books(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "PLACES", 2)
    desk = Desk(make_lmdb(tmp_path), clock)
    assert desk.state.begin("long", bytes(flights.PLACE)) is None
    one, two = begun(desk, "one"), begun(desk, "two")
    assert desk.state.begin("three", b"") is None
    three = await desk.admitted(call="three")
    assert desk.state.ledger.permits() == 1
    for permit in (one, two, three):
        await desk.release(permit)
    assert desk.state.settled()
    close(desk.state)


@pytest.mark.source
async def test_without_room_on_the_disk_they_are_kept_in_the_books(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _size: int) -> None:
        raise OSError("no space left on device")

    desk = Desk(make_lmdb(tmp_path), clock)
    monkeypatch.setattr(flights, "preallocate", full)
    assert desk.state.begin("one", b"") is None
    assert not file_of(desk.state, tmp_path).exists()
    await desk.release(await desk.admitted())
    close(desk.state)


async def test_a_call_that_falls_under_rules_on_its_way_is_in_the_books_from_then_on(desk: Desk) -> None:
    team = row(budget(1_000), name="team:core")
    permit = begun(desk)
    assert await desk.state.extend(permit, NOTHING, desk.clock.now) is None
    assert isinstance(await desk.state.extend(permit, cost(1_001), desk.clock.now, (team,)), Refusal)
    assert desk.counts("team:core") in ({}, {"budget": (0, 0)})
    assert await desk.state.extend(permit, cost(300), desk.clock.now, (team,)) is None
    assert desk.counts("team:core")["budget"] == (0, 300)
    permit.scopes = (team,)
    await desk.settle(permit, Used(cost=200))
    assert desk.counts("team:core")["budget"] == (200, 0)


async def test_one_that_is_in_both_is_found_once(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    permit = begun(desk)
    monkeypatch.setattr(flights.Flights, "end", lambda _self, _flight: None)  # it dies before it could
    await desk.state.extend(permit, cost(300), desk.clock.now, (row(budget(1_000)),))
    assert len(found(desk.state, tmp_path)) == 1
    assert [(one.call_id, one.reserved) for one in desk.state.expire(desk.state.owner, clock.now)] == [("call", 300)]
    close(desk.state)


async def test_a_job_that_such_a_call_has_started_is_in_the_books(tmp_path: Path, clock: Clock) -> None:
    desk = Desk(make_lmdb(tmp_path), clock)
    permit = begun(desk)
    permit.onward = "job"
    await desk.settle(permit, Used())
    assert desk.state.jobs() == ["job"]
    desk.state.finish("job", Used(cost=5), clock.now)
    assert desk.state.jobs() == []
    close(desk.state)


def test_who_is_killed_leaves_its_calls_to_the_next(tmp_path: Path, clock: Clock) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from portico.state.on_lmdb import LmdbState
state = LmdbState(Path(sys.argv[1]), "00c0ffee00c0ffee", size=2 << 20)
permits = [state.begin(f"call {number}", b"about") for number in range(100)]
for permit in permits[::2]:
    state._flights.end(permit.token)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    state = make_lmdb(tmp_path)
    expected = [Orphan(f"call {number}", NOTHING, b"about") for number in range(1, 100, 2)]
    for _ in range(2):
        assert state.expire("00c0ffee00c0ffee", clock.now) == expected, "asked again, the same ones"
    state.forget("00c0ffee00c0ffee")
    assert state.expire("00c0ffee00c0ffee", clock.now) == []
    close(state)


def test_calls_of_another_state_and_torn_files_are_none_of_ours(tmp_path: Path, clock: Clock) -> None:
    state = make_lmdb(tmp_path)
    state.begin("call", b"about")
    path = file_of(state, tmp_path)
    assert list(flights.left_behind(path, "another boot")) == []
    data = path.read_bytes()
    for size in (0, 7, 64, 66, 70, 500):
        os.truncate(path, size)
        assert len(list(flights.left_behind(path, state.ledger.tag))) <= 1
        path.write_bytes(data)
    path.write_bytes(data[:68] + b"\xff" * 9 + data[77:])
    assert list(flights.left_behind(path, state.ledger.tag)) == []
    close(state)
