"""A whole reply that is there: what it cost is noted, and its caller gets it once the call is in the books."""

from time import perf_counter_ns
from typing import TYPE_CHECKING

from portico.call import Call
from portico.dialects.allowances import render_allowances
from portico.dialects.registry import SPOKEN
from portico.dialects.usage import read_usage
from portico.errors import BadUpstreamReply
from portico.stages import own
from portico.stages.settle import Settling, dollars, settle
from portico.upstream.arrival import Arrival
from portico.upstream.headers import returned
from portico.upstream.target import Target
from portico.upstream.trial import spoke
from portico.wire.exchange import Exchange, Later

if TYPE_CHECKING:
    from portico.dialects.translate import Translation


def answer(settling: Settling, exchange: Exchange, call: Call, arrival: Arrival, target: Target) -> str | None:
    """Account for a whole reply, and give it to the caller once that is in the books.

    Where the provider keeps the reply, it is not given yet, and the name that it has there is returned.
    """
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
        if call.stores:
            name = own.response_id(body)
            if name is not None:
                return name
    else:
        call.error = "upstream_status"
    give_later(settling, exchange, call, arrival, body)
    return None


def give_later(settling: Settling, exchange: Exchange, call: Call, arrival: Arrival, body: bytes) -> None:
    """Give the caller a reply as its provider gave it, once the call is in the books."""
    keep(call, body)
    settling.end(call, _Giving(exchange, call, arrival, body))


def answer_plainly(
    settling: Settling, exchange: Exchange, call: Call, arrival: Arrival, target: Target, translation: "Translation"
) -> None:
    """Give the caller the one whole reply that a conversation has; what was used is read once, with the reply."""
    body = arrival.body
    try:
        told = translation.reply(body)
    except BadUpstreamReply:
        settle(call, read_usage(translation.upstream, body, arrival.headers), target.price)
        raise
    usage = translation.usage
    settle(call, usage, target.price)
    if arrival.here_ns > target.health.paced_ns:
        spoke(arrival, target, usage)
    call.end = "served"
    keep(call, told)
    settling.end(call, _Telling(exchange, call, arrival.status, told))


class _Telling(Later):
    """Gives a reply that was written here, with our header lines."""

    __slots__ = ("_call", "_status", "_told")

    def __init__(self, exchange: Exchange, call: Call, status: int, told: bytes) -> None:
        super().__init__(exchange)
        self._call = call
        self._status = status
        self._told = told

    def send(self) -> None:
        """Send the reply."""
        call = self._call
        self.exchange.reply(self._status, headed(call), self._told, signature(call))


def headed(call: Call, kind: bytes = b"application/json") -> list[tuple[bytes, bytes]]:
    """Return the headers of a reply that is written here: its type, and the call's id where the caller looks for it."""
    return [(b"content-type", kind), *SPOKEN[call.operation.dialect].named(call.id)]


class _Giving(Later):
    """Gives a reply as its provider gave it, with our header lines."""

    __slots__ = ("_arrival", "_body", "_call")

    def __init__(self, exchange: Exchange, call: Call, arrival: Arrival, body: bytes) -> None:
        super().__init__(exchange)
        self._call = call
        self._arrival = arrival
        self._body = body

    def send(self) -> None:
        """Send the reply."""
        exchange, arrival = self.exchange, self._arrival
        replied = arrival.replied
        assert replied is not None
        theirs = replied.memo
        if theirs is None:
            theirs = replied.memo = returned(replied.headers)
        lines = theirs + signature(self._call)
        if exchange.method == "HEAD" and (length := arrival.header(b"content-length")):
            exchange.start(arrival.status, (), int(length), lines)
            exchange.finish()
        else:
            exchange.reply(arrival.status, (), self._body, lines)


def keep(call: Call, body: bytes) -> None:
    """Keep the body of a reply for the record of its call, where bodies are kept, and for a copy of it."""
    if call.bodies != "none":
        call.reply_body = body
    if call.shadow is not None:
        call.shadow.reply = body


def signature(call: Call) -> bytes:
    """Return the header lines in which the gateway says what became of the call."""
    overhead = call.overhead_us(perf_counter_ns())
    if call.target is None:
        lines = f"x-request-id: {call.id}\r\nx-portico-overhead-us: {overhead}\r\n"
    else:
        cost = "" if call.cost is None else f"x-portico-cost-usd: {dollars(call.cost)}\r\n"
        lines = (
            f"x-portico-target: {call.target}\r\nx-portico-attempts: {len(call.attempts)}\r\n{cost}"
            f"x-request-id: {call.id}\r\nx-portico-overhead-us: {overhead}\r\n"
        )
        if call.why is not None:
            lines = f"x-portico-route: {call.why}\r\n{lines}"
        if call.dropped:
            lines = f"x-portico-dropped: {', '.join(call.dropped)}\r\n{lines}"
        if call.estimate:
            lines = f"x-portico-estimate: true\r\n{lines}"
    permit = call.permit
    if permit is not None and permit.scopes:
        limits, left = permit.allowances
        if limits:
            lines += render_allowances(call.operation.dialect, limits, left, call.arrived_ms / 1000)
    if call.litellm is not None:
        lines += call.litellm.lines(call, overhead)
    return lines.encode("ascii", "backslashreplace")
