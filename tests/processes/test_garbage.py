"""A worker looks for garbage at all times among what is new, and among the rest when few notice."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from portico.garbage import NEW, OVERDUE, QUIET, WORTH, Garbage


class Ring:
    """An object that is garbage only to the collector."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The collector as the other tests have it."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.collect()


def old_ring(looks: int) -> "weakref.ref[Ring]":
    """Return a ring that was in use through so many looks at what is new, and is not any more."""
    ring = Ring()
    for _ in range(looks):
        gc.collect(0)
    return weakref.ref(ring)


async def test_what_is_new_and_garbage_goes_by_itself() -> None:
    tended = Garbage(lambda: QUIET + 1)
    tended.begin()
    rings = [weakref.ref(Ring()) for _ in range(3 * NEW)]
    tended.end()
    assert sum(each() is None for each in rings) >= NEW


@pytest.mark.parametrize(
    ("looks", "under_way", "gone"),
    [
        (WORTH, 0, True),
        (WORTH, QUIET, True),
        (WORTH, QUIET + 1, False),
        (WORTH // 2, 0, False),
        (OVERDUE, QUIET + 1, True),
    ],
)
async def test_what_is_old_goes_when_it_is_worth_it_and_few_calls_stand_still(
    looks: int, under_way: int, gone: bool
) -> None:
    tended = Garbage(lambda: under_way)
    tended.begin()
    ring = old_ring(looks)
    tended.tend()
    tended.end()
    assert (ring() is None) is gone


async def test_calls_are_not_stopped_for_what_lives() -> None:
    tended = Garbage(lambda: QUIET + 1)
    tended.begin()
    looked: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            looked.append(info["generation"])

    gc.callbacks.append(note)
    try:
        living = [[number] for number in range(50 * NEW)]
    finally:
        gc.callbacks.remove(note)
        tended.end()
    assert len(living) == 50 * NEW
    assert looked
    assert set(looked) == {0}
