"""The attempts at the targets of a plan, one after another, up to the first reply that stands."""

import asyncio
import time
from collections.abc import Callable, Sequence
from time import perf_counter_ns

from portico.call import Call, Extend
from portico.errors import AtCapacity, InvalidRequest, PorticoError, untraced
from portico.providers.auth.scheme import Fetch
from portico.record import AttemptRecord
from portico.upstream.arrival import Arrival
from portico.upstream.causes import REFUSALS
from portico.upstream.hedge import Hedging, Race
from portico.upstream.keyring import Credential
from portico.upstream.opening import ANY_BODY
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import PATIENCE, Policy
from portico.upstream.target import Target
from portico.upstream.trial import (
    bear,
    begin,
    blame,
    describe,
    give_up,
    judge,
    may_be_billed,
    out_of_time,
    send,
    send_at_once,
    stands,
    was_stale,
    within,
)

Elsewhere = Callable[[str], Sequence[Target]]
"""Told why the targets of a call cannot serve it (a field of `schema.Fallbacks`), returns others that may."""


async def attempt_all(
    targets: Sequence[Target],
    outgoing: Outgoing,
    call: Call,
    policy: Policy,
    fetch: Fetch,
    extend: Extend,
    elsewhere: Elsewhere | None = None,
    hedging: Hedging | None = None,
    first: Arrival | None = None,
) -> tuple[Arrival, Target]:
    """Try targets in order until a reply stands; return it and where it came from.

    `first` is what the first of them has answered already (see `first`), which does not stand.

    Targets that rest are passed over while there is another; where all do, the one that is due first is tried. Each
    target is tried as often as `policy` says, and as often again as it has other keys when a key was refused; a kept
    connection that turns out to be stale costs no try, once. When nothing stands, the last failure is returned, in the
    arrival's `error` or with its status. Every attempt adds its record to the call. `extend` is asked before any but
    the first; what it raises ends the attempts. `elsewhere` has targets for calls that these cannot serve. A target
    that has as many calls as it may have is passed over too; where all have, they are waited for, as far as the call
    may wait: else AtCapacity is raised.
    """
    loop = asyncio.get_running_loop()
    operation = outgoing.operation
    judged = outgoing.stream and outgoing.passed is None and operation.name not in ANY_BODY
    arrival: Arrival | None = None
    billed = False
    last = targets[0]
    moved = False  # since the call was admitted
    if first is None:
        targets = in_turn(targets)
        moved = targets[0] is not last
        policy.budget.calls += 1
    place = tries = 0
    asked: Sequence[Target] = ()
    tried: Sequence[Credential] = ()
    spare = True
    gated = last.upstream.gating is not None
    waits = False
    limited: Sequence[Target] = ()
    gate = None
    while True:
        if first is not None:
            arrival, first = first, None
            target = last
            health, keyring = target.health, target.upstream.keyring
            credential = keyring.only
            note = call.attempts[-1]
            assert credential is not None
        else:
            left = policy.deadline
            if arrival is not None:
                arrival.abandon()  # an error too long to be held is still coming
                left -= (perf_counter_ns() - call.began_ns) * 1e-9
                if left <= 0:
                    return arrival, last
            passed = False
            if gated:
                wanted = targets[place]
                gate = wanted.gate
                waits = call.waits is not None
                if gate is not None and not gate.enter(time.monotonic()):
                    from portico.upstream.entering import entered  # what waits is loaded where something has to

                    try:
                        targets, place, elsewhere = await entered(targets, place, asked, call, outgoing, elsewhere)
                    except AtCapacity:
                        if arrival is None:
                            raise
                        return arrival, last
                    passed = targets[place] is not wanted
                    if passed:
                        tries, tried, spare = 0, (), True
                    gate = targets[place].gate
                    if waits:
                        left = policy.deadline - (perf_counter_ns() - call.began_ns) * 1e-9
            target = targets[place]
            health, keyring = target.health, target.upstream.keyring
            credential = keyring.only or keyring.pick(time.monotonic(), tried, call.kept and call.kept.turn)
            if credential is None:
                tried = ()
                credential = keyring.pick(time.monotonic())
                assert credential is not None, "a keyring of which no key was tried has one"
            try:
                way = outgoing.way_to(target, credential)
                if arrival is not None or passed or moved:
                    try:
                        await extend(target, billed)
                    except PorticoError:
                        if arrival is None:
                            raise
                        # There is no room for another attempt: what the last one came to stands.
                        if gate is not None:
                            gate.give_back()
                        return arrival, last
                    billed = False
            except BaseException:
                if gate is not None:
                    gate.give_back()
                raise
            arrival, note = begin(loop, target, credential, outgoing, call, judged)
            if gate is not None:
                arrival.gate = gate
            try:
                if hedging is not None and place + 1 < len(targets) and not asked:
                    race = Race(loop, hedging, outgoing, call, fetch, extend, judged)
                    other = next((each for each in targets[place + 1 :] if each.health.admits(time.monotonic())), None)
                    won, lost = await race.run((arrival, target, credential, note), way, other, left)
                    for each in lost:
                        asked = (*asked, each[1])
                        billed = after_loss(each, call, outgoing) or billed
                    arrival, target, credential, note = won
                    health, keyring, gate = target.health, target.upstream.keyring, target.gate
                elif left >= target.deadlines.total:
                    if not send_at_once(arrival, way, credential, target, outgoing):
                        await send(arrival, way, credential, target, outgoing, fetch)
                    await arrival.here
                else:
                    await within(left, arrival, way, credential, target, outgoing, fetch)
            except PorticoError as error:
                arrival.abandon()
                arrival.error = untraced(error)
                arrival.here_ns = perf_counter_ns()
            except BaseException as error:
                give_up(arrival, note, target, call, error)
                raise
            call.waited_ns += arrival.here_ns - arrival.sent_ns
            if stands(arrival, note, target, outgoing, credential, gate):
                return arrival, target
        status = arrival.status
        now = arrival.here_ns * 1e-9
        last = target
        stale = was_stale(arrival)
        cause, retry_after = judge(arrival, target, outgoing)
        if arrival.error is not None:
            note.error = arrival.error.code
            if may_be_billed(arrival) and not stale:
                billed = True
                note.assumed_nano_usd = call.bound.cost or 0
        if spare and stale:
            health.left()
            spare = False
            continue
        another = blame(cause, arrival, target, credential, retry_after, now)
        queued = False
        if gate is not None and bear(gate, cause, arrival, retry_after, another, target, now) and waits:
            queued = True
            limited = (*limited, target)
        if another:
            tried = (*tried, credential)
            if len(tried) < len(keyring.credentials):
                continue
        tried = ()
        tries += 1
        if out_of_time(arrival):
            return arrival, target
        if policy.may(cause):
            if tries < policy.attempts(cause) and not queued:
                pause = policy.pause(cause, tries, retry_after)
                alone = place + 1 >= len(targets) or not able(targets[place + 1 :], now)
                worth = pause is not None and (alone or pause <= PATIENCE) and fits(pause, call, policy)
                if pause is not None and worth and policy.budget.spend():
                    began = perf_counter_ns()
                    await policy.sleep(pause)
                    call.waited_ns += perf_counter_ns() - began
                    continue
        elif cause in ("context_window", "content_policy"):
            more = elsewhere(cause) if elsewhere is not None else ()
            if not more:
                return arrival, target
            targets, place, tries, elsewhere = more, 0, 0, None
            continue
        elif cause not in REFUSALS and not isinstance(arrival.error, InvalidRequest) and status not in policy.moves_on:
            # A key that is refused, and a request that this dialect cannot say, may do elsewhere; no other request may.
            return arrival, target
        asked = (*asked, target)
        found = following(targets, asked, policy)
        if found is None and elsewhere is not None and policy.may(cause):
            why = "rate_limit" if cause in ("rate_limit", "quota") else "outage"
            more = [each for each in elsewhere(why) if each not in asked]
            elsewhere = None
            if more:
                targets = more
                found = following(targets, asked, policy)
        if found is None and limited and policy.may(cause):
            # Those whose limits alone were in the way are asked again, in their turn.
            asked, limited = tuple(each for each in asked if each not in limited), ()
            found = next(at for at, each in enumerate(targets) if each not in asked)
        if found is None:
            return arrival, target
        place, tries, spare = found, 0, True


def in_turn(targets: Sequence[Target]) -> Sequence[Target]:
    """Return the targets in the order in which they are asked now, by all that is known of which rest."""
    first = targets[0]
    healths = first.upstream.healths
    if healths.shared is not None and healths.shared.changed:
        healths.listen()
    if len(targets) > 1 and (first.health.until or first.upstream.keyring.wakes):
        return standing(targets, time.monotonic())
    return targets


def standing(targets: Sequence[Target], now: float) -> Sequence[Target]:
    """Return the targets in order, those that rest behind the others: first what is due first."""
    able = [each for each in targets if each.health.admits(now) and each.upstream.keyring.wakes <= now]
    if len(able) == len(targets):
        return targets
    resting = [each for each in targets if each not in able]
    resting.sort(key=lambda each: max(each.health.until, each.upstream.keyring.wakes))
    return able + resting


def able(targets: Sequence[Target], now: float) -> bool:
    """Return whether one of these targets can be asked at once: it does not rest, nor do all of its keys."""
    return any(each.health.admits(now) and each.upstream.keyring.wakes <= now for each in targets)


def following(targets: Sequence[Target], asked: Sequence[Target], policy: Policy) -> int | None:
    """Return the place of the target to be asked next, None for none.

    One that rests is asked where there is no other, as far as the budget of retries goes: else those who fail would
    have the more to do the more they fail.
    """
    now = time.monotonic()
    left = [place for place, each in enumerate(targets) if each not in asked]
    for place in left:
        each = targets[place]
        if each.health.admits(now) and each.upstream.keyring.wakes <= now:
            return place
    if not left or not policy.budget.spend():
        return None
    return min(left, key=lambda place: max(targets[place].health.until, targets[place].upstream.keyring.wakes))


def after_loss(each: tuple[Arrival, Target, Credential, AttemptRecord], call: Call, outgoing: Outgoing) -> bool:
    """Note how the loser of a race ended; return whether it may be billed."""
    arrival, target, credential, note = each
    now = perf_counter_ns() * 1e-9
    if arrival.status:
        describe(note, arrival)
    if not arrival.here_ns or (arrival.error is None and arrival.status < 400):
        # It was only slower.
        arrival.abandon()
        target.health.left()
        target.health.answered(now, now - arrival.sent_ns * 1e-9, arrival.question, streamed=outgoing.stream)
        note.error = "hedge_lost"
        if not arrival.asked:
            return False
        note.assumed_nano_usd = call.bound.cost or 0
        return True
    cause, retry_after = judge(arrival, target, outgoing)
    blame(cause, arrival, target, credential, retry_after, now)
    if arrival.error is None:
        return False
    note.error = arrival.error.code
    if may_be_billed(arrival) and not was_stale(arrival):
        note.assumed_nano_usd = call.bound.cost or 0
        return True
    return False


def fits(pause: float, call: Call, policy: Policy) -> bool:
    """Return whether a call has time left after a pause."""
    return (perf_counter_ns() - call.began_ns) * 1e-9 + pause < policy.deadline
