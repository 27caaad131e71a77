"""The attempts at the targets of a plan, one after another, up to the first reply that stands."""

import asyncio
import time
from collections.abc import Sequence
from time import perf_counter_ns

from portico.call import Call, Extend
from portico.config.schema import Retries
from portico.errors import (
    BadUpstreamReply,
    ConnectFailed,
    ConnectionLost,
    InvalidRequest,
    PorticoError,
    ShuttingDown,
    UpstreamError,
    UpstreamTimeout,
)
from portico.providers.auth.scheme import Fetch
from portico.record import AttemptRecord
from portico.upstream.arrival import Arrival
from portico.upstream.keyring import Credential
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Line, Target

ANY_BODY = frozenset(("audio_speech", "audio_transcriptions", "audio_translations", "invoke"))
"""Operations whose replies may be sound, plain text, or what a model's maker likes; all others reply with JSON."""
_OPENINGS = frozenset((b"{", b"["))
_CLOSINGS = frozenset((b"}", b"]"))


async def attempt_all(
    targets: Sequence[Target], outgoing: Outgoing, call: Call, retries: Retries, fetch: Fetch, extend: Extend
) -> tuple[Arrival, Target]:
    """Try targets in order until a reply stands; return it and where it came from.

    Each target is tried as often as `retries` says, and as often again as it has other keys when a key was refused; a
    kept connection that turns out to be stale costs no try, once. When nothing stands, the last failure is returned, in
    the arrival's `error` or with its status. Every attempt adds its record to the call. `extend` is asked before any
    but the first; what it raises ends the attempts.
    """
    loop = asyncio.get_running_loop()
    operation = outgoing.operation.name
    arrival: Arrival | None = None
    billed = False
    last = target = targets[0]
    for target in targets:
        keyring = target.upstream.keyring
        tried: list[Credential] = []
        left = retries.attempts
        spare = True
        while left > 0:
            credential = keyring.only or keyring.pick(loop.time(), tried)
            if credential is None:
                tried.clear()
                continue
            line = outgoing.line_for(target, credential)
            if arrival is not None:
                arrival.abandon()  # an error too long to be held is still coming
                try:
                    await extend(target, billed)
                except PorticoError:
                    # There is no room for another attempt: what the last one came to stands.
                    return arrival, last
                billed = False
            arrival = Arrival(loop, outgoing.stream, outgoing.limit)
            note = AttemptRecord(call.target or target.name, credential.id)
            note.started_us = (arrival.sent_ns - call.began_ns) // 1000
            call.attempts.append(note)
            try:
                if not send_at_once(arrival, line, credential, target, outgoing):
                    await send(arrival, line, credential, target, outgoing, fetch)
                await arrival.here
            except PorticoError as error:
                arrival.abandon()
                arrival.error = error
                arrival.here_ns = perf_counter_ns()
            except BaseException as error:
                arrival.abandon()
                note.error = "caller_gone" if isinstance(error, asyncio.CancelledError) else "internal_error"
                if arrival.asked:
                    # Nobody waits for the answer any more, and it may have been given, and billed, all the same.
                    note.assumed_nano_usd = call.bound.cost or 0
                call.waited_ns += perf_counter_ns() - arrival.sent_ns
                raise
            call.waited_ns += arrival.here_ns - arrival.sent_ns
            status = arrival.status
            if status:
                note.status = status
                note.first_byte_us = (arrival.head_ns - arrival.sent_ns) // 1000
                fields = arrival.fields
                theirs = fields.get(b"x-request-id") or fields.get(b"request-id") or fields.get(b"x-amzn-requestid")
                if theirs:
                    note.upstream_request_id = theirs[:128].decode("latin-1")
                if status < 400 and arrival.error is None:
                    if outgoing.passed is not None or (status < 300 and readable(arrival, operation)):
                        return arrival, target
                    arrival.abandon()
                    # A redirect is for whoever has the base URL wrong: its caller would follow it past the gateway.
                    what = "a redirect" if status >= 300 else "a body that is not what was asked for"
                    arrival.error = BadUpstreamReply(f"{target.name} answered {status} with {what}")
            last = target
            if arrival.error is not None:
                note.error = arrival.error.code
                if may_be_billed(arrival) and not was_stale(arrival):
                    billed = True
                    note.assumed_nano_usd = call.bound.cost or 0
            elif keyring.refused(credential, status, arrival.retry_after, loop.time()):
                tried.append(credential)
                if len(tried) < len(keyring.credentials):
                    continue
                tried.clear()
            if spare and was_stale(arrival):
                spare = False
                continue
            if not may_retry(arrival, retries.on):
                # A key that is refused, and a request that this dialect cannot say, may do elsewhere.
                other = status in (401, 403) or isinstance(arrival.error, InvalidRequest)
                if other and target is not targets[-1]:
                    break
                return arrival, target
            left -= 1
            tried.clear()
    assert arrival is not None, "a plan has at least one target"
    return arrival, target


def send_at_once(arrival: Arrival, line: Line, credential: Credential, target: Target, outgoing: Outgoing) -> bool:
    """Send the request if nothing has to be waited for: a connection is kept, the key is ready, the body in memory."""
    auth = credential.auth
    if not auth.static:
        return False
    body = outgoing.body_for(target, auth)
    if not isinstance(body, bytes):
        return False
    head = outgoing.head_for(line, auth, body, len(body), target in outgoing.translations)
    connection = line.pool.take()
    if connection is None:
        return False
    arrival.reused = True
    arrival.connection = connection
    arrival.asked = True
    arrival.sent_ns = perf_counter_ns()
    connection.send(head, (body,) if body else (), arrival, target.deadlines, method_is_head=line.method == "HEAD")
    return True


async def send(
    arrival: Arrival, line: Line, credential: Credential, target: Target, outgoing: Outgoing, fetch: Fetch
) -> None:
    """Send the request, with whatever that takes: a token, a connection, the body from its file."""
    auth = credential.auth
    if not auth.static and not auth.ready(time.time()):
        await auth.prepare(fetch, time.time())
    body = outgoing.body_for(target, auth)
    size, pieces = (len(body), None) if isinstance(body, bytes) else body()
    head = outgoing.head_for(line, auth, body, size, target in outgoing.translations)
    connection = line.pool.take()
    if connection is None:
        connection = await line.pool.acquire(asyncio.get_running_loop().time() + target.deadlines.connect)
    else:
        arrival.reused = True
    arrival.connection = connection
    arrival.asked = True
    arrival.sent_ns = perf_counter_ns()
    if pieces is None:
        assert isinstance(body, bytes)
        parts = (body,) if body else ()
        connection.send(head, parts, arrival, target.deadlines, method_is_head=line.method == "HEAD")
    else:
        await connection.send_streaming(head, pieces, arrival, target.deadlines, chunked=False)


def readable(arrival: Arrival, operation: str) -> bool:
    """Return whether a reply with a good status can be one: a stream has begun, or a JSON document came whole.

    A page of some proxy, a body cut short by a server that calls it complete, or nothing at all would be a success
    without an answer to some SDKs.
    """
    if operation in ANY_BODY:
        return True
    pieces = arrival.pieces
    if arrival.streaming:
        return bool(pieces) and not arrival.header(b"content-type").startswith(b"text/html")
    if len(pieces) > 1:
        arrival.pieces = pieces = [b"".join(pieces)]
    if not pieces:
        return False
    body = pieces[0]
    if body[:1] in _OPENINGS and body[-1:] in _CLOSINGS:
        return True
    body = body.strip()
    return body[:1] in _OPENINGS and body[-1:] in _CLOSINGS


def may_be_billed(arrival: Arrival) -> bool:
    """Return whether the provider may have worked on a request that failed so: it had all of it, and began or not."""
    error = arrival.error
    if isinstance(error, ShuttingDown):  # this process leaves, and waits for no answer any more
        return arrival.asked
    if isinstance(error, UpstreamTimeout):
        return error.phase != "connect"
    if isinstance(error, ConnectionLost):
        return error.sent
    return isinstance(error, BadUpstreamReply)


def was_stale(arrival: Arrival) -> bool:
    """Return whether the provider closed a kept connection just as the request went out: it has not looked at it."""
    error = arrival.error
    return arrival.reused and isinstance(error, ConnectionLost) and not error.replied


def may_retry(arrival: Arrival, conditions: Sequence[str]) -> bool:
    """Return whether another try, here or elsewhere, may do better, by the conditions of the configuration."""
    error = arrival.error
    if error is not None:
        if isinstance(error, UpstreamTimeout):
            return "timeout" in conditions
        if isinstance(error, ConnectFailed):
            return "connect" in conditions
        return isinstance(error, UpstreamError) and error.another_may_help and "connect" in conditions
    if arrival.status == 429:
        return "429" in conditions
    return arrival.status >= 500 and "5xx" in conditions
