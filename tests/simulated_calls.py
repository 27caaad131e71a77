"""A loop whose time passes as fast as there is nothing to do, and attempts that are made on a fake wire in it."""

import asyncio
import selectors
from types import SimpleNamespace
from typing import Any

import pytest

REPLY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":'
    b'"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'
)
BODY = b'{"model":"smart","messages":[{"role":"user","content":"Hello"}]}'


class _Skipping(selectors.SelectSelector):
    """Never waits: what would have been waited is added to the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose time is that of its timers."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now

    def nanoseconds(self) -> int:
        return int(self._skipping.now * 1e9)


def simulate(monkeypatch: pytest.MonkeyPatch, loop: SimulatedLoop, send: Any) -> None:
    """Let attempts go by the time of this loop, and be sent by `send` in place of a connection."""
    for module in ("upstream.arrival", "upstream.attempt", "upstream.hedge", "upstream.trial", "call"):
        monkeypatch.setattr(f"portico.{module}.perf_counter_ns", loop.nanoseconds)
    for module in ("attempt", "turns"):
        monkeypatch.setattr(f"portico.upstream.{module}.time", SimpleNamespace(monotonic=loop.time))
    monkeypatch.setattr("portico.upstream.hedge.monotonic", loop.time)
    for module in ("attempt", "hedge", "sending"):
        monkeypatch.setattr(f"portico.upstream.{module}.send", send)
