"""Ask a second target where the first is slow to answer: the first answer is taken, the other call cancelled.

Each race may cost twice, so that the share of calls that are asked twice, and of what calls may cost, is bounded.
"""

import asyncio
from collections.abc import Callable
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING, Final

from portico.call import Call, Extend
from portico.config import schema
from portico.errors import PorticoError, UpstreamTimeout, untraced
from portico.providers.auth.scheme import Fetch
from portico.record import AttemptRecord
from portico.upstream.arrival import Arrival
from portico.upstream.keyring import Credential
from portico.upstream.outgoing import Outgoing, Way
from portico.upstream.retry import Budget
from portico.upstream.sending import send
from portico.upstream.target import Target
from portico.upstream.trial import begin, unfit

if TYPE_CHECKING:
    from portico.upstream.health import Health

Try = tuple[Arrival, Target, Credential, AttemptRecord]
"""One attempt: what arrives, from where, with which key, and its record."""

P95: Final = 0.95
TURNS: Final = ((1.0, 0.8), (2.0, 1.0), (4.0, 1.0))
"""When a second target is asked, in delays, and of which part of the budget: some is kept for who is much later."""


class Hedging:
    """What a configuration says of one model's hedges, and how many there were."""

    def __init__(self, said: schema.Hedge, clock: Callable[[], float] = monotonic) -> None:
        self._after = said.after
        self._calls = Budget(said.share, clock, spare=1)
        self._money = Budget(said.share, clock, spare=0)
        self._dearest = 0

    def __repr__(self) -> str:
        return f"<Hedging after {self._after or 'p95'}: {self._calls!r}>"

    def count(self, cost: int) -> None:
        """Count a call, and the most that it may cost."""
        self._calls.calls += 1
        self._money.calls += cost

    def delay(self, health: "Health", *, streamed: bool) -> float | None:
        """Return the seconds that a target has before another is asked, None where that is not known yet."""
        if self._after is not None:
            return self._after
        firsts, wholes = health.measured()
        return (firsts if streamed else wholes).below(P95)

    def may(self, cost: int, part: float = 1.0) -> bool:
        """Take a race from both budgets; return whether there was room for it in this part of them."""
        return (not cost or self._money.spend(cost, part)) and self._calls.spend(1, part)


class Race:
    """An attempt, and perhaps a second one beside it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        hedging: Hedging,
        outgoing: Outgoing,
        call: Call,
        fetch: Fetch,
        extend: Extend,
        judged: bool,
    ) -> None:
        self._loop = loop
        self._hedging = hedging
        self._outgoing = outgoing
        self._call = call
        self._fetch = fetch
        self._extend = extend
        self._judged = judged

    def __repr__(self) -> str:
        return f"<Race of {self._call!r}>"

    async def run(self, first: Try, way: Way, other: Target | None, left: float) -> tuple[Try, list[Try]]:
        """Return the attempt that answered, or the first where none did; and the others, ended or still to be.

        `left` is the time that the call has. Whoever is cancelled here leaves nothing under way.
        """
        hedging, outgoing = self._hedging, self._outgoing
        cost = self._call.bound.cost or 0
        hedging.count(cost)
        delay = hedging.delay(first[1].health, streamed=outgoing.stream) if other is not None else None
        until = self._loop.time() + left
        runs = {self._loop.create_task(self._go(first, way)): first}
        try:
            if delay is not None and other is not None and delay < left:
                waited = 0.0
                for delays, part in TURNS:
                    done, _ = await asyncio.wait(runs, timeout=min(delay * delays, left) - waited)
                    waited = min(delay * delays, left)
                    if done or waited >= left:
                        break
                    if hedging.may(cost, part):
                        second = await self._second(other)
                        if second is not None:
                            entry, onto = second
                            runs[self._loop.create_task(self._go(entry, onto))] = entry
                        break
            pending = set(runs)
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=max(0.0, until - self._loop.time()), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    self._time_is_up(first, left)
                    break
                # Where both are here, the one that was asked first is taken.
                for task, entry in runs.items():
                    if task in done and self._stands(entry):
                        return entry, [each for each in runs.values() if each[0] is not entry[0]]
            return first, [each for each in runs.values() if each[0] is not first[0]]
        except BaseException:
            for entry in runs.values():
                entry[0].abandon()
                entry[1].health.left()
                entry[3].error = entry[3].error or "caller_gone"
                if entry[0].asked:
                    entry[3].assumed_nano_usd = cost
            raise
        finally:
            for task in runs:
                task.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def _second(self, target: Target) -> tuple[Try, Way] | None:
        """Open an attempt at a second target, None where there is no room for what it may cost, or there."""
        keyring = target.upstream.keyring
        credential = keyring.only or keyring.pick(monotonic())
        assert credential is not None, "a keyring of which no key was tried has one"
        try:
            way = self._outgoing.way_to(target, credential)
            await self._extend(target, True)
        except PorticoError:
            return None
        gate = target.gate
        if gate is not None and gate.take(monotonic()) is not None:
            return None
        arrival, note = begin(self._loop, target, credential, self._outgoing, self._call, self._judged)
        arrival.gate = gate
        return (arrival, target, credential, note), way

    async def _go(self, entry: Try, way: Way) -> None:
        """Send, and wait for what comes; a failure is left in the arrival."""
        arrival, target, credential, _ = entry
        try:
            await send(arrival, way, credential, target, self._outgoing, self._fetch)
            await arrival.here
        except PorticoError as error:
            arrival.abandon()
            arrival.error = untraced(error)
            arrival.here_ns = perf_counter_ns()

    def _stands(self, entry: Try) -> bool:
        arrival, target, _, _ = entry
        if arrival.error is None and arrival.status < 400:
            arrival.error = unfit(arrival, target, self._outgoing)
            return arrival.error is None
        return False

    def _time_is_up(self, first: Try, left: float) -> None:
        arrival, target = first[0], first[1]
        if arrival.error is None and not arrival.here_ns:
            arrival.abandon()
            arrival.error = UpstreamTimeout(
                f"{target.name} had {left:.3g} s left of the time that a call may take", phase="call"
            )
            arrival.here_ns = perf_counter_ns()
