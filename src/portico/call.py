"""One call: who asked for what, where it went, what it used. Each stage adds its part; it ends as one record."""

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter_ns
from typing import Any, Final, Literal

from portico.dialects.operations import Operation, Route
from portico.record import MILLION, AttemptRecord, Basis, Compared, End, Pricing, Record
from portico.rules import NO_BOUND, Bound, Holder
from portico.state.contract import Permit
from portico.types import Usage
from portico.who import Who

Extend = Callable[[Any, bool], Awaitable[None]]
"""Told the `upstream.target.Target` and whether an attempt before may be billed; raises what refuses the attempt."""

_ENDS: Final = tuple([f"{number:03x}" for number in range(4096)])


class _Ids:
    """What the ids of a worker are made of: its start in milliseconds, 40 random bits, a count."""

    __slots__ = ("_begins", "_count", "_prefix")

    def __init__(self) -> None:
        self._count = 0
        self._prefix = ""  # of all
        self._begins = ""  # of one, up to its last three digits

    def next(self) -> str:
        """Return an id that no other call has."""
        self._count += 1
        last = self._count & 4095
        if not last or not self._begins:
            if not self._prefix:
                self._prefix = f"{time.time_ns() // 1_000_000:011x}{int.from_bytes(os.urandom(5), 'big'):010x}"
            self._begins = f"{self._prefix}{self._count >> 12:05x}"
        return self._begins + _ENDS[last]


_ids: Final = _Ids()


def new_id() -> str:
    """Return an id that no other call has."""
    return _ids.next()


class Call:
    """A call under way, from when it is made.

    Times are perf_counter nanoseconds; `waited_ns` is what was spent waiting for providers.

    `characters` is the length of a text to be spoken, which its reply does not tell. `dropped` names what could not
    cross into the provider's dialect. `estimate` is set where the reply counts tokens that are estimated here. `arm` is
    its side of a split; `wish` what its caller wants of attempts (`plan.wish.Wish`); `kept` is told where it was served
    (`upstream.caches.Kept`), None where that counts for nothing; `traits` are what a scorer saw of it; `why` says why
    it goes where it does, where its caller wants to know; `named_by_list` is set where its model is the first of a
    list. `refers` are the families and ids of what its request names of a provider's; `stores` is set where the
    provider keeps the reply, `background` where that may go on after the call; `job` is then what goes on (`jobs.Job`).
    `markup` is its customer's, in millionths, and stands for its key's. `bodies` says which of its bodies its record is
    to have. `trial` is the side of a canary that it was given (`plan.canary.Trial`), `shadow` the copy that it is to
    have (`calls.shadow.Copy`); of a copy, `shadow_of` is the call that it is of, `compared` what both came to.
    `lost` is for each target the most that those tries can have used of which nothing is known, where that is not
    `bound` for each.
    `delivered` is set where the caller hung up after it had the last event of its stream. `waits`
    (`queueing.terms.Waits`) says by what it may wait for its turn, None where it may not; `ticket`
    (`queueing.waiting.Ticket`) is what it waits with, once it does. `litellm` (`calls.litellm_headers.LiteLLMHeaders`)
    has the headers that callers of LiteLLM read, where they are asked for.
    """

    __slots__ = (
        "_who", "alias", "arm", "arrived_ms", "attempts", "background", "basis", "began_ns", "bodies", "bound",
        "caller", "characters", "compared", "cost", "customer", "delivered", "dropped", "end", "ended", "error",
        "estimate", "first_byte_ns", "id", "job", "kept", "litellm", "lost", "markup", "message", "model",
        "named_by_list", "operation", "over_bound", "permit", "price", "pricing", "received_ns", "refers",
        "reply_body", "request_body", "route", "session", "shadow", "shadow_of", "status", "stores", "stream", "tags",
        "target", "ticket", "traits", "trial", "usage", "user", "waited_ns", "waits", "why", "wish",
    )  # fmt: skip

    def __init__(self, route: Route, began_ns: int = 0) -> None:
        self.began_ns = began_ns or perf_counter_ns()
        self.arrived_ms = time.time_ns() // 1_000_000
        self.id = new_id()
        self.route = route
        self.operation: Operation = route.operation
        self.model: str | None = route.model
        self.attempts: list[AttemptRecord] = []
        self.received_ns = 0
        self.caller: Holder | None = None
        self._who: Who | None = None
        self.stream = False
        self.user: str | None = None
        self.customer: str | None = None
        self.tags: tuple[str, ...] = ()
        self.alias: str | None = None
        self.arm: str | None = None
        self.session: str | None = None
        self.wish: Any = None
        self.kept: Any = None
        self.traits: tuple[int, ...] | None = None
        self.why: str | None = None
        self.named_by_list = False
        self.permit: Permit | None = None
        self.background = False
        self.job: Any = None
        self.markup: int | None = None
        self.bound: Bound = NO_BOUND
        self.lost: dict[str, Bound] | None = None
        self.over_bound = False
        self.ended = False
        self.end: End = "refused"
        self.message: str | None = None
        self.bodies: Literal["all", "errors", "none"] = "none"
        self.request_body: bytes | None = None
        self.reply_body: bytes | None = None
        self.characters = 0
        self.target: str | None = None
        self.usage: Usage | None = None
        self.cost: int | None = None
        self.basis: Basis = "none"
        self.pricing: Pricing | None = None
        self.price: str | None = None
        self.status = 0
        self.error: str | None = None
        self.delivered = False
        self.waits: Any = None
        self.ticket: Any = None
        self.litellm: Any = None
        self.estimate = False
        self.dropped: Sequence[str] = ()
        self.refers: Sequence[tuple[str, str]] = ()
        self.stores = False
        self.trial: Any = None
        self.shadow: Any = None
        self.shadow_of: str | None = None
        self.compared: Compared | None = None
        self.first_byte_ns = 0
        self.waited_ns = 0

    def __repr__(self) -> str:
        return f"<Call {self.id} {self.operation.name} {self.model!r}>"

    @property
    def who(self) -> Who | None:
        """What is known of its caller."""
        holder, who = self.caller, self._who
        if holder is not None and (who is None or who.holder is not holder):
            who = self._who = Who(holder)
        return who if holder is not None else None

    def come(self, who: Who) -> None:
        """Say who calls."""
        self.caller = who.holder
        self._who = who

    @property
    def answering(self) -> AttemptRecord:
        """The attempt that answered: not always the last, where two were raced; the last where none did."""
        answered = (each for each in reversed(self.attempts) if each.error is None and (each.status or 0) < 400)
        return next(answered, self.attempts[-1])

    def overhead_us(self, now_ns: int) -> int:
        """Return the microseconds since the last byte of the request, less the wait for providers."""
        spent = now_ns - (self.received_ns or self.began_ns) - self.waited_ns
        return spent // 1000 if spent > 0 else 0

    def record(self) -> Record:
        """Return what is kept of the call."""
        now = perf_counter_ns()
        began = self.received_ns or self.began_ns
        first, took, who = self.first_byte_ns, now - began, self.who
        overhead = took - self.waited_ns
        key = team = org = user = None
        if who is not None:
            key, team, org, user = who.id, who.team, who.org, who.user
        record = Record(
            self.id,
            self.arrived_ms,
            key,
            self.operation.name,
            self.model,
            self.target,
            self.status,
            self.stream,
            self.attempts,
            self.usage,
            self.cost,
            self.basis,
            (first - began) // 1000 if first else None,
            took // 1000,
            overhead // 1000 if overhead > 0 else 0,
            self.error,
            user,
            self.end,
            team,
            org,
            self.customer,
            self.tags,
            self.session,
            self.alias,
            self.pricing,
            self.price,
        )
        if who is not None:
            markup = who.markup if self.markup is None else self.markup
            if markup != MILLION:
                record.costing(self.cost, markup)
        if self.arm is not None:
            record.arm = self.arm
        if self.traits is not None:
            record.traits = self.traits
        bound = self.bound.cost
        if bound:
            record.bound_nano_usd = bound
        if self.over_bound:
            record.over_bound = True
        if self.dropped:
            record.dropped = tuple(self.dropped)
        ticket = self.ticket
        if ticket is not None and ticket.position is not None:
            record.queued_ms, record.queue_position = ticket.queued_ns // 1_000_000, ticket.position
        if self.shadow_of is not None:
            record.shadow_of, record.compared = self.shadow_of, self.compared
        if self.message is not None:
            record.message = self.message
        return record
