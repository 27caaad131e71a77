"""Copies of calls for another target, made once their callers have their answers: charged apart, compared, recorded.

    copy = shadows.begun(said, call, outgoing, snapshot, headers)    while the call is planned; None for most
    copy.reply = …                                                   what its caller got
    shadows.follow(copy, call)                                       at its end: the copy is sent, or let go

A copy is a call of its own: with a permit under the key `shadow` (and the team that pays), and one record, which names
the call that it is of. Nothing that happens to it reaches a caller. How many there are at once is bounded, and with it
what they hold; those that are left out are counted, and events say how many there were.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

import msgspec

from portico.call import Call
from portico.config import schema
from portico.config.declared import holder
from portico.config.meaning import SHADOW
from portico.dialects.limits import overlaid
from portico.dialects.operations import Operation
from portico.dialects.passed import Passed
from portico.dialects.stand_ins import CONVERSATIONS
from portico.dialects.usage import observer, read_usage
from portico.errors import BadUpstreamReply, BudgetExceeded, LimitExceeded, PorticoError, UnboundedCall
from portico.journal.entries import Event
from portico.providers.auth.scheme import Fetch
from portico.record import COPY, Compared, Side
from portico.room import extender
from portico.rules import Holder
from portico.snapshot import Snapshot
from portico.stages.admit import admit
from portico.stages.plan import Said, plan_elsewhere
from portico.stages.settle import Settling, settle, settle_stream
from portico.state.contract import Moment, State
from portico.upstream.arrival import Arrival
from portico.upstream.attempt import attempt_all
from portico.upstream.outgoing import Outgoing
from portico.upstream.retry import Policy
from portico.upstream.target import Target, Upstream

if TYPE_CHECKING:
    from portico.dialects.gist import Gist
    from portico.dialects.translate import Translation

LARGEST: Final = 1024 * 1024
"""Bytes of a request, and of an answer, up to which calls are copied and answers compared."""
MOST: Final = 4 * LARGEST
"""Bytes of a copy's answer that are held: a longer one has failed."""
COPIED: Final = CONVERSATIONS - {"completions"}
"""Operations that are copied: conversations."""
QUIET: Final = 60.0
"""Seconds between two events that say how many copies were left out."""
TRIED_ONCE: Final = schema.Retries(on=())
NOT: Final = msgspec.Raw(b"false")

log = logging.getLogger("portico.shadow")


class Copy:
    """A call that is to be copied. `reply` is what came for its caller, None where that is not held.

    `payer` is who is charged. `caller` is what the call came to, once it has ended; `dialects` are operations in whose
    words the reply may be: a stream is held as its provider said it. `theirs` are the providers as the caller's team
    has them, None where it has no keys of its own.
    """

    __slots__ = ("caller", "dialects", "head", "name", "outgoing", "payer", "reply", "said", "snapshot", "theirs")

    def __init__(
        self,
        name: str,
        said: schema.Shadow,
        outgoing: Outgoing,
        snapshot: Snapshot,
        head: Said | None,
        payer: Holder,
    ) -> None:
        self.payer = payer
        self.name = name
        self.said = said
        self.outgoing = outgoing
        self.snapshot = snapshot
        self.head = head
        self.caller = Side("")
        self.theirs: Mapping[str, Upstream] | None = None
        self.reply: bytes | None = None
        self.dialects: list[Operation] = [outgoing.operation]

    def __repr__(self) -> str:
        return f"<Copy for {self.said.to!r}>"


class Shadows:
    """All copies of a worker that are under way."""

    def __init__(
        self, state: State, settling: Settling, fetch: Fetch, now: Callable[[], Moment], draw: Callable[[], float]
    ) -> None:
        self._state = state
        self._settling = settling
        self._fetch = fetch
        self._now = now
        self._draw = draw
        self._under_way: Counter[str] = Counter()
        self._left_out: dict[str, Counter[str]] = {}
        self._said = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Shadows {sum(self._under_way.values())} under way>"

    def begun(
        self, said: schema.Shadow, call: Call, outgoing: Outgoing, snapshot: Snapshot, head: Said | None
    ) -> Copy | None:
        """Return the copy that a call is to have, None for none: by chance, and where there is room for one more.

        `snapshot` is that of all, not the caller's team's: its own keys for providers are not to pay for copies.
        """
        if self._draw() >= said.share or call.operation.name not in COPIED or call.refers or call.background:
            return None
        name = call.model or ""
        if not isinstance(outgoing.body, bytes) or len(outgoing.body) > LARGEST:
            self._leave_out(name, "large")
            return None
        if self._under_way[name] >= said.at_once:
            self._leave_out(name, "crowded")
            return None
        self._under_way[name] += 1
        copy = Copy(name, said, outgoing, snapshot.of(said.team), head, payer(said.team, snapshot.config, call.caller))
        theirs = snapshot.of(call.caller.team if call.caller is not None else None)
        copy.theirs = theirs.upstreams if theirs is not snapshot else None
        return copy

    def follow(self, copy: Copy, call: Call) -> None:
        """Send the copy of a call that has ended, if its caller was served; and let its place go when it has ended."""
        if call.end != "served" or call.status >= 400 or copy.reply is None:
            self._under_way[copy.name] -= 1
            return
        if len(copy.reply) > LARGEST:
            self._under_way[copy.name] -= 1
            self._leave_out(copy.name, "large")
            return
        task = asyncio.get_running_loop().create_task(self._run(copy, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way: each copy is recorded as it stands."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tell()

    async def _run(self, copy: Copy, call: Call) -> None:
        own = self._call(copy, call)
        try:
            target = self._target(copy, call)
            if target is None:
                own.ended = True
                return
            await self._ask(copy, own, target)
        except PorticoError as error:
            own.status, own.error, own.message = error.status, error.code, error.message[:1000]
            if own.permit is None:
                refused = isinstance(error, (BudgetExceeded, LimitExceeded, UnboundedCall))
                self._leave_out(copy.name, "budget" if refused else error.code)
                own.ended = True  # nothing was asked of anybody: there is nothing to record
        except asyncio.CancelledError:
            own.status, own.error, own.end = 499, "shutting_down", "cut"
            raise
        except Exception:
            # Whatever it is, it is no caller's business; a permit that is open is settled all the same.
            log.exception("a copy of the call %s failed", call.id)
            own.status, own.error, own.end = 500, "internal_error", "failed"
        finally:
            self._under_way[copy.name] -= 1
            self._settling.end(own)

    def _target(self, copy: Copy, call: Call) -> Target | None:
        """Return where a copy goes, by all that holds for its call too; None for nowhere, which is counted."""

        def budget_left(target: Target) -> float:
            return copy.snapshot.bounds.least_left(call, target, self._now())

        routes, names = copy.snapshot.routes, (copy.said.to,)
        if copy.payer.blocked:
            self._leave_out(copy.name, "blocked")
            return None
        found = plan_elsewhere(call, copy.outgoing, routes, copy.head, names, self._draw, budget_left)
        targets = [target for target in found if target.name != call.target]
        if not targets:
            self._leave_out(copy.name, "no_target")
            return None
        upstream = targets[0].upstream
        if copy.theirs is not None and copy.theirs.get(upstream.name) is not upstream:
            # What the caller's team sends to this provider goes out with the team's own key and no other, and that is
            # not to pay for copies.
            self._leave_out(copy.name, "own_key")
            return None
        if not targets[0].health.admits(perf_counter_ns() * 1e-9):
            self._leave_out(copy.name, "resting")
            return None
        if not spare(targets[0]):
            self._leave_out(copy.name, "full")
            return None
        return targets[0]

    def _call(self, copy: Copy, call: Call) -> Call:
        """Return the call that a copy is."""
        copy.caller = side(call)
        crossed = [made.upstream for to, made in copy.outgoing.translations.items() if to.name == call.target]
        copy.dialects += crossed if call.stream else []
        if any(attempt.usage is not None for attempt in call.attempts):
            copy.dialects = []  # it was gone on with elsewhere: what came is in two pieces
        own = Call(call.route)
        own.id = f"{call.id}{COPY}"
        own.shadow_of = call.id
        own.caller, own.tags = copy.payer, copy.payer.tags
        own.model, own.stream, own.session = copy.said.to, call.stream, call.session
        own.compared = Compared(copy.name, copy.caller)
        return own

    async def _ask(self, copy: Copy, own: Call, target: Target) -> None:
        """Ask a target, account for what it says, and set that beside what the caller got."""
        outgoing = self._outgoing(copy, own)
        targets = (target,)
        snapshot = copy.snapshot
        self._settling.check()
        waiting = admit(own, outgoing, targets, snapshot.bounds, self._state, self._now)
        if waiting is not None:
            await waiting
        own.end = "failed"
        extend = extender(own, outgoing, targets, snapshot.bounds, self._state, self._now)
        policy = Policy(TRIED_ONCE, snapshot.config.timeouts.call)
        arrival, _ = await attempt_all(targets, outgoing, own, policy, self._fetch, extend)
        own.target = target.name
        if arrival.error is not None:
            raise arrival.error
        own.status = arrival.status
        own.first_byte_ns = arrival.here_ns
        if arrival.status >= 400:
            own.error = "upstream_status"
            return
        reply = await self._heard(arrival, outgoing, own, target)
        own.end = "served"
        own.compared = compared(copy, own, reply)
        if (copy.payer.bodies or snapshot.config.logs.bodies) == "all" and isinstance(outgoing.body, bytes):
            own.request_body, own.reply_body = outgoing.body, reply

    def _outgoing(self, copy: Copy, own: Call) -> Outgoing:
        """Return the request as it goes out once more; nobody is to keep its answer."""
        first = copy.outgoing
        body, asked = first.body, first.asked
        if own.operation.name == "responses" and asked is not None and asked.members is not None:
            body, asked = overlaid(own.operation, asked, {}, {"store": NOT})
        limit = min(first.limit, MOST)
        outgoing = Outgoing(own.operation, first.headers, first.query, body, asked, limit, first.ways)
        outgoing.stream, outgoing.asks_usage, outgoing.strict = first.stream, first.asks_usage, first.strict
        outgoing.call_id, outgoing.model = own.id, own.model or ""
        return outgoing

    async def _heard(self, arrival: Arrival, outgoing: Outgoing, own: Call, target: Target) -> bytes:
        """Return all that a target says, as the caller would have read it, and put on the copy what it used."""
        translation: Translation | None = outgoing.translations.get(target)  # type: ignore[assignment]  # no errand
        if not arrival.streaming or (arrival.ended and not arrival.pieces):
            if translation is None:
                settle(own, read_usage(own.operation, arrival.body, arrival.headers), target.price)
                return arrival.body
            try:
                told = translation.replay(arrival.body) if own.stream else translation.reply(arrival.body)
            except BadUpstreamReply:
                settle(own, read_usage(translation.upstream, arrival.body, arrival.headers), target.price)
                raise
            settle(own, translation.usage, target.price)
            return told
        if not own.stream:
            arrival.abandon()
            own.basis = "unknown"
            raise BadUpstreamReply(f"{target.name} sent a reply that cannot be read whole")
        watch = translation if translation is not None else observer(own.operation, hide_usage=False)
        passed, kept = Passed(), Kept()
        consume = watch.relay(passed.through(kept.take))
        try:
            arrival.forward(consume)
            await arrival.over()
            if arrival.error is None:
                kept.take(watch.flush())
        finally:
            arrival.abandon()
            settle_stream(own, watch, passed, target.price, outgoing.body, target.model)
        failure = arrival.error or watch.failed
        if failure is not None:
            raise failure if isinstance(failure, PorticoError) else BadUpstreamReply(f"{target.name} broke off")
        if not watch.finished:
            raise BadUpstreamReply(f"{target.name} ended its stream before it was complete")
        return kept.body

    def _leave_out(self, name: str, why: str) -> None:
        """Count a copy that is not made, and say so now and then."""
        self._left_out.setdefault(name, Counter())[why] += 1
        if perf_counter_ns() - self._said > QUIET * 1e9:
            self._tell()

    def _tell(self) -> None:
        """Note how many copies were left out since the last time, and why."""
        self._said = perf_counter_ns()
        found, self._left_out = self._left_out, {}
        for name, whys in found.items():
            self._settling.note(Event("shadow.left_out", self._now().wall_ns // 1_000_000, {"model": name, **whys}))


class Kept:
    """What a stream says, up to a bound."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def take(self, piece: bytes) -> None:
        """Keep a piece, where there is room."""
        if self._size <= LARGEST:
            self._size += len(piece)
            self._pieces.append(piece)

    @property
    def body(self) -> bytes:
        """All that was kept."""
        return b"".join(self._pieces)


def spare(target: Target) -> bool:
    """Return whether a target has room to spare: copies take at most half of what bounds its callers."""
    gate = target.gate
    while gate is not None:
        limit = gate.limit
        if limit is not None and 2 * (gate.under_way + 1) > limit:
            return False
        gate = gate.outer
    return True


def payer(team: str | None, config: schema.Config, caller: Holder | None) -> Holder:
    """Return who copies are charged to: the key `shadow`, in the team that pays; bodies are kept as the caller's."""
    found = holder(SHADOW, schema.Key(key=SHADOW, team=team), config)
    return msgspec.structs.replace(found, bodies=caller.bodies if caller is not None else None)


def compared(copy: Copy, own: Call, reply: bytes) -> Compared:
    """Set two answers side by side, as far as they can be read."""
    first = next(filter(None, (read(each, copy.reply, own.stream) for each in copy.dialects)), None)
    second = read(own.operation, reply, own.stream)
    told = Compared(copy.name, side_with(copy.caller, first), side_with(side(own), second))
    if first is None or second is None:
        return told
    return msgspec.structs.replace(
        told, same_finish=first.finish == second.finish, same_calls=first.calls == second.calls
    )


def read(operation: Operation, body: bytes | None, stream: bool) -> "Gist | None":
    """Return what an answer comes to, None where it is not held or cannot be read in this dialect."""
    from portico.dialects.gist import gist

    if body is None or len(body) > LARGEST:
        return None
    try:
        found = gist(operation, body, stream=stream)
    except BadUpstreamReply:
        return None
    return found if found.finish is not None else None


def side(call: Call) -> Side:
    """Return what a call came to that has ended."""
    record = call.record()
    return Side(call.target or "", call.cost, record.first_byte_us, record.total_us)


def side_with(side: Side, gist: "Gist | None") -> Side:
    """Return the same, with what was answered."""
    if gist is None:
        return side
    return msgspec.structs.replace(
        side, finish=gist.finish, characters=gist.characters, calls=tuple(name for name, _ in gist.calls)
    )
