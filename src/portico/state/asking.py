"""Asking for a permit in a task that may be cancelled while it waits."""

import asyncio
from collections.abc import Awaitable

from portico.rules import NO_BOUND, Bound
from portico.state.contract import Admission, Moment, Permit, Refusal, Scope, State
from portico.state.flights import Flight, Flights


async def ask(state: State, admission: Admission) -> Permit | Refusal:
    """Admit a call. A caller who hangs up between the booking and its answer leaves no permit behind."""
    waiting = state.admit(admission)
    try:
        return await waiting
    except asyncio.CancelledError:
        undo(state, waiting, admission)
        raise


async def bring_in(
    state: State, flights: Flights, permit: Permit, flight: Flight, scopes: tuple[Scope, ...], bound: Bound, at: Moment
) -> Refusal | None:
    """Bring a call under rules that counted nothing of it before: from now on it is in the books."""
    if not scopes:
        return None
    answer = await ask(state, Admission(permit.call_id, scopes, bound, at, flights.about(flight)))
    if isinstance(answer, Refusal):
        return answer
    permit.token, permit.bound = answer.token, bound
    flights.end(flight)
    return None if permit.rows is None else await state.extend(permit, NO_BOUND, at)


def undo(state: State, waiting: Awaitable[Permit | Refusal], admission: Admission) -> None:
    """Give back what was booked for who has stopped waiting for it."""
    if isinstance(waiting, asyncio.Future) and waiting.done() and not waiting.cancelled():
        answer = waiting.exception() or waiting.result()
        if isinstance(answer, Permit):
            state.release(answer, admission.at)
