"""A worker that has grown gives back what it has freed, when few notice it."""

import ctypes

import pytest

from portico.freed import GROWN, QUIET, Freed, resident, trim

BLOCK = 2000
"""Bytes of an object that malloc holds, not Python's own arenas."""
BLOCKS = 10 * GROWN // BLOCK


def glibc() -> bool:
    try:
        return hasattr(ctypes.CDLL(None), "malloc_trim")
    except (OSError, TypeError):
        return False


pytestmark = pytest.mark.skipif(not (resident() and glibc()), reason="no /proc, or no malloc_trim: not glibc")


@pytest.mark.parametrize(("under_way", "done"), [(0, True), (QUIET, True), (QUIET + 1, False)])
async def test_a_worker_that_has_grown_gives_back_what_lies_free_between_what_lives(under_way: int, done: bool) -> None:
    trim()
    freed = Freed(lambda: under_way)
    freed.begin()
    blocks = [bytes(BLOCK) for _ in range(BLOCKS)]
    del blocks[::10]
    living = [bytes(BLOCK) for _ in range(BLOCKS // 10)] + blocks[::8]
    del blocks
    before = resident()
    assert freed.tend() is done
    freed.end()
    assert (before - resident() > 3 * GROWN) is done
    assert len(living) > BLOCKS // 10


async def test_a_worker_that_has_not_grown_looks_for_nothing_again() -> None:
    freed = Freed(lambda: 0)
    freed.begin()
    living = [bytes(BLOCK) for _ in range(BLOCKS)]
    assert freed.tend()
    assert not freed.tend()
    freed.end()
    assert len(living) == BLOCKS


async def test_a_worker_that_has_shrunk_may_grow_from_there() -> None:
    freed = Freed(lambda: 0)
    living = [bytes(BLOCK) for _ in range(BLOCKS)]
    freed.begin()
    living.clear()
    assert not freed.tend()
    trim()  # as a process shrinks by what it unmaps itself
    assert not freed.tend()
    living += [bytes(BLOCK) for _ in range(BLOCKS // 2)]
    assert freed.tend()
    freed.end()


def test_where_malloc_is_not_glibcs_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def __init__(self, name: None) -> None:
            assert name is None

    monkeypatch.setattr(ctypes, "CDLL", Other)
    trim()
