"""The story of one call, top to bottom; the only file that knows the order.

    accept        the server made the exchange at the end of the headers; the path says the operation
    authenticate  key → caller, before the body is read
    plan          the model's name → targets in order
    admit         limits and budgets, all in one step: a permit that reserves the most that an attempt can use
    attempt       one target after another until a reply stands
    stream        its pieces through the observer to the caller, with back-pressure
    settle        usage → price → the record, then the permit, then the last byte

What is not an LLM call goes to the control process.
"""

import asyncio
import contextlib
import functools
import logging
import mmap
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, cast

import msgspec

from portico import __version__
from portico.call import Call, Extend
from portico.config.schema import Config
from portico.dialects.allowances import render_allowances
from portico.dialects.errors import render_error, render_stream_error
from portico.dialects.limits import limited, names_limit, overlaid
from portico.dialects.models import render_model, render_models, style
from portico.dialects.observer import Observer
from portico.dialects.passed import Passed
from portico.dialects.references import references
from portico.dialects.request import Peek, peek, peek_form
from portico.dialects.stand_ins import COUNTS, RESUMABLE
from portico.dialects.tokens import summed
from portico.dialects.usage import observer, read_usage
from portico.errors import (
    BadUpstreamReply,
    ConnectionLost,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    PorticoError,
    StateUnavailable,
)
from portico.journal.journal import Journal
from portico.known import Known
from portico.objects import ObjectCalls
from portico.plan.wish import first_named
from portico.records import Records
from portico.rules import Bound
from portico.snapshot import Snapshot
from portico.stages import own
from portico.stages.admit import admit, extender
from portico.stages.attribute import customer_of, tags_of
from portico.stages.authenticate import authenticate
from portico.stages.plan import asks, plan_call, plan_elsewhere, retries_of
from portico.stages.settle import Settling, dollars, settle, settle_stream
from portico.state.clock import moment
from portico.state.contract import Moment, Settled, State
from portico.state.memory import MemoryState
from portico.state.supplies import Supplies
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import Elsewhere, attempt_all
from portico.upstream.detour import Detour
from portico.upstream.headers import reply_headers
from portico.upstream.health import Healths
from portico.upstream.outgoing import Outgoing
from portico.upstream.relay import Relay
from portico.upstream.retry import Policy
from portico.upstream.shared import SharedRests
from portico.upstream.target import Target
from portico.upstream.trial import spoke
from portico.wire.client import Client
from portico.wire.exchange import Exchange

if TYPE_CHECKING:
    from portico.dialects.tasks import Errand
    from portico.dialects.translate import Translation
    from portico.resuming import Resuming

LONGEST_NAME = 512
"""Characters of a model's name."""
LONGEST_MESSAGE = 1000
"""Characters of an error's message, as it is recorded."""
KEPT = 1024 * 1024
"""Bytes of a stream that are kept for its record."""
AT_ONCE = 8
"""Requests that one call has under way at a provider that takes less in one than was asked for."""
REFERRING = frozenset(
    (
        "chat",
        "responses",
        "responses_input_tokens",
        "messages",
        "messages_count_tokens",
        "generate_content",
        "stream_generate_content",
        "gemini_count_tokens",
    )
)
"""Operations whose requests can name what is kept at a provider."""
NOT = msgspec.Raw(b"false")
ONE_TRY = Policy()
"""A request that passes through is tried once."""
LAST_WORDS = 1.0
"""Seconds that a provider gets to end a stream whose caller has left with its last event."""

log = logging.getLogger("portico.gateway")


class Gateway:
    """Answers calls. `relay` is the path of the control process's socket, None for no control.

    `rests` is the path of what the workers of this machine tell each other of targets and keys that rest.
    """

    def __init__(
        self,
        config: Config,
        *,
        relay: str | None,
        version: int = 1,
        records: int | None = 1,
        state: State | None = None,
        journal: Journal | None = None,
        secret: bytes | None = None,
        now: Callable[[], Moment] = moment,
        rests: Path | None = None,
    ) -> None:
        self.client = Client()
        self.state = state if state is not None else MemoryState()
        self.settling = Settling(self.state, journal, now, durable=config.logs.fsync == "group")
        self.state.before_settling = self.settling.flush
        self._secret = secret if secret is not None else os.urandom(32)
        self._now = now
        self._seen = -1
        self.healths = Healths(shared=SharedRests(rests) if rests is not None else None)
        self.snapshot = self._made(config, version)
        self._descriptor = records
        self._lines: Records | None = None
        self.settling.records = self._records_for(config)
        self.ready = False
        self._relay = Relay(self.client, relay) if relay is not None else None
        self._draw: Callable[[], float] = random.random
        self._objects = ObjectCalls(
            self.state, self.settling, self.client.fetch, now, self._body, self._settled, self._keep, self._signature
        )

    @property
    def records(self) -> Records:
        """The lines of calls on standard output."""
        return self.settling.records

    async def start(self) -> None:
        """Begin to say that calls can be served."""
        if self.snapshot.bounds.any():
            # The first call under a limit need not wait for what bounds it.
            import portico.providers.bounds as bounds

            bounds.table()
        self.ready = True

    async def swap(self, config: Config, version: int | None = None) -> None:
        """Put another configuration in force for the calls to come; ConfigError leaves the old one in force."""
        self.snapshot = self._made(config, version or self.snapshot.version + 1)
        self.settling.records = self._records_for(config)

    def _made(self, config: Config, version: int) -> Snapshot:
        """Return a configuration made ready for calls, with the prices and keys of providers that state has now."""
        seen = self.state.version
        supplies = self.state.supplies()
        try:
            made = Snapshot(config, self.client, self.state, self._secret, version, self.healths, supplies)
        except StateUnavailable as error:
            log.error("%s; they are not used", error)
            known = Supplies(supplies.prices)
            made = Snapshot(config, self.client, self.state, self._secret, version, self.healths, known)
            made.supplies = supplies
        self._seen = seen
        return made

    def _look_again(self) -> Snapshot:
        """Return what the next calls go by, once something was put into state."""
        snapshot = self.snapshot
        seen = self.state.version
        if self.state.supplies() != snapshot.supplies:
            try:
                snapshot = self.snapshot = self._made(snapshot.config, snapshot.version)
            except PorticoError as error:
                log.error("prices and keys of providers that were set cannot be used: %s", error)
        self._seen = seen
        return snapshot

    def _records_for(self, config: Config) -> Records:
        if config.logs.calls != "stdout":
            return Records(None)
        if self._lines is None:
            self._lines = Records(self._descriptor)
        return self._lines

    async def close(self) -> None:
        """Close the connections to providers and write the last records."""
        self.ready = False
        await self.client.close()
        self.settling.close()
        if self._lines is not None:
            self._lines.close()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        snapshot = self.snapshot if self.state.version == self._seen else self._look_again()
        known = exchange.head.memo
        if type(known) is not Known or known.edition != snapshot.edition:
            try:
                found = snapshot.route(exchange.method, exchange.target)
            except PorticoError as error:
                refuse(exchange, error)
                return
            if found is None:
                await self._other(exchange)
                return
            if found.found is not None:
                found = own.addressed(found, exchange.path, exchange.fields)
            known = exchange.head.memo = Known(snapshot.edition, found)
        route = known.route
        call = Call(route)
        try:
            upload = own.begun(self.state, route, exchange.query) if route.found is not None else None
            if not known.hashed:
                stand_in = upload[1].key if upload is not None else b""
                known.read(exchange.head, snapshot.keys, snapshot.routes.headers, stand_in)
            operation = route.operation
            now = call.arrived_ms / 1000
            call.caller = authenticate(known.hashed, snapshot.keys, operation.name, exchange, now)
            if route.provider is not None:
                snapshot.keys.check_passthrough(call.caller, route.provider)
            elif operation.local:
                self._list(exchange, call, snapshot)
                return
            if route.found is not None:
                await self._objects.answer(exchange, call, snapshot, known, upload)
                return
            content = exchange.content(snapshot.limits.body)
            body = content if content is not None else await self._body(exchange, call, snapshot)
            outgoing, targets = self._plan(exchange, call, snapshot, known, body)
            if call.refers:
                targets = own.continued(self.state, call.caller, call.refers, targets)
            self.settling.check()
            await admit(call, outgoing, targets, snapshot.bounds, self.state, self._now)
            extend = extender(call, outgoing, targets, snapshot.bounds, self.state, self._now)
            call.end = "failed"
            if operation.name in COUNTS and route.provider is None:
                named = targets[0]
                targets = [target for target in targets if target.stands_in(operation.name, False) is not None]
                if not targets:
                    await self._estimate(exchange, call, outgoing, named)
                    return
            policy = snapshot.policy if route.provider is None else ONE_TRY
            if call.wish is not None:
                wish = call.wish
                policy = policy.wanted(retries_of(policy.retries, wish), wish.timeout, wish.fall_back_on)
            elsewhere = hedging = None
            if snapshot.detours is not None and route.provider is None and not call.refers:
                detour = snapshot.detours.of(call.model or "")
                if detour is not None:
                    hedging = detour.hedging
                    elsewhere = self._elsewhere(detour, call, outgoing, known, snapshot)
            fetch = self.client.fetch
            arrival, target = await attempt_all(targets, outgoing, call, policy, fetch, extend, elsewhere, hedging)
            if outgoing.asks_usage and target.asks_usage and refuses_question(arrival):
                target.asks_usage = False
                arrival, target = await attempt_all((target,), outgoing, call, policy, fetch, extend)
            call.target = call.target or target.name
            if arrival.error is not None:
                raise arrival.error
            if operation.name in COUNTS and route.provider is None and cannot_count(arrival):
                await self._estimate(exchange, call, outgoing, target)
                return
            call.status = arrival.status
            call.first_byte_ns = arrival.here_ns
            translation = outgoing.translations.get(target)
            if translation is not None:
                call.dropped = translation.dropped
                if arrival.streaming and not call.stream:
                    arrival.abandon()
                    call.basis = "unknown"
                    raise BadUpstreamReply(f"{target.name} sent a reply that cannot be read whole, to be translated")
            if call.stores and (translation is not None or "responses" not in target.upstream.provider.objects):
                call.stores = False
            if arrival.streaming and not (arrival.ended and not arrival.pieces):
                hide_usage = outgoing.asks_usage and target.asks_usage
                resuming = None
                if outgoing.goes_on(target):
                    resuming = self._resuming(call, outgoing, targets, snapshot, policy, translation)
                await self._stream(exchange, call, arrival, target, translation, hide_usage, outgoing.body, resuming)
            elif translation is not None:
                others: list[Arrival] = []
                if translation.more and arrival.status < 400:
                    others = await self._others(call, outgoing, target, translation, policy, extend)
                await self._answer_translated(exchange, call, arrival, target, translation, others)
            else:
                await self._answer(exchange, call, arrival, target)
        except PorticoError as error:
            await self._refuse(exchange, call, error)
        except asyncio.CancelledError:
            if not call.delivered:
                call.status, call.error, call.end = 499, "caller_gone", "cut"
            raise
        except BaseException:
            call.status, call.error, call.end = 500, "internal_error", "failed"
            raise
        finally:
            self.settling.end(call)

    async def _settled(self, call: Call) -> None:
        """Record a call and settle its permit, and wait until both are in the books: its last byte may leave then."""
        loop = asyncio.get_running_loop()
        booked: asyncio.Future[None] = loop.create_future()

        def done(_settled: Settled) -> None:
            if not booked.done():
                booked.set_result(None)

        self.settling.end(call, done)
        if not booked.done():
            await booked

    def _elsewhere(self, detour: Detour, call: Call, outgoing: Outgoing, known: Known, snapshot: Snapshot) -> Elsewhere:
        """Return what finds the targets for calls that a name's own targets cannot serve."""

        def budget_left(target: Target) -> float:
            return snapshot.bounds.least_left(call, target, self._now())

        def elsewhere(why: str) -> Sequence[Target]:
            names = detour.names(why)
            return plan_elsewhere(call, outgoing, snapshot.routes, known.said, names, self._draw, budget_left)

        return elsewhere

    async def _body(self, exchange: Exchange, call: Call, snapshot: Snapshot) -> bytes | mmap.mmap:
        """Wait for the body. What is only passed on, a form or what no dialect knows, stays in its spool file."""
        opaque = call.operation.name == "passthrough"
        form = exchange.fields.get(b"content-type", b"")[:10].lower() == b"multipart/"
        large = call.operation.upload or opaque
        limit = snapshot.limits.file_body if large else snapshot.limits.body
        await exchange.body.arrived(limit)
        if large and exchange.body.spooled and (opaque or form):
            return exchange.body.mapped()
        return await exchange.body.read(limit)

    def _plan(
        self, exchange: Exchange, call: Call, snapshot: Snapshot, known: Known, body: bytes | mmap.mmap
    ) -> tuple[Outgoing, Sequence[Target]]:
        """Look into the request, and say where it may go and as what."""
        call.received_ns = exchange.received_ns
        operation = call.operation
        provider = call.route.provider
        caller = call.caller
        assert caller is not None
        asked: Peek | None = None
        if operation.name != "passthrough":
            kind = known.kind
            try:
                asked = peek(operation, body, kind) if isinstance(body, bytes) else peek_form(body, kind)
                if (caller.defaults or caller.enforced) and asked.members is not None:
                    body, asked = overlaid(operation, asked, caller.defaults, caller.enforced)
            except InvalidRequest:
                if provider is None or caller.models:
                    raise
                # What passes through is its provider's to judge.
            else:
                call.stream = asked.stream
                call.user = asked.user
                call.characters = asked.characters
                if asked.members is not None and operation.name in REFERRING:
                    assert isinstance(body, bytes)
                    call.refers = references(operation, asked.members, body)
                    call.stores = operation.name == "responses" and asked.members.get("store") != NOT
                if operation.model_in == "body":
                    call.model = asked.model
        call.customer = known.customer
        if call.user and call.customer is None:
            call.customer = customer_of(call.user)
        call.tags = tags_of(known.tags, caller.tags) if known.tags else caller.tags
        if caller.aliases and call.model in caller.aliases:
            call.alias, call.model = call.model, caller.aliases[call.model]
        if call.model and not (call.model.isprintable() and len(call.model) <= LONGEST_NAME):
            # It goes into headers and records.
            call.model = call.model[:LONGEST_NAME]
            raise InvalidRequest(f"`model` has control characters, or more than {LONGEST_NAME}", param="model")
        outgoing = Outgoing(operation, exchange.headers, known.query, body, asked, snapshot.limits.reply, known.lines)
        if (caller.bodies or snapshot.config.logs.bodies) != "none" and isinstance(body, bytes):
            call.request_body = body
        outgoing.stream = call.stream
        outgoing.call_id = call.id
        outgoing.model = call.model or ""
        outgoing.strict = snapshot.config.strict or known.strict
        if provider is not None:
            return outgoing, (self._passed_through(exchange, call, snapshot, outgoing),)
        model = call.model
        if not model and asked is not None and asked.members is not None and operation.model_in == "body":
            call.model = model = first_named(asked.members)[0]
            call.named_by_list = model is not None
            outgoing.model = model or ""
        if not model:
            targets = snapshot.routes.unnamed(operation.name, self._draw)
            if caller.models:
                snapshot.keys.check_model(caller, targets[0].model or targets[0].name, targets[0].name)
            call.model = targets[0].model or None
            return outgoing, targets
        if caller.models:
            snapshot.keys.check_model(caller, model)
        if call.stream and operation.usage_on_request:
            assert asked is not None
            outgoing.asks_usage = not asked.include_usage
        said = known.said
        plain: Sequence[Target] | None = None
        if said is None and not asks(asked):
            plain = snapshot.routes.plain(model, operation.name, len(body))
        targets = plain if plain is not None else self._routed(call, snapshot, known, outgoing, exchange.path)
        asked = outgoing.asked
        if call.stream and operation.name in RESUMABLE and isinstance(outgoing.body, bytes):
            outgoing.resumes = not call.refers and snapshot.routes.resumes(model)
            outgoing.stores = call.stores
        if caller.default_max_tokens is not None and asked is not None and not names_limit(operation, asked):
            field = "max_tokens" if "max_completion_tokens" not in targets[0].quirks else None
            outgoing.body, outgoing.asked = limited(operation, asked, caller.default_max_tokens, field)
        return outgoing, targets

    def _routed(self, call: Call, snapshot: Snapshot, known: Known, outgoing: Outgoing, path: str) -> Sequence[Target]:
        """Say where a call goes of which more counts than the name of its model."""
        caller, said = call.caller, known.said
        assert caller is not None
        if said is not None and said.session:
            call.session = said.session
        return plan_call(
            call,
            outgoing,
            snapshot.routes,
            said,
            path,
            self._draw,
            (lambda name: snapshot.keys.check_model(caller, name)) if caller.models else None,
            lambda target: snapshot.bounds.least_left(call, target, self._now()),
        )

    def _passed_through(self, exchange: Exchange, call: Call, snapshot: Snapshot, outgoing: Outgoing) -> Target:
        """Send a request on as it is, to the provider that its path names."""
        caller, provider = call.caller, call.route.provider
        assert caller is not None
        assert provider is not None
        upstream = snapshot.upstreams[provider]
        if caller.models:
            if not call.model:
                raise InvalidRequest(
                    "a key that is limited to certain models must name one in the request", param="model"
                )
            snapshot.keys.check_model(caller, call.model, f"{upstream.name}/{call.model}")
        target = upstream.target(call.model or "", snapshot.config.timeouts)
        address = upstream.provider.address(call.route.rest, outgoing.query)
        outgoing.asked = None
        outgoing.passed = (exchange.method, address)
        call.target = target.name if call.model else upstream.name
        return target

    async def _answer(self, exchange: Exchange, call: Call, arrival: Arrival, target: Target) -> None:
        """Give the caller a whole reply, and account for it."""
        pieces = arrival.pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if arrival.status < 400:
            usage = arrival.usage
            if usage is None:
                usage = read_usage(call.operation, body, arrival.headers)
            settle(call, usage, target.price)
            call.end = "served"
            if arrival.here_ns > target.health.paced_ns:
                spoke(arrival, target, usage)
        else:
            call.error = "upstream_status"
        if call.stores and arrival.status < 400 and (name := own.response_id(body)) is not None:
            await self._own(call, target, name)
        self._keep(call, body, arrival.status)
        headers = reply_headers(arrival.headers)
        if exchange.method == "HEAD" and (length := arrival.header(b"content-length")):
            await self._settled(call)
            exchange.start(arrival.status, headers, int(length), self._signature(call))
            exchange.finish()
            return

        def send() -> None:
            exchange.reply(arrival.status, headers, body, self._signature(call))

        self.settling.end(call, exchange.reply_later(send))

    def _own(self, call: Call, target: Target, name: str) -> Awaitable[None]:
        """Remember whose a stored reply is, before its caller hears of it."""
        caller = call.caller
        assert caller is not None
        credential = call.attempts[-1].credential
        return own.remember(self.state, caller, "response", name, target.upstream.name, credential)

    async def _others(
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
                found, _ = await attempt_all(
                    (target,), outgoing.part(target, body), call, policy, self.client.fetch, extend
                )
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

    async def _answer_translated(
        self,
        exchange: Exchange,
        call: Call,
        arrival: Arrival,
        target: Target,
        translation: "Translation | Errand",
        others: Sequence[Arrival],
    ) -> None:
        """Give the caller, in its own dialect, a whole reply or an error that came in another one."""
        from portico.dialects.translate import Translation

        if isinstance(translation, Translation) and not call.stream and arrival.error is None and arrival.status < 400:
            await self._answer_plainly(exchange, call, arrival, target, translation)
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
                self._keep(call, told, status)
                await self._settled(call)
                exchange.reply(status, headers, told, self._signature(call))
                return
        kind = translation.content_type
        if call.stream and isinstance(translation, Translation):
            told, kind = translation.replay(arrival.body), translation.stream_type
        else:
            told = translation.reply(*(each.body for each in arrivals))
            call.estimate = translation.estimated
        call.end = "served"
        self._keep(call, told, arrival.status)
        await self._settled(call)
        exchange.reply(arrival.status, [(b"content-type", kind)], told, self._signature(call))

    async def _answer_plainly(
        self, exchange: Exchange, call: Call, arrival: Arrival, target: Target, translation: "Translation"
    ) -> None:
        """Give the caller the one whole reply that a conversation has; what was used is read once, with the reply."""
        body = arrival.body
        try:
            told = translation.reply(body)
        except BadUpstreamReply:
            settle(call, read_usage(translation.upstream, body, arrival.headers), target.price)
            raise
        settle(call, translation.usage, target.price)
        spoke(arrival, target, translation.usage)
        call.end = "served"
        self._keep(call, told, arrival.status)
        await self._settled(call)
        exchange.reply(arrival.status, [(b"content-type", translation.content_type)], told, self._signature(call))

    async def _estimate(self, exchange: Exchange, call: Call, outgoing: Outgoing, target: Target) -> None:
        """Answer how many tokens a request is where the provider has no counter: an estimate, and declared as one."""
        from portico.dialects import counting

        assert isinstance(outgoing.body, bytes)
        told = counting.answer(call.operation.name, outgoing.body, outgoing.model, target.model)
        call.estimate = True
        call.target = target.name
        call.status, call.error, call.end = 200, None, "served"
        await self._settled(call)
        exchange.reply(200, [(b"content-type", b"application/json")], told, self._signature(call))

    async def _stream(
        self,
        exchange: Exchange,
        call: Call,
        arrival: Arrival,
        target: Target,
        translation: "Translation | Errand | None",
        hide_usage: bool,
        asked: object,
        resuming: "Resuming | None" = None,
    ) -> None:
        """Pass a stream on, piece by piece, and account for it."""
        translation = cast("Translation | None", translation)  # only conversations stream
        kind = arrival.header(b"content-type")
        headers = reply_headers(arrival.headers)
        watch: Observer | Translation
        if translation is not None:
            watch = translation
            kind = translation.stream_type
            headers = [(b"content-type", kind), (b"cache-control", b"no-cache")]
        elif call.stream or b"stream" in kind:
            watch = observer(call.operation, hide_usage=hide_usage)
        else:
            watch = Observer(call.operation)  # sound or a download: there are no events in it
        length = arrival.header(b"content-length") if not call.stream else b""
        exchange.on_pause, exchange.on_resume = arrival.pause, arrival.resume
        known = int(length) if length.isdigit() else None
        exchange.start(arrival.status, headers, known, self._signature(call))
        write = exchange.writer()
        announced = None
        if call.stores:
            write = announced = own.Announced(write, lambda name: self._own(call, target, name))
        passed = Passed()
        consume = watch.relay(passed.through(write))
        kept = self._kept(call)
        if kept is not None:
            consume = copied(consume, kept)
        if resuming is not None:
            consume = resuming.watched(consume, arrival)
        try:
            if exchange.paused:
                arrival.pause()
            arrival.forward(consume)
            await arrival.over()
            if announced is not None:
                await announced.over()
        except asyncio.CancelledError:
            held = exchange.paused
            if watch.finished or watch.failed is not None:
                # SDKs hang up at the last event that they read, before the stream's end: they have all they wanted.
                call.delivered = True
                call.end = "served"
                call.error = "upstream_failed" if watch.failed is not None else None
                await last_words(arrival)
            arrival.abandon()
            settle_stream(call, watch, passed, target.price, asked, target.model, held=held)
            if kept is not None:
                self._keep(call, b"".join(kept), call.status)
            raise
        except BaseException:
            arrival.abandon()
            settle_stream(call, watch, passed, target.price, asked, target.model, held=exchange.paused)
            raise
        failure = arrival.error
        rest = watch.flush() if failure is None else b""
        reported = watch.failed
        if failure is not None or reported is not None or (call.stream and not watch.finished):
            target.health.broke(perf_counter_ns() * 1e-9)
        if resuming is not None:
            write(rest)
            rest = b""
            keep = functools.partial(copied, kept=kept) if kept is not None else unchanged
            failure = await resuming.end(exchange, target, passed, write, failure, keep)
        else:
            settle_stream(call, watch, passed, target.price, asked, target.model)
        if kept is not None:
            self._keep(call, b"".join(kept), arrival.status)
        if failure is None and call.stream and not watch.finished and reported is None:
            failure = ConnectionLost(f"{target.name} ended its stream before the reply was complete")
        if failure is None:
            spoke(arrival, target, call.usage)
            call.error = "upstream_failed" if reported is not None else None
            call.end = "served" if reported is None else "failed"
            await self._settled(call)
            if rest:
                write(rest)
            exchange.finish()
            return
        call.error, call.end = failure.code, "cut"
        await self._settled(call)
        array = call.operation.dialect == "gemini" and kind.startswith(b"application/json")
        if translation is not None:
            write(translation.fail(failure))
            exchange.finish()
        elif call.stream and not array:
            write(render_stream_error(call.operation.dialect, failure, call.id))
            exchange.finish()
        else:
            # What is cut off says so; an array, or sound, has no place for words.
            exchange.abort()

    def _resuming(
        self,
        call: Call,
        outgoing: Outgoing,
        targets: Sequence[Target],
        snapshot: Snapshot,
        policy: Policy,
        translation: "Translation | Errand | None",
    ) -> "Resuming":
        """Return what goes on with a stream of this call that dies."""
        from portico.dialects.resume.answer import Answer
        from portico.resuming import Resuming

        def extending(bound: Bound) -> Extend:
            return extender(call, outgoing, targets, snapshot.bounds, self.state, self._now, bound)

        assert isinstance(translation, Answer), "what can be gone on with is translated"
        return Resuming(translation, call, outgoing, targets, policy, self.client.fetch, extending)

    def _signature(self, call: Call) -> bytes:
        """Return the header lines in which the gateway says what became of the call."""
        overhead = call.overhead_us(perf_counter_ns())
        lines = f"x-request-id: {call.id}\r\nx-portico-overhead-us: {overhead}\r\n"
        if call.permit is not None and call.permit.scopes:
            allowances = call.permit.allowances
            if allowances:
                lines += render_allowances(call.operation.dialect, allowances, call.arrived_ms / 1000)
        if call.target is not None:
            if call.why is not None:
                lines = f"x-portico-route: {call.why}\r\n{lines}"
            if call.dropped:
                lines = f"x-portico-dropped: {', '.join(call.dropped)}\r\n{lines}"
            if call.estimate:
                lines = f"x-portico-estimate: true\r\n{lines}"
            cost = "" if call.cost is None else f"x-portico-cost-usd: {dollars(call.cost)}\r\n"
            lines = f"x-portico-target: {call.target}\r\nx-portico-attempts: {len(call.attempts)}\r\n{cost}{lines}"
        return lines.encode("ascii", "backslashreplace")

    def _kept(self, call: Call) -> list[bytes] | None:
        """Return where the pieces of a stream are to be kept, None where its body is not."""
        holder = call.caller
        assert holder is not None
        return [] if (holder.bodies or self.snapshot.config.logs.bodies) != "none" else None

    def _keep(self, call: Call, body: bytes, status: int) -> None:
        """Keep the bodies of a call for its record, as its key or the configuration say."""
        holder = call.caller
        assert holder is not None
        policy = holder.bodies or self.snapshot.config.logs.bodies
        if policy == "all" or (policy == "errors" and (status >= 400 or call.error is not None)):
            call.reply_body = body
        else:
            call.request_body = None

    async def _refuse(self, exchange: Exchange, call: Call, error: PorticoError) -> None:
        """Answer a call with an error, in its own dialect."""
        call.status, call.error = error.status, error.code
        call.message = error.message[:LONGEST_MESSAGE]
        await self._settled(call)
        if exchange.gone:
            return
        if exchange.started:
            exchange.abort()
            return
        status, headers, body = render_error(call.operation.dialect, error, call.id)
        exchange.reply(status, headers, body, self._signature(call))

    def _list(self, exchange: Exchange, call: Call, snapshot: Snapshot) -> None:
        """Answer what models there are, of those that the caller may use."""
        caller = call.caller
        assert caller is not None
        shape = style(exchange.path, exchange.fields)
        named = snapshot.routes.names()
        if caller.models:
            named = [pair for pair in named if snapshot.keys.may_use(caller, pair[0])]
        if call.operation.name == "models":
            body = render_models(shape, named, exchange.query)
        else:
            owner = dict(named).get(call.model or "")
            if owner is None:
                raise ModelNotFound(f"no model is named {call.model!r} here", param="model")
            body = render_model(shape, call.model or "", owner)
        call.status, call.end = 200, "served"
        exchange.reply(200, [(b"content-type", b"application/json")], body, self._signature(call))

    async def _other(self, exchange: Exchange) -> None:
        """Answer health checks, and pass on everything else to control."""
        path = exchange.path
        if path in ("/livez", "/readyz"):
            rebuilding = not self.state.rebuilt
            ready = path == "/livez" or (self.ready and not rebuilding)
            body = b'{"status":"%b","version":"%b","configuration":%d}' % (
                b"ok" if ready else b"rebuilding" if self.ready and rebuilding else b"not ready",
                __version__.encode(),
                self.snapshot.version,
            )
            exchange.reply(200 if ready else 503, [(b"content-type", b"application/json")], body)
            return
        try:
            if self._relay is None or path == "*":
                raise NotFound(f"there is nothing at {path!r}")
            await self._relay.handle(exchange)
        except PorticoError as error:
            if exchange.started:
                exchange.abort()
            else:
                refuse(exchange, error)


def copied(consume: Callable[[bytes], None], kept: list[bytes]) -> Callable[[bytes], None]:
    """Return what passes pieces on and keeps them, up to a bound."""
    room = KEPT

    def both(chunk: bytes) -> None:
        nonlocal room
        if room > 0:
            room -= len(chunk)
            kept.append(chunk)
        consume(chunk)

    return both


def unchanged(consume: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return what takes pieces as it is."""
    return consume


async def last_words(arrival: Arrival) -> None:
    """Wait a moment for the end of a stream whose last event was seen: its usage, and a connection to keep."""
    arrival.resume()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS):
            await arrival.over()


def refuse(exchange: Exchange, error: PorticoError) -> None:
    """Answer a request that is no call of any dialect with an error, in OpenAI's shape."""
    exchange.reply(*render_error("chat", error, ""))


def cannot_count(arrival: Arrival) -> bool:
    """Return whether a provider says that it does not count tokens for this model, or not at all."""
    if arrival.error is not None:
        return False
    return arrival.status in (405, 501) or (arrival.status == 400 and b"support counting tokens" in arrival.body)


def refuses_question(arrival: Arrival) -> bool:
    """Return whether a provider refused a call because it was asked for usage: our addition must fail no call."""
    if arrival.error is not None or arrival.status not in (400, 422):
        return False
    return b"stream_options" in arrival.body or b"include_usage" in arrival.body
