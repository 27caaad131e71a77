"""Four processes at one state, killed at random moments: the books are right to the nano-dollar, and nothing stays."""

import asyncio
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

import msgspec
import pytest
from tests.state import crowd

from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner
from portico.state.permits import Expired

PROCESSES = 4


class Crowd:
    """Processes that let calls through."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder = folder
        self.more = more
        self.started = 0
        self.processes = [self.start() for _ in range(PROCESSES)]

    def start(self) -> subprocess.Popen[bytes]:
        self.started += 1
        return subprocess.Popen(
            [sys.executable, crowd.__file__, str(self.folder), str(self.started), *self.more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def rounds(self, process: subprocess.Popen[bytes], number: int) -> None:
        """Wait until a process has let so many more rounds through."""
        assert process.stdout is not None
        seen = 0
        while seen < number:
            ready, _, _ = select.select([process.stdout], [], [], 60)
            assert ready, "no round in a minute"
            part = os.read(process.stdout.fileno(), 6)
            assert part, "the process ended"
            seen += part.count(b"\n")

    def end(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes:
            assert process.stdout is not None
            process.stdout.read()
            assert process.wait(60) == 0
            process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()

    def replace(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        fresh = self.start()
        self.processes[self.processes.index(process)] = fresh
        return fresh


def books_are_right(folder: Path) -> None:
    """Compare the state with what all providers together say that they served."""
    owner = Owner.new(folder / "owners")
    state = LmdbState(folder / "state", owner.id, size=crowd.SIZE)
    served: dict[str, int] = {}
    for log in (folder / "logs").iterdir():
        served |= crowd.read_log(log)

    async def clear_up() -> None:
        crowd.clear_up(state, folder)

    asyncio.run(clear_up())
    assumed = assumed_costs(state)
    assert not assumed.keys() & served.keys()
    assert state.ledger.permits() == 0
    total = 0
    for counter in state.counters(crowd.ROWS, crowd.now()):
        assert counter.reserved == 0, counter
        if counter.rule_id == "flight":
            assert counter.used == 0, counter
        amounts = {"key": 10**9, "team": 10**12, "customer": 10**7}
        if counter.rule_id in amounts:
            assert counter.used <= amounts[counter.rule_id]
        if counter.rule_id == "team":
            total += counter.used
    assert total == sum(served.values()) + sum(assumed.values())
    assert len(served) > 100
    state.close()
    owner.close()


def assumed_costs(state: LmdbState) -> dict[str, int]:
    """Return what each call that expired and was not settled since stands at."""
    ledger = state.ledger
    with ledger._env.begin(ledger._expired) as tx:
        kept = [msgspec.msgpack.decode(value, type=Expired).kept for value in tx.cursor().iternext(keys=False)]
    return {one.fixed.call_id: one.asks[5] or 0 for one in kept}


def kill_and_check(folder: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    with Crowd(folder) as crowd_here:
        for process in crowd_here.processes:
            crowd_here.rounds(process, 1)
        for _ in range(kills):
            process = draw.choice(crowd_here.processes)
            if draw.random() < 0.2:  # stopped, perhaps in a transaction; then nobody can write until it is killed
                os.kill(process.pid, signal.SIGSTOP)
                select.select([], [], [], draw.random() * 0.02)
            else:
                select.select([], [], [], draw.random() * 0.03)
            fresh = crowd_here.replace(process)
            if draw.random() < 0.7:
                crowd_here.rounds(fresh, 1)
        for process in crowd_here.processes:
            crowd_here.rounds(process, 1)
        crowd_here.end()
    books_are_right(folder)


def test_killed_processes_leave_books_that_are_right(tmp_path: Path) -> None:
    kill_and_check(tmp_path, kills=8, seed=5)


@pytest.mark.prove
@pytest.mark.timeout(1_800)
def test_three_hundred_killed_processes_leave_books_that_are_right(tmp_path: Path) -> None:
    kill_and_check(tmp_path, kills=300, seed=6)


STOPS = """
import os, signal, sys
from pathlib import Path
from portico.state.on_lmdb import LmdbState
from portico.state.owner import Owner
folder = Path(sys.argv[1])
owner = Owner.new(folder / "owners")
state = LmdbState(folder / "state", owner.id, size=2 << 20)
with state.ledger.writing():
    print("inside", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_who_is_stopped_inside_a_transaction_holds_others_until_it_is_killed(tmp_path: Path) -> None:
    writes = STOPS.replace("os.kill(os.getpid(), signal.SIGSTOP)", "pass")
    with (
        subprocess.Popen([sys.executable, "-c", STOPS, str(tmp_path)], stdout=subprocess.PIPE) as stopped,
    ):
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == b"inside\n"
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
        with subprocess.Popen([sys.executable, "-c", writes, str(tmp_path)], stdout=subprocess.PIPE) as waits:
            assert waits.stdout is not None
            assert not select.select([waits.stdout], [], [], 0.3)[0]
            stopped.kill()
            assert waits.stdout.readline() == b"inside\n"
            assert waits.wait(60) == 0
