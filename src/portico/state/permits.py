"""Permits written to the books and read from there: enough to settle one by somebody who never saw it. No I/O."""

from struct import Struct
from typing import Final

import msgspec

from portico.rules import Bound
from portico.state import books
from portico.state.contract import Permit
from portico.state.counting import CAP, asks
from portico.state.kept_permits import Expired, Fixed, Kept, Slots
from portico.state.plans import Plan
from portico.state.rows import packing

SIMPLE: Final = b"\0"
"""Begins a permit as it was admitted: the length of what is fixed, that, and the keys of its windows."""
EXTENDED: Final = b"\1"
"""Begins a permit that was extended: all of it, encoded."""

begin_simple: Final = Struct("<cI").pack
_read_length: Final = Struct("<I").unpack_from


_decode_fixed: Final = msgspec.msgpack.Decoder(Fixed).decode
decode_kept: Final = msgspec.msgpack.Decoder(Kept).decode
decode_expired: Final = msgspec.msgpack.Decoder(Expired).decode


def kept_as(permit: Permit, hold: books.Hold) -> Kept:
    """Return a permit with what it holds, as it is kept."""
    more = [(slots_of(plan), amounts, keys) for plan, amounts, keys in hold.more or ()]
    return Kept(
        Fixed(
            permit.call_id,
            within_reason(permit.bound),
            hold.about,
            slots_of(hold.plan),
            hold.at.boot_ns,
            hold.at.wall_ns,
        ),
        hold.asks,
        hold.keys,
        more,
        permit.rows,
    )


def slots_of(plan: Plan) -> Slots:
    """Return the keys of a plan's rows, and the slots that it counts in there."""
    return [(row.key, [slot for slot, _ in rules.slots]) for row, _, rules in plan.rows]


def read_permit(value: bytes) -> Kept:
    """Read a permit as `prepare` and `admit` wrote it together, or as an extension did."""
    if value[:1] == EXTENDED:
        return decode_kept(value[1:])
    end = 5 + _read_length(value, 1)[0]
    keys = packing((len(value) - end) // 8)[1](value, end)
    fixed = _decode_fixed(value[5:end])
    return Kept(fixed, asks(fixed.bound), keys, [])


def reserved_by(kept: Kept) -> int | None:
    """Return the cost that a call has reserved where it was admitted, extensions and all."""
    costs = [kept.asks[5], *(amounts[5] for plan, amounts, _ in kept.more if plan == kept.fixed.plan)]
    return None if None in costs else sum(filter(None, costs))


def within_reason(bound: Bound) -> Bound:
    """A bound that fits into 64 bits, and means the same: what is beyond all measure stays beyond it."""
    if bound.input_tokens <= CAP and bound.output_tokens <= CAP and (bound.cost or 0) <= CAP:
        return bound
    most = CAP + 1
    cost = None if bound.cost is None else min(bound.cost, most)
    return Bound(min(bound.input_tokens, most), min(bound.output_tokens, most), cost, bound.why)
