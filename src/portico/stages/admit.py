"""Whether a call fits: its scopes, the most that it can use, and a permit that reserves that, or the reason why not."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from portico.at_most import most
from portico.bounds import Bounds, require_counts
from portico.call import Call
from portico.record import MILLION
from portico.room import Seeker, permitted
from portico.rules import NO_BOUND
from portico.state.contract import Admission, Moment, State
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target

_encode = msgspec.msgpack.Encoder().encode


def admit(
    call: Call, outgoing: Outgoing, targets: Sequence[Target], bounds: Bounds, state: State, now: Callable[[], Moment]
) -> Awaitable[Sequence[Target]] | None:
    """Open the call's permit: at once where no rule counts the call, else return what opens it when it is awaited.

    That tells the targets in the order in which they are to be asked: those whose own limits or budgets have no room
    are behind the one that the call is admitted for.

    Raises LimitExceeded, BudgetExceeded, UnboundedCall or StateUnavailable. A call that may wait (`call.waits`) waits
    for limits, and for no budget.
    """
    found = bounds.under(call, targets[0])
    under, about = found.scopes, _about(call)
    if not under:
        call.permit = state.begin(call.id, about)
        if call.permit is not None:
            return None
    elif not state.rebuilt:
        require_counts(under)
    bound = call.bound = most(call, outgoing, targets) if found.measured else NO_BOUND
    if under and call.waits is not None and call.waits.busy:
        return Seeker(call, outgoing, targets, bounds, state, now, under, about).in_line()
    admission = Admission(call.id, under, bound, now(), about, found if under else None)
    return permitted(state.admit(admission), admission, call, outgoing, targets, bounds, state, now)


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
