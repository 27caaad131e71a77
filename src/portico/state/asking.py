"""Asking for a permit in a task that may be cancelled while it waits."""

import asyncio
from collections.abc import Awaitable

from portico.state.contract import Admission, Permit, Refusal, State


async def ask(state: State, admission: Admission) -> Permit | Refusal:
    """Admit a call. A caller who hangs up between the booking and its answer leaves no permit behind."""
    waiting = state.admit(admission)
    try:
        return await waiting
    except asyncio.CancelledError:
        undo(state, waiting, admission)
        raise


def undo(state: State, waiting: Awaitable[Permit | Refusal], admission: Admission) -> None:
    """Give back what was booked for who has stopped waiting for it."""
    if isinstance(waiting, asyncio.Future) and waiting.done() and not waiting.cancelled():
        answer = waiting.exception() or waiting.result()
        if isinstance(answer, Permit):
            state.release(answer, admission.at)
