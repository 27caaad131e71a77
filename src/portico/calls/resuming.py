"""Going on with a call whose stream died: the next target is asked for the rest, and the caller hears one answer.

Each try has its own usage and cost on its record; the call has the sums. What another try may use is reserved before
it is asked. Whatever cannot be gone on with ends with an error event, as it does without this.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from portico.at_most import bound_of, dearer_of
from portico.call import Call, Extend
from portico.dialects.estimating import estimate, text_tokens
from portico.dialects.operations import OPERATIONS
from portico.dialects.passed import Passed
from portico.dialects.resume.answer import Answer, Rest, added
from portico.errors import ConnectionLost, InvalidRequest, PorticoError
from portico.providers.auth.scheme import Fetch
from portico.record import Basis
from portico.rules import NO_BOUND, Bound
from portico.stages.settle import on_its_way, settle, settle_stream
from portico.types import Usage
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import attempt_all
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Target
from portico.wire.exchange import Exchange

MOST: Final = 3
"""Times that one answer is gone on with."""
THOUGHT_CHARACTERS: Final = 4
"""Characters of a thought to a token, where its provider did not say how many there were."""

_WEAKEST: Final[tuple[Basis, ...]] = ("unknown", "assumed", "estimated", "counted", "reported")

Extending = Callable[[Bound], Extend]
"""Returns what reserves this much for another attempt."""
Write = Callable[[bytes], None]
"""Takes bytes on their way to the caller."""


class Resuming:
    """One call that can be gone on with.

    `targets` are those of its plan. `extending` returns what reserves a bound for a further attempt.
    """

    def __init__(
        self,
        answer: Answer,
        call: Call,
        outgoing: Outgoing,
        targets: Sequence[Target],
        policy: Policy,
        fetch: Fetch,
        extending: Extending,
    ) -> None:
        self._answer = answer
        self._call = call
        self._outgoing = outgoing
        self._targets = targets
        self._policy = policy
        self._fetch = fetch
        self._extending = extending
        self._spent: Usage | None = None
        self._reserved = self._bound = call.bound
        self._tries = 0

    def __repr__(self) -> str:
        return f"<Resuming {self._call.id} after {self._tries} tries>"

    async def end(
        self,
        exchange: Exchange,
        target: Target,
        passed: Passed,
        write: Write,
        failure: PorticoError | None,
        kept: Callable[[Write], Write],
    ) -> PorticoError | None:
        """Bring a stream that has ended somehow to its end, and put on the call what all of it used.

        Returns the failure that the caller is still to be told, None where the answer is whole. `kept` keeps the
        pieces for the record.
        """
        call, answer = self._call, self._answer
        body = self._outgoing.body
        settle_stream(call, answer, passed, target.price, body, target.model)
        if answer.finished:
            return None
        failure = answer.died or failure or ConnectionLost(f"{target.name} ended its stream before it was complete")
        if answer.state() == "whole":
            write(answer.end_whole())
            return None
        self._close(failure)
        for _ in range(MOST):
            if answer.state() not in ("text", "nothing"):
                break
            found = await self._ask(target)
            if found is None:
                break
            arrival, target, rest = found
            failure = await self._hear(exchange, arrival, target, rest, write, kept)
            if failure is None:
                break
            self._call.attempts[-1].error = failure.code
            if answer.state() == "whole":
                write(answer.end_whole())
                return self._closed(None)
        return self._closed(failure)

    def _closed(self, failure: PorticoError | None) -> PorticoError | None:
        """Say what was reserved in all."""
        if self._tries > 1:
            self._call.bound = self._reserved
        return failure

    def watched(self, consume: Write, arrival: Arrival) -> Write:
        """Return what takes a stream's pieces until it reports itself that it failed; then nothing more is read."""
        return Watched(self._answer, consume, arrival).put

    async def _ask(self, dead: Target) -> tuple[Arrival, Target, Rest] | None:
        """Ask the other targets for the rest of the answer, the one that died last; None where none gives it."""
        call, operation = self._call, self._outgoing.operation.name
        first = call.target
        for target in (*(each for each in self._targets if each is not dead), dead):
            name = target.stands_in(operation, True)
            try:
                if name is None:
                    continue
                outgoing = self._outgoing.rest(self._answer, target)
            except InvalidRequest:
                continue
            rest = outgoing.translations[target]
            assert isinstance(rest, Rest)
            # Of one that fails nobody can tell whose bound it was charged: it has room for that of any.
            bound = dearer_of(bound_of(call, OPERATIONS[name], rest.body, target), call.bound)
            extend = self._extending(bound)
            before = len(call.attempts)
            whole = call.bound
            arrival: Arrival | None = None
            call.target = None  # the attempts are the targets' own
            try:
                await extend(target, True)
                whole = call.bound  # rules of this target alone may have asked for more
                bound = dearer_of(bound, whole)
                self._reserved, self._bound = both(self._reserved, bound), bound
                call.bound = bound
                arrival, _ = await attempt_all((target,), outgoing, call, self._policy, self._fetch, extend)
            except PorticoError as error:
                # There is no room for another attempt, or nothing that can be sent.
                if len(call.attempts) == before and not error.another_may_help:
                    return None
            finally:
                call.target, call.bound = first, whole
                self._lose(bound, before)
            if arrival is None:
                continue
            if arrival.error is None and arrival.status < 400:
                return arrival, target, rest
            arrival.abandon()
        return None

    def _lose(self, bound: Bound, before: int = 0) -> None:
        """Put down what the tries from a place on can have used at most of which nothing is known."""
        call = self._call
        for note in call.attempts[before:]:
            if note.unheard:
                call.lost = call.lost or {}
                call.lost[note.target] = both(call.lost.get(note.target, NO_BOUND), bound)

    async def _hear(
        self,
        exchange: Exchange,
        arrival: Arrival,
        target: Target,
        rest: Rest,
        write: Write,
        kept: Callable[[Write], Write],
    ) -> PorticoError | None:
        """Take the rest of an answer to the caller, and account for it; return what that failed of."""
        answer = self._answer
        answer.go_on(rest, self._spent)
        try:
            if arrival.streaming:
                exchange.on_pause, exchange.on_resume = arrival.pause, arrival.resume
                if exchange.paused:
                    arrival.pause()
                arrival.forward(self.watched(kept(answer.relay(write)), arrival))
                await arrival.over()
                if arrival.error is None:
                    write(answer.flush())
            else:
                write(answer.whole(arrival.body))
        except BaseException as error:
            arrival.abandon()
            self._account(rest, target)
            if isinstance(error, asyncio.CancelledError) and answer.finished:
                self._call.delivered = True
                self._call.end = "served"
            self._call.bound = self._reserved
            raise
        self._account(rest, target)
        if answer.finished:
            return None
        lost = ConnectionLost(f"{target.name} ended its stream before it was complete")
        return answer.died or arrival.error or lost

    def _close(self, failure: PorticoError) -> None:
        """Put on the first try what the call has used so far."""
        call = self._call
        note = call.answering
        note.error = failure.code
        note.usage, note.cost_nano_usd, note.basis = call.usage, call.cost, call.basis
        self._spent = call.usage
        self._tries = 1
        self._lose(call.bound)

    def _account(self, rest: Rest, target: Target) -> None:
        """Put on a further try what it used, and on the call what all of them did."""
        call = self._call
        spent, cost, basis, pricing = self._spent, call.cost, call.basis, call.pricing
        heard = rest.heard
        usage = heard.usage
        from_: Basis = "reported"
        if usage is None or not (self._answer.finished or heard.finished is not None):
            usage, from_ = counted(rest, target.model), "counted"
        settle(call, usage, target.price)
        note = call.attempts[-1]
        note.usage, note.cost_nano_usd, note.basis = usage, call.cost, from_
        most = self._bound.cost
        if from_ != "reported" and most and call.cost is not None:
            note.assumed_nano_usd = max(min(on_its_way(call, usage, target.price, most), most - call.cost), 0)
        call.basis = min(basis, from_, key=_WEAKEST.index)
        call.usage = self._spent = added(spent, usage)
        call.cost = None if cost is None or call.cost is None else cost + call.cost
        if "unpriced" in (pricing, call.pricing):
            call.pricing = "unpriced"
        self._tries += 1


class Watched:
    """A stream whose pieces are taken until it reports itself that it failed."""

    __slots__ = ("_answer", "_arrival", "_consume")

    def __init__(self, answer: Answer, consume: Write, arrival: Arrival) -> None:
        self._answer = answer
        self._consume = consume
        self._arrival = arrival

    def put(self, chunk: bytes) -> None:
        """Take a piece."""
        if self._answer.died is None:
            self._consume(chunk)
            self._stop()

    def _stop(self) -> None:
        died = self._answer.died
        if died is not None:
            self._arrival.abandon()
            self._arrival.end(died)


def counted(rest: Rest, model: str) -> Usage:
    """Return what a try used whose provider had not said it all: what came of it is counted."""
    heard = rest.heard
    output = text_tokens(heard.text, model)
    thought = heard.thought // THOUGHT_CHARACTERS
    said = heard.usage
    if said is None or not said.input_total:
        return Usage(input=estimate(rest.asked, model), output=output, reasoning=thought)
    if said.output_total >= output + thought:
        return said
    return Usage(
        input=said.input,
        cache_read=said.cache_read,
        cache_write_5m=said.cache_write_5m,
        cache_write_1h=said.cache_write_1h,
        input_audio=said.input_audio,
        input_image=said.input_image,
        output=output,
        reasoning=thought,
    )


def both(one: Bound, other: Bound) -> Bound:
    """Return the most that two attempts can use together."""
    return Bound(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        None if one.cost is None or other.cost is None else one.cost + other.cost,
        other.why if one.why in (None, "unpriced") and other.why is not None else one.why,
    )
