"""Whether a call fits: its scopes, the most that it can use, and a permit that reserves that, or the reason why not."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from portico.at_most import most
from portico.bounds import Bounds, require_counts
from portico.call import Call
from portico.record import MILLION
from portico.room import permitted
from portico.rules import NO_BOUND
from portico.state.contract import Admission, Moment, State
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target

_encode: Final = msgspec.msgpack.Encoder().encode
# What is kept with a permit is one array, put together of shorter ones without the byte that each begins with.
_OF_ELEVEN: Final = b"\x9b"
_OF_TWELVE: Final = b"\x9c"
_NO_MORE: Final = _encode((None, ()))[1:]


def admit(
    call: Call, outgoing: Outgoing, targets: Sequence[Target], bounds: Bounds, state: State, now: Callable[[], Moment]
) -> Awaitable[Sequence[Target]] | None:
    """Open the call's permit: at once where no rule counts the call, else return what opens it when it is awaited.

    See `room.permitted`, which that is.
    """
    asked = admission(call, outgoing, targets, bounds, state, now)
    return None if asked is None else permitted(asked, call, outgoing, targets, bounds, state, now)


def admission(
    call: Call, outgoing: Outgoing, targets: Sequence[Target], bounds: Bounds, state: State, now: Callable[[], Moment]
) -> Admission | None:
    """Open the call's permit where no rule counts the call, and return None; else return what to ask the books for.

    Raises StateUnavailable while the books do not stand at what was used before.
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
    return Admission(call.id, under, bound, now(), about, found if under else None)


def _about(call: Call) -> bytes:
    """Return what the record of a call needs whose worker died: see `portico.recover`."""
    who = call.who
    assert who is not None
    first = _encode((call.arrived_ms, call.operation.name, call.model, call.alias, call.stream))
    told = who.told
    if told is None:
        told = who.told = _encode((who.id, who.team, who.org, who.user))[1:]
    more = _NO_MORE if call.customer is None and not call.tags else _encode((call.customer, call.tags))[1:]
    markup = who.markup if call.markup is None else call.markup
    if markup == MILLION:
        return _OF_ELEVEN + first[1:] + told + more
    return _OF_TWELVE + first[1:] + told + more + _encode(markup)
