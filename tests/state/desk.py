"""What the tests of the state ask it with: a clock that they move, a desk that asks, short words for rules."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portico.rules import Bound, Rule, Window
from portico.state.contract import Admission, Moment, Permit, Refusal, Scope, Settled, Used

START = 1_750_000_000  # a Sunday, 15:06:40 UTC


class Clock:
    """Both clocks: they go on together, and the wall clock may be set."""

    def __init__(self, wall: float = START, boot: float = 1_000.0) -> None:
        self.boot_ns = int(boot * 1e9)
        self.wall_ns = int(wall * 1e9)

    def pass_by(self, seconds: float) -> None:
        self.boot_ns += round(seconds * 1e9)
        self.wall_ns += round(seconds * 1e9)

    def set_wall(self, by: float) -> None:
        self.wall_ns += round(by * 1e9)

    @property
    def now(self) -> Moment:
        return Moment(self.boot_ns, self.wall_ns)


class Desk:
    """Asks a state as a call would, and waits for its answers."""

    def __init__(self, state: Any, clock: Clock) -> None:
        self.state = state
        self.clock = clock
        self.number = 0

    async def admit(self, *scopes: Scope, bound: Bound | None = None, call: str | None = None) -> Permit | Refusal:
        self.number += 1
        name = call or f"call-{self.number}"
        asked = Admission(name, scopes, bound or cost(0), self.clock.now, name.encode())
        return await self.state.admit(asked)  # type: ignore[no-any-return]

    async def admitted(self, *scopes: Scope, bound: Bound | None = None, call: str | None = None) -> Permit:
        answer = await self.admit(*scopes, bound=bound, call=call)
        assert isinstance(answer, Permit), answer
        return answer

    async def refused(self, *scopes: Scope, bound: Bound | None = None) -> Refusal:
        answer = await self.admit(*scopes, bound=bound)
        assert isinstance(answer, Refusal), answer
        return answer

    async def settle(self, permit: Permit, used: Used) -> Settled:
        answer: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self.state.settle(permit, used, self.clock.now, answer.set_result)
        return await answer

    async def release(self, permit: Permit) -> Settled:
        answer: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self.state.release(permit, self.clock.now, answer.set_result)
        return await answer

    def counts(self, row: str) -> dict[str, tuple[int, int]]:
        return {c.rule_id: (c.used, c.reserved) for c in self.state.counters([row], self.clock.now)}


def cost(nano: int | None) -> Bound:
    return Bound(0, 0, nano)


def tokens(into: int, out: int) -> Bound:
    return Bound(into, out, 0)


def budget(amount: int, every: Any = "day", **more: Any) -> Rule:
    window = Window(every, rolling=more.pop("rolling", False), zone=more.pop("zone", "UTC"))
    return Rule(**{"id": "budget", "kind": "budget", "counts": "cost", "amount": amount, "window": window, **more})


def limit(amount: int, counts: Any = "requests", every: Any = "minute", **more: Any) -> Rule:
    return Rule(**{"id": counts, "kind": "limit", "counts": counts, "amount": amount, "window": Window(every), **more})


def row(*rules: Rule, name: str = "key:web") -> Scope:
    return Scope(name, rules)


_held: dict[str, Any] = {}
"""Owners by their ids, as long as their states are open."""


def make_memory(_: Path) -> Any:
    from portico.state.memory import MemoryState

    return MemoryState()


def make_lmdb(folder: Path) -> Any:
    from portico.state.on_lmdb import LmdbState
    from portico.state.owner import Owner

    owner = Owner.new(folder / "owners")
    state = LmdbState(folder, owner.id, size=2 << 20)
    _held[owner.id] = owner
    return state


BACKENDS: dict[str, Callable[[Path], Any]] = {"memory": make_memory, "lmdb": make_lmdb}


def close(state: Any) -> None:
    if hasattr(state, "close"):
        state.close()
        _held.pop(state.owner).close()
