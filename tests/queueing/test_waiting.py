"""Calls that sleep until their turn: it comes however many others come, and nothing is left to the collector."""

import asyncio
import gc
import time
import weakref

from portico.errors import LimitExceeded, PorticoError
from portico.queueing.line import Key
from portico.queueing.waiting import Closed, Ticket, Waiting


def closed() -> Closed:
    return Closed([("target", 0.0)], LimitExceeded("the limit is used up"))


async def wait(waiting: Waiting, flow: str, opens: asyncio.Event | None = None) -> bool:
    """Wait as a call does; return whether it got what it waited for. Without `opens` it does so at its first turn."""

    async def attempt(_: Key) -> bool | Closed:
        if opens is None or opens.is_set():
            return True
        return Closed([("target", time.monotonic() + 60)], LimitExceeded("it is still used up"))

    try:
        return await Ticket(waiting, flow, time.monotonic() + 60).wait(closed(), attempt)
    except PorticoError:
        return False


async def test_those_who_come_do_not_put_off_whose_turn_it_is() -> None:
    waiting = Waiting()
    came = []
    for number in range(200):
        came.append(asyncio.create_task(wait(waiting, f"team-{number % 7}")))
        await asyncio.sleep(0)
    assert waiting.served > 20
    assert all(await asyncio.gather(*came))


async def test_a_call_that_gives_way_leaves_nothing_to_the_collector() -> None:
    opens = asyncio.Event()
    waiting = Waiting(calls=1)
    left: list[weakref.ref[asyncio.Task[bool]]] = []
    gc.collect()
    gc.disable()
    try:
        told = []
        for _ in range(5):
            task = asyncio.create_task(wait(waiting, "team", opens))
            left.append(weakref.ref(task))
            await asyncio.sleep(0)
            told.append(task)
        opens.set()
        waiting.open("target")
        assert await asyncio.gather(*told) == [False, False, False, False, True]
        del task, told
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [each for each in gc.garbage if isinstance(each, PorticoError | Closed)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
