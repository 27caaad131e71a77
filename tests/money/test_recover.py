"""Clearing up after a dead worker, and dying at that: each of its calls is recorded and charged once all the same."""

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from money.house import records_in
from portico import jobs
from portico.journal.journal import Journal
from portico.record import AttemptRecord, Record
from portico.recover import recover
from portico.rules import Bound, Rule
from portico.state.clock import moment
from portico.state.contract import Admission, Permit, Scope, Used
from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner
from portico.types import Usage

SIZE = 1 << 20
BUDGET = (Scope("key:web", (Rule("key:web/budget", "budget", "cost", 1_000_000),)),)
BOUND = Bound(100, 200, 1_000)


class Worker:
    """The books of one worker, as far as recovery goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = Owner.new(folder / "owners")
        self.state = LmdbState(folder / "state", self.owner.id, size=SIZE)
        self.journal = Journal(str(folder / "journal"), self.owner.id, reserve_bytes=4096)
        self.state.before_settling = lambda: None

    async def admit(self, call_id: str) -> Permit:
        about = msgspec.msgpack.encode((1, "chat", "m", None, False, "web", None, None, None, None, ()))
        permit = await self.state.admit(Admission(call_id, BUDGET, BOUND, moment(), about))
        assert isinstance(permit, Permit)
        return permit

    def die(self) -> None:
        """Let go of everything as a killed process does: at once, and nothing is said to anybody."""
        self.state.ledger.close()
        self.state.keys.close()
        self.state.objects.close()
        self.owner.close()

    def recover(self) -> bool:
        return recover(self.state, self.folder / "owners", str(self.folder / "journal"), moment())

    def used(self) -> tuple[int, int]:
        (counter,) = self.state.counters(["key:web"], moment())
        return counter.used, counter.reserved


def record(call_id: str, cost: int) -> Record:
    usage = Usage(input=10, output=20)
    tries = [AttemptRecord("a/m", status=200)]
    return Record(call_id, 1, "web", "chat", "m", "a/m", 200, False, tries, usage, cost, "reported", None, 0, 0)


async def one_who_died(folder: Path) -> Worker:
    """Return the books of one who died with three calls: one recorded, one under way, one tried again."""
    first = Worker(folder)
    await first.admit("recorded")
    await first.admit("under-way")
    again = await first.admit("tried-again")
    assert await first.state.extend(again, BOUND, moment()) is None
    first.journal.append(record("recorded", 7))
    assert first.journal.flush()
    first.die()
    return first


def costs(folder: Path) -> list[tuple[str, str, int | None]]:
    return sorted((each.id, each.end, each.cost_nano_usd) for each in records_in(folder / "journal"))


ALL = [("recorded", "served", 7), ("tried-again", "aborted", 2_000), ("under-way", "aborted", 1_000)]


async def test_the_calls_of_the_dead_are_charged_and_recorded(tmp_path: Path) -> None:
    await one_who_died(tmp_path)
    second = Worker(tmp_path)
    assert second.recover()
    assert costs(tmp_path) == ALL
    assert second.used() == (3_007, 0)
    assert [path.name for path in (tmp_path / "owners").iterdir()] == [second.owner.id]
    second.die()


async def test_a_copy_that_died_still_names_the_call_that_it_was_of(tmp_path: Path) -> None:
    first = Worker(tmp_path)
    await first.admit("call-1")
    await first.admit("call-1-shadow")
    first.die()
    second = Worker(tmp_path)
    assert second.recover()
    found = {each.id: each.shadow_of for each in records_in(tmp_path / "journal")}
    assert found == {"call-1": None, "call-1-shadow": "call-1"}
    second.die()


@pytest.mark.parametrize("step", ["before it writes", "half way", "before it forgets"])
async def test_who_dies_while_it_recovers_leaves_nothing_to_be_done_twice(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_who_died(tmp_path)

    whole = Journal.append

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    def half(journal: Journal, one: Record) -> None:
        whole(journal, one)
        journal.flush()
        raise KeyboardInterrupt

    for _ in range(6):  # more often than segments of the dead are looked through
        unlucky = Worker(tmp_path)
        with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
            if step == "before it forgets":
                patched.setattr(Owner, "bury", dies)
            else:
                patched.setattr(Journal, "append", half if step == "half way" else dies)
            unlucky.recover()
        unlucky.die()
    last = Worker(tmp_path)
    assert last.recover()
    assert costs(tmp_path) == ALL
    assert last.used() == (3_007, 0)
    assert [path.name for path in (tmp_path / "owners").iterdir()] == [last.owner.id]
    last.die()


async def test_what_cannot_be_recorded_yet_stays_charged_and_is_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_who_died(tmp_path)
    second = Worker(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "close", lambda _: False)
        assert not second.recover()
    assert second.used() == (3_007, 0)
    assert second.recover()
    assert costs(tmp_path) == ALL
    assert second.used() == (3_007, 0)
    second.die()


async def one_who_died_with_jobs(folder: Path) -> Worker:
    """Return the books of one whose calls had started jobs: one died before its record, one after, one had its end."""
    first = Worker(folder)
    for name in ("begun", "recorded", "streamed", "not-a-job"):
        await first.admit(name)
        if name != "not-a-job":
            job = jobs.Job(name, "responses", f"resp_{name}", "key:web", 1, "a/m", "a#1", BOUND, "web")
            await first.state.own(jobs.remembered(job))
    plain = record("", 0)
    nothing: dict[str, Any] = {"usage": None, "cost_nano_usd": None, "basis": "none"}
    first.journal.append(msgspec.structs.replace(plain, id="recorded", **nothing))
    first.journal.append(record("streamed", 7))
    assert first.journal.flush()
    first.die()
    return first


JOBS_ALL = [
    ("begun", "aborted", None),
    ("not-a-job", "aborted", 1_000),
    ("recorded", "served", None),
    ("streamed", "served", 7),
]


async def test_a_job_keeps_what_a_call_had_reserved_that_died_after_it_had_started_it(tmp_path: Path) -> None:
    await one_who_died_with_jobs(tmp_path)
    second = Worker(tmp_path)
    assert second.recover()
    assert costs(tmp_path) == JOBS_ALL
    assert sorted(second.state.jobs()) == ["begun", "recorded"]
    assert second.used() == (1_007, 2_000)
    for name in second.state.jobs():
        second.state.finish(name, Used(cost=100), moment())
    assert second.used() == (1_207, 0)
    second.die()


@pytest.mark.parametrize("at", ["append", "close", "adopt"])
async def test_who_dies_while_jobs_are_handed_on_leaves_them_to_the_next(
    tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_who_died_with_jobs(tmp_path)
    second = Worker(tmp_path)

    def killed(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LmdbState if at == "adopt" else Journal, at, killed)
        with contextlib.suppress(KeyboardInterrupt):
            second.recover()
    second.die()
    third = Worker(tmp_path)
    assert third.recover()
    assert costs(tmp_path) == JOBS_ALL
    assert sorted(third.state.jobs()) == ["begun", "recorded"]
    assert third.used() == (1_007, 2_000)
    third.die()


async def test_a_recorded_call_that_fell_back_is_charged_where_it_used_what(tmp_path: Path) -> None:
    first = Worker(tmp_path)
    one, two = (
        Scope(f"provider:{name}", (Rule(f"{name}/budget", "budget", "cost", 1_000_000),)) for name in ("a", "b")
    )
    permit = await first.state.admit(Admission("fell-back", (*BUDGET, one), BOUND, moment()))
    assert isinstance(permit, Permit)
    permit.rows = {"a/m": ("key:web", "provider:a"), "b/m": ("key:web", "provider:b")}
    assert await first.state.extend(permit, BOUND, moment(), (two,)) is None
    found = record("fell-back", 7)
    lost = AttemptRecord("a/m", error="upstream_timeout", assumed_nano_usd=1_000)
    found.attempts, found.target = [lost, AttemptRecord("b/m", status=200)], "b/m"
    first.journal.append(found)
    assert first.journal.flush()
    first.die()
    second = Worker(tmp_path)
    assert second.recover()
    counters = second.state.counters(["key:web", "provider:a", "provider:b"], moment())
    assert {counter.row: (counter.used, counter.reserved) for counter in counters} == {
        "key:web": (1_007, 0),
        "provider:a": (1_000, 0),
        "provider:b": (7, 0),
    }
    second.die()
