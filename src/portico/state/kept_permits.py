"""Permits as they are kept in the books."""

from collections.abc import Sequence

import msgspec

from portico.rules import Bound
from portico.state.counting import Asks

Slots = list[tuple[bytes, list[bytes]]]


class Fixed(msgspec.Struct, array_like=True):
    """What is known of a permit before it is booked."""

    call_id: str
    bound: Bound
    about: bytes
    plan: Slots
    boot_ns: int
    wall_ns: int


class Kept(msgspec.Struct, array_like=True):
    """A permit as it is kept: enough to settle it by somebody who never saw it."""

    fixed: Fixed
    asks: Asks
    keys: Sequence[int]
    more: list[tuple[Slots, Asks, Sequence[int]]]
    rows: dict[str, tuple[str, ...]] | None = None


class Expired(msgspec.Struct, array_like=True):
    """A permit that was settled at its bound, until `until` on the boot clock in case somebody knows better."""

    until: int
    owner: bytes
    kept: Kept
