"""One call on its way, and the steps of it that take no waiting.

Most calls need no task of their own: all that they wait for is the books and one reply, and whoever has that takes the
next step. `Desk.begin` sets such a call off. Where something else has to be waited for, or nothing goes as it should,
the call is handed over to the gateway's handler, which takes the same steps and goes on from where its course has got
to.
"""

import asyncio
import logging
import mmap
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from portico.call import Call
from portico.calls.known import Known
from portico.calls.planning import detour_of, planned
from portico.calls.whole import answer, answer_plainly
from portico.dialects.stand_ins import TASKS
from portico.errors import PorticoError
from portico.plan.canary import judge
from portico.snapshot import Snapshot
from portico.stages import own
from portico.stages.admit import admission
from portico.stages.authenticate import authenticate, unconditional
from portico.stages.settle import Settling
from portico.state.contract import Admission, Moment, Permit, Refusal, State
from portico.upstream.arrival import Arrival
from portico.upstream.first import at_once
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target
from portico.upstream.trial import give_up, stands
from portico.upstream.turns import in_turn
from portico.wire.exchange import Exchange
from portico.wire.waiting import Waiting

if TYPE_CHECKING:
    from portico.dialects.tasks import Errand
    from portico.dialects.translate import Translation

log = logging.getLogger("portico.gateway")


class Desk:
    """What all calls go by: the configuration in force, and the version of the keys that it was looked at with last."""

    __slots__ = ("draw", "now", "seen", "settling", "snapshot", "state")

    def __init__(
        self, snapshot: Snapshot, seen: int, state: State, settling: Settling, now: Callable[[], Moment]
    ) -> None:
        self.snapshot = snapshot
        self.seen = seen
        self.state = state
        self.settling = settling
        self.now = now
        self.draw: Callable[[], float] = random.random

    def __repr__(self) -> str:
        return f"<Desk, edition {self.snapshot.edition}>"

    def begin(self, exchange: Exchange) -> bool:
        """Set a call off whose body is here; False for what else may come, and where the handler has to look first."""
        snapshot = self.snapshot
        if self.state.version != self.seen:
            return False
        try:
            known = self.known(exchange, snapshot)
        except PorticoError:
            return False
        if known is None or known.counts or not known.route.modelled:
            return False
        body = exchange.content(snapshot.limits.body)
        if body is None:
            return False
        Course(self, exchange, Call(known.route, exchange.received_ns), snapshot, known).set_off(body)
        return True

    def known(self, exchange: Exchange, snapshot: Snapshot) -> Known | None:
        """Return what a head says, None where it is of no call. Raises PorticoError."""
        known = exchange.head.memo
        if isinstance(known, Known) and known.edition == snapshot.edition:
            return known
        found = snapshot.route(exchange.method, exchange.target)
        if found is None:
            return None
        if found.found is not None:
            found = own.addressed(found, exchange.path, exchange.fields)
        known = exchange.head.memo = Known(snapshot.edition, found)
        return known

    def end(self, call: Call) -> None:
        """Put a call that is over in the books, if it is not yet, and tell whoever wants to know."""
        if not call.ended:
            self.settling.end(call)
        if call.waits is not None:
            call.waits.terms.ended(call)
        if call.trial is not None:
            judge(call, call.trial)


class Course(Waiting):
    """One call on its way: what was found out, and how far it has come.

    `outgoing` is what goes to `targets`, once that is known. `asked` is what the books were asked for, `refusal` what
    they answered to it. `arrival` is the first reply, and `stood` whether it is an answer; `kept` is the name that its
    provider keeps it under, which is to be remembered first. `error` is what has gone wrong.
    """

    __slots__ = (
        "_desk",
        "_over",
        "arrival",
        "asked",
        "call",
        "error",
        "exchange",
        "kept",
        "known",
        "outgoing",
        "refusal",
        "snapshot",
        "stood",
        "targets",
    )

    def __init__(self, desk: Desk, exchange: Exchange, call: Call, snapshot: Snapshot, known: Known) -> None:
        self._desk = desk
        self._over = False  # whether nothing is waited for here any more
        self.exchange = exchange
        self.call = call
        self.snapshot = snapshot
        self.known = known
        self.outgoing: Outgoing | None = None
        self.targets: Sequence[Target] = ()
        self.asked: Admission | None = None
        self.refusal: Refusal | None = None
        self.arrival: Arrival | None = None
        self.stood = False
        self.kept: str | None = None
        self.error: Exception | None = None

    def __repr__(self) -> str:
        return f"<Course of {self.call!r}>"

    # The steps

    def authenticate(self) -> own.Begun | None:
        """Find out who calls, and what holds for its team; return the upload that it goes on with.

        Raises PorticoError.
        """
        call, known, desk, snapshot = self.call, self.known, self._desk, self.snapshot
        exchange, route = self.exchange, call.route
        upload = own.begun(desk.state, route, exchange.query) if route.found is not None else None
        if not known.hashed:
            stand_in = upload[1].key if upload is not None else b""
            known.read(exchange.head, snapshot.keys, snapshot.routes.headers, stand_in)
            known.litellm = known.litellm or snapshot.config.server.litellm_headers
        if known.held == desk.seen:
            who = known.who
            assert who is not None
            call.come(who)
            holder = who.holder
        else:
            now = call.arrived_ms / 1000
            holder = call.caller = authenticate(known.hashed, snapshot.keys, call.operation.name, exchange, now)
            if unconditional(holder):
                who = call.who
                assert who is not None
                known.hold(who, desk.seen)
                if snapshot.teams is None and not known.litellm and route.modelled:
                    known.settled = desk.seen
        if snapshot.teams is not None:
            snapshot = self.snapshot = snapshot.of(holder.team)
        if known.litellm:
            from portico.calls.litellm_headers import LiteLLMHeaders

            call.litellm = LiteLLMHeaders(snapshot, desk.state, desk.now)
        if route.provider is not None:
            snapshot.keys.check_passthrough(holder, route.provider)
        return upload

    def plan(self, body: bytes | mmap.mmap) -> Outgoing:
        """Say what goes out and where, and return the former. Raises PorticoError."""
        call, snapshot, known, desk = self.call, self.snapshot, self.known, self._desk
        outgoing, targets = planned(self.exchange, call, snapshot, known, body, desk.draw, desk.now)
        if call.refers:
            assert call.caller is not None
            targets = own.continued(desk.state, call.caller, call.refers, targets)
        if snapshot.terms is not None:
            call.waits = snapshot.terms.waits(known.priority, snapshot.policy.deadline)
        desk.settling.check()
        if len(targets) > 1:
            if known.counts:
                targets = [each for each in targets if each.stands_in(call.operation.name, False)] or targets
            targets = in_turn(targets)  # the call is admitted by the rules of the first that has room
        self.outgoing, self.targets = outgoing, targets
        return outgoing

    def ask(self, outgoing: Outgoing) -> Admission | None:
        """Return what to ask the books for; None where the call has its permit already, as no rule counts it."""
        desk = self._desk
        asked = self.asked = admission(self.call, outgoing, self.targets, self.snapshot.bounds, desk.state, desk.now)
        return asked

    def take(self, arrival: Arrival, outgoing: Outgoing) -> bool:
        """Look at what the first target has answered; return whether it stands."""
        call = self.call
        call.waited_ns += arrival.here_ns - arrival.sent_ns
        stood = self.stood = stands(arrival, call.attempts[-1], self.targets[0], outgoing)
        return stood

    def drop(self, arrival: Arrival, error: BaseException) -> None:
        """Give up what the first target was asked, as the call ends."""
        give_up(arrival, self.call.attempts[-1], self.targets[0], self.call, error)

    def served(self, arrival: Arrival, target: Target, outgoing: Outgoing) -> "Translation | Errand | None":
        """Note on the call who has answered it; return what translates the answer, where something has to."""
        call = self.call
        call.status = arrival.status
        call.first_byte_ns = arrival.here_ns
        translation = outgoing.translations.get(target) if outgoing.translations else None
        if translation is not None:
            call.dropped = translation.dropped
        if call.stores and (translation is not None or "responses" not in target.upstream.provider.objects):
            call.stores = False
        return translation

    # Without a task

    def set_off(self, body: bytes) -> None:
        """Take the steps, as far as they go without waiting."""
        call = self.call
        self.exchange.waiting = self
        try:
            if self.known.settled == self._desk.seen:
                who = self.known.who
                assert who is not None
                call.come(who)
            else:
                self.authenticate()
            outgoing = self.plan(body)
            if call.wish is not None or (call.waits is not None and call.waits.busy) or self._accompanied():
                self._hand_over()
                return
            asked = self.ask(outgoing)
            if asked is None:
                self._attempt(outgoing)
            else:
                self._desk.state.ask(asked, self)
        except Exception as error:
            self._fail(error)

    def _accompanied(self) -> bool:
        """Return whether others may be asked while the first target is: a hedge, or one that gets a copy."""
        snapshot = self.snapshot
        detour = detour_of(self.call, snapshot) if snapshot.detours is not None else None
        return detour is not None and (detour.hedging is not None or detour.shadow is not None)

    def done(self) -> bool:
        """Return whether the permit is not waited for any more: the caller is gone."""
        return self._over

    def set_result(self, answer: Permit | Refusal) -> None:
        """Go on with what the books have answered."""
        outgoing = self.outgoing
        assert outgoing is not None
        if not isinstance(answer, Permit):
            self.refusal = answer
            self._hand_over()
            return
        self.call.permit = answer
        try:
            self._attempt(outgoing)
        except Exception as error:
            self._fail(error)

    def set_exception(self, error: Exception) -> None:
        """Take why nothing could be booked."""
        self._fail(error)

    def _attempt(self, outgoing: Outgoing) -> None:
        self.call.end = "failed"
        arrival = self.arrival = at_once(self.targets[0], outgoing, self.call, self.snapshot.policy)
        if arrival is None:
            self._hand_over()
        elif arrival.here_ns:
            self.arrived()
        else:
            arrival.waiting = self

    def arrived(self) -> None:
        """Go on with what the first target has answered."""
        if self._over:
            return
        outgoing, arrival, exchange, call = self.outgoing, self.arrival, self.exchange, self.call
        assert outgoing is not None
        assert arrival is not None
        try:
            if not self.take(arrival, outgoing) or (arrival.streaming and not (arrival.ended and not arrival.pieces)):
                self._hand_over()
                return
            target = self.targets[0]
            call.target = call.target or target.name
            translation = self.served(arrival, target, outgoing)
            if translation is not None and (
                call.stream or translation.more or arrival.status >= 400 or call.operation.name in TASKS
            ):
                self._hand_over()
                return
            settling = self._desk.settling
            if translation is not None:
                answer_plainly(settling, exchange, call, arrival, target, cast("Translation", translation))
            else:
                self.kept = answer(settling, exchange, call, arrival, target)
                if self.kept is not None:
                    self._hand_over()
                    return
            self._desk.end(call)
            self._over = True
            exchange.waiting = None
        except Exception as error:
            self._fail(error)

    def gone(self) -> None:
        """End a call whose caller has hung up."""
        call, arrival = self.call, self.arrival
        self._over = True
        if arrival is not None:
            self.drop(arrival, asyncio.CancelledError())
        call.status, call.error, call.end = 499, "caller_gone", "cut"
        self._desk.end(call)

    def _fail(self, error: Exception) -> None:
        if self.exchange.finished:
            log.error("what follows the reply of %r failed", self.call, exc_info=error)  # nobody else is to be told
            self._over = True
            self.exchange.waiting = None
            return
        self.error = error
        self._hand_over()

    def _hand_over(self) -> None:
        if not self._over:
            self._over = True
            self.exchange.hand_over(self)
