"""How a caller gets its reply piece by piece: watched as it passes, gone on with where it breaks, accounted for."""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, cast

from portico.call import Call
from portico.calls.replying import Replies
from portico.calls.whole import headed, keep, signature
from portico.dialects.errors import render_stream_error
from portico.dialects.observer import Observer
from portico.dialects.passed import Passed
from portico.dialects.usage import observer
from portico.errors import BadUpstreamReply, ConnectionLost, PorticoError
from portico.stages import own
from portico.stages.settle import settle_stream
from portico.upstream.arrival import Arrival
from portico.upstream.headers import reply_headers
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target
from portico.upstream.trial import spoke
from portico.wire.exchange import Exchange

if TYPE_CHECKING:
    from portico.calls.resuming import Resuming
    from portico.dialects.tasks import Errand
    from portico.dialects.translate import Translation

KEPT = 1024 * 1024
"""Bytes of a stream that are kept for its record."""
LAST_WORDS = 1.0
"""Seconds that a provider gets to end a stream whose caller has left with its last event."""

Consume = Callable[[bytes], None]


async def stream(
    replies: Replies,
    exchange: Exchange,
    call: Call,
    arrival: Arrival,
    target: Target,
    translation: "Translation | Errand | None",
    outgoing: Outgoing,
    resuming: "Resuming | None" = None,
) -> None:
    """Pass a stream on; `resuming` goes on with it if it dies. Raises BadUpstreamReply where nobody asked for one."""
    translation = cast("Translation | None", translation)  # only conversations stream
    asked = outgoing.body
    hide_usage = outgoing.asks_usage and target.asks_usage
    if translation is not None:
        if not call.stream:
            arrival.abandon()
            call.basis = "unknown"
            raise BadUpstreamReply(f"{target.name} sent a reply that cannot be read whole, to be translated")
        kind = translation.stream_type
        headers = [*headed(call, kind), (b"cache-control", b"no-cache")]
    else:
        kind = arrival.header(b"content-type")
        headers = reply_headers(arrival.headers)
    watch = watching(call, translation, kind, hide_usage)
    length = arrival.header(b"content-length") if not call.stream else b""
    exchange.on_pause, exchange.on_resume = arrival.pause, arrival.resume
    exchange.start(arrival.status, headers, int(length) if length.isdigit() else None, signature(call))
    write = exchange.writer()
    announced = None
    if call.stores:
        write = announced = own.Announced(write, lambda name: replies.announce(call, target, name))
    passed = Passed()
    consume = watch.relay(passed.through(write))
    kept: list[bytes] = []
    wanted = call.bodies != "none" or call.shadow is not None
    keeping: Callable[[Consume], Consume] = functools.partial(copied, kept=kept) if wanted else unchanged
    consume = keeping(consume)
    if resuming is not None:
        consume = resuming.watched(consume, arrival)

    async def settle(held: bool = False) -> None:
        settle_stream(call, watch, passed, target.price, asked, target.model, held=held)
        keep(call, b"".join(kept))
        if call.job is not None:
            await replies.outlived(call, watch.finished or watch.failed is not None)

    try:
        if exchange.paused:
            arrival.pause()
        arrival.forward(consume)
        await arrival.over()
        if announced is not None:
            await announced.over()
    except asyncio.CancelledError:
        held = exchange.paused
        try:
            if watch.finished or watch.failed is not None:
                # SDKs hang up at the last event that they read, before the stream's end: they have all they wanted.
                call.delivered = True
                call.end = "served"
                call.error = "upstream_failed" if watch.failed is not None else None
                await last_words(arrival)
        finally:
            arrival.abandon()
            await settle(held)
        raise
    except BaseException:
        arrival.abandon()
        await settle(exchange.paused)
        raise
    failure = arrival.error
    rest = watch.flush() if failure is None else b""
    reported = watch.failed
    if failure is not None or reported is not None or (call.stream and not watch.finished):
        target.health.broke(perf_counter_ns() * 1e-9)
    if resuming is not None:
        write(rest)
        rest = b""
        failure = await resuming.end(exchange, target, passed, write, failure, keeping)
        keep(call, b"".join(kept))
    else:
        await settle()
    if failure is None and call.stream and not watch.finished and reported is None:
        failure = ConnectionLost(f"{target.name} ended its stream before the reply was complete")
    if failure is None:
        spoke(arrival, target, call.usage)
        call.error = "upstream_failed" if reported is not None else None
        call.end = "served" if reported is None else "failed"
        await replies.settled(call)
        if rest:
            write(rest)
        if reported is None or translation is None:
            exchange.finish()
        else:
            exchange.break_off()
        return
    call.error, call.end = failure.code, "cut"
    await replies.settled(call)
    break_off(exchange, call, translation, failure, write, kind)


def watching(call: Call, translation: "Translation | None", kind: bytes, hide_usage: bool) -> "Observer | Translation":
    """Return what reads a stream as it passes."""
    if translation is not None:
        return translation
    if call.stream or b"stream" in kind:
        return observer(call.operation, hide_usage=hide_usage)
    return Observer(call.operation)  # sound or a download: there are no events in it


def break_off(
    exchange: Exchange,
    call: Call,
    translation: "Translation | None",
    failure: PorticoError,
    write: Consume,
    kind: bytes,
) -> None:
    """Say in the caller's own grammar that its stream was cut short, and cut it: some clients do not listen."""
    array = call.operation.dialect == "gemini" and kind.startswith(b"application/json")
    if translation is not None:
        write(translation.fail(failure))
        exchange.break_off()
    elif call.stream and not array:
        write(render_stream_error(call.operation.dialect, failure, call.id))
        exchange.break_off()
    else:
        # What is cut off says so; an array, or sound, has no place for words.
        exchange.abort()


def copied(consume: Consume, kept: list[bytes]) -> Consume:
    """Return what passes pieces on and keeps them, up to a bound."""
    room = KEPT

    def both(chunk: bytes) -> None:
        nonlocal room
        if room > 0:
            room -= len(chunk)
            kept.append(chunk)
        consume(chunk)

    return both


def unchanged(consume: Consume) -> Consume:
    """Return what takes pieces as it is."""
    return consume


async def last_words(arrival: Arrival) -> None:
    """Wait a moment for the end of a stream whose last event was seen: its usage, and a connection to keep."""
    arrival.resume()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS):
            await arrival.over()
