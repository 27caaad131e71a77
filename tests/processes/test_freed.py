"""A worker that has grown gives back what it has freed, when few notice it."""

import ctypes
import subprocess
import sys
from collections.abc import Callable

import pytest

from portico import freed
from portico.freed import GROWN, QUIET, Freed, resident, trim

pytestmark = pytest.mark.source

IN_A_PROCESS = f"""
import asyncio
from portico.freed import GROWN, Freed, resident

BLOCK = 2000  # bytes of an object that malloc holds, not Python's own arenas
BLOCKS = 10 * GROWN // BLOCK

async def main(under_way):
    keeper = Freed(lambda: under_way)
    keeper.begin()
    blocks = [bytes(BLOCK) for _ in range(BLOCKS)]
    del blocks[::10]
    living = [bytes(BLOCK) for _ in range(BLOCKS // 10)] + blocks[::8]
    del blocks
    before = resident()
    done = keeper.tend()
    keeper.end()
    assert len(living) > BLOCKS // 10
    return done, before - resident() > 3 * GROWN

for under_way in (0, {QUIET}, {QUIET + 1}):
    print(under_way, *asyncio.run(main(under_way)))
"""


def glibc() -> bool:
    try:
        return hasattr(ctypes.CDLL(None), "malloc_trim")
    except (OSError, TypeError):
        return False


@pytest.mark.skipif(not (resident() and glibc()), reason="no /proc, or no malloc_trim: not glibc")
def test_a_process_that_has_grown_gives_back_what_lies_free_between_what_lives() -> None:
    run = subprocess.run([sys.executable, "-c", IN_A_PROCESS], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.splitlines() == ["0 True True", f"{QUIET} True True", f"{QUIET + 1} False False"]


MEGABYTE = 1024 * 1024
Grow = Callable[[int], None]


@pytest.fixture
def grow(monkeypatch: pytest.MonkeyPatch) -> Grow:
    """Has the process grow by so many bytes, as far as it is told."""
    size = 50 * MEGABYTE

    def by(more: int) -> None:
        nonlocal size
        size += more

    monkeypatch.setattr(freed, "resident", lambda: size)
    return by


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each time that memory was given back, which gave back nothing."""
    times: list[None] = []
    monkeypatch.setattr(freed, "trim", lambda: times.append(None))
    return times


async def test_a_worker_that_has_not_grown_looks_for_nothing_again(grow: Grow, trims: list[None]) -> None:
    keeper = Freed(lambda: 0)
    keeper.begin()
    grow(GROWN - 1)
    assert not keeper.tend()
    grow(1)
    assert keeper.tend()
    assert not keeper.tend()
    keeper.end()
    assert len(trims) == 1


async def test_a_worker_that_has_shrunk_may_grow_from_there(grow: Grow, trims: list[None]) -> None:
    keeper = Freed(lambda: 0)
    keeper.begin()
    grow(-10 * MEGABYTE)
    assert not keeper.tend()
    grow(GROWN)
    assert keeper.tend()
    keeper.end()
    assert len(trims) == 1


async def test_a_worker_with_many_calls_under_way_waits(grow: Grow, trims: list[None]) -> None:
    under_way = QUIET + 1
    keeper = Freed(lambda: under_way)
    keeper.begin()
    grow(GROWN)
    assert not keeper.tend()
    under_way = QUIET
    assert keeper.tend()
    keeper.end()
    assert len(trims) == 1


def test_where_malloc_is_not_glibcs_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def __init__(self, name: None) -> None:
            assert name is None

    monkeypatch.setattr(ctypes, "CDLL", Other)
    trim()
