"""The clock that a test moves."""

import asyncio

from portico.testing import FakeClock


async def test_sleepers_wake_at_their_own_moment_and_in_order():
    clock = FakeClock(100)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.now()))

    tasks = [asyncio.ensure_future(sleeper("a", 3, 3)), asyncio.ensure_future(sleeper("b", 2, 2))]
    await clock.asleep(2)
    await clock.advance(5)
    assert woken == [("b", 102), ("a", 103), ("b", 104)]
    assert (clock.now(), clock.sleepers) == (105, 1)
    await clock.advance(1)
    await asyncio.gather(*tasks)


async def test_a_cancelled_sleeper_is_forgotten():
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(5))
    await clock.asleep()
    task.cancel()
    await asyncio.wait([task])
    assert clock.sleepers == 0
    await clock.advance(10)


async def test_a_cancelled_callback_is_not_called():
    clock = FakeClock()
    called: list[float] = []
    clock.later(1, lambda: called.append(clock.now()))
    clock.later(2, lambda: called.append(clock.now())).cancel()
    await clock.advance(3)
    assert called == [1]


async def test_no_time_is_no_wait():
    await FakeClock().sleep(0)
