"""Deadlines: the wheel by a clock of its own, and the phases of a request on real sockets."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import UpstreamTimeout
from portico.wire.client import Client, Deadlines, Settings
from portico.wire.wheel import TICKS, Watched, Wheel

Serve = Callable[..., Any]
Ask = Callable[..., Any]


class Timer:
    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Time:
    """A loop that is nothing but time, which passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []
        self.rung = 0

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def pass_until(self, moment: float) -> None:
        while True:
            self.timers = [timer for timer in self.timers if not timer.cancelled]
            timer = min(self.timers, key=lambda timer: timer.when, default=None)
            if timer is None or timer.when > moment:
                break
            self.now = max(self.now, timer.when)
            self.timers.remove(timer)
            self.rung += 1
            timer.callback()
        self.now = max(self.now, moment)


class Thing:
    """Something that is due at a moment, which may be put off."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.slot: set[Watched] = set()
        self.fired: float | None = None

    def check(self, now: float) -> float | None:
        if now < self.due:
            return self.due
        self.fired = now
        return None


def wheel() -> tuple[Wheel, Time]:
    time = Time()
    return Wheel(time, lambda: time.now), time  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 100)), min_size=1, max_size=20))
def test_what_is_due_is_looked_at_within_a_tick_and_never_before(times: list[tuple[float, float]]) -> None:
    turning, time = wheel()
    things = []
    for after, pause in times:
        thing = Thing(time.now + after)
        things.append(thing)
        turning.watch(thing, thing.due)
        time.pass_until(time.now + pause)
    time.pass_until(time.now + 500)
    for thing in things:
        assert thing.fired is not None
        assert 0 <= thing.fired - thing.due < 1 / TICKS + 1e-6
    assert not [timer for timer in time.timers if not timer.cancelled]


def test_what_is_forgotten_is_not_looked_at() -> None:
    turning, time = wheel()
    thing = Thing(time.now + 1)
    turning.watch(thing, thing.due)
    thing.slot.discard(thing)
    time.pass_until(time.now + 10)
    assert thing.fired is None


def test_what_is_put_off_fires_when_it_is_due_at_last() -> None:
    turning, time = wheel()
    thing = Thing(time.now + 1)
    turning.watch(thing, thing.due)
    start = time.now
    for step in range(1, 50):
        thing.due = start + step + 1
        time.pass_until(start + step)
        assert thing.fired is None
    time.pass_until(start + 100)
    assert thing.fired == pytest.approx(start + 50, abs=0.06)


def test_a_quiet_wheel_hardly_turns() -> None:
    turning, time = wheel()
    for number in range(1000):
        turning.watch(Thing(time.now + 300 + number / 100), time.now + 300 + number / 100)
    time.pass_until(time.now + 299)
    assert time.rung <= 3


def test_a_loop_that_was_held_up_reads_before_it_judges() -> None:
    turning, time = wheel()
    thing = Thing(time.now + 1)
    turning.watch(thing, thing.due)
    (timer,) = time.timers
    time.now += 5  # nothing ran meanwhile
    time.timers.remove(timer)
    timer.callback()
    assert thing.fired is None
    time.pass_until(time.now + 0.05)
    assert thing.fired is not None


# On real sockets. Times are small; only that they pass, and which one, is asserted.


@pytest.mark.parametrize("seconds", [0.001, 0.12])
async def test_an_origin_that_says_nothing_misses_first_byte(upstream: Serve, ask: Ask, seconds: float) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with upstream(handle) as up:
        began = asyncio.get_running_loop().time()
        sink = await ask(up, deadlines=Deadlines(first_byte=seconds, between_chunks=60))
        assert isinstance(sink.error, UpstreamTimeout)
        assert sink.error.phase == "first_byte"
        assert asyncio.get_running_loop().time() - began >= seconds
        assert f"{seconds:g} s" in str(sink.error)


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_half_a_head_and_an_interim_reply_are_no_first_byte(upstream: Serve, ask: Ask, begun: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(begun)
        await reader.read()

    async with upstream(handle) as up:
        sink = await ask(up, deadlines=Deadlines(first_byte=0.1, between_chunks=60))
        assert isinstance(sink.error, UpstreamTimeout)
        assert sink.error.phase == "first_byte"


async def test_an_origin_that_stalls_misses_between_chunks(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        await reader.read()

    async with upstream(handle) as up:
        sink = await ask(up, deadlines=Deadlines(first_byte=60, between_chunks=0.1))
        assert isinstance(sink.error, UpstreamTimeout)
        assert sink.error.phase == "between_chunks"
        assert sink.body == b"ab"


async def test_an_origin_that_stalls_after_a_late_head_misses_between_chunks(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        await reader.read()

    async with upstream(handle) as up:
        sink = await ask(up, deadlines=Deadlines(first_byte=60, between_chunks=0.1))
        assert isinstance(sink.error, UpstreamTimeout)
        assert sink.error.phase == "between_chunks"
        assert sink.body == b"ab"


async def drip(writer: asyncio.StreamWriter, count: int) -> None:
    for _ in range(count):
        writer.write(b"1\r\nx\r\n")
        await asyncio.sleep(0.02)


async def test_an_origin_that_goes_on_does_not_miss_between_chunks(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await drip(writer, 40)
        writer.write(b"0\r\n\r\n")

    async with upstream(handle) as up:
        sink = await ask(up, deadlines=Deadlines(first_byte=60, between_chunks=0.5))
        assert sink.error is None
        assert sink.body == b"x" * 40


async def test_an_origin_that_never_ends_misses_total(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await drip(writer, 10_000)

    async with upstream(handle) as up:
        sink = await ask(up, deadlines=Deadlines(first_byte=60, between_chunks=60, total=0.3))
        assert isinstance(sink.error, UpstreamTimeout)
        assert sink.error.phase == "total"
        assert sink.body


async def test_total_counts_while_the_reader_pauses(upstream: Serve, client: Client, recorder: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        await reader.read()

    async with upstream(handle) as up:
        connection = await client.pool(up.origin, Settings()).acquire(asyncio.get_running_loop().time() + 10)
        sink = recorder()
        connection.send(b"GET / HTTP/1.1\r\n\r\n", (), sink, Deadlines(between_chunks=0.05, total=0.4))
        await sink.fed.wait()
        connection.pause()
        await sink.over()
        assert isinstance(sink.error, UpstreamTimeout)
        assert sink.error.phase == "total"


async def test_a_shorter_deadline_than_that_of_the_request_before_counts(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()

    async with upstream(handle) as up:
        assert (await ask(up, deadlines=Deadlines(first_byte=60, between_chunks=60))).error is None
        sink = await ask(up, deadlines=Deadlines(first_byte=0.1, between_chunks=60))
        assert isinstance(sink.error, UpstreamTimeout)
        assert up.connections == 1


async def test_a_deadline_of_one_request_does_not_reach_the_next(upstream: Serve, ask: Ask) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(2):
            await up.request(reader)
            if number:
                await asyncio.sleep(0.3)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with upstream(handle) as up:
        assert (await ask(up, deadlines=Deadlines(first_byte=0.15))).error is None
        assert (await ask(up, deadlines=Deadlines(first_byte=10))).error is None
        assert up.connections == 1
