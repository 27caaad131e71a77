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
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from portico.call import Call, Extend
from portico.calls.arriving import arrived
from portico.calls.known import Known
from portico.calls.planning import elsewhere, planned
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
from portico.plan.canary import judge
from portico.probes import READY, probe, without_control
from portico.queues import Queues
from portico.records import Records
from portico.room import extender
from portico.rules import Bound
from portico.snapshot import Snapshot, made_ready
from portico.stages import own
from portico.stages.admit import admit
from portico.stages.authenticate import authenticate, unconditional
from portico.stages.plan import retries_of
from portico.stages.settle import Settling
from portico.state.clock import moment
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
from portico.upstream.trial import give_up, stands
from portico.upstream.turns import in_turn
from portico.wire.client import Client
from portico.wire.cors import preflight
from portico.wire.exchange import Exchange

if TYPE_CHECKING:
    from portico.calls.litellm_headers import LiteLLMHeaders
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
        self.settling = Settling(self.state, journal, now, durable=config.logs.fsync == "group")
        self.state.before_settling = self.settling.flush
        self._secret = secret if secret is not None else os.urandom(32)
        self._now = now
        self._seen = -1
        self.healths = Healths(shared=SharedRests(rests) if rests is not None else None)
        self._canaries = rests.with_name("canaries") if rests is not None else None
        self._rollouts: Rollouts | None = None
        if rests is not None:
            self.healths.caches = Caches(rests.with_name("prompts"))
        self._queues = Queues(rests.with_name("slots") if rests is not None else None)
        self.snapshot = self._made(config, version)
        self._descriptor = records
        self._lines: Records | None = None
        self.settling.records = self._records_for(config)
        self.ready = False
        self._relay = Relay(self.client, relay) if relay is not None else None
        self._draw: Callable[[], float] = random.random
        self._shadows: Shadows | None = None
        self._replies = Replies(self.state, self.settling, self.client.fetch)
        self._objects: ObjectCalls | None = None

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
        self.snapshot = self._made(config, version or self.snapshot.version + 1)
        self._queues.adopt(config, self.snapshot.edition)
        self.settling.records = self._records_for(config)
        if self.settling.durable != (config.logs.fsync == "group"):
            log.warning("logs.fsync changed, which takes a restart; the value in force stays until then")

    def _made(self, config: Config, version: int) -> Snapshot:
        """Return a configuration made ready for calls, with the prices and keys of providers that state has now."""
        seen = self.state.version
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
        self._seen = seen
        return made

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
                snapshot = self.snapshot = self._made(snapshot.config, snapshot.version)
            except PorticoError as error:
                log.error("prices and keys of providers that were set cannot be used: %s", error)
        self._seen = seen
        return snapshot

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
        """Answer one request."""
        snapshot = self.snapshot if self.state.version == self._seen else self._look_again()
        known = exchange.head.memo
        if type(known) is not Known or known.edition != snapshot.edition:
            known = await self._known(exchange, snapshot)
            if known is None:
                return
        route = known.route
        call = Call(route)
        try:
            if known.settled == self._seen:
                call.caller = known.holder
            else:
                snapshot, upload = self._authenticated(exchange, call, snapshot, known)
                if call.operation.local and route.provider is None:
                    self._list(exchange, call, snapshot)
                    return
                if route.found is not None:
                    await self._object_calls().answer(exchange, call, snapshot, known, upload)
                    return

            content = exchange.content(snapshot.limits.body)
            body = content if content is not None else await arrived(exchange, call, snapshot)
            outgoing, targets = planned(exchange, call, snapshot, known, body, self._draw, self._now)
            if call.refers:
                assert call.caller is not None
                targets = own.continued(self.state, call.caller, call.refers, targets)

            if snapshot.terms is not None:
                call.waits = snapshot.terms.waits(known.priority, snapshot.policy.deadline)
            self.settling.check()
            if len(targets) > 1:
                if known.counts:
                    targets = [each for each in targets if each.stands_in(call.operation.name, False)] or targets
                targets = in_turn(targets)  # the call is admitted by the rules of the first that has room
            waiting = admit(call, outgoing, targets, snapshot.bounds, self.state, self._now)
            if waiting is not None:
                targets = await waiting
            call.end = "failed"

            if known.counts and targets[0].stands_in(call.operation.name, False) is None:
                await self._replies.estimate(exchange, call, outgoing, targets[0])  # nobody counts
                return

            policy, others, hedging = snapshot.policy, None, None
            if call.wish is not None or snapshot.detours is not None or route.provider is not None:
                policy, others, hedging = self._ways_on(call, outgoing, snapshot, known)
            target = targets[0]
            arrival = at_once(target, outgoing, call, policy) if hedging is None else None
            if arrival is not None:
                note = call.attempts[-1]
                try:
                    await arrival.here
                except BaseException as error:
                    give_up(arrival, note, target, call, error)
                    raise
                call.waited_ns += arrival.here_ns - arrival.sent_ns
            if arrival is None or not stands(arrival, note, target, outgoing):
                extend = self._extender(call, outgoing, targets, snapshot)
                fetch = self.client.fetch
                arrival, target = await attempt_all(
                    targets, outgoing, call, policy, fetch, extend, others, hedging, arrival
                )
                if outgoing.asks_usage and target.asks_usage and refuses_question(arrival):
                    target.asks_usage = False
                    arrival, target = await attempt_all((target,), outgoing, call, policy, fetch, extend)
            call.target = call.target or target.name
            if arrival.error is not None:
                raise arrival.error
            if known.counts and cannot_count(arrival):
                await self._replies.estimate(exchange, call, outgoing, target)
                return

            call.status = arrival.status
            call.first_byte_ns = arrival.here_ns
            translation = outgoing.translations.get(target) if outgoing.translations else None
            if translation is not None:
                call.dropped = translation.dropped
            if call.stores and (translation is not None or "responses" not in target.upstream.provider.objects):
                call.stores = False
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
            elif (kept := answer(self.settling, exchange, call, arrival, target)) is not None:
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
            if not call.ended:
                self.settling.end(call)
            if call.waits is not None:
                call.waits.terms.ended(call)
            if call.trial is not None:
                judge(call, call.trial)
            if call.shadow is not None:
                self._shadowing().follow(call.shadow, call)

    async def _known(self, exchange: Exchange, snapshot: Snapshot) -> Known | None:
        """Return what a head says that was not seen before, None where it is no call, and was answered."""
        try:
            found = snapshot.route(exchange.method, exchange.target)
        except PorticoError as error:
            if snapshot.config.server.cors is None or not preflight(exchange):
                refuse(exchange, error)
            return None
        if snapshot.config.server.cors is not None and preflight(exchange):
            return None
        if found is None:
            await self._other(exchange)
            return None
        if found.found is not None:
            found = own.addressed(found, exchange.path, exchange.fields)
        known = exchange.head.memo = Known(snapshot.edition, found)
        return known

    def _authenticated(
        self, exchange: Exchange, call: Call, snapshot: Snapshot, known: Known
    ) -> tuple[Snapshot, own.Begun | None]:
        """Find out who calls; return what holds for its team, and the upload that it goes on with."""
        route = call.route
        upload = own.begun(self.state, route, exchange.query) if route.found is not None else None
        if not known.hashed:
            stand_in = upload[1].key if upload is not None else b""
            known.read(exchange.head, snapshot.keys, snapshot.routes.headers, stand_in)
            known.litellm = known.litellm or snapshot.config.server.litellm_headers
        if known.held == self._seen:
            holder = call.caller = known.holder
            assert holder is not None
        else:
            now = call.arrived_ms / 1000
            holder = call.caller = authenticate(known.hashed, snapshot.keys, call.operation.name, exchange, now)
            if unconditional(holder):
                known.hold(holder, self._seen)
                if snapshot.teams is None and not known.litellm and route.modelled:
                    known.settled = self._seen
        if snapshot.teams is not None:
            snapshot = snapshot.of(holder.team)
        if known.litellm:
            call.litellm = self._litellm_headers(snapshot)
        if route.provider is not None:
            snapshot.keys.check_passthrough(holder, route.provider)
        return snapshot, upload

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
        if snapshot.detours is None or call.refers:
            return policy, None, None
        model = call.model or ""
        detour = snapshot.detours.of(model)
        if detour is None and (entry := snapshot.routes.makers_entry(model, call.operation.name)) is not None:
            detour = snapshot.detours.of(entry)
        if detour is None:
            return policy, None, None
        if detour.shadow is not None:
            call.shadow = self._shadowing().begun(detour.shadow, call, outgoing, self.snapshot, known.said)
        return policy, elsewhere(detour, call, outgoing, known, snapshot, self._draw, self._now), detour.hedging

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

            self._shadows = Shadows(self.state, self.settling, self.client.fetch, self._now, self._draw)
        return self._shadows

    def _litellm_headers(self, snapshot: Snapshot) -> "LiteLLMHeaders":
        from portico.calls.litellm_headers import LiteLLMHeaders

        return LiteLLMHeaders(snapshot, self.state, self._now)

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
