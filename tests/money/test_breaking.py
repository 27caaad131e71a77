"""What can break under a Portico at work: processes that stop, disks that fill, files that go. Nothing is lost.

docs/explanation/what-can-break.md has a line for each of these.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from money.callers import Said, call, question
from money.house import House, house, number_of, records_in, until
from money.test_crash import DECLARED, KEYS, Load, hold, ingested
from portico.journal.frames import render_frame
from portico.journal.reader import Tally, header
from portico.journal.segments import segments
from portico.testing.running import alive

KEY = KEYS["key-0"]
LONG = "".join(f",long-{number}:{'x' * 250}" for number in range(12))
"""Tags that make a record of some 3 kB."""


@contextlib.contextmanager
def small_disk(at: Path, size: str) -> Iterator[Path]:
    """Mount a file system of this size."""
    at.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(at)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here: no real full disk")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


async def streams(home: House, count: int, said: str = "tokens=60 pace=0.05") -> list[asyncio.Task[Said]]:
    """Have so many streams under way, numbered from 1,000,000 on."""
    numbers = range(1_000_000, 1_000_000 + count)
    bodies = [question(number, "first/plain", most=100, stream=True, said=said) for number in numbers]
    tasks = [
        asyncio.create_task(call(home.address, KEY, number, body)) for number, body in zip(numbers, bodies, strict=True)
    ]
    await until(lambda: home.mock.ledger.open == count, lambda: f"{count} streams run; {home.mock.ledger.open} do")
    return tasks


async def one(home: House, number: int, tags: str = "") -> Said:
    """Make one small call."""
    return await call(home.address, KEY, number, question(number, "first/plain", most=16, stream=False), tags=tags)


async def test_when_the_supervisor_dies_workers_record_their_calls_and_leave(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        load = Load(home, 0, seed=0)
        tasks = await streams(home, 20)
        children = [*home.portico.workers(), home.portico.control()]
        await home.kill()
        load.said += await asyncio.gather(*tasks)
        assert not any(pid is not None and alive(pid) for pid in children)
        assert home.permits() == 0
        assert home.owners() == []
        assert {record.end for record in home.records()} == {"cut"}
        await home.start()
        await home.settled()
        assert (await one(home, 1)).status == 200
        hold(home, load)


async def test_who_leaves_with_records_on_their_way_to_the_disk_has_settled_them(tmp_path: Path) -> None:
    logs = {"calls": "none", "fsync": "group"}
    async with house(tmp_path, workers=2, logs=logs, server={"drain": 0.2}, **DECLARED) as home:
        load = Load(home, 0, seed=0)
        tasks = await streams(home, 40)
        await home.stop()
        load.said += await asyncio.gather(*tasks)
        assert (home.permits(), home.owners()) == (0, [])
        assert hold(home, load) == {"cut, counted": 40}


async def test_what_everybody_left_who_died_at_once_is_recovered_at_the_next_start(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        load = Load(home, 0, seed=0)
        tasks = await streams(home, 20)
        await home.kill_all()
        load.said += await asyncio.gather(*tasks)
        assert home.permits() == 20
        assert len(home.owners()) == 2
        assert home.records() == []
        await home.start()
        await home.settled()
        assert hold(home, load) == {"aborted, assumed": 20}
        await home.stop()
        ingested(home)


async def test_a_worker_that_is_stopped_and_continued_has_lost_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        load = Load(home, 0, seed=0)
        tasks = await streams(home, 20, "tokens=40 pace=0.02")
        stopped, other = home.portico.workers()
        os.kill(stopped, signal.SIGSTOP)
        os.kill(other, signal.SIGKILL)  # whoever replaces it looks for the dead, and must not take this one for dead
        await until(lambda: other not in home.portico.workers() and len(home.portico.workers()) == 2, "it is replaced")
        await until(lambda: len(home.owners()) == 2, "the dead one is buried")
        os.kill(stopped, signal.SIGCONT)
        load.said += await asyncio.gather(*tasks)
        await home.settled()
        ends = hold(home, load)
        assert ends["served, reported"] + ends["aborted, assumed"] == 20
        assert ends["served, reported"] == sum(said.whole for said in load.said)
        assert stopped in home.portico.workers()


async def test_a_worker_that_stays_stopped_is_replaced_and_its_calls_are_recorded(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, environ={"PORTICO_SILENCE": "1.5"}, **DECLARED) as home:
        load = Load(home, 12, seed=3)
        load.start()
        stopped = home.portico.workers()[0]
        await until(lambda: len(load.said) > 50, "calls are made")
        os.kill(stopped, signal.SIGSTOP)
        await asyncio.to_thread(home.portico.errors.wait_for, "has been silent for 1.5 s")
        await until(lambda: not alive(stopped), "it is killed")
        await load.stop()
        await home.settled()
        hold(home, load)


async def test_with_the_disk_full_under_the_journal_no_call_is_taken_that_could_not_be_recorded(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "data" / "journal", "24m") as disk:
        async with house(tmp_path, workers=2, **DECLARED) as home:
            load = Load(home, 0, seed=0)
            tasks = await streams(home, 8, "tokens=80 pace=0.1")
            ballast = disk / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            number = 0
            refused = 0
            while refused < 50:  # until every worker has used up half of its reserve
                said = await asyncio.gather(*(one(home, number + each, LONG) for each in range(200)))
                number += 200
                assert {answer.error or answer.status for answer in said} <= {200, "journal_full"}
                load.said += said
                refused += sum(answer.error == "journal_full" for answer in said)
            assert any(answer.status == 200 for answer in load.said)
            os.kill(home.portico.workers()[0], signal.SIGKILL)  # whoever comes next cannot begin a journal
            await asyncio.to_thread(home.portico.errors.wait_for, "worker 1 is back")
            said = await asyncio.gather(*(one(home, number + each) for each in range(40)))
            assert {answer.error for answer in said} == {"journal_full"}
            number += 40
            ballast.unlink()
            load.said += await asyncio.gather(*tasks)
            await home.settled()
            await asyncio.sleep(1.1)  # journals look for room once a second
            assert {(await one(home, number + each)).status for each in range(20)} == {200}
            await home.settled()
            ends = hold(home, load)
            assert ends["aborted, assumed"] == sum(not answer.whole for answer in load.said)


async def test_a_disk_that_is_too_small_for_the_state_is_told_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data" / "state", "4m"), pytest.raises(AssertionError) as failed:
        async with house(tmp_path, workers=1, **DECLARED):
            raise RuntimeError("it must not serve")
    assert "there is no room for the state" in str(failed.value)


async def test_a_disk_that_fills_under_the_state_stops_no_call(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data" / "state", "24m") as disk:
        async with house(tmp_path, workers=2, **DECLARED) as home:
            with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            load = Load(home, 0, seed=0)
            load.said += await asyncio.gather(*(one(home, number) for number in range(200)))
            assert {answer.status for answer in load.said} == {200}
            tasks = await streams(home, 6)
            os.kill(home.portico.workers()[0], signal.SIGKILL)
            load.said += await asyncio.gather(*tasks)
            await home.settled()
            hold(home, load)


async def test_writes_that_come_short_lose_no_record_and_double_none(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        for pid in home.portico.workers():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (30_000, 30_000))
        load = Load(home, 0, seed=0)
        for turn in range(6):
            load.said += await asyncio.gather(*(one(home, 100 * turn + each) for each in range(100)))
        assert {answer.status for answer in load.said} == {200}
        await home.settled()
        assert hold(home, load) == {"served, reported": 600}
        assert "a write was cut short" in "\n".join(home.portico.errors.lines)
        await home.stop()
        ingested(home)


def tear(journal: Path) -> None:
    """Leave at the end of each segment the first half of an entry, as who dies while it writes does."""
    for segment in segments(str(journal)):
        begin = header(segment.path)
        frame = render_frame(begin.marker, begin.seed, 1, b"a record that was being written" * 9, 0)
        with Path(segment.path).open("ab") as file:
            file.write(frame[: len(frame) // 2])


async def test_a_torn_tail_is_passed_over_and_its_call_is_recorded_as_aborted(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        load = Load(home, 0, seed=0)
        load.said += await asyncio.gather(*(one(home, number) for number in range(40)))
        tasks = await streams(home, 10)
        await home.kill_all()
        load.said += await asyncio.gather(*tasks)
        tear(home.data_dir / "journal")
        await home.start()
        await home.settled()
        assert hold(home, load) == {"served, reported": 40, "aborted, assumed": 10}
        tally = Tally()
        assert len(list(records_in(home.data_dir / "journal", tally))) == 50
        await home.stop()
        ingested(home)


async def test_a_state_that_is_deleted_takes_no_more_calls_and_is_made_anew_at_the_next_start(tmp_path: Path) -> None:
    async with house(tmp_path, workers=2, **DECLARED) as home:
        tasks = await streams(home, 10)
        shutil.rmtree(home.data_dir / "state")
        answers: list[Said] = []

        async def refused() -> bool:
            answers.append(await one(home, len(answers)))
            return answers[-1].error == "state_unavailable"

        while not await refused():
            pass
        said = await asyncio.gather(*tasks)
        assert all(answer.whole for answer in said)
        await home.stop()
        records = {number_of(record): record for record in home.records()}
        assert len(records) == len(home.records())
        assert all(number in records for number in home.served())
        await home.start()
        # What budgets had used is counted anew from the records, and calls under them wait for that.
        while (said := await one(home, 10_000)).error == "state_unavailable":
            await asyncio.sleep(0.05)
        assert said.status == 200
        await home.settled()
        await home.stop()
        ingested(home)
