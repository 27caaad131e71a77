"""Who may wait, how long and with what weight: what a configuration, a key and a call say of it."""

import time
from typing import NamedTuple

from portico.call import Call
from portico.config.schema import Config
from portico.config.wildcard import Patterns
from portico.queueing.waiting import Ticket, Waiting
from portico.rules import RANKS


class Terms:
    """What one configuration says of calls that wait."""

    def __init__(self, config: Config, waiting: Waiting) -> None:
        self.waiting = waiting
        self._wait = config.queue.wait if config.queue is not None else 0.0
        self._models = {name: model.queue.wait for name, model in config.models.items() if model.queue is not None}
        self._patterns = Patterns(config.models) if self._models else None
        self._teams = {name: team.queue for name, team in config.teams.items() if team.queue is not None}
        self._known: dict[int | None, Waits] = {}

    def __repr__(self) -> str:
        return f"<Terms of {self._wait:g} s, {len(self._models)} models, {len(self._teams)} teams>"

    def waits(self, said: int | None, deadline: float) -> "Waits":
        """Return what a call may wait by: `said` is the priority that it asks for; it has `deadline` seconds in all."""
        found = self._known.get(said)
        if found is None or found.deadline != deadline:
            found = self._known[said] = Waits(self, said, deadline)
        return found

    def ended(self, call: Call) -> None:
        """Note that a call has ended: what limits counted of it is free."""
        if self.waiting.lobby.lines and call.permit is not None:
            self.waiting.open_rows([scope.row for scope in call.permit.scopes])

    def ticket(self, call: Call, said: int | None, deadline: float, body: object) -> Ticket | None:
        """Return what a call waits with, None where it may not; `body` is what is held for it."""
        holder = call.caller
        assert holder is not None
        # A team is declared by the configuration or by the store: what the former says, it says now.
        team = self._teams.get(holder.team, holder) if holder.team is not None else holder
        wait = self._wait
        if team.wait is not None:
            wait = team.wait
        elif self._patterns is not None and call.model is not None:
            wait = self._of(call.model)
        if not wait:
            return None
        if call.wish is not None and call.wish.timeout is not None:
            deadline = min(deadline, call.wish.timeout)
        most = RANKS[holder.priority]
        spent = (time.perf_counter_ns() - call.began_ns) * 1e-9
        return Ticket(
            self.waiting,
            f"key:{holder.id}" if holder.team is None else holder.team,
            time.monotonic() + min(wait, deadline - spent),
            weight=team.weight,
            priority=most if said is None else min(said, most),
            size=len(body) if isinstance(body, bytes) else 0,
        )

    def _of(self, model: str) -> float:
        assert self._patterns is not None
        found = self._models.get(model)
        if found is None:
            match = self._patterns.find(model)
            found = self._models.get(match.pattern) if match is not None else None
        return self._wait if found is None else found


class Waits(NamedTuple):
    """By what a call may wait, and the priority that it asks for, None where it says nothing; `deadline` in seconds."""

    terms: Terms
    said: int | None
    deadline: float

    @property
    def busy(self) -> bool:
        """Whether anybody waits for anything: who comes now may have to wait behind."""
        return self.terms.waiting.anybody


def ticket_of(call: Call, body: object) -> Ticket | None:
    """Return what a call waits with, made when it is first needed; None where it may not wait."""
    ticket: Ticket | None = call.ticket
    if ticket is None and call.waits is not None:
        terms, said, deadline = call.waits
        ticket = call.ticket = terms.ticket(call, said, deadline, body)
    return ticket
