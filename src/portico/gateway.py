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
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from portico.call import Call, Extend
from portico.calls.arriving import arrived
from portico.calls.course import Course, Desk
from portico.calls.known import Known
from portico.calls.planning import detour_of, elsewhere
from portico.calls.replying import Replies
from portico.calls.streaming import stream
from portico.calls.whole import answer, signature
from portico.config.schema import Config
from portico.dialects.errors import render_error
from portico.dialects.models import render_model, render_models, style
from portico.errors import (
    ModelNotFound,
    NotFound,
    PorticoError,
    StateUnavailable,
    untraced,
)
from portico.journal.journal import Journal
from portico.probes import READY, probe, without_control
from portico.queues import Queues
from portico.records import Records
from portico.room import extender, permitted
from portico.rules import Bound
from portico.snapshot import Snapshot, made_ready
from portico.stages.plan import retries_of
from portico.stages.settle import Settling
from portico.state.clock import Turn, moment
from portico.state.contract import Moment, State
from portico.state.memory import MemoryState
from portico.state.supplies import Supplies
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import Elsewhere, attempt_all
from portico.upstream.caches import Caches
from portico.upstream.first import at_once
from portico.upstream.health import Healths
from portico.upstream.hedge import Hedging
from portico.upstream.outgoing import Outgoing
from portico.upstream.relay import Relay
from portico.upstream.retry import Policy
from portico.upstream.shared import SharedRests
from portico.upstream.target import Target
from portico.wire.client import Client
from portico.wire.cors import preflight
from portico.wire.exchange import Exchange

if TYPE_CHECKING:
    from portico.calls.objects import ObjectCalls
    from portico.calls.resuming import Resuming
    from portico.calls.shadow import Shadows
    from portico.dialects.tasks import Errand
    from portico.dialects.translate import Translation
    from portico.upstream.rollouts import Rollouts

ONE_TRY = Policy()
"""A request that passes through is tried once."""
log = logging.getLogger("portico.gateway")


class Gateway:
    """Answers calls. `relay` is the path of the control process's socket, None for no control.

    `rests` is the path of what the workers of this machine tell each other of targets and keys that rest; what they
    know of canaries is in the folder `canaries` beside it.
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
        turn = Turn(now)
        self.settling = Settling(self.state, journal, turn, durable=config.logs.fsync == "group")
        self.state.before_settling = self.settling.flush
        self._secret = secret if secret is not None else os.urandom(32)
        self._now = now
        self.healths = Healths(shared=SharedRests(rests) if rests is not None else None)
        self._canaries = rests.with_name("canaries") if rests is not None else None
        self._rollouts: Rollouts | None = None
        if rests is not None:
            self.healths.caches = Caches(rests.with_name("prompts"))
        self._queues = Queues(rests.with_name("slots") if rests is not None else None)
        seen = self.state.version
        self.desk = Desk(self._made(config, version), seen, self.state, self.settling, turn)
        self.begin = self.desk.begin
        self._descriptor = records
        self._lines: Records | None = None
        self.settling.records = self._records_for(config)
        self.ready = False
        self._relay = Relay(self.client, relay) if relay is not None else None
        self._shadows: Shadows | None = None
        self._replies = Replies(self.state, self.settling, self.client.fetch)
        self._objects: ObjectCalls | None = None

    @property
    def snapshot(self) -> Snapshot:
        """What calls go by that begin now."""
        return self.desk.snapshot

    @property
    def records(self) -> Records:
        """The lines of calls on standard output."""
        return self.settling.records

    async def start(self) -> None:
        """Begin to say that calls can be served."""
        self._queues.adopt(self.snapshot.config, self.snapshot.edition)
        if self.snapshot.bounds.any():
            # The first call under a limit need not wait for what bounds it.
            import portico.providers.bounds as bounds

            bounds.table()
        self.ready = True

    async def swap(self, config: Config, version: int | None = None) -> None:
        """Put another configuration in force for the calls to come; ConfigError leaves the old one in force."""
        self._adopt(config, version or self.snapshot.version + 1)
        self._queues.adopt(config, self.snapshot.edition)
        self.settling.records = self._records_for(config)
        if self.settling.durable != (config.logs.fsync == "group"):
            log.warning("logs.fsync changed, which takes a restart; the value in force stays until then")

    def _made(self, config: Config, version: int) -> Snapshot:
        """Return a configuration made ready for calls, with the prices and keys of providers that state has now."""
        supplies = self.state.supplies()
        rollouts = self._rolling() if any(model.canary for model in config.models.values()) else None
        given = (self.client, self.state, self._secret, version, self.healths)
        try:
            made = made_ready(config, *given, supplies, self._queues, rollouts)
        except StateUnavailable as error:
            log.error("%s; they are not used", error)
            known = Supplies(supplies.prices)
            made = made_ready(config, *given, known, self._queues, rollouts)
            made.supplies = supplies
        return made

    def _adopt(self, config: Config, version: int) -> None:
        """Put this in force for the calls to come, with what state has now."""
        seen = self.state.version
        self.desk.snapshot = self._made(config, version)
        self.desk.seen = seen

    def _rolling(self) -> "Rollouts":
        """Return the canaries of this machine, loaded where there is one."""
        if self._rollouts is None:
            from portico.journal.entries import Event
            from portico.upstream.rollouts import Rollouts

            def note(name: str, about: dict[str, str | int | float | bool | None]) -> None:
                self.settling.note(Event(name, self._now().wall_ns // 1_000_000, about))

            self._rollouts = Rollouts(self._canaries, note)
        return self._rollouts

    def _look_again(self) -> Snapshot:
        """Return what the next calls go by, once something was put into state."""
        snapshot = self.snapshot
        seen = self.state.version
        if self.state.supplies() != snapshot.supplies:
            try:
                self._adopt(snapshot.config, snapshot.version)
            except PorticoError as error:
                log.error("prices and keys of providers that were set cannot be used: %s", error)
        self.desk.seen = seen
        return self.snapshot

    def _records_for(self, config: Config) -> Records:
        if config.logs.calls != "stdout":
            return Records(None)
        if self._lines is None:
            self._lines = Records(self._descriptor)
        return self._lines

    def drain(self, seconds: float) -> None:
        """Let no call wait for its turn past the end of this worker, in so many seconds."""
        self._queues.drain(seconds)

    async def close(self) -> None:
        """Close the connections to providers and write the last records."""
        self.ready = False
        if self._shadows is not None:
            await self._shadows.close()
        await self.client.close()
        self.settling.close()
        self._queues.close()
        if self._lines is not None:
            self._lines.close()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request: from its beginning, or from where its course has got to (see `Desk.begin`)."""
        course = exchange.begun if exchange.begun is not None else await self._course(exchange)
        exchange.begun = None
        if not isinstance(course, Course):
            return
        call, known, snapshot, outgoing = course.call, course.known, course.snapshot, course.outgoing
        try:
            if course.error is not None:
                raise course.error
            if outgoing is None:
                upload = course.authenticate()
                snapshot = course.snapshot
                if call.operation.local and call.route.provider is None:
                    self._list(exchange, call, snapshot)
                    return
                if call.route.found is not None:
                    await self._object_calls().answer(exchange, call, snapshot, known, upload)
                    return
                content = exchange.content(snapshot.limits.body)
                outgoing = course.plan(content if content is not None else await arrived(exchange, call, snapshot))

            if call.permit is None and (asked := course.asked or course.ask(outgoing)) is not None:
                given = (call, outgoing, course.targets, snapshot.bounds, self.state, self._now)
                course.targets = await permitted(asked, *given, refusal=course.refusal)
            if course.arrival is None:
                call.end = "failed"

            targets = course.targets
            target = targets[0]
            if known.counts and target.stands_in(call.operation.name, False) is None:
                await self._replies.estimate(exchange, call, outgoing, target)  # nobody counts
                return

            policy, others, hedging = snapshot.policy, None, None
            if call.wish is not None or snapshot.detours is not None or call.route.provider is not None:
                policy, others, hedging = self._ways_on(call, outgoing, snapshot, known)
            arrival = course.arrival
            if arrival is None and hedging is None:
                arrival = at_once(target, outgoing, call, policy)
                if arrival is not None:
                    try:
                        await arrival.here
                    except BaseException as error:
                        course.drop(arrival, error)
                        raise
                    course.take(arrival, outgoing)
            if arrival is None or not course.stood:
                extend = self._extender(call, outgoing, targets, snapshot)
                fetch = self.client.fetch
                arrival, target = await attempt_all(
                    targets, outgoing, call, policy, fetch, extend, others, hedging, arrival
                )
                if outgoing.asks_usage and target.asks_usage and refuses_question(arrival):
                    target.asks_usage = False
                    arrival, target = await attempt_all((target,), outgoing, call, policy, fetch, extend)
            call.target = call.target or target.name
            if arrival.error is not None and not course.stood:
                raise arrival.error
            if known.counts and cannot_count(arrival):
                await self._replies.estimate(exchange, call, outgoing, target)
                return

            translation = course.served(arrival, target, outgoing)
            if arrival.streaming and not (arrival.ended and not arrival.pieces):
                resuming = None
                if outgoing.goes_on(target):
                    resuming = self._resuming(call, outgoing, targets, snapshot, policy, translation)
                await stream(self._replies, exchange, call, arrival, target, translation, outgoing, resuming)
            elif translation is not None:
                more: list[Arrival] = []
                if translation.more and arrival.status < 400:
                    extend = self._extender(call, outgoing, targets, snapshot)
                    more = await self._replies.others(call, outgoing, target, translation, policy, extend)
                await self._replies.answer_translated(exchange, call, arrival, target, translation, more)
            elif (kept := course.kept or answer(self.settling, exchange, call, arrival, target)) is not None:
                await self._replies.answer_stored(exchange, call, arrival, target, kept)
        except PorticoError as error:
            await self._replies.refuse(exchange, call, untraced(error))
        except asyncio.CancelledError:
            if not call.delivered:
                call.status, call.error, call.end = 499, "caller_gone", "cut"
            raise
        except BaseException:
            call.status, call.error, call.end = 500, "internal_error", "failed"
            raise
        finally:
            self.desk.end(call)
            if call.shadow is not None:
                self._shadowing().follow(call.shadow, call)

    async def _course(self, exchange: Exchange) -> Course | None:
        """Return the course of a request that nothing was begun of; None where it is no call, and was answered."""
        snapshot = self.snapshot if self.state.version == self.desk.seen else self._look_again()
        if snapshot.config.server.cors is not None and preflight(exchange):
            return None
        try:
            known = self.desk.known(exchange, snapshot)
        except PorticoError as error:
            refuse(exchange, error)
            return None
        if known is None:
            await self._other(exchange)
            return None
        return Course(self.desk, exchange, Call(known.route), snapshot, known)

    def _extender(self, call: Call, outgoing: Outgoing, targets: Sequence[Target], snapshot: Snapshot) -> Extend:
        return extender(call, outgoing, targets, snapshot.bounds, self.state, self._now)

    def _ways_on(
        self, call: Call, outgoing: Outgoing, snapshot: Snapshot, known: Known
    ) -> tuple[Policy, Elsewhere | None, Hedging | None]:
        """Return how often a call is tried, where else it may go, and when a second target is asked."""
        if call.route.provider is not None:
            return ONE_TRY, None, None
        policy, wish = snapshot.policy, call.wish
        if wish is not None:
            policy = policy.wanted(retries_of(policy.retries, wish), wish.timeout, wish.fall_back_on)
        detour = detour_of(call, snapshot)
        if detour is None:
            return policy, None, None
        if detour.shadow is not None:
            call.shadow = self._shadowing().begun(detour.shadow, call, outgoing, self.snapshot, known.said)
        return policy, elsewhere(detour, call, outgoing, known, snapshot, self.desk.draw, self._now), detour.hedging

    def _object_calls(self) -> "ObjectCalls":
        """Return what answers calls about objects, loaded for the first of them."""
        if self._objects is None:
            from portico.calls.objects import ObjectCalls

            self._objects = ObjectCalls(self.state, self.settling, self.client.fetch, self._now, self._replies)
        return self._objects

    def _shadowing(self) -> "Shadows":
        """Return what copies calls, loaded when the first one is to be copied."""
        if self._shadows is None:
            from portico.calls.shadow import Shadows

            self._shadows = Shadows(self.state, self.settling, self.client.fetch, self._now, self.desk.draw)
        return self._shadows

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
        from portico.calls.resuming import Resuming
        from portico.dialects.resume.answer import Answer

        def extending(bound: Bound) -> Extend:
            return extender(call, outgoing, targets, snapshot.bounds, self.state, self._now, bound)

        assert isinstance(translation, Answer), "what can be gone on with is translated"
        return Resuming(translation, call, outgoing, targets, policy, self.client.fetch, extending)

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
            listed = dict(named)
            owner = listed.get(call.model or "") or listed.get(snapshot.routes.bare(call.model or "") or "")
            if owner is None:
                raise ModelNotFound(f"no model is named {call.model!r} here", param="model")
            body = render_model(shape, call.model or "", owner)
        call.status, call.end = 200, "served"
        exchange.reply(200, [(b"content-type", b"application/json")], body, signature(call))

    async def _other(self, exchange: Exchange) -> None:
        """Answer health checks, and pass on everything else to control."""
        path = exchange.path
        rebuilding = not self.state.rebuilt
        told = probe(path, serving=self.ready, rebuilding=rebuilding, version=self.snapshot.version)
        if told is not None:
            exchange.reply(told[0], [(b"content-type", b"application/json")], told[1])
            return
        try:
            if self._relay is None or path == "*":
                raise NotFound(f"there is nothing at {path!r}")
            await self._relay.handle(exchange)
        except PorticoError as error:
            if exchange.started:
                exchange.abort()
            elif path == READY:
                status, body = without_control()
                exchange.reply(status, [(b"content-type", b"application/json")], body)
            else:
                refuse(exchange, error)


def refuse(exchange: Exchange, error: PorticoError) -> None:
    """Answer a request that is no call of any dialect with an error, in the shape that its sender reads."""
    exchange.reply(*render_error(style(exchange.path, exchange.fields), error, ""))


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
