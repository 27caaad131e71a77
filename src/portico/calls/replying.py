"""How a caller gets its reply, where that takes waiting: in its own dialect, and once the call is in the books."""

import asyncio
from collections.abc import Awaitable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, cast

from portico import jobs
from portico.call import Call, Extend
from portico.calls.whole import answer_plainly, give_later, headed, keep, signature
from portico.dialects.errors import render_error
from portico.dialects.jobs import runs_on
from portico.dialects.stand_ins import TASKS
from portico.dialects.tokens import summed
from portico.dialects.usage import read_usage
from portico.errors import PorticoError
from portico.providers.auth.scheme import Fetch
from portico.stages import own
from portico.stages.settle import Settling, settle
from portico.state.contract import Settled, State
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import attempt_all
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Target
from portico.wire.exchange import Exchange

if TYPE_CHECKING:
    from portico.dialects.tasks import Errand
    from portico.dialects.translate import Translation

LONGEST_MESSAGE = 1000
"""Characters of an error's message, as it is recorded."""
AT_ONCE = 8
"""Requests that one call has under way at a provider that takes less in one than was asked for."""


class Replies:
    """Gives callers their replies, and settles their calls before the last byte."""

    def __init__(self, state: State, settling: Settling, fetch: Fetch) -> None:
        self._state = state
        self._settling = settling
        self._fetch = fetch

    async def settled(self, call: Call) -> None:
        """Record a call and settle its permit, and wait until both are in the books: its last byte may leave then."""
        loop = asyncio.get_running_loop()
        booked: asyncio.Future[None] = loop.create_future()

        def done(_settled: Settled) -> None:
            if not booked.done():
                booked.set_result(None)

        self._settling.end(call, done)
        if not booked.done():
            await booked

    async def answer_stored(self, exchange: Exchange, call: Call, arrival: Arrival, target: Target, name: str) -> None:
        """Give the caller a whole reply that its provider keeps under a name, once it is remembered whose it is."""
        await self.own(call, target, name)
        body = arrival.body
        if call.background and runs_on(body):
            await jobs.start(self._state, call, self._job(call, target, name))
        give_later(self._settling, exchange, call, arrival, body)

    def own(self, call: Call, target: Target, name: str) -> Awaitable[None]:
        """Remember whose a stored reply is, before its caller hears of it."""
        caller = call.caller
        assert caller is not None
        credential = call.answering.credential
        return own.remember(self._state, caller, "response", name, target.upstream.name, credential)

    async def announce(self, call: Call, target: Target, name: str) -> None:
        """Remember whose a stored reply is that comes as a stream, and the job that it is where it may outlive that."""
        await self.own(call, target, name)
        if call.background:
            job = self._job(call, target, name)
            await self._state.own(jobs.remembered(job))
            call.job = job

    async def outlived(self, call: Call, ended: bool) -> None:
        """Say whether the job that a stream showed has ended with it; else it keeps what the call has reserved."""
        if ended:
            await jobs.drop(self._state, call)
        else:
            jobs.hand_over(call)

    @staticmethod
    def _job(call: Call, target: Target, name: str) -> jobs.Job:
        """Return the job that a background response is."""
        assert call.caller is not None
        models = (target.model,)
        return jobs.begun(call, "responses", name, own.tenant_of(call.caller), target.name, jobs.UNKNOWN, models=models)

    async def others(
        self,
        call: Call,
        outgoing: Outgoing,
        target: Target,
        translation: "Translation | Errand",
        policy: Policy,
        extend: Extend,
    ) -> list[Arrival]:
        """Get what else a caller asked for, where one request to this provider could not hold it all."""
        waited, began = call.waited_ns, perf_counter_ns()
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(body: bytes) -> Arrival:
            async with gate:
                found, _ = await attempt_all((target,), outgoing.part(target, body), call, policy, self._fetch, extend)
                return found

        before = len(call.attempts)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(body)) for body in translation.more]
        except BaseException:
            # What the first reply said is of a part alone; the bound is that of all parts together.
            call.basis = "unknown"
            for note in call.attempts[before:]:
                note.assumed_nano_usd = None
            raise
        call.waited_ns = waited + perf_counter_ns() - began
        return [task.result() for task in tasks]

    async def answer_translated(
        self,
        exchange: Exchange,
        call: Call,
        arrival: Arrival,
        target: Target,
        translation: "Translation | Errand",
        others: Sequence[Arrival],
    ) -> None:
        """Give the caller, in its own dialect, a whole reply or an error that came in another one."""
        conversation = cast("Translation", translation) if call.operation.name not in TASKS else None
        if conversation is not None and not call.stream and arrival.error is None and arrival.status < 400:
            answer_plainly(self._settling, exchange, call, arrival, target, conversation)
            return

        arrivals = (arrival, *others)
        good = [each for each in arrivals if each.error is None and each.status < 400]
        used = [read_usage(translation.upstream, each.body, each.headers) for each in good]
        if good:
            settle(call, summed([*used, translation.known]), target.price)
        for each in arrivals:
            if each.error is not None:
                raise each.error
            if each.status >= 400:
                error = translation.error(each.status, each.headers, each.body)
                call.status, call.error = error.status, "upstream_status"
                status, headers, told = render_error(call.operation.dialect, error, call.id)
                keep(call, told)
                await self.settled(call)
                exchange.reply(status, headers, told, signature(call))
                return
        kind = translation.content_type
        if call.stream and conversation is not None:
            told, kind = conversation.replay(arrival.body), conversation.stream_type
        else:
            told = translation.reply(*(each.body for each in arrivals))
            call.estimate = translation.estimated
        call.end = "served"
        keep(call, told)
        await self.settled(call)
        exchange.reply(arrival.status, headed(call, kind), told, signature(call))

    async def estimate(self, exchange: Exchange, call: Call, outgoing: Outgoing, target: Target) -> None:
        """Answer how many tokens a request is where the provider has no counter: an estimate, and declared as one."""
        from portico.dialects import counting

        assert isinstance(outgoing.body, bytes)
        told = counting.answer(call.operation.name, outgoing.body, outgoing.model, target.model)
        call.estimate = True
        call.target = target.name
        call.status, call.error, call.end = 200, None, "served"
        await self.settled(call)
        exchange.reply(200, headed(call), told, signature(call))

    async def refuse(self, exchange: Exchange, call: Call, error: PorticoError) -> None:
        """Answer a call with an error, in its own dialect."""
        call.status, call.error = error.status, error.code
        call.message = error.message[:LONGEST_MESSAGE]
        await self.settled(call)
        if exchange.gone:
            return
        if exchange.started:
            exchange.abort()
            return
        status, headers, body = render_error(call.operation.dialect, error, call.id)
        exchange.reply(status, headers, body, signature(call))
