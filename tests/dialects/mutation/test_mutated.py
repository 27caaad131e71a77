"""Recorded calls with flaws, put through every pair of dialects: none hangs, none raises anything but our errors.

A case is had again by its seed: `case("7:123")`.
"""

import gc
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from tests.dialects.mutation.cases import case

LONGEST = 5.0
"""Seconds of this process's own CPU that one case may take; most take a thousandth of one."""
MEGABYTE = 1 << 20
AT_ONCE = 300 * MEGABYTE
"""Bytes by which one case may raise the most memory that this process ever had."""
KEPT = 48 * MEGABYTE
"""Bytes by which memory may grow from a tenth of the cases to their end."""


class Stuck(BaseException):
    """A case that takes too long; no handler of the code under test may take it for an error."""


@contextmanager
def guarded() -> Iterator[None]:
    """Stop a case that takes too long."""

    def stop(_: int, frame: FrameType | None) -> None:
        raise Stuck(f"still running at {frame}")

    before = signal.signal(signal.SIGVTALRM, stop)
    gc.disable()  # looking through all recordings for garbage takes seconds, which are not the case's
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        gc.enable()
        signal.signal(signal.SIGVTALRM, before)


def most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def play(seed: str, goes_on: Callable[[int], bool], tenth: Callable[[int], bool]) -> Counter[str]:
    """Play cases as long as `goes_on` says, and check memory from the first tenth on."""
    came: Counter[str] = Counter()
    number, early = 0, 0
    while goes_on(number):
        peak = most()
        try:
            with guarded():
                came[case(f"{seed}:{number}")] += 1
        except BaseException as error:
            error.add_note(f"the seed of this case is {seed}:{number}")
            raise
        assert most() - peak < AT_ONCE, f"{seed}:{number} took {(most() - peak) // MEGABYTE} MB"
        number += 1
        if not early and tenth(number):
            early = resident()
    assert early, "no memory was read"
    grown = resident() - early
    assert grown < KEPT, f"memory grew by {grown // MEGABYTE} MB in {number} cases"
    return came


def test_some_flaws_raise_nothing_but_our_errors() -> None:
    came = play("short", lambda number: number < 1500, lambda number: number == 300)
    assert came["asked"] > 100
    assert came["refused"] > 100
    assert came["told"] > 100
    assert came["broken off"] > 50


@pytest.mark.prove
@pytest.mark.timeout(7200)
def test_minutes_of_flaws_raise_nothing_but_our_errors(capsys: pytest.CaptureFixture[str]) -> None:
    seed = os.environ.get("PORTICO_SEED") or str(time.time_ns())
    seconds = 60 * float(os.environ.get("PORTICO_MINUTES") or 10)
    began = time.monotonic()

    def passed() -> float:
        return time.monotonic() - began

    came = play(seed, lambda _: passed() < seconds, lambda _: passed() > seconds / 10)
    assert all(came[what] > came.total() / 50 for what in ("asked", "refused", "answered", "told", "broken off")), came
    with capsys.disabled():
        print(f"\nseed {seed}: {came.total():,} cases in {passed():.0f} s: {dict(came.most_common())}")
