"""Refusals in words: which scope and rule a call does not fit, what is left of it, and when to come back."""

from collections.abc import Sequence
from datetime import UTC, datetime

from portico.call import Call
from portico.errors import BudgetExceeded, LimitExceeded, PorticoError, UnboundedCall
from portico.rules import Holder, Rule
from portico.state import windows
from portico.state.contract import Refusal
from portico.upstream.target import Target


def refused(refusal: Refusal, call: Call, why: str | None, targets: Sequence[Target], wall_ns: int) -> PorticoError:
    """Return the error that tells a refusal: which scope and rule, what is left of it, and when to come back.

    `why` is that of the bound it was refused with, `targets` those that it was to be admitted for. `wall_ns` is now, in
    nanoseconds since the epoch: people are told when a budget's window ends.
    """
    rule, whose = refusal.rule, owner_of(refusal.row, call.caller)
    wait = refusal.retry_after
    resets = _resets(rule, wall_ns) if rule.kind == "budget" else ""
    when = "" if wait is None else f"; it fits again in {_duration(wait)}"
    if refusal.closed:
        return BudgetExceeded(
            f"the budget of {sum_of(rule, rule.amount)} {_window(rule)} of {whose} is closed: a call used more "
            "than it had reserved. Whoever manages it can open it again",
            retry_after=wait,
        )
    if refusal.asked is None:
        from portico.providers.bounds_advice import advice

        unpriced = [target.name for target in targets if target.price is None and target.model]
        said, param = advice(why, rule.counts, call.operation.name, unpriced)
        holds = f"the budget of {sum_of(rule, rule.amount)} {_window(rule)} of {whose} must hold"
        return UnboundedCall(f"{holds}, and {said}", param=param)
    if rule.counts == "in_flight":
        return LimitExceeded(f"{whose} may have {rule.amount} calls at once, and has", retry_after=wait)
    what = "limit" if rule.kind == "limit" else "budget"
    if rule.counts == "requests":
        message = f"the {what} of {sum_of(rule, rule.amount)} {_window(rule)} of {whose} is used up{when}{resets}"
    else:
        message = (
            f"the {what} of {sum_of(rule, rule.amount)} {_window(rule)} of {whose} has "
            f"{sum_of(rule, refusal.left)} left, and this call may need {sum_of(rule, refusal.asked)}{when}{resets}"
        )
    kind = LimitExceeded if rule.kind == "limit" else BudgetExceeded
    return kind(message, retry_after=wait)


def owner_of(row: str, caller: Holder | None) -> str:
    """Return a row as people name what it is of: a key by its name, which no id tells them."""
    if row == "all":
        return "everybody"
    parts = []
    for part in row.split("|"):
        dimension, _, value = part.partition(":")
        if dimension == "key" and caller is not None and value == caller.id:
            value = caller.name
        parts.append(f"{dimension} {value!r}")
    return ", ".join(parts)


def _resets(rule: Rule, wall_ns: int) -> str:
    """Say when a budget's window ends, where it ends as a whole."""
    if rule.window.rolling or rule.window.every == "forever":
        return ""
    end = datetime.fromtimestamp(windows.span(rule.window, wall_ns)[1] // windows.SECOND, UTC)
    return f"; its window ends at {end:%Y-%m-%d %H:%M:%S} UTC"


def sum_of(rule: Rule, amount: int) -> str:
    """Write so much of what a rule counts."""
    if rule.counts == "cost":
        whole, rest = divmod(max(0, amount), 1_000_000_000)
        digits = f"{rest:09d}".rstrip("0").ljust(2, "0")
        return f"${whole:,}.{digits}"
    return f"{amount:,} {rule.counts.replace('_', ' ')}"


def _window(rule: Rule) -> str:
    every = rule.window.every
    if every == "forever":
        return "in total"
    return f"per {every if isinstance(every, str) else _duration(every)}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 120:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 2880 else f"{minutes // 1440} days"
