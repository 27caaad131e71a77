"""The wall clock is set back by an hour while calls are made: no budget begins anew, and none refuses for an hour."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_in_loop import Running, chat, provider, running
from portico.config.load import load_plain
from portico.state.contract import Moment, State
from portico.state.memory import MemoryState
from portico.state.on_lmdb import LmdbState
from portico.testing.mock import MockProvider

HOUR = 3600 * 10**9
KEY = "sk-caller-of-the-clock"
NOON = 1_795_176_000 * 10**9


class Clock:
    """Both clocks, set by hand: `wall` may be set back, `boot` only goes on."""

    def __init__(self) -> None:
        self.wall = NOON
        self.boot = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def __call__(self) -> Moment:
        return Moment(self.boot, self.wall)

    def on(self, nanoseconds: int) -> None:
        self.wall += nanoseconds
        self.boot += nanoseconds


@asynccontextmanager
async def portico(tmp_path: Path, state: State, clock: Clock, key: dict[str, Any]) -> AsyncIterator[Running]:
    async with MockProvider() as mock:
        plain = {"providers": {"openai": provider(mock)}, "keys": {"web": {"key": KEY, **key}}}
        config = load_plain(plain, {}).config
        try:
            async with running(config, tmp_path / "records", state=state, now=clock) as gateway:
                yield gateway
        finally:
            if isinstance(state, LmdbState):
                state.close()


def state_of(backend: str, tmp_path: Path) -> State:
    if backend == "memory":
        return MemoryState()
    state = LmdbState(tmp_path / "state", "0123456789abcdef", size=2 << 20)
    state.ledger.mark_rebuilt()  # nothing was counted before
    return state


@pytest.mark.parametrize("backend", ["memory", "lmdb"])
@pytest.mark.parametrize("per", ["hour", "day", "week", "month", "36h"])
async def test_setting_the_clock_back_gives_no_budget_anew_and_takes_none_away(
    tmp_path: Path, backend: str, per: str
) -> None:
    clock = Clock()
    async with portico(
        tmp_path, state_of(backend, tmp_path), clock, {"budgets": [{"requests": 3, "per": per}]}
    ) as running:

        async def status() -> int:
            return (await running.call("/v1/chat/completions", chat(max_tokens=9), key=KEY))[0]

        assert [await status() for _ in range(2)] == [200, 200]
        clock.wall -= HOUR
        assert [await status() for _ in range(3)] == [200, 429, 429]
        clock.on(HOUR // 2)
        assert await status() == 429
        clock.on(40 * 24 * HOUR)
        assert await status() == 200


@pytest.mark.parametrize("backend", ["memory", "lmdb"])
async def test_setting_the_clock_back_neither_fills_nor_empties_a_limit(tmp_path: Path, backend: str) -> None:
    clock = Clock()
    limits = {"limits": [{"requests": 3, "per": "minute"}]}
    async with portico(tmp_path, state_of(backend, tmp_path), clock, limits) as running:

        async def status() -> int:
            return (await running.call("/v1/chat/completions", chat(max_tokens=9), key=KEY))[0]

        assert [await status() for _ in range(2)] == [200, 200]
        clock.wall -= HOUR
        assert [await status() for _ in range(2)] == [200, 429]
        clock.wall += 2 * HOUR
        assert await status() == 429
        clock.on(20 * 10**9)
        assert [await status() for _ in range(2)] == [200, 429]
