"""The attempts at the targets of a plan, one after another, up to the first reply that stands."""

import asyncio
import time
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING

from portico.call import Call, Extend
from portico.errors import AtCapacity, InvalidRequest, PorticoError, untraced
from portico.providers.auth.scheme import Fetch
from portico.record import AttemptRecord
from portico.upstream.arrival import Arrival
from portico.upstream.causes import REFUSALS, Cause
from portico.upstream.hedge import Hedging, Race
from portico.upstream.keyring import Credential
from portico.upstream.opening import ANY_BODY
from portico.upstream.outgoing import Outgoing, Way
from portico.upstream.retry import PATIENCE, Policy
from portico.upstream.sending import send, within
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
    stands,
    was_stale,
)
from portico.upstream.turns import able, following, in_turn

if TYPE_CHECKING:
    from portico.upstream.gate import Gate

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

    Targets that rest are passed over while there is another; where all do, the one that is due first is tried. Each
    target is tried as often as `policy` says, and as often again as it has other keys when a key was refused; a kept
    connection that turns out to be stale costs no try, once. When nothing stands, the last failure is returned, in the
    arrival's `error` or with its status. Every attempt adds its record to the call. `extend` is asked before any but
    the first; what it raises ends the attempts. `elsewhere` has targets for calls that these cannot serve. A target
    that has as many calls as it may have is passed over too; where all have, they are waited for, as far as the call
    may wait: else AtCapacity is raised. `first` is what the first target answered that was asked at once (see
    `upstream.first`), where that does not stand.
    """
    attempts = Attempts(targets, outgoing, call, policy, fetch, extend, elsewhere, hedging)
    if first is not None:
        attempts.take(first)
    else:
        attempts.start()
        await attempts.another()
    while not attempts.stands and await attempts.goes_on() and await attempts.another():
        pass
    assert attempts.arrival is not None
    return attempts.arrival, attempts.target


class Attempts:
    """The attempts of one call. `arrival` is what the last came to, `target` where, and `stands` whether it does."""

    __slots__ = (
        "_asked",
        "_billed",
        "_call",
        "_credential",
        "_elsewhere",
        "_extend",
        "_fetch",
        "_gate",
        "_hedging",
        "_limited",
        "_moved",
        "_note",
        "_outgoing",
        "_place",
        "_policy",
        "_spare",
        "_targets",
        "_tried",
        "_tries",
        "arrival",
        "stands",
        "target",
    )

    def __init__(
        self,
        targets: Sequence[Target],
        outgoing: Outgoing,
        call: Call,
        policy: Policy,
        fetch: Fetch,
        extend: Extend,
        elsewhere: Elsewhere | None,
        hedging: Hedging | None,
    ) -> None:
        self.arrival: Arrival | None = None
        self.target = targets[0]
        self.stands = False
        self._targets = targets
        self._outgoing = outgoing
        self._call = call
        self._policy = policy
        self._fetch = fetch
        self._extend = extend
        self._elsewhere = elsewhere
        self._hedging = hedging
        self._place = 0  # of the target that is tried
        self._tries = 0  # at it
        self._moved = False  # whether the first is another than when the call was admitted
        self._tried: Sequence[Credential] = ()  # its keys that were refused
        self._spare = True  # whether a stale connection may still cost no try
        self._asked: Sequence[Target] = ()  # the targets that are done with,
        self._limited: Sequence[Target] = ()  # and those of them whose limits alone were in the way
        self._billed = False  # whether what an attempt before may cost was not reserved again yet
        self._gate: Gate | None = None  # of the last one, its key and its record
        self._credential: Credential | None = None
        self._note: AttemptRecord | None = None

    def __repr__(self) -> str:
        return f"<Attempts of {self._call!r}, {len(self._asked)} of {len(self._targets)} asked>"

    def start(self) -> None:
        """Put the targets in order, by what is known of them now."""
        self._targets = in_turn(self._targets)
        self._moved = self._targets[0] is not self.target
        self._policy.budget.calls += 1

    def take(self, first: Arrival) -> None:
        """Go on from an attempt at the first target that was made already, and does not stand."""
        self.arrival = first
        self._credential = self.target.upstream.keyring.only
        self._note = self._call.attempts[-1]

    async def another(self) -> bool:
        """Make an attempt at the target whose turn it is; return whether there was time and room for it.

        Raises what the first one is refused with, and AtCapacity.
        """
        policy, call, outgoing = self._policy, self._call, self._outgoing
        before = self.arrival
        left = policy.deadline
        if before is not None:
            before.abandon()  # an error too long to be held is still coming
            left -= (perf_counter_ns() - call.began_ns) * 1e-9
            if left <= 0:
                return False
        passed = False
        if self.target.upstream.gating is not None:
            wanted = self._targets[self._place]
            if wanted.gate is not None and not wanted.gate.enter(time.monotonic()):
                try:
                    await self._wait()
                except AtCapacity:
                    if before is None:
                        raise
                    return False
                passed = self._targets[self._place] is not wanted
                if call.waits is not None:
                    left = policy.deadline - (perf_counter_ns() - call.began_ns) * 1e-9
        target = self._targets[self._place]
        gate = target.gate if target.upstream.gating is not None else None
        try:
            credential = self._key(target)
            way = outgoing.way_to(target, credential)
            if before is not None or passed or self._moved:
                try:
                    await self._extend(target, self._billed)
                except PorticoError as error:
                    over = error.another_may_help and self._pass_over(target)
                    if before is None and not over:
                        raise
                    # There is no room for another attempt here: one elsewhere, or what the last one came to stands.
                    if gate is not None:
                        gate.give_back()
                        gate = None
                    if not over:
                        return False
                else:
                    over = self._billed = False
                if over:
                    return await self.another()
        except BaseException:
            if gate is not None:
                gate.give_back()
            raise
        await self._make(target, credential, gate, way, left)
        return True

    async def _wait(self) -> None:
        """Wait until a target takes a call, this one or another. Raises AtCapacity."""
        from portico.upstream.entering import entered  # what waits is loaded where something has to

        wanted = self._targets[self._place]
        self._targets, self._place, self._elsewhere = await entered(
            self._targets, self._place, self._asked, self._call, self._outgoing, self._elsewhere
        )
        if self._targets[self._place] is not wanted:
            self._tries, self._tried, self._spare = 0, (), True

    def _key(self, target: Target) -> Credential:
        """Return the key whose turn it is at a target: one that was not tried, while there is one."""
        keyring, kept = target.upstream.keyring, self._call.kept
        credential = keyring.only or keyring.pick(time.monotonic(), self._tried, kept and kept.turn)
        if credential is None:
            self._tried = ()
            credential = keyring.pick(time.monotonic())
            assert credential is not None, "a keyring of which no key was tried has one"
        return credential

    async def _make(self, target: Target, credential: Credential, gate: "Gate | None", way: Way, left: float) -> None:
        """Send the request, wait for what comes within `left` seconds, and look at it."""
        call, outgoing, targets, place = self._call, self._outgoing, self._targets, self._place
        loop = asyncio.get_running_loop()
        judged = outgoing.stream and outgoing.passed is None and outgoing.operation.name not in ANY_BODY
        arrival, note = begin(loop, target, credential, outgoing, call, judged)
        arrival.gate = gate
        try:
            if self._hedging is not None and place + 1 < len(targets) and not self._asked:
                race = Race(loop, self._hedging, outgoing, call, self._fetch, self._extend, judged)
                other = next((each for each in targets[place + 1 :] if each.health.admits(time.monotonic())), None)
                won, lost = await race.run((arrival, target, credential, note), way, other, left)
                for each in lost:
                    self._asked = (*self._asked, each[1])
                    self._billed = after_loss(each, call, outgoing) or self._billed
                arrival, target, credential, note = won
                gate = target.gate
            elif left >= target.deadlines.total:
                await send(arrival, way, credential, target, outgoing, self._fetch)
                await arrival.here
            else:
                await within(left, arrival, way, credential, target, outgoing, self._fetch)
        except PorticoError as error:
            arrival.abandon()
            arrival.error = untraced(error)
            arrival.here_ns = perf_counter_ns()
        except BaseException as error:
            give_up(arrival, note, target, call, error)
            raise
        call.waited_ns += arrival.here_ns - arrival.sent_ns
        self.arrival, self.target = arrival, target
        self._credential, self._note, self._gate = credential, note, gate
        self.stands = stands(arrival, note, target, outgoing, credential, gate)

    async def goes_on(self) -> bool:
        """Say whether there is to be another attempt after one that failed, and prepare it: whose turn it is, and when.

        Whoever is at fault is told: the target, its key, or its gate.
        """
        call, policy, target, arrival, gate = self._call, self._policy, self.target, self.arrival, self._gate
        credential, note = self._credential, self._note
        assert arrival is not None
        assert credential is not None
        assert note is not None
        now = arrival.here_ns * 1e-9
        stale = was_stale(arrival)
        cause, retry_after = judge(arrival, target, self._outgoing)
        if arrival.error is not None:
            note.error = arrival.error.code
            if may_be_billed(arrival) and not stale:
                self._billed = True
                note.assumed_nano_usd = call.bound.cost or 0
        if self._spare and stale:
            target.health.left()
            self._spare = False
            return True
        another = blame(cause, arrival, target, credential, retry_after, now)
        queued = False
        if gate is not None:
            limit = bear(gate, cause, arrival, retry_after, another, target, now)
            if limit and call.waits is not None:
                queued = True
                self._limited = (*self._limited, target)
        if another:
            self._tried = (*self._tried, credential)
            if len(self._tried) < len(target.upstream.keyring.credentials):
                return True
        self._tried = ()
        self._tries += 1
        if out_of_time(arrival):
            return False
        if policy.may(cause):
            if self._tries < policy.attempts(cause) and not queued and await self._again(cause, retry_after, now):
                return True
        elif cause in ("context_window", "content_policy"):
            more = self._elsewhere(cause) if self._elsewhere is not None else ()
            if more:
                self._targets, self._place, self._tries, self._elsewhere = more, 0, 0, None
            return bool(more)
        # A key that is refused, and a request that this dialect cannot say, may do elsewhere; no other request may.
        elif not (cause in REFUSALS or isinstance(arrival.error, InvalidRequest) or arrival.status in policy.moves_on):
            return False
        return self._move_on(cause, target)

    async def _again(self, cause: Cause, retry_after: float | None, now: float) -> bool:
        """Wait to try the same target again, if that is worth it; return whether it is."""
        call, policy = self._call, self._policy
        pause = policy.pause(cause, self._tries, retry_after)
        if pause is None:
            return False
        others = self._targets[self._place + 1 :]
        alone = not others or not able(others, now)
        if not (alone or pause <= PATIENCE) or not fits(pause, call, policy) or not policy.budget.spend():
            return False
        began = perf_counter_ns()
        await policy.sleep(pause)
        call.waited_ns += perf_counter_ns() - began
        return True

    def _pass_over(self, target: Target) -> bool:
        """Turn to the next target from one whose own limits or budgets have no room; return whether there is one."""
        if self.arrival is not None:
            return self._move_on("rate_limit", target)
        self._asked, self._tried, self._moved = (*self._asked, target), (), True
        found = following(self._targets, self._asked, self._policy)
        if found is not None:
            self._place = found
        return found is not None

    def _move_on(self, cause: Cause, done: Target) -> bool:
        """Turn to the next target, of these or of others that the configuration names; return whether there is one."""
        policy = self._policy
        self._asked = (*self._asked, done)
        found = following(self._targets, self._asked, policy)
        if found is None and self._elsewhere is not None and policy.may(cause):
            why = "rate_limit" if cause in ("rate_limit", "quota") else "outage"
            more = [each for each in self._elsewhere(why) if each not in self._asked]
            self._elsewhere = None
            if more:
                self._targets = more
                found = following(more, self._asked, policy)
        if found is None and self._limited and policy.may(cause):
            # Those whose limits alone were in the way are asked again, in their turn.
            self._asked = tuple(each for each in self._asked if each not in self._limited)
            self._limited = ()
            found = next(at for at, each in enumerate(self._targets) if each not in self._asked)
        if found is None:
            return False
        self._place, self._tries, self._spare = found, 0, True
        return True


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
