"""Room for what does not fit at once: a call that is refused, and another attempt of one that was admitted.

A refused call asks again by a closer look at its size, cut to what is left, at its other targets, and in its turn.
"""

from collections.abc import Awaitable, Callable, Container, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from portico.at_most import beyond, clamp, closely, dearer_of, most
from portico.bounds import Bounds, measured, require_counts
from portico.call import Call, Extend
from portico.errors import LimitExceeded
from portico.refusals import owner_of, refused, sum_of
from portico.rules import NO_BOUND, Bound, Rule
from portico.state.asking import ask
from portico.state.contract import Admission, Moment, Permit, Refusal, Scope, State
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target

if TYPE_CHECKING:
    from portico.queueing.waiting import Closed, Ticket

OFTEN: Final = 0.1
"""Seconds after which it is worth asking again for what calls under way may give back."""
CLAMPS: Final = 4
"""Times that an answer is cut: each rule that it does not fit may have less left than the one before."""


async def permitted(
    admission: Admission,
    call: Call,
    outgoing: Outgoing,
    targets: Sequence[Target],
    bounds: Bounds,
    state: State,
    now: Callable[[], Moment],
    refusal: Refusal | None = None,
) -> Sequence[Target]:
    """Open a call's permit with the answer to its admission; where that is a refusal, look for room.

    Returns the targets in the order in which they are to be asked: those whose own limits or budgets have no room are
    behind the one that the call is admitted for. `refusal` is the answer of those who have asked already.

    Raises LimitExceeded, BudgetExceeded, UnboundedCall or StateUnavailable. A call that may wait (`call.waits`) waits
    for limits, and for no budget.
    """
    under = admission.scopes
    if refusal is None:
        if under and call.waits is not None and call.waits.busy:
            return await Seeker(call, outgoing, targets, bounds, state, now, under, admission.about).in_line()
        answer = await ask(state, admission)
        if isinstance(answer, Permit):
            call.permit = answer
            return targets
        refusal = answer
    return await Seeker(call, outgoing, targets, bounds, state, now, under, admission.about).after(refusal)


class Seeker:
    """Looks for room for one call, which `under` counts at the first of its targets.

    `targets` are in the order in which they are to be asked: with a permit, the one that it is for comes first.
    """

    __slots__ = ("_about", "_bounds", "_call", "_now", "_outgoing", "_state", "_ticket", "_under", "targets")

    def __init__(
        self,
        call: Call,
        outgoing: Outgoing,
        targets: Sequence[Target],
        bounds: Bounds,
        state: State,
        now: Callable[[], Moment],
        under: tuple[Scope, ...],
        about: bytes,
    ) -> None:
        self.targets = targets
        self._call = call
        self._outgoing = outgoing
        self._bounds = bounds
        self._state = state
        self._now = now
        self._under = under
        self._about = about
        self._ticket: Ticket | None = None  # what it waits with

    def __repr__(self) -> str:
        return f"<Seeker for {self._call!r}>"

    async def after(self, refusal: Refusal) -> Sequence[Target]:
        """Open the call's permit after a refusal at the first target. Raises the last one where there is no room."""
        call = self._call
        answer = await self._again(refusal)
        if not isinstance(answer, Permit) and call.waits is not None:
            answer = await self._in_turn(answer)
        if not isinstance(answer, Permit):
            raise refused(answer, call, call.bound.why, self.targets, self._now().wall_ns)
        call.permit = answer
        return self.targets

    async def in_line(self) -> Sequence[Target]:
        """Open the call's permit where others wait already, maybe for the same: nobody was asked yet."""
        self._call.permit = await self._in_turn(None)
        return self.targets

    async def _again(self, refusal: Refusal) -> Permit | Refusal:
        """Ask again for a call that was refused at its first target: there, and then at the others."""
        call, outgoing = self._call, self._outgoing
        body, asked, bound = outgoing.body, outgoing.asked, call.bound
        answer = await self._looked_at(refusal, self._under)
        if isinstance(answer, Permit) or answer.asked is None or len(self.targets) == 1:
            return answer
        if outgoing.body is not body:  # it was cut for the first target, in vain
            outgoing.body, outgoing.asked, call.bound = body, asked, bound
        return await self._passing(answer)

    async def _passing(self, refusal: Refusal) -> Permit | Refusal:
        """Ask for a call at its other targets, by their own rules, where a rule has no room that is not of all of them.

        Where none has room, the refusal stands, unless a rule refuses that is of all: then that one does.
        """
        call, outgoing, targets, state = self._call, self._outgoing, self.targets, self._state
        under = [self._bounds.under(call, target) for target in targets]
        rows = [{scope.row for scope in each.scopes} for each in under]
        refusing = {refusal.row}
        bound = call.bound
        largest = most(call, outgoing, targets) if any(each.measured for each in under) else NO_BOUND
        body, asked = outgoing.body, outgoing.asked
        for place in range(1, len(targets)):
            found, scopes = under[place], under[place].scopes
            if not refusing.isdisjoint(rows[place]) or _contested(call, outgoing, scopes, rows[0]):
                continue
            if not state.rebuilt and any(rule.kind == "budget" for scope in scopes for rule in scope.rules):
                continue
            call.bound = largest if found.measured else NO_BOUND
            answer: Permit | Refusal | None = None if scopes else state.begin(call.id, self._about)
            if answer is None:
                answer = await self._ask(scopes)
            if not isinstance(answer, Permit):
                answer = await self._looked_at(answer, scopes)
            if isinstance(answer, Permit):
                if call.why is not None:
                    aside = (f"; not {target.name}: it has no room by its own rules" for target in targets[:place])
                    call.why += "".join(aside)
                self.targets = (*targets[place:], *targets[:place])
                return answer
            outgoing.body, outgoing.asked, call.bound = body, asked, bound
            if all(answer.row in each for each in rows):
                return answer
            refusing.add(answer.row)
        return refusal

    async def _looked_at(self, refusal: Refusal, under: tuple[Scope, ...]) -> Permit | Refusal:
        """Ask again for a call that was refused for its size: at what a closer look finds, or what it is clamped to."""
        if refusal.rule.counts in ("requests", "in_flight"):
            return refusal
        call, outgoing, targets = self._call, self._outgoing, self.targets
        answer: Permit | Refusal = refusal
        closer = closely(call, outgoing, targets)
        if closer != call.bound:
            call.bound = closer
            answer = await self._ask(under)
        for _ in range(CLAMPS):
            if isinstance(answer, Permit) or answer.rule.mode != "clamp" or not clamp(outgoing, targets, answer):
                break
            # By the look that it was cut by: a quick one would find that it does not fit.
            call.bound = closely(call, outgoing, targets)
            answer = await self._ask(under)
        return answer

    def _ask(self, under: tuple[Scope, ...]) -> Awaitable[Permit | Refusal]:
        call = self._call
        return ask(self._state, Admission(call.id, under, call.bound, self._now(), self._about))

    async def _in_turn(self, refusal: Refusal | None) -> Permit:
        """Wait for the limit that refused a call, None for none yet, behind those who wait for the same.

        Raises the refusal where waiting does not help, the call may not wait, or it waited in vain.
        """
        from portico.queueing.terms import ticket_of

        call = self._call
        self._ticket = ticket = ticket_of(call, self._outgoing.body)
        answer: Permit | Closed
        if refusal is not None:
            answer = self._closed(refusal)
        else:
            limits = {
                (scope.row, rule.id): rule for scope in self._under for rule in scope.rules if rule.kind == "limit"
            }
            taken = ticket.busy(limits) if ticket is not None else None
            if taken is None:
                answer = await self._attempt(None)
            else:
                answer = _behind(call, taken, limits[taken])
                if len(self.targets) > 1:
                    found = await self._passing(Refusal(taken[0], limits[taken], 1, 0, None))
                    answer = found if isinstance(found, Permit) else answer
        if isinstance(answer, Permit):
            return answer
        assert ticket is not None
        before = ticket.queued_ns
        try:
            return await ticket.wait(answer, self._attempt)
        finally:
            call.waited_ns += ticket.queued_ns - before

    async def _attempt(self, _: object) -> "Permit | Closed":
        answer = await self._ask(self._under)
        if not isinstance(answer, Permit):
            answer = await self._again(answer)
        return answer if isinstance(answer, Permit) else self._closed(answer)

    def _closed(self, answer: Refusal) -> "Closed":
        """Return what a call waits for that was refused. Raises the refusal where it does not wait."""
        from portico.queueing.waiting import Closed

        call = self._call
        error = refused(answer, call, call.bound.why, self.targets, self._now().wall_ns)
        rule, wait = answer.rule, answer.retry_after
        if self._ticket is None or rule.kind == "budget" or wait is None:
            raise error
        if rule.counts != "requests":
            # What calls under way had reserved and did not use comes back before that.
            wait = min(wait, OFTEN)
        return Closed([((answer.row, rule.id), monotonic() + wait)], error, float(max(answer.asked or 1, 1)))


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
    unmeasured = not measured(permit.scopes)
    if (unmeasured or (rest is None and target not in targets)) and measured((*permit.scopes, *more)):
        # A target that was not in the plan may be dearer than what was reserved for those that were, and where nothing
        # was to be reserved, nobody has looked yet.
        bound = dearer_of(held, most(call, outgoing, (target,)))
    # Where nothing was billed, what was reserved for the attempt before is that of this one.
    further = bound if billed else beyond(held, bound)
    if not more and (not permit.scopes or (not billed and further == NO_BOUND and not apart)):
        permit.rows = rows
        return
    if more and not state.rebuilt:
        require_counts(more)
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
