"""What a call used and what that costs, from what its provider said; and the end of it in the books.

The order: the record is appended to the journal, the permit is settled, and only then does the caller get the last
byte. All that end in one tick of the loop are written at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from portico import shares
from portico.call import Call
from portico.counts import figures, totals
from portico.dialects.passed import Passed, interrupted
from portico.errors import JournalFull
from portico.journal.entries import Event
from portico.journal.journal import Journal
from portico.providers.prices import charge
from portico.providers.prices_schedule import Price
from portico.records import Records
from portico.state.contract import ANY_TIME, Moment, Permit, Settled, State, Used
from portico.state.contract import Passed as RulePassed
from portico.types import Usage

QUIET: Final = Settled()
MILLION: Final = 1_000_000
ON_ITS_WAY: Final = 64
"""Tokens that a provider may have written when its stream was cut, and that never came here; and half as many as did
come, since they are counted by somebody else's tokens."""


class Watch(Protocol):
    """Who has seen a stream go by."""

    finished: bool

    @property
    def usage(self) -> Usage | None:
        """What it used, as far as its provider has said."""


def settle(call: Call, usage: Usage | None, price: Price | None) -> None:
    """Put usage, cost and the basis of the cost on a call that a provider served."""
    if usage is None and call.characters:
        usage = Usage(characters=call.characters)
    call.usage = usage
    if usage is None:
        call.basis = "unknown"
        return
    if call.kept is not None and call.target is not None:
        call.kept.served(call.target, usage)
    charged = charge(price, usage, call.arrived_ms / 1000)
    call.cost = charged.cost
    call.basis = "reported"
    call.pricing = charged.pricing
    call.price = charged.row


def settle_stream(
    call: Call, watch: Watch, passed: Passed, price: Price | None, body: object, model: str, *, held: bool = False
) -> None:
    """Put on a call what its stream used, however that ended.

    Where its provider had not said it all when it ended, what passed is counted, and budgets are charged for what may
    have been on its way. `body` is what the caller asked, `model` the provider's name for its model. `held` says that
    the caller did not take what came: nobody knows how much its provider had written by then.
    """
    if watch.usage is not None and watch.finished:
        settle(call, watch.usage, price)
        return
    found = interrupted(call.operation, passed, watch.usage, body if isinstance(body, bytes) else b"", model)
    if found is None:
        settle(call, watch.usage, price)
        return
    usage, basis = found
    settle(call, usage, price)
    call.basis = basis
    bound = call.bound.cost
    if bound and basis != "reported" and call.attempts and call.cost is not None:
        more = bound if held else on_its_way(call, usage, price, bound, finished=watch.finished)
        call.answering.assumed_nano_usd = max(min(more, bound - call.cost), 0)


def on_its_way(call: Call, usage: Usage, price: Price | None, bound: int, *, finished: bool = False) -> int:
    """Return what may be billed, in nano-dollars, of a cut stream beside what came of it; `bound` without a price."""
    if price is None:
        return bound
    written = (usage.output + usage.reasoning) // 2 + (0 if finished else ON_ITS_WAY)
    return charge(price, Usage(output=written), call.arrived_ms / 1000).cost or 0


def charged(call: Call) -> Used:
    """Return what a call is charged in its scopes, and say on it whether that is more than was reserved."""
    usage, cost, attempts = call.usage, call.cost, call.attempts
    if usage is not None and cost is not None and len(attempts) == 1 and attempts[0].assumed_nano_usd is None:
        # What becomes of nearly every call.
        most_in, most_out, most, _ = figures(call.bound)
        tokens_in, tokens_out = totals(usage)
        if most is not None and cost <= most and tokens_in <= most_in and tokens_out <= most_out:
            return Used(tokens_in, tokens_out, cost)
    used = used_by(call)
    call.over_bound = over_bound(call, used)
    return used


def used_by(call: Call) -> Used:
    """Return what a call is charged in its scopes."""
    return shares.used_by(call.attempts, call.target, call.usage, call.cost, call.basis, call.bound, call.lost)


def over_bound(call: Call, used: Used) -> bool:
    """Return whether the attempt that was served used more than was reserved for one; `used` is what all did."""
    usage, bound = call.usage, call.bound
    most = bound.cost
    if usage is None or not (bound.input_tokens or most):
        return False
    if most is not None:
        if used.cost <= most and used.input_tokens <= bound.input_tokens and used.output_tokens <= bound.output_tokens:
            return False
        if call.cost is not None and call.cost > most:
            return True
    return bound.finite and (usage.input_total > bound.input_tokens or usage.output_total > bound.output_tokens)


class Settling:
    """Where calls end: the journal (None for none), the state, and the lines on standard output.

    With `durable`, a call is settled only when its record would survive a loss of power.
    """

    def __init__(
        self, state: State, journal: Journal | None, now: Callable[[], Moment], *, durable: bool = False
    ) -> None:
        self.records = Records(None)
        self._state = state
        state.when_passed = self._passed
        self._journal = journal
        self._now = now
        self.durable = durable
        self._flushing = False
        self._waiting: list[Callable[[], None]] = []
        self._syncing: list[Callable[[], None]] = []  # written, and not on the disk yet as far as is known

    def __repr__(self) -> str:
        return f"<Settling into {self._journal!r}>"

    def check(self) -> None:
        """Raise JournalFull where a call could not be recorded."""
        if self._journal is not None:
            self._journal.check()

    def end(self, call: Call, done: Callable[[Settled], None] | None = None) -> None:
        """Record a call, once, and settle its permit; `done` is called when both are in the books."""
        if call.ended:
            if done is not None:
                done(QUIET)
            return
        call.ended = True
        if call.bodies == "errors" and call.status < 400 and call.error is None:
            call.request_body = call.reply_body = None
        permit: Permit | None = call.permit
        used: Used | None = None
        if permit is not None and permit.scopes:
            used = charged(call)
        record = call.record()
        self.records.append(record)
        journal = self._journal
        if journal is not None:
            journal.append(record, call.request_body, call.reply_body)
            if permit is None and journal.full:
                self._settle(permit, used, done)  # who is refused for want of room is told so, and need not wait for it
                return
            if self.durable or permit is None:
                self._later(partial(self._settle, permit, used, done))
                return
        if used is None and permit is not None:
            # No rule counts the call: what it used is on its record, and its permit has nothing to be put right.
            self._state.release(permit, ANY_TIME, done)
        else:
            self._settle(permit, used, done)

    def _settle(self, permit: Permit | None, used: Used | None, done: Callable[[Settled], None] | None) -> None:
        if permit is None:
            if done is not None:
                done(QUIET)
            return
        if used is None:
            self._state.release(permit, ANY_TIME, done)
            return
        at = self._now()
        if used.requests or used.cost:
            self._state.settle(permit, used, at, done)
        else:
            self._state.release(permit, at, done)

    def _passed(self, passed: Sequence[RulePassed]) -> None:
        """Note what people want to hear of a settlement."""
        for each in passed:
            self.note(event_of(each, self._now().wall_ns))

    def note(self, event: Event) -> None:
        """Note what people want to hear of, besides what settlements tell."""
        if self._journal is not None:
            self._journal.note(event)
            self._later(_nothing)

    def _later(self, act: Callable[[], None]) -> None:
        """Act once what has been appended is written, and on the disk where it has to be."""
        self._waiting.append(act)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        journal = self._journal
        assert journal is not None
        waiting, self._waiting = self._waiting, []
        if not journal.flush():
            # What cannot be written yet is tried again, and no last byte leaves before. Who was refused need not wait.
            if self.durable:
                self._waiting = waiting + self._waiting
            else:
                for act in waiting:
                    act()
            self._flushing = True
            asyncio.get_running_loop().call_later(0.05, self._flush)
            return
        self._syncing += waiting
        if self.durable:
            journal.synced(partial(self._written, waiting))
        else:
            self._written(waiting, None)

    def _written(self, waiting: Sequence[Callable[[], None]], _error: BaseException | None) -> None:
        for act in waiting:
            if act in self._syncing:
                self._syncing.remove(act)
                act()

    def flush(self) -> None:
        """Write what was appended, before what depends on it is settled. Raises JournalFull where there is no room."""
        if self._journal is not None and not self._journal.flush():
            raise JournalFull("the records of calls cannot be written")

    def close(self) -> None:
        """Write what is left, and settle it."""
        self._state.flush()
        if self._journal is not None and self._journal.close():
            waiting, self._waiting = self._waiting, []
            for act in (*self._syncing, *waiting):
                act()
            self._syncing.clear()
            self._state.flush()


def event_of(passed: RulePassed, wall_ns: int) -> Event:
    """Return the event that a rule was passed by so many percent of its amount, or closed."""
    rule = passed.rule
    what = "closed" if passed.closed else "passed"
    about: dict[str, str | int | float | bool | None] = {
        "row": passed.row,
        "rule": rule.id,
        "counts": rule.counts,
        "amount": rule.amount,
        "used": passed.used,
        "percent": passed.percent,
        "mode": rule.mode,
        "per": str(rule.window.every),
    }
    return Event(f"{rule.kind}.{what}", wall_ns // 1_000_000, about)


def _nothing() -> None:
    """What is to be done once an event is written."""


def dollars(nano: int) -> str:
    """Write an amount of nano-dollars as dollars, exactly."""
    digits = str(nano).zfill(10)
    return f"{digits[:-9]}.{digits[-9:]}"
