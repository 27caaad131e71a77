"""A worker looks for garbage when few notice it or when there is much, and at no other time."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from portico.garbage import EACH, LOOKS, MUCH, QUIET, WORTH, Garbage

CROWD = 10 * QUIET


class Ring:
    """An object that is garbage only to the collector."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The collector as the other tests have it."""
    yield
    gc.enable()
    gc.unfreeze()
    gc.collect()


@pytest.mark.parametrize(
    ("made", "under_way", "gone"),
    [
        (WORTH, 0, True),
        (WORTH, QUIET, True),
        (WORTH, QUIET + 1, False),
        (WORTH // 2, 0, False),
        (MUCH // 2, CROWD, False),
        (MUCH + EACH * CROWD, CROWD, True),
    ],
)
async def test_garbage_goes_when_it_is_worth_it_and_few_calls_stand_still_or_when_there_is_much(
    made: int, under_way: int, gone: bool
) -> None:
    tended = Garbage(lambda: under_way)
    tended.begin()
    rings = [weakref.ref(Ring())]
    others = [Ring() for _ in range(made)]
    del others
    tended.tend()
    tended.end()
    assert (rings[0]() is None) is gone


async def test_calls_are_not_stopped_for_what_lives() -> None:
    looked: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            looked.append(info["generation"])

    tended = Garbage(lambda: CROWD)
    tended.begin()
    gc.callbacks.append(note)
    try:
        living = [[number] for number in range(MUCH)]
        tended.tend()
    finally:
        gc.callbacks.remove(note)
        tended.end()
    assert len(living) == MUCH
    assert not looked


async def test_what_has_lived_through_a_look_is_looked_at_again_where_no_call_is_under_way_and_now_and_then() -> None:
    looked: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            looked.append(info["generation"])

    under_way = 1
    living: list[list[int]] = []
    tended = Garbage(lambda: under_way)
    tended.begin()
    gc.callbacks.append(note)
    try:
        for _ in range(LOOKS + 1):
            living += [[number] for number in range(WORTH)]
            tended.tend()
        under_way = 0
        living += [[number] for number in range(WORTH)]
        tended.tend()
    finally:
        gc.callbacks.remove(note)
        tended.end()
    assert looked == [1] * LOOKS + [2, 2]
