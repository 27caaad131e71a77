"""Whether a call fits: its scopes, the most that it can use, and a permit that reserves that, or the reason why not."""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Container, Sequence, Sized
from functools import partial, reduce
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec

from portico.call import Call, Extend
from portico.dialects.limits import FIELDS, limited
from portico.dialects.operations import Operation
from portico.dialects.request import peek
from portico.errors import LimitExceeded, StateUnavailable
from portico.record import MILLION
from portico.refusals import owner_of, refused, sum_of
from portico.rules import NO_BOUND, Applied, Bound, Holder, Rule
from portico.state.asking import ask, undo
from portico.state.contract import Admission, Moment, Permit, Refusal, Scope, State, Under
from portico.state.scopes import Dimensions, Ruled
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target

if TYPE_CHECKING:
    from portico.queueing.waiting import Closed

MEMO_BOUND: Final = 10_000
OFTEN: Final = 0.1
"""Seconds after which it is worth asking again for what calls under way may give back."""
CLAMPS: Final = 4
"""Times that an answer is cut: each rule that it does not fit may have less left than the one before."""
SHORTEST: Final = 16
"""Tokens of an answer that is worth asking for, where one is cut to what is left."""

_encode = msgspec.msgpack.Encoder().encode
_FREE: Final = Under((), False)


class Bounds:
    """The rules in force, and which of them a call is under. `declared` are those of the configuration."""

    def __init__(self, declared: Sequence[Applied], state: State) -> None:
        self._declared = declared
        self._state = state
        self._version = -1
        self._rules = Ruled(())
        self._any = False
        self._known: dict[tuple[object, ...], Under] = {}
        self._plainly: dict[tuple[str | None, str], dict[str, Under]] = {}

    def __repr__(self) -> str:
        return f"<Bounds {len(self._declared)} declared rules>"

    def any(self) -> bool:
        """Return whether there is any rule, besides those that keys carry."""
        return bool(self._declared or self._state.rules())

    def scopes(self, call: Call, target: Target) -> tuple[Scope, ...]:
        """Return the scopes of a call that goes to a target."""
        return self.under(call, target).scopes

    def under(self, call: Call, target: Target) -> Under:
        """Return the scopes of a call that goes to a target, and whether they ask how much it can use."""
        version = self._state.version
        if version != self._version:
            self._version = version
            self._rules = Ruled((*self._declared, *self._state.rules()))
            self._any = bool(self._rules)
            self._known.clear()
            self._plainly.clear()
        holder = call.caller
        assert holder is not None
        if not self._any and not holder.rules:
            return _FREE
        if call.customer is None and call.tags is holder.tags:
            # Nothing but the key tells such calls apart: found by its id alone, they touch the least memory.
            plainly = self._plainly.get((call.model, target.name))
            if plainly is None:
                if len(self._plainly) >= MEMO_BOUND // 10:
                    self._plainly.clear()
                plainly = self._plainly[call.model, target.name] = {}
            found = plainly.get(holder.id)
            if found is None or (found.holder is not holder and found.holder != holder):
                if len(plainly) >= MEMO_BOUND:
                    plainly.clear()
                found = plainly[holder.id] = self._found(call, target, holder)
            return found
        key = (holder.id, call.model, target.name, call.customer, call.tags)
        found = self._known.get(key)
        if found is None or (found.holder is not holder and found.holder != holder):
            if len(self._known) >= MEMO_BOUND:
                self._known.clear()
            found = self._known[key] = self._found(call, target, holder)
        return found

    def _found(self, call: Call, target: Target, holder: Holder) -> Under:
        models = tuple(dict.fromkeys(filter(None, (call.model, target.model, target.name))))
        told = Dimensions(
            key=holder.id,
            user=holder.user,
            team=holder.team,
            org=holder.org,
            customer=call.customer,
            tags=call.tags,
            provider=target.upstream.name,
            models=models,
        )
        rows = self._rules.scopes(told, holder.rules)
        return Under(rows, _measured(rows), holder)

    def least_left(self, call: Call, target: Target, at: Moment) -> float:
        """Return the least share that is left of any budget of a call, 1.0 where it has none."""
        rules = {
            (scope.row, rule.id): rule
            for scope in self.scopes(call, target)
            for rule in scope.rules
            if rule.kind == "budget"
        }
        if not rules:
            return 1.0
        least = 1.0
        for counter in self._state.counters(list({row for row, _ in rules}), at):
            rule = rules.get((counter.row, counter.rule_id))
            if rule is not None:
                gone = counter.used + counter.reserved
                least = min(least, 1 - gone / rule.amount if gone < rule.amount else 0.0)
        return least


def admit(
    call: Call, outgoing: Outgoing, targets: Sequence[Target], bounds: Bounds, state: State, now: Callable[[], Moment]
) -> Awaitable[Sequence[Target]] | None:
    """Open the call's permit: at once where no rule counts the call, else return what opens it when it is awaited.

    That tells the targets in the order in which they are to be asked: those whose own limits or budgets have no room
    are behind the one that the call is admitted for.

    Raises LimitExceeded, BudgetExceeded, UnboundedCall or StateUnavailable. A call that may wait (`call.waits`) waits
    for limits, and for no budget.
    """
    under = bounds.under(call, targets[0])
    if not under.scopes:
        call.permit = state.begin(call.id, _about(call))
        if call.permit is not None:
            return None
    return _admitted(call, outgoing, targets, under, bounds, state, now)


async def _admitted(
    call: Call,
    outgoing: Outgoing,
    targets: Sequence[Target],
    found: Under,
    bounds: Bounds,
    state: State,
    now: Callable[[], Moment],
) -> Sequence[Target]:
    under = found.scopes
    if under and not state.rebuilt:
        _require_counts(under)
    bound = _bound(call, outgoing, targets) if found.measured else NO_BOUND
    call.bound = bound
    answer: Permit | Refusal
    if under and call.waits is not None and call.waits.busy:
        answer, targets = await _in_turn(None, call, outgoing, targets, under, bounds, state, now)
    else:
        admission = Admission(call.id, under, bound, now(), _about(call), found if under else None)
        waiting = state.admit(admission)
        try:
            answer = await waiting
        except CancelledError:
            undo(state, waiting, admission)
            raise
        if isinstance(answer, Permit):
            call.permit = answer
            return targets
        answer, targets = await _again(answer, call, outgoing, targets, under, bounds, state, now)
        if not isinstance(answer, Permit) and call.waits is not None:
            answer, targets = await _in_turn(answer, call, outgoing, targets, under, bounds, state, now)
    if not isinstance(answer, Permit):
        raise refused(answer, call, call.bound.why, targets, now().wall_ns)
    call.permit = answer
    return targets


async def _again(
    refusal: Refusal,
    call: Call,
    outgoing: Outgoing,
    targets: Sequence[Target],
    under: tuple[Scope, ...],
    bounds: Bounds,
    state: State,
    now: Callable[[], Moment],
) -> tuple[Permit | Refusal, Sequence[Target]]:
    """Ask again for a call that was refused at its first target: there, and then at the others.

    Returns the answer, and the targets in the order that it is for.
    """
    body, asked, bound = outgoing.body, outgoing.asked, call.bound
    answer = await _looked_at(refusal, call, outgoing, targets, under, state, now)
    if isinstance(answer, Permit) or answer.asked is None or len(targets) == 1:
        return answer, targets
    if outgoing.body is not body:  # it was cut for the first target, in vain
        outgoing.body, outgoing.asked, call.bound = body, asked, bound
    return await _passing(answer, call, outgoing, targets, bounds, state, now)


async def _passing(
    refusal: Refusal,
    call: Call,
    outgoing: Outgoing,
    targets: Sequence[Target],
    bounds: Bounds,
    state: State,
    now: Callable[[], Moment],
) -> tuple[Permit | Refusal, Sequence[Target]]:
    """Ask for a call at its other targets, by their own rules, where a rule has no room that is not of all of them.

    Where none has room, the refusal stands, unless a rule refuses that is of all: then that one does.
    """
    under = [bounds.under(call, target) for target in targets]
    rows = [{scope.row for scope in each.scopes} for each in under]
    refusing = {refusal.row}
    bound = call.bound
    most = _bound(call, outgoing, targets) if any(each.measured for each in under) else NO_BOUND
    body, asked = outgoing.body, outgoing.asked
    for place in range(1, len(targets)):
        found, scopes = under[place], under[place].scopes
        if not refusing.isdisjoint(rows[place]) or _contested(call, outgoing, scopes, rows[0]):
            continue
        if not state.rebuilt and any(rule.kind == "budget" for scope in scopes for rule in scope.rules):
            continue
        call.bound = most if found.measured else NO_BOUND
        answer: Permit | Refusal | None = None if scopes else state.begin(call.id, _about(call))
        if answer is None:
            answer = await ask(state, Admission(call.id, scopes, call.bound, now(), _about(call)))
        if not isinstance(answer, Permit):
            answer = await _looked_at(answer, call, outgoing, targets, scopes, state, now)
        if isinstance(answer, Permit):
            if call.why is not None:
                aside = (f"; not {target.name}: it has no room by its own rules" for target in targets[:place])
                call.why += "".join(aside)
            return answer, (*targets[place:], *targets[:place])
        outgoing.body, outgoing.asked, call.bound = body, asked, bound
        if all(answer.row in each for each in rows):
            return answer, targets
        refusing.add(answer.row)
    return refusal, targets


def _contested(call: Call, outgoing: Outgoing, under: Sequence[Scope], others: Container[str]) -> bool:
    """Return whether calls wait already for a limit in one of these rows, besides those of `others`."""
    if call.waits is None or not call.waits.busy:
        return False
    from portico.queueing.terms import ticket_of

    ticket = ticket_of(call, outgoing.body)
    mine = [scope for scope in under if scope.row not in others]
    return (
        ticket is not None and ticket.busy((scope.row, rule.id) for scope in mine for rule in scope.rules) is not None
    )


async def _looked_at(
    refusal: Refusal,
    call: Call,
    outgoing: Outgoing,
    targets: Sequence[Target],
    under: tuple[Scope, ...],
    state: State,
    now: Callable[[], Moment],
) -> Permit | Refusal:
    """Ask again for a call that was refused for its size: at what a closer look finds, or at what it is clamped to."""
    if refusal.rule.counts in ("requests", "in_flight"):
        return refusal
    answer: Permit | Refusal = refusal
    bound = call.bound
    closer = _closely(call, outgoing, targets)
    if closer != bound:
        bound = call.bound = closer
        answer = await ask(state, Admission(call.id, under, bound, now(), _about(call)))
    for _ in range(CLAMPS):
        if isinstance(answer, Permit) or answer.rule.mode != "clamp" or not _clamp(outgoing, targets, answer):
            break
        # By the look that it was cut by: a quick one would find that it does not fit.
        bound = call.bound = _closely(call, outgoing, targets)
        answer = await ask(state, Admission(call.id, under, bound, now(), _about(call)))
    return answer


async def _in_turn(
    refusal: Refusal | None,
    call: Call,
    outgoing: Outgoing,
    targets: Sequence[Target],
    under: tuple[Scope, ...],
    bounds: Bounds,
    state: State,
    now: Callable[[], Moment],
) -> tuple[Permit, Sequence[Target]]:
    """Wait for the limit that refused a call, None for none yet, behind those who wait for the same.

    Returns the permit, and the targets in the order that it is for. Raises the refusal where waiting does not help, the
    call may not wait, or it waited in vain.
    """
    from portico.queueing.terms import ticket_of
    from portico.queueing.waiting import Closed

    order = targets

    async def attempt(_: object) -> Permit | Closed:
        nonlocal order
        answer = await ask(state, Admission(call.id, under, call.bound, now(), _about(call)))
        if not isinstance(answer, Permit):
            answer, order = await _again(answer, call, outgoing, targets, under, bounds, state, now)
        return answer if isinstance(answer, Permit) else closed(answer)

    def closed(answer: Refusal) -> Closed:
        error = refused(answer, call, call.bound.why, targets, now().wall_ns)
        rule, wait = answer.rule, answer.retry_after
        if ticket is None or rule.kind == "budget" or wait is None:
            raise error
        if rule.counts != "requests":
            # What calls under way had reserved and did not use comes back before that.
            wait = min(wait, OFTEN)
        return Closed([((answer.row, rule.id), monotonic() + wait)], error, float(max(answer.asked or 1, 1)))

    ticket = ticket_of(call, outgoing.body)
    answer: Permit | Closed
    if refusal is not None:
        answer = closed(refusal)
    else:
        limits = {(scope.row, rule.id): rule for scope in under for rule in scope.rules if rule.kind == "limit"}
        taken = ticket.busy(limits) if ticket is not None else None
        if taken is None:
            answer = await attempt(None)
        else:
            answer = _behind(call, taken, limits[taken])
            if len(targets) > 1:
                full = Refusal(taken[0], limits[taken], 1, 0, None)
                found, order = await _passing(full, call, outgoing, targets, bounds, state, now)
                answer = found if isinstance(found, Permit) else answer
    if isinstance(answer, Permit):
        return answer, order
    assert ticket is not None
    before = ticket.queued_ns
    try:
        return await ticket.wait(answer, attempt), order
    finally:
        call.waited_ns += ticket.queued_ns - before


def _behind(call: Call, key: tuple[str, str], rule: Rule) -> "Closed":
    """Return why a call cannot go on that comes while others wait for a rule of one of its rows."""
    from portico.queueing.waiting import Closed

    bound = call.bound
    asked = {"requests": 1, "in_flight": 1, "input_tokens": bound.input_tokens, "output_tokens": bound.output_tokens}
    cost = asked.get(rule.counts, bound.input_tokens + bound.output_tokens)
    whose = owner_of(key[0], call.caller)
    error = LimitExceeded(
        f"the limit of {sum_of(rule, rule.amount)} of {whose} is used up, and others wait", retry_after=1
    )
    return Closed([(key, monotonic())], error, float(max(cost, 1)))


def extender(
    call: Call,
    outgoing: Outgoing,
    targets: Sequence[Target],
    bounds: Bounds,
    state: State,
    now: Callable[[], Moment],
    rest: Bound | None = None,
) -> Extend:
    """Return what reserves more for another attempt than `admit` did for one of the plan's targets.

    `rest` is the most that the attempt can use, where it is known: that of the rest of an answer.
    """
    return partial(_extend, call, outgoing, targets, bounds, state, now, rest)


async def _extend(
    call: Call,
    outgoing: Outgoing,
    targets: Sequence[Target],
    bounds: Bounds,
    state: State,
    now: Callable[[], Moment],
    rest: Bound | None,
    target: Target,
    billed: bool,
) -> None:
    """Reserve what rules ask for that are for this target alone, and what may be billed again."""
    permit = call.permit
    assert permit is not None
    more: tuple[Scope, ...] = ()
    before = rows = permit.rows
    apart = False
    if target is not targets[0] or before is not None:
        theirs = bounds.scopes(call, target)
        known = tuple(scope.row for scope in permit.scopes)
        more = tuple(scope for scope in theirs if scope.row not in known)
        # Where the first target was not asked, there is nothing that it has used.
        first = {targets[0].name: known} if call.attempts else {}
        rows = {**(first if before is None else before), target.name: tuple(scope.row for scope in theirs)}
        all_ = {*known, *rows[target.name]}
        apart = rows != before and any(all_.difference(each) for each in rows.values())
    held = call.bound
    bound = held if rest is None else dearer_of(held, rest)  # what lost tries are charged
    unmeasured = not _measured(permit.scopes)
    if (unmeasured or (rest is None and target not in targets)) and _measured((*permit.scopes, *more)):
        # A target that was not in the plan may be dearer than what was reserved for those that were, and where nothing
        # was to be reserved, nobody has looked yet.
        bound = dearer_of(held, _bound(call, outgoing, (target,)))
    # Where nothing was billed, what was reserved for the attempt before is that of this one.
    further = bound if billed else _beyond(held, bound)
    if not more and (not permit.scopes or (not billed and further == NO_BOUND and not apart)):
        permit.rows = rows
        return
    if more and not state.rebuilt:
        _require_counts(more)
    was = permit.bound
    permit.rows = rows
    if rest is None or unmeasured:
        permit.bound = bound  # what a job keeps that starts there, and what is charged where nobody knows better
    refusal = await state.extend(permit, further, now(), more, bound)
    if refusal is not None:
        permit.rows, permit.bound = before, was
        error = refused(refusal, call, bound.why, (target,), now().wall_ns)
        mine = refusal.asked is not None and any(scope.row == refusal.row for scope in bounds.scopes(call, target))
        error.another_may_help = mine and not all(
            any(scope.row == refusal.row for scope in bounds.scopes(call, each)) for each in targets
        )
        raise error
    if more:
        permit.scopes = (*permit.scopes, *more)
    if rest is None or unmeasured:
        call.bound = bound


def bound_of(call: Call, operation: Operation, body: bytes, target: Target) -> Bound:
    """Return the most that one more attempt can use, of a call under way: that of a body of the target's own."""
    permit = call.permit
    if permit is None or not _measured(permit.scopes):
        return NO_BOUND
    return _allowed(call, target.ceiling.closely(operation, peek(operation, body, b"application/json"), body))


def _about(call: Call) -> bytes:
    """Return what the record of a call needs whose worker died: see `portico.recover`."""
    holder = call.caller
    assert holder is not None
    about = (
        call.arrived_ms,
        call.operation.name,
        call.model,
        call.alias,
        call.stream,
        holder.id,
        holder.team,
        holder.org,
        holder.user,
        call.customer,
        call.tags,
    )
    markup = holder.markup if call.markup is None else call.markup
    return _encode(about if markup == MILLION else (*about, markup))


def _require_counts(under: Sequence[Scope]) -> None:
    """Raise StateUnavailable for calls under a budget whose counter does not stand at what was used yet."""
    for scope in under:
        for rule in scope.rules:
            if rule.kind == "budget":
                raise StateUnavailable(
                    "the counters of this machine were lost, and what its budgets have counted is put together from "
                    "the records of calls; try again in a moment",
                    retry_after=1,
                )


def _measured(under: Sequence[Scope]) -> bool:
    return any(rule.counts not in ("requests", "in_flight") for scope in under for rule in scope.rules)


def _bound(call: Call, outgoing: Outgoing, targets: Sequence[Target]) -> Bound:
    """Return the most that an attempt at the dearest of the targets can use, by a quick look where that will do."""
    asked, body = outgoing.asked, outgoing.body
    if outgoing.bound is not None:
        return _allowed(call, outgoing.bound)
    if asked is None or not isinstance(body, bytes):
        return _allowed(call, _unread(body, targets))
    operation = call.operation
    found = targets[0].ceiling.bound(operation, asked, body)
    if found is not None and len(targets) > 1:
        for target in targets[1:]:
            one = target.ceiling.bound(operation, asked, body)
            if one is None:
                found = None
                break
            found = dearer_of(found, one)
    if found is None:
        return _closely(call, outgoing, targets)
    return found if found.cost is not None else _allowed(call, found)


def _closely(call: Call, outgoing: Outgoing, targets: Sequence[Target]) -> Bound:
    """Return the same by a walk through the whole request."""
    asked, body = outgoing.asked, outgoing.body
    if outgoing.bound is not None:
        return _allowed(call, outgoing.bound)
    if asked is None or not isinstance(body, bytes):
        return _allowed(call, _unread(body, targets))
    found: Bound | None = None
    for target in targets:
        one = target.ceiling.closely(call.operation, asked, body)
        found = one if found is None else dearer_of(found, one)
    assert found is not None
    return _allowed(call, found)


def _beyond(held: Bound, bound: Bound) -> Bound:
    """Return what a bound is more than another; nothing for what has none in both."""
    cost: int | None = 0
    if held.cost is not None:
        cost = None if bound.cost is None else max(bound.cost - held.cost, 0)
    return Bound(
        max(bound.input_tokens - held.input_tokens, 0),
        max(bound.output_tokens - held.output_tokens, 0),
        cost,
        None if bound.finite or not held.finite else bound.why,
    )


def _unread(body: Sized, targets: Sequence[Target]) -> Bound:
    """Return what is said of a request that nobody can read."""
    return reduce(dearer_of, (target.ceiling.opaque(len(body)) for target in targets))


def dearer_of(one: Bound, other: Bound) -> Bound:
    """Return the most that either of two attempts can use."""
    cost = None if one.cost is None or other.cost is None else max(one.cost, other.cost)
    return Bound(
        max(one.input_tokens, other.input_tokens),
        max(one.output_tokens, other.output_tokens),
        cost,
        # That only the price is missing says less than any other reason.
        other.why if one.why in (None, "unpriced") and other.why is not None else one.why,
    )


def _allowed(call: Call, bound: Bound) -> Bound:
    """Return the bound, or what the key grants to a call that has none."""
    holder = call.caller
    if (bound.cost is None or not bound.finite) and holder is not None and holder.allowance is not None:
        cost = holder.allowance if bound.cost is None else bound.cost
        return Bound(bound.input_tokens, bound.output_tokens, cost)
    return bound


def _clamp(outgoing: Outgoing, targets: Sequence[Target], refusal: Refusal) -> bool:
    """Cut the answer that a request asks for to what is left under a rule; say whether that is worth anything."""
    asked, body = outgoing.asked, outgoing.body
    if outgoing.bound is not None or asked is None or asked.members is None or not isinstance(body, bytes):
        return False
    operation = outgoing.operation
    if operation.name not in FIELDS:
        return False  # its output has no limit to cut

    def need(limit: int) -> int:
        text, seen = limited(operation, asked, limit)
        most = 0
        for target in targets:
            bound = target.ceiling.closely(operation, seen, text)
            counted = {
                "cost": bound.cost,
                "tokens": bound.input_tokens + bound.output_tokens,
                "input_tokens": bound.input_tokens,
                "output_tokens": bound.output_tokens,
            }[refusal.rule.counts]
            most = max(most, counted if counted is not None else refusal.rule.amount + 1)
        return most

    low, high = need(SHORTEST), need(2 * SHORTEST)
    if low > refusal.left or high <= low:
        return False
    limit = SHORTEST + (refusal.left - low) * SHORTEST // (high - low)
    while need(limit) > refusal.left:  # where the rates have steps
        limit //= 2
        if limit < SHORTEST:
            return False
    outgoing.body, outgoing.asked = limited(operation, asked, limit)
    return True
