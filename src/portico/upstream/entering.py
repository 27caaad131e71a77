"""Which target has room for a call, and waiting for room where none has."""

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from portico.call import Call
from portico.errors import AtCapacity
from portico.queueing.terms import ticket_of
from portico.queueing.waiting import Closed, Ticket

if TYPE_CHECKING:
    from portico.queueing.line import Key
    from portico.queueing.waiting import Waiting
    from portico.upstream.attempt import Elsewhere
    from portico.upstream.gate import Gate
    from portico.upstream.outgoing import Outgoing
    from portico.upstream.target import Target

Doors = dict[int, tuple[str, float]]
"""What is in the way of targets, by their places: the name of a gate, and when it is worth trying again."""


def enter(
    targets: "Sequence[Target]", place: int, asked: "Sequence[Target]", waiting: "Waiting | None"
) -> tuple[int | None, Doors]:
    """Take a place at the first target that has one, from `place` on; return which, or what is in the way of all.

    Nobody passes those who wait already. Of other targets than the first, those that rest are left out.
    """
    now = monotonic()
    doors: Doors = {}
    for at in (place, *(each for each in range(len(targets)) if each != place)):
        target = targets[at]
        if at != place and (target in asked or not target.health.admits(now)):
            continue
        gate = target.gate
        if gate is None:
            return at, doors
        door = taken_by(gate, waiting, now) if waiting is not None else None
        door = door or gate.take(now)
        if door is None:
            return at, doors
        doors[at] = door
    return None, doors


async def entered(
    targets: "Sequence[Target]",
    place: int,
    asked: "Sequence[Target]",
    call: Call,
    outgoing: "Outgoing",
    elsewhere: "Elsewhere | None",
) -> "tuple[Sequence[Target], int, Elsewhere | None]":
    """Take a place for a call at one of its targets, else at one for calls that these have no room for, or wait.

    Returns the targets, the place among them, and what still has others. Raises AtCapacity.
    """
    ticket = ticket_of(call, outgoing.body)
    waiting = ticket.waiting if ticket is not None else None
    found, doors = enter(targets, place, asked, waiting)
    if found is None and elsewhere is not None:
        more = [each for each in elsewhere("rate_limit") if each not in asked]
        if more:
            there, _ = enter(more, 0, asked, waiting)
            if there is not None:
                return more, there, None
    if found is None:
        found = await wait(targets, doors, call, ticket)
    return targets, found, elsewhere


def taken_by(gate: "Gate", waiting: "Waiting", now: float) -> tuple[str, float] | None:
    """Return the gate at which others wait already, None for none."""
    if waiting.busy(gate.name):
        return gate.name, now
    if gate.outer is not None and waiting.busy(gate.outer.name):
        return gate.outer.name, now
    return None


async def wait(targets: "Sequence[Target]", doors: Doors, call: Call, ticket: Ticket | None) -> int:
    """Wait until one of the targets has a place for a call, take it and return which. Raises AtCapacity.

    A call whose turn it is at one gate goes through that one alone: at the others are those who came before.
    """
    if ticket is None:
        raise full(targets, doors)

    async def attempt(key: "Key") -> int | Closed:
        now = monotonic()
        for at, (name, _) in list(doors.items()):
            if name == key:
                gate = targets[at].gate
                door = gate.take(now) if gate is not None else None
                if door is None:
                    return at
                doors[at] = door
            else:
                doors[at] = (name, now)
        return closed(targets, doors)

    before = ticket.queued_ns
    try:
        return await ticket.wait(closed(targets, doors), attempt)
    finally:
        call.waited_ns += ticket.queued_ns - before


def closed(targets: "Sequence[Target]", doors: Doors) -> Closed:
    """Return why a call cannot go on: each gate once, with the first time at which it is worth trying again."""
    first: dict[str, float] = {}
    for name, at in doors.values():
        first[name] = min(at, first.get(name, at))
    return Closed(list(first.items()), full(targets, doors))


def full(targets: "Sequence[Target]", doors: Doors) -> AtCapacity:
    """Return the error of a call for which no target has a place."""
    names = ", ".join(sorted({targets[at].name for at in doors}))
    wait = max(min(at for _, at in doors.values()) - monotonic(), 0.0)
    return AtCapacity(f"{names}: as many calls are there as there may be for now", retry_after=max(1.0, wait))
