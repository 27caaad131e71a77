"""What the state should do, written as plainly as can be: lists of what happened, summed up anew at every question."""

from datetime import datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from portico.rules import Bound, Rule, Window
from portico.state.contract import Moment, Scope, Used

SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000}
GRANULES = {"day": 24, "week": 28}


def window_of(window: Window, at: Moment) -> str:
    """A name for the calendar's window, or the part of time, that this moment is in."""
    if window.every == "forever":
        return "ever"
    when = datetime.fromtimestamp(at.wall_ns // 10**9, ZoneInfo(window.zone))
    if window.every == "month":
        return f"{when:%Y-%m}"
    if window.every == "day":
        return f"{when:%Y-%m-%d}"
    if window.every == "week":
        return f"{when.date() - timedelta(days=when.weekday())}"
    seconds = window.every if isinstance(window.every, int) else SECONDS[window.every]
    return str(at.wall_ns // 10**9 // seconds)


def amount_of(rule: Rule, what: Bound | Used) -> int:
    if rule.counts in ("requests", "in_flight"):
        return what.requests if isinstance(what, Used) else 1
    both = what.input_tokens + what.output_tokens
    found = {"tokens": both, "input_tokens": what.input_tokens, "output_tokens": what.output_tokens, "cost": what.cost}
    value = found[rule.counts]
    assert value is not None
    return value


class Charge:
    """One call in one counter."""

    def __init__(self, rule: Rule, bound: Bound, at: Moment) -> None:
        self.window = window_of(rule.window, at)
        self.granule = granule(rule, at)
        self.reserved = amount_of(rule, bound)
        self.used = 0
        self.open = True


def granule(rule: Rule, at: Moment) -> int:
    if not rule.window.rolling or rule.window.every == "forever":
        return 0
    seconds = rule.window.every if isinstance(rule.window.every, int) else SECONDS[rule.window.every]
    return int(Fraction(at.boot_ns, seconds * 10**9) * parts(rule))


def parts(rule: Rule) -> int:
    return GRANULES.get(str(rule.window.every), 30)


class Counter:
    """One rule in one row."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.charges: list[Charge] = []
        self.level = Fraction(0)
        self.level_at = 0
        self.closed_in: tuple[str, int] | None = None

    def leak(self, at: Moment) -> None:
        every = self.rule.window.every
        seconds = every if isinstance(every, int) else SECONDS[every]
        gone = Fraction(at.boot_ns - self.level_at, seconds * 10**9) * self.rule.amount
        self.level = max(self.level - gone, Fraction(0))
        self.level_at = at.boot_ns

    def taken(self, at: Moment) -> int:
        if self.rule.window.rolling and self.rule.window.every != "forever":
            since = granule(self.rule, at) - parts(self.rule)
            return sum(c.reserved if c.open else c.used if c.granule >= since else 0 for c in self.charges)
        now = window_of(self.rule.window, at)
        return sum(c.reserved if c.open else c.used for c in self.charges if c.window == now)

    def fits(self, bound: Bound, at: Moment) -> bool:
        asked = amount_of(self.rule, bound)
        if self.rule.mode == "soft" or asked == 0:
            return True
        if self.rule.counts == "in_flight":
            return sum(c.open for c in self.charges) + 1 <= self.rule.amount
        if self.rule.kind == "limit":
            self.leak(at)
            return self.level + asked <= self.rule.amount
        return self.taken(at) + asked <= self.rule.amount

    def reserve(self, bound: Bound, at: Moment) -> Charge:
        if self.rule.kind == "limit" and self.rule.counts != "in_flight":
            self.leak(at)
            self.level += amount_of(self.rule, bound)
        charge = Charge(self.rule, bound, at)
        self.charges.append(charge)
        return charge

    def settle(self, charge: Charge, used: int, at: Moment) -> None:
        charge.open, charge.used = False, used
        if self.rule.kind == "limit" and self.rule.counts != "in_flight":
            self.leak(at)
            self.level = max(self.level + used - charge.reserved, Fraction(0))


class Naive:
    """All rows."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, str], Counter] = {}

    def of(self, scopes: tuple[Scope, ...]) -> list[Counter]:
        return [
            self.counters.setdefault((scope.row, rule.id), Counter(rule)) for scope in scopes for rule in scope.rules
        ]

    def fits(self, scopes: tuple[Scope, ...], bound: Bound, at: Moment) -> bool:
        return all(counter.fits(bound, at) for counter in self.of(scopes))

    def reserve(self, scopes: tuple[Scope, ...], bound: Bound, at: Moment) -> list[tuple[Counter, Charge]]:
        return [(counter, counter.reserve(bound, at)) for counter in self.of(scopes)]

    def settle(self, charges: list[tuple[Counter, Charge]], used: Used, at: Moment) -> None:
        for counter, charge in charges:
            counter.settle(charge, amount_of(counter.rule, used), at)
