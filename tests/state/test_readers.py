"""Readers and writers of the state killed at random moments: nothing that they held stays, and no file grows by it."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
from tests.state import crowd, reader
from tests.state.test_processes import Crowd, books_are_right

from portico.rules import Bound, Holder
from portico.state.contract import Admission, Owned, Permit, Used
from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner
from portico.testing.running import alive

SETTLED = 4
"""Rounds after which all files are as large as they need to be."""


class Readers:
    """Processes that are inside read transactions of all files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.here: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, reader.__file__, str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.here.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"inside\n"

    def kill(self, process: subprocess.Popen[bytes], further: bool = True) -> int:
        """Kill one, once it is inside the counters as well; such a one lets no writer have old pages again."""
        self.here.remove(process)
        assert process.stdin is not None
        assert process.stdout is not None
        if further:
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"further inside\n"
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        return process.pid

    def kill_all(self) -> None:
        for process in list(self.here):
            self.kill(process)


def readers_of(env: lmdb.Environment) -> set[int]:
    """Return the processes that have places in the table of readers."""
    lines = env.readers().splitlines()[1:]
    return {int(line.split()[0]) for line in lines if line.split() and line.split()[0].isdigit()}


def files(state: LmdbState) -> dict[str, lmdb.Environment]:
    return {"money": state.ledger._env, "keys": state.keys._env, "objects": state.objects._env}


def pages(state: LmdbState) -> dict[str, int]:
    """Return how many pages of each file were ever used."""
    return {name: env.info()["last_pgno"] for name, env in files(state).items()}


async def change(state: LmdbState, turn: int) -> None:
    """Write to the files of keys and of objects as control and jobs do: all keys anew, a file made and removed."""
    holders = {number.to_bytes(16, "big"): Holder(f"key-{number}", f"in turn {turn}") for number in range(reader.KEYS)}
    for _ in range(3):
        state.keys.put_holders(holders)
        await asyncio.gather(*(state.objects.own(thing(each)) for each in range(40)))
        await asyncio.gather(*(state.objects.disown(thing(each).id) for each in range(40)))


def thing(number: int) -> Owned:
    return Owned(f"file-{number}", "file", "a tenant", "first/plain", "first", 1_770_000_000.0 + number, b"a" * 300)


def kill_and_check(folder: Path, rounds: int, seed: int) -> None:
    draw = random.Random(seed)
    owner = Owner.new(folder / "owners")
    readers = Readers(folder / "state")
    grown: list[dict[str, int]] = []
    with Crowd(folder, "patient") as writers:
        for process in writers.processes:
            writers.rounds(process, 1)
        state = LmdbState(folder / "state", owner.id, size=crowd.SIZE)
        try:
            for turn in range(rounds):
                readers.start()
                asyncio.run(change(state, turn))
                if draw.random() < 0.5:
                    writers.rounds(writers.replace(draw.choice(writers.processes)), 1)
                gone = readers.kill(draw.choice(readers.here))
                if len(readers.here) > 2:
                    readers.kill(readers.here[0], further=False)
                state.tidy(crowd.now())
                for name, env in files(state).items():
                    assert gone not in readers_of(env), (turn, name)
                grown.append(pages(state))
            readers.kill_all()
            writers.end()
            state.tidy(crowd.now())
            for name, env in files(state).items():
                left = {pid for pid in readers_of(env) if not alive(pid)}
                assert left == set(), (name, left)
            before, after = grown[SETTLED], grown[-1]
            del after["money"]  # all four write there as fast as they can, and a reader may be slow to die
            print(f"\n{rounds} rounds, {writers.started} writers; pages used: {before} to {after}")
            for name, count in after.items():
                assert count <= 2 * before[name] + 64, f"{name} grew from {before[name]} to {count} pages"
        finally:
            readers.kill_all()
            state.close()
            owner.close()
    books_are_right(folder)


def test_killed_readers_keep_no_place_and_let_no_file_grow(tmp_path: Path) -> None:
    kill_and_check(tmp_path, rounds=8, seed=11)


@pytest.mark.prove
@pytest.mark.timeout(1_800)
def test_a_hundred_rounds_of_killed_readers_and_writers_leave_nothing(tmp_path: Path) -> None:
    kill_and_check(tmp_path, rounds=100, seed=12)


async def test_who_dies_inside_the_counters_does_not_keep_their_old_pages(tmp_path: Path) -> None:
    owner = Owner.new(tmp_path / "owners")
    state = LmdbState(tmp_path, owner.id, size=crowd.SIZE)

    async def calls(first: int) -> int:
        """Make many turns of a few calls each; return how many pages were ever used."""
        for turn in range(first, first + 25):
            for number in range(4):
                name = f"{turn} {number}"
                scopes = crowd.SCOPES[(4 * turn + number) % len(crowd.SCOPES)]
                bound = Bound(1, 1, 5)
                permit = await state.admit(Admission(name, scopes, bound, crowd.now(), name.encode()))
                assert isinstance(permit, Permit)
                state.settle(permit, Used(1, 1, 5), crowd.now(), lambda _: None)
            await asyncio.sleep(0)
        return pages(state)["money"]

    await calls(0)
    before = await calls(1_000)
    readers = Readers(tmp_path)
    readers.start()
    readers.kill(readers.here[0])
    held = await calls(2_000)
    assert held > 2 * before, "nobody was inside"
    state.tidy(crowd.now())
    after = await calls(3_000)
    assert after <= held + 16
    state.close()
    owner.close()
