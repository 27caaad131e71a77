"""The rules in force, and which of them a call is under."""

from collections.abc import Sequence
from typing import Final

from portico.call import Call
from portico.errors import StateUnavailable
from portico.rules import Applied, Holder
from portico.state.contract import Moment, Scope, State, Under
from portico.state.scopes import Dimensions, Ruled
from portico.upstream.target import Target

MEMO_BOUND: Final = 10_000
_FREE: Final = Under((), False)


class Bounds:
    """The rules in force, and which of them a call is under. `declared` are those of the configuration."""

    def __init__(self, declared: Sequence[Applied], state: State) -> None:
        self._declared = declared
        self._state = state
        self._version = -1
        self._rules = Ruled(())
        self._any = False
        self._edition = object()  # stands for the rules, as long as they are the same
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
            self._edition = object()
        who = call.who
        assert who is not None
        if not self._any and not who.rules:
            return _FREE
        holder = who.holder
        if call.customer is None and call.tags is who.tags:
            # Nothing but the key tells such calls apart, and most are like the last of it.
            last = who.under
            if (
                last is not None
                and last.edition is self._edition
                and last.target == target.name
                and last.model == call.model
            ):
                return last
            plainly = self._plainly.get((call.model, target.name))
            if plainly is None:
                if len(self._plainly) >= MEMO_BOUND // 10:
                    self._plainly.clear()
                plainly = self._plainly[call.model, target.name] = {}
            found = plainly.get(who.id)
            if found is None or (found.holder is not holder and found.holder != holder):
                if len(plainly) >= MEMO_BOUND:
                    plainly.clear()
                found = plainly[who.id] = self._found(call, target, holder)
            found.model, found.target, found.edition = call.model, target.name, self._edition
            who.under = found
            return found
        key = (who.id, call.model, target.name, call.customer, call.tags)
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
        return Under(rows, measured(rows), holder)

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


def measured(under: Sequence[Scope]) -> bool:
    """Return whether rules of these scopes ask how much a call can use."""
    return any(rule.counts not in ("requests", "in_flight") for scope in under for rule in scope.rules)


def require_counts(under: Sequence[Scope]) -> None:
    """Raise StateUnavailable for calls under a budget whose counter does not stand at what was used yet."""
    for scope in under:
        for rule in scope.rules:
            if rule.kind == "budget":
                raise StateUnavailable(
                    "the counters of this machine were lost, and what its budgets have counted is put together from "
                    "the records of calls; try again in a moment",
                    retry_after=1,
                )
