"""One attempt at one target, and the attempts at all targets of a plan, up to the first reply that stands."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from time import perf_counter_ns

from portico.call import AttemptRecord, Call
from portico.errors import (
    BadUpstreamReply,
    ConnectFailed,
    ConnectionLost,
    PorticoError,
    UpstreamError,
    UpstreamTimeout,
)
from portico.providers.auth.scheme import Auth, Fetch
from portico.upstream.arrival import Arrival
from portico.upstream.headers import request_lines
from portico.upstream.keyring import Credential
from portico.upstream.target import Line, Target
from portico.wire.client import Deadlines

Body = bytes | Callable[[], tuple[int, AsyncIterator[bytes]]]
"""A body in memory, or how to read a spooled one from its start: its size and its pieces."""

ANY_BODY = frozenset(("audio_speech", "audio_transcriptions", "audio_translations", "invoke"))
"""Operations whose replies may be sound, plain text, or what a model's maker likes; all others reply with JSON."""
_OPENINGS = frozenset((b"{", b"["))
_CLOSINGS = frozenset((b"}", b"]"))


class Outgoing:
    """A request on its way out, the same for every target but for what a target changes in the body."""

    __slots__ = ("body_for", "headers", "limit", "method", "query", "stream")

    def __init__(
        self,
        method: str,
        query: str,
        headers: Sequence[tuple[bytes, bytes]],
        body_for: Callable[[Target], Body],
        *,
        stream: bool,
        limit: int,
    ) -> None:
        self.method = method
        self.query = query
        self.headers = headers
        self.body_for = body_for
        self.stream = stream
        self.limit = limit


async def attempt(
    target_name: str,
    line: Line,
    credential: Credential,
    deadlines: Deadlines,
    outgoing: Outgoing,
    body: Body,
    fetch: Fetch,
    call: Call,
) -> Arrival:
    """Send the request once and return the reply as soon as it can be judged.

    A failure is in the arrival's `error`; every attempt, failed or not, adds its record to the call.
    """
    loop = asyncio.get_running_loop()
    arrival = Arrival(loop, wants_stream=outgoing.stream, limit=outgoing.limit)
    note = AttemptRecord(
        target=target_name, credential=credential.id, started_ms=(arrival.sent_ns - call.began_ns) / 1e6
    )
    call.attempts.append(note)
    try:
        auth = credential.auth
        if not auth.static and not auth.ready(time.time()):
            await auth.prepare(fetch, time.time())
        size, pieces = (len(body), None) if isinstance(body, bytes) else body()
        head = render_head(line, auth, outgoing.headers, body if isinstance(body, bytes) else b"", size)
        connection = line.pool.take()
        if connection is None:
            connection = await line.pool.acquire(loop.time() + deadlines.connect)
        else:
            arrival.reused = True
        arrival.connection = connection
        arrival.sent_ns = perf_counter_ns()
        if pieces is None:
            assert isinstance(body, bytes)
            parts = (body,) if body else ()
            connection.send(head, parts, arrival, deadlines, method_is_head=line.method == "HEAD")
        else:
            await connection.send_streaming(head, pieces, arrival, deadlines, chunked=False)
        await arrival.here
    except PorticoError as error:
        arrival.abandon()
        arrival.error = error
        arrival.ended = True
        arrival.here_ns = perf_counter_ns()
    except BaseException:
        arrival.abandon()
        note.error = "caller_gone"
        call.waited_ns += perf_counter_ns() - arrival.sent_ns
        raise
    call.waited_ns += arrival.here_ns - arrival.sent_ns
    if arrival.error is not None:
        note.error = arrival.error.code
    if arrival.status:
        note.status = arrival.status
        note.first_byte_ms = (arrival.head_ns - arrival.sent_ns) / 1e6
        header = arrival.header
        upstream_id = header(b"x-request-id") or header(b"request-id") or header(b"x-amzn-requestid")
        if upstream_id:
            note.upstream_request_id = upstream_id[:128].decode("latin-1")
    return arrival


def render_head(line: Line, auth: Auth, headers: Sequence[tuple[bytes, bytes]], body: bytes, size: int) -> bytes:
    """Write the head of a request: the line's own part, the key's headers, the caller's that go on, and the length."""
    lines = [line.prefix]
    forwarded = request_lines(headers, line.fixed, line.defaults)
    if not auth.static:
        others = [
            (name, value) for name, _, value in (item[:-2].decode("latin-1").partition(": ") for item in forwarded)
        ]
        own = auth.headers(line.method, line.host, line.path, line.query, others, body)
        names = {name.lower().encode("latin-1") for name, _ in own}
        lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in own]
        forwarded = [header for header in forwarded if header[: header.index(b":")] not in names]
    lines += forwarded
    if size or line.method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d\r\n\r\n" % size)
    else:
        lines.append(b"\r\n")
    return b"".join(lines)


def readable(arrival: Arrival, operation: str) -> bool:
    """Return whether a reply with a good status can be one: a stream has begun, or a JSON document came whole.

    A page of some proxy, a body cut short by a server that calls it complete, or nothing at all would be a success
    without an answer to some SDKs.
    """
    if arrival.streaming:
        return bool(arrival.pieces) and not arrival.header(b"content-type").startswith(b"text/html")
    if operation in ANY_BODY:
        return True
    body = arrival.body
    if len(arrival.pieces) > 1:
        arrival.pieces = [body]
    body = body.strip()
    return body[:1] in _OPENINGS and body[-1:] in _CLOSINGS


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


async def attempt_all(
    targets: Sequence[Target],
    operation: str,
    outgoing: Outgoing,
    call: Call,
    *,
    tries: int,
    conditions: Sequence[str],
    fetch: Fetch,
) -> tuple[Arrival, Target]:
    """Try targets in order until a reply stands; return it and where it came from.

    Each target is tried `tries` times, and as often again as it has other keys when a key was refused; a kept
    connection that turns out to be stale costs no try, once. When nothing stands, the last failure is returned.
    """
    arrival: Arrival | None = None
    target = targets[0]
    loop = asyncio.get_running_loop()
    for target in targets:
        body = outgoing.body_for(target)
        keyring = target.upstream.keyring
        tried: list[Credential] = []
        left = tries
        spare = True
        while left > 0:
            credential = keyring.pick(loop.time(), tried)
            if credential is None:
                tried.clear()
                continue
            line = target.line(operation, credential, outgoing.query, stream=outgoing.stream)
            arrival = await attempt(target.name, line, credential, target.deadlines, outgoing, body, fetch, call)
            if arrival.error is None and arrival.status < 400:
                if readable(arrival, operation):
                    return arrival, target
                arrival.error = BadUpstreamReply(
                    f"{target.name} answered {arrival.status} with a body that is not what was asked for"
                )
                call.attempts[-1].error = arrival.error.code
            if arrival.error is None and keyring.refused(credential, arrival.status, arrival.retry_after, loop.time()):
                tried.append(credential)
                if len(tried) < len(keyring.credentials):
                    continue
                tried.clear()
            if spare and was_stale(arrival):
                spare = False
                continue
            if not may_retry(arrival, conditions):
                if arrival.status in (401, 403) and target is not targets[-1]:
                    break
                return arrival, target
            left -= 1
            tried.clear()
    assert arrival is not None, "a plan has at least one target"
    return arrival, target
