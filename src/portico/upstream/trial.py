"""One attempt at one target: opened, described, judged, and counted for or against whom it speaks."""

import asyncio
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from portico.call import Call
from portico.dialects.usage import read_answer
from portico.errors import BadUpstreamReply, ConnectionLost, InvalidRequest, PorticoError, ShuttingDown, UpstreamTimeout
from portico.marks import holds
from portico.record import AttemptRecord
from portico.types import Usage
from portico.upstream import causes
from portico.upstream.arrival import Arrival
from portico.upstream.causes import FAILURES, REFUSALS, Cause
from portico.upstream.health import EVERY, SMALL, size_of
from portico.upstream.keyring import Credential
from portico.upstream.opening import flaw
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target

if TYPE_CHECKING:
    from portico.upstream.gate import Gate

LIMITED: Final = 0.25
"""Seconds that a target is passed over whose provider says that its limit is used up, and not for how long."""
LONGEST_LIMIT: Final = 60.0
OVERLOADED: Final = 0.1
"""The share of recent attempts that fail from which on a time-out or a 503 says that it is too much."""


def begin(
    loop: asyncio.AbstractEventLoop,
    target: Target,
    credential: Credential,
    outgoing: Outgoing,
    call: Call,
    judged: bool,
) -> tuple[Arrival, AttemptRecord]:
    """Open an attempt: what its reply arrives at, and its record. It counts as under way until the arrival ends."""
    arrival = Arrival(loop, outgoing.stream, outgoing.limit)
    arrival.judged = judged
    length = len(outgoing.body)
    if length >= SMALL:
        arrival.question = size_of(length)
    health = arrival.health = target.health
    health.in_flight += 1
    if target.upstream.keyring.only is None:
        arrival.credential = credential
        credential.in_flight += 1
    if health.until:
        health.began()
    note = AttemptRecord(call.target or target.name, credential.id)
    note.started_us = (arrival.sent_ns - call.began_ns) // 1000
    call.attempts.append(note)
    return arrival, note


def spoke(arrival: Arrival, target: Target, usage: Usage | None) -> None:
    """Note how fast an answer came that has ended: the time for each token of its output."""
    tokens = usage.output_total if usage is not None else 0
    if tokens:
        now = perf_counter_ns()
        target.health.paced_ns = now + EVERY
        began = arrival.here_ns if arrival.streaming else arrival.sent_ns
        ended = now if arrival.streaming else arrival.here_ns
        target.health.spoke(now * 1e-9, (ended - began) * 1e-9 / tokens, arrival.question)


def describe(note: AttemptRecord, arrival: Arrival) -> None:
    """Put on an attempt's record what its reply says of itself."""
    note.status = arrival.status
    note.first_byte_us = (arrival.head_ns - arrival.sent_ns) // 1000
    fields = arrival.fields
    theirs = fields.get(b"x-request-id") or fields.get(b"request-id") or fields.get(b"x-amzn-requestid")
    if theirs:  # what its people ask for first
        note.upstream_request_id = theirs[:128].decode("latin-1")


def stands(
    arrival: Arrival,
    note: AttemptRecord,
    target: Target,
    outgoing: Outgoing,
    credential: Credential | None = None,
    gate: "Gate | None" = None,
) -> bool:
    """Describe a reply, and return whether it is an answer: then it is counted for its target, and its key and gate."""
    status = arrival.status
    if not status:
        return False
    describe(note, arrival)
    if status >= 400 or arrival.error is not None:
        return False
    error = unfit(arrival, target, outgoing)
    if error is not None:
        arrival.error = error
        arrival.abandon()
        return False
    health, here_ns = target.health, arrival.here_ns
    now = here_ns * 1e-9
    health.served(now)
    if gate is not None:
        gate.served(now)
    if here_ns > health.due_ns or health.spread is not None:
        took = (here_ns - arrival.sent_ns) * 1e-9
        health.answered(now, took, arrival.question, streamed=arrival.streaming)
    keyring = target.upstream.keyring
    served = credential or keyring.only
    if served is not None and served.refusals:
        keyring.served(served)
    return True


def unfit(arrival: Arrival, target: Target, outgoing: Outgoing) -> PorticoError | None:
    """Return why a reply with a good status is no answer, None for one that is."""
    pieces = arrival.pieces
    crossed = outgoing.translations and target in outgoing.translations
    if len(pieces) == 1 and not arrival.streaming and outgoing.passed is None and not crossed:
        body = pieces[0]
        if arrival.status < 300:
            # To find what was used takes the whole document.
            usage, sure = read_answer(outgoing.operation, body, arrival.headers)
            if usage is not None and (sure or not holds(body, b'"error"')):
                arrival.usage = usage
                return None
    if outgoing.passed is not None:
        return None
    status = arrival.status
    if status >= 300:
        # A redirect is for whoever has the base URL wrong: its caller would follow it past the gateway.
        return BadUpstreamReply(f"{target.name} answered {status} with a redirect")
    operation = outgoing.operation
    theirs = operation.name
    made = outgoing.translations.get(target)
    if made is not None:
        theirs = made.upstream.name
        if len(pieces) == 1 and not arrival.streaming and made.hears(pieces[0]):
            return None
    return flaw(arrival, operation, theirs, target.name)


def judge(arrival: Arrival, target: Target, outgoing: Outgoing) -> tuple[Cause, float | None]:
    """Return why an attempt failed, and the seconds after which its provider wants to be asked again."""
    error = arrival.error
    if error is not None:
        return causes.of_error(error), error.retry_after
    operation = outgoing.operation.name
    theirs = operation if outgoing.passed is not None else target.stands_in(operation, outgoing.stream) or operation
    cause = causes.of_reply(arrival.status, arrival.headers, arrival.body, theirs)
    wait = arrival.retry_after
    if wait is None and (cause == "rate_limit" or arrival.status >= 500):
        wait = causes.wait(arrival.status, arrival.headers, arrival.body, theirs)
    return cause, wait


def blame(
    cause: Cause, arrival: Arrival, target: Target, credential: Credential, retry_after: float | None, now: float
) -> bool:
    """Count a failure against whom it speaks: the target, its key, or nobody; return whether another key may do better.

    What a provider says of the request itself shows that it works.
    """
    health, keyring = target.health, target.upstream.keyring
    if cause in FAILURES:
        if out_of_time(arrival) or (target.hurried and isinstance(arrival.error, UpstreamTimeout)):
            health.left()  # the call's time was up, or its caller's patience, which is not the target's
        else:
            health.failed(now)
        return False
    if cause in REFUSALS:
        health.left()
        status = arrival.status if arrival.status in (401, 402, 403) else 401 if cause == "key" else 402
        return keyring.refused(credential, 402 if cause == "quota" else status, retry_after, now)
    if cause == "rate_limit":
        if keyring.only is None:
            health.left()
            return keyring.refused(credential, 429, retry_after, now)
        # Limits are most often those of one model: others of the provider may still do.
        health.limited(now + (LIMITED if retry_after is None else min(retry_after, LONGEST_LIMIT)))
        return False
    if isinstance(arrival.error, InvalidRequest):
        health.left()  # it was not asked
    else:
        health.served(now)
    return False


def bear(
    gate: "Gate",
    cause: Cause,
    arrival: Arrival,
    retry_after: float | None,
    another: bool,
    target: Target,
    now: float,
) -> bool:
    """Note at a gate what a failure says of how much its target bears; return whether that was a limit of its provider.

    With `another`, the provider has several keys, and this one was refused: as long as one of them is awake, nothing is
    said of the target. That it is overloaded, or too slow, counts where that is no exception.
    """
    if cause == "rate_limit":
        if another:
            wakes = target.upstream.keyring.wakes
            if wakes <= now:
                return False
            retry_after = wakes - now
        gate.refused(now, arrival.sent_ns * 1e-9, retry_after)
        return True
    if (cause == "timeout" or arrival.status in (503, 529)) and target.health.failure_rate >= OVERLOADED:
        gate.refused(now, arrival.sent_ns * 1e-9, None)
    return False


def out_of_time(arrival: Arrival) -> bool:
    """Return whether the time of the whole call was up."""
    error = arrival.error
    return isinstance(error, UpstreamTimeout) and error.phase == "call"


def give_up(arrival: Arrival, note: AttemptRecord, target: Target, call: Call, error: BaseException) -> None:
    """Give up an attempt whose call ends while it is under way."""
    arrival.abandon()
    target.health.left()
    note.error = note.error or ("caller_gone" if isinstance(error, asyncio.CancelledError) else "internal_error")
    if arrival.asked:
        # Nobody waits for the answer any more, and it may have been given, and billed, all the same.
        note.assumed_nano_usd = call.bound.cost or 0
    call.waited_ns += perf_counter_ns() - arrival.sent_ns


def may_be_billed(arrival: Arrival) -> bool:
    """Return whether the provider may have worked on a request that failed so: it had all of it, and began or not."""
    error = arrival.error
    if isinstance(error, ShuttingDown):  # this process leaves, and waits for no answer any more
        return arrival.asked
    if isinstance(error, UpstreamTimeout):
        return arrival.asked if error.phase == "call" else error.phase != "connect"
    if isinstance(error, ConnectionLost):
        return error.sent
    return isinstance(error, BadUpstreamReply)


def was_stale(arrival: Arrival) -> bool:
    """Return whether the provider closed a kept connection just as the request went out: it has not looked at it."""
    error = arrival.error
    return arrival.reused and isinstance(error, ConnectionLost) and not error.replied
