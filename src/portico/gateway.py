"""The story of one call, top to bottom; the only file that knows the order.

    accept        the server made the exchange at the end of the headers; the path says the operation
    authenticate  key → caller, before the body is read
    plan          the model's name → targets in order
    attempt       one target after another until a reply stands
    stream        its pieces through the observer to the caller, with back-pressure
    settle        usage → price → the record

What is not an LLM call goes to the control process.
"""

import asyncio
import contextlib
import mmap
import os
import random
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, cast

from portico import __version__
from portico.call import Call
from portico.config.schema import Config, Retries
from portico.dialects.errors import render_error, render_stream_error
from portico.dialects.models import render_model, render_models, style
from portico.dialects.observer import Observer
from portico.dialects.operations import Route, route
from portico.dialects.passed import Passed
from portico.dialects.request import Peek, peek, peek_form
from portico.dialects.stand_ins import COUNTS
from portico.dialects.tokens import summed
from portico.dialects.usage import observer, read_usage
from portico.errors import BadUpstreamReply, ConnectionLost, InvalidRequest, ModelNotFound, NotFound, PorticoError
from portico.providers.resolve import resolve
from portico.records import Records
from portico.stages.authenticate import Keys, authenticate
from portico.stages.plan import Routes
from portico.stages.settle import dollars, settle, settle_stream
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import attempt_all
from portico.upstream.headers import reply_headers
from portico.upstream.outgoing import Outgoing
from portico.upstream.relay import Relay
from portico.upstream.target import Target, Upstream
from portico.wire.client import Client
from portico.wire.exchange import Exchange

if TYPE_CHECKING:
    from portico.dialects.tasks import Errand
    from portico.dialects.translate import Translation

MEMO_BOUND = 4096
LONGEST_NAME = 512
"""Characters of a model's name, and of a user's as it is recorded."""
AT_ONCE = 8
"""Requests that one call has under way at a provider that takes less in one than was asked for."""
ONE_TRY = Retries()
"""A request that passes through is tried once."""
LAST_WORDS = 1.0
"""Seconds that a provider gets to end a stream whose caller has left with its last event."""


class Snapshot:
    """One version of the configuration, made ready for calls. A call keeps the one that it began with."""

    def __init__(self, config: Config, client: Client, version: int) -> None:
        self.config = config
        self.version = version
        self.limits = config.server.limits
        self.retries = config.retries
        self.keys = Keys(config.keys, config.server.master_key)
        self.upstreams = {
            name: Upstream(resolve(name, declared, os.environ), client, config.prices)
            for name, declared in config.providers.items()
        }
        self.routes = Routes(config.models, self.upstreams, config.timeouts)
        self._known: dict[tuple[str, bytes], Route] = {}

    def route(self, method: str, target: bytes) -> Route | None:
        """Return what a request is. What a target means is remembered, up to a bound: callers choose targets."""
        known = self._known.get((method, target))
        if known is None:
            known = route(method, target.partition(b"?")[0].decode("latin-1"), self.upstreams)
            if known is not None and len(target) < 256:
                if len(self._known) >= MEMO_BOUND:
                    self._known.clear()
                self._known[(method, target)] = known
        return known


class Gateway:
    """Answers calls. `relay` is the path of the control process's socket, None for no control."""

    def __init__(self, config: Config, *, relay: str | None, version: int = 1, records: int | None = 1) -> None:
        self.client = Client()
        self.snapshot = Snapshot(config, self.client, version)
        self._descriptor = records
        self._lines: Records | None = None
        self.records = self._records_for(config)
        self.ready = False
        self._relay = Relay(self.client, relay) if relay is not None else None
        self._draw: Callable[[], float] = random.random

    async def start(self) -> None:
        """Begin to say that calls can be served."""
        self.ready = True

    async def swap(self, config: Config, version: int | None = None) -> None:
        """Put another configuration in force for the calls to come; ConfigError leaves the old one in force."""
        self.snapshot = Snapshot(config, self.client, version or self.snapshot.version + 1)
        self.records = self._records_for(config)

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
        if self._lines is not None:
            self._lines.close()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        snapshot = self.snapshot
        try:
            found = snapshot.route(exchange.method, exchange.target)
        except PorticoError as error:
            refuse(exchange, error)
            return
        if found is None:
            await self._other(exchange)
            return
        call = Call(found)
        try:
            query = exchange.query if b"?" in exchange.target else ""
            call.caller = authenticate(exchange.fields, query, snapshot.keys)
            if found.provider is not None:
                snapshot.keys.check_passthrough(call.caller, found.provider)
            elif found.operation.local:
                self._list(exchange, call, snapshot)
                return
            content = exchange.content(snapshot.limits.body)
            body = content if content is not None else await self._body(exchange, call, snapshot)
            outgoing, targets = self._plan(exchange, call, snapshot, query, body)
            if found.operation.name in COUNTS and found.provider is None:
                named = targets[0]
                targets = [target for target in targets if target.stands_in(found.operation.name, False) is not None]
                if not targets:
                    self._estimate(exchange, call, outgoing, named)
                    return
            retries = snapshot.retries if found.provider is None else ONE_TRY
            arrival, target = await attempt_all(targets, outgoing, call, retries, self.client.fetch)
            if outgoing.asks_usage and target.asks_usage and refuses_question(arrival):
                target.asks_usage = False
                arrival, target = await attempt_all((target,), outgoing, call, retries, self.client.fetch)
            call.target = call.target or target.name
            if arrival.error is not None:
                raise arrival.error
            if found.operation.name in COUNTS and found.provider is None and cannot_count(arrival):
                self._estimate(exchange, call, outgoing, target)
                return
            call.status = arrival.status
            call.first_byte_ns = arrival.here_ns
            translation = outgoing.translations.get(target)
            if translation is not None:
                call.dropped = translation.dropped
                if arrival.streaming and not call.stream:
                    arrival.abandon()
                    raise BadUpstreamReply(f"{target.name} sent a reply that cannot be read whole, to be translated")
            if arrival.streaming and not (arrival.ended and not arrival.pieces):
                hide_usage = outgoing.asks_usage and target.asks_usage
                await self._stream(exchange, call, arrival, target, translation, hide_usage, outgoing.body)
            elif translation is not None:
                others: list[Arrival] = []
                if translation.more and arrival.status < 400:
                    others = await self._others(call, outgoing, target, translation, retries)
                self._answer_translated(exchange, call, arrival, target, translation, others)
            else:
                self._answer(exchange, call, arrival, target)
        except PorticoError as error:
            self._refuse(exchange, call, error)
        except asyncio.CancelledError:
            if not call.delivered:
                call.status, call.error = 499, "caller_gone"
            raise
        except BaseException:
            call.status, call.error = 500, "internal_error"
            raise
        finally:
            self.records.append(call.record())

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
        self, exchange: Exchange, call: Call, snapshot: Snapshot, query: str, body: bytes | mmap.mmap
    ) -> tuple[Outgoing, Sequence[Target]]:
        """Look into the request, and say where it may go and as what."""
        fields = exchange.fields
        if b"content-encoding" in fields and fields[b"content-encoding"] != b"identity":
            raise InvalidRequest("compressed request bodies are not supported; send the body without content-encoding")
        call.received_ns = exchange.received_ns
        operation = call.operation
        provider = call.route.provider
        caller = call.caller
        assert caller is not None
        asked: Peek | None = None
        if operation.name != "passthrough":
            kind = fields.get(b"content-type", b"")
            try:
                asked = peek(operation, body, kind) if isinstance(body, bytes) else peek_form(body, kind)
            except InvalidRequest:
                if provider is None or caller.models:
                    raise
                # What passes through is its provider's to judge.
            else:
                call.stream = asked.stream
                call.user = asked.user and asked.user[:LONGEST_NAME]
                call.characters = asked.characters
                if operation.model_in == "body":
                    call.model = asked.model
        if call.model and not (call.model.isprintable() and len(call.model) <= LONGEST_NAME):
            # It goes into headers and records.
            call.model = call.model[:LONGEST_NAME]
            raise InvalidRequest(f"`model` has control characters, or more than {LONGEST_NAME}", param="model")
        if "key=" in query:
            query = without_key(query)
        outgoing = Outgoing(operation, exchange.headers, query, body, asked, snapshot.limits.reply)
        outgoing.stream = call.stream
        outgoing.call_id = call.id
        outgoing.model = call.model or ""
        outgoing.strict = snapshot.config.strict or fields.get(b"x-portico-strict", b"").lower() in (b"true", b"1")
        if provider is not None:
            return outgoing, (self._passed_through(exchange, call, snapshot, outgoing),)
        model = call.model
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
        return outgoing, snapshot.routes.targets(model, operation.name, self._draw)

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

    def _answer(self, exchange: Exchange, call: Call, arrival: Arrival, target: Target) -> None:
        """Give the caller a whole reply, and account for it."""
        pieces = arrival.pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if arrival.status < 400:
            settle(call, read_usage(call.operation, body, arrival.headers), target.price)
        else:
            call.error = "upstream_status"
        headers = reply_headers(arrival.headers)
        if exchange.method == "HEAD" and (length := arrival.header(b"content-length")):
            exchange.start(arrival.status, headers, int(length), self._signature(call))
            exchange.finish()
            return
        exchange.reply(arrival.status, headers, body, self._signature(call))

    async def _others(
        self,
        call: Call,
        outgoing: Outgoing,
        target: Target,
        translation: "Translation | Errand",
        retries: Retries,
    ) -> list[Arrival]:
        """Get what else a caller asked for, where one request to this provider could not hold it all."""
        waited, began = call.waited_ns, perf_counter_ns()
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(body: bytes) -> Arrival:
            async with gate:
                found, _ = await attempt_all((target,), outgoing.part(target, body), call, retries, self.client.fetch)
                return found

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(body)) for body in translation.more]
        call.waited_ns = waited + perf_counter_ns() - began
        return [task.result() for task in tasks]

    def _answer_translated(
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
            self._answer_plainly(exchange, call, arrival, target, translation)
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
                exchange.reply(status, headers, told, self._signature(call))
                return
        kind = translation.content_type
        if call.stream and isinstance(translation, Translation):
            told, kind = translation.replay(arrival.body), translation.stream_type
        else:
            told = translation.reply(*(each.body for each in arrivals))
            call.estimate = translation.estimated
        exchange.reply(arrival.status, [(b"content-type", kind)], told, self._signature(call))

    def _answer_plainly(
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
        exchange.reply(arrival.status, [(b"content-type", translation.content_type)], told, self._signature(call))

    def _estimate(self, exchange: Exchange, call: Call, outgoing: Outgoing, target: Target) -> None:
        """Answer how many tokens a request is where the provider has no counter: an estimate, and declared as one."""
        from portico.dialects import counting

        assert isinstance(outgoing.body, bytes)
        told = counting.answer(call.operation.name, outgoing.body, outgoing.model, target.model)
        call.estimate = True
        call.target = target.name
        call.status, call.error = 200, None
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
        passed = Passed()
        try:
            if exchange.paused:
                arrival.pause()
            arrival.forward(watch.relay(passed.through(write)))
            await arrival.over()
        except asyncio.CancelledError:
            if watch.finished or watch.failed is not None:
                # SDKs hang up at the last event that they read, before the stream's end: they have all they wanted.
                call.delivered = True
                call.error = "upstream_failed" if watch.failed is not None else None
                await last_words(arrival)
            arrival.abandon()
            settle_stream(call, watch, passed, target.price, asked, target.model)
            raise
        except BaseException:
            arrival.abandon()
            settle_stream(call, watch, passed, target.price, asked, target.model)
            raise
        failure = arrival.error
        rest = watch.flush() if failure is None else b""
        reported = watch.failed
        settle_stream(call, watch, passed, target.price, asked, target.model)
        if failure is None and call.stream and not watch.finished and reported is None:
            failure = ConnectionLost(f"{target.name} ended its stream before the reply was complete")
        if failure is None:
            if rest:
                write(rest)
            call.error = "upstream_failed" if reported is not None else None
            exchange.finish()
            return
        call.error = failure.code
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

    def _signature(self, call: Call) -> bytes:
        """Return the header lines in which the gateway says what became of the call."""
        overhead = call.overhead_us(perf_counter_ns())
        lines = f"x-request-id: {call.id}\r\nx-portico-overhead-us: {overhead}\r\n"
        if call.target is not None:
            if call.dropped:
                lines = f"x-portico-dropped: {', '.join(call.dropped)}\r\n{lines}"
            if call.estimate:
                lines = f"x-portico-estimate: true\r\n{lines}"
            cost = "" if call.cost is None else f"x-portico-cost-usd: {dollars(call.cost)}\r\n"
            lines = f"x-portico-target: {call.target}\r\nx-portico-attempts: {len(call.attempts)}\r\n{cost}{lines}"
        return lines.encode("ascii", "backslashreplace")

    def _refuse(self, exchange: Exchange, call: Call, error: PorticoError) -> None:
        """Answer a call with an error, in its own dialect."""
        call.status, call.error = error.status, error.code
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
        call.status = 200
        exchange.reply(200, [(b"content-type", b"application/json")], body, self._signature(call))

    async def _other(self, exchange: Exchange) -> None:
        """Answer health checks, and pass on everything else to control."""
        path = exchange.path
        if path in ("/livez", "/readyz"):
            ready = path == "/livez" or self.ready
            body = b'{"status":"%b","version":"%b","configuration":%d}' % (
                b"ok" if ready else b"not ready",
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


def without_key(query: str) -> str:
    """Return a caller's query without the gateway's key."""
    return "&".join(pair for pair in query.split("&") if not pair.startswith("key="))
