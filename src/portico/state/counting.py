"""The arithmetic of rules: what a call reserves in the rows of its scopes, and what becomes of that. No I/O, no clock.

A row is one scope's counters: a list of integers, in which every rule has a slot.

- `limit` on requests or tokens: a bucket of `amount` that leaks evenly, empty once per window. Kept as the moment when
  it was last empty and what came in since, so that nothing is ever rounded: exactly what has leaked fits again.
- `limit` on calls in flight: a number.
- `budget`: a window's key and ends, what was used in it, what is reserved. A key is larger than all keys before it;
  what was reserved under one is settled under it, or nowhere, once another window has begun.
- `budget` that rolls: as many sums as the window has granules, and one more. A sum leaves as a whole, once all of it
  is older than the window.

All is integers below 2^63. Times are nanoseconds: of the boot clock for limits, rolling windows and those shorter than
a day; of the wall clock for days, weeks and months.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from portico.rules import Bound, Rule
from portico.state import windows
from portico.state.contract import Passed, Refusal, Used
from portico.state.rows import BUCKET, BUDGET, IN_FLIGHT, ROLLING, Layout, Row, cells_of, layout_of, slot_of

if TYPE_CHECKING:
    from portico.state.plans import Plan

# Where a rule looks in `Asks`. Limits take a guess where tokens have no bound; budgets do not.
_LIMITED: Final = {"requests": 0, "tokens": 1, "input_tokens": 2, "output_tokens": 3, "in_flight": 4, "cost": 5}
_BUDGETED: Final = {"requests": 0, "tokens": 6, "input_tokens": 7, "output_tokens": 8, "in_flight": 4, "cost": 5}

Asks = tuple[int, int, int, int, int, int | None, int | None, int | None, int | None]
"""What a call reserves: requests, tokens, input, output, calls in flight, cost; tokens, input, output if bounded."""

Reserved = tuple[tuple[int, ...], tuple[int, ...]]
"""What was reserved: the keys of the windows in which, a number for each budget, and what every rule has left."""

Spent = tuple[int, int, int, int, int, int, int, int, int]
"""What a call has used, in the same places."""

# No call is worth more than this (70,000 dollars, or so many tokens): a larger bound is none, and sums stay in 64 bits.
CAP: Final = 1 << 46

CLOSED: Final = 1 << 32  # in a slot's state, beside the number of alerts that were raised
_ALERTS: Final = CLOSED - 1
SOON: Final = 1.0  # seconds until it is worth asking again, where what is in the way are calls under way

_SLOTS: Final = 100  # in a row; as many that calls under way count in are kept beyond, up to 255
_DAY: Final = 86_400 * windows.SECOND

Op = tuple[int, int, int, int, int, bool, tuple[int, ...], Rule]
"""A rule at its place in a row: kind, position, place in `Asks`, amount, length in ns (of a granule, where it rolls),
whether it refuses, amounts at which it raises alerts, and the rule."""


def asks(bound: Bound, requests: int = 1, in_flight: int = 1) -> Asks:
    """Return what a call with this bound reserves."""
    tokens_in, tokens_out, cost = bound.input_tokens, bound.output_tokens, bound.cost
    tokens = tokens_in + tokens_out
    if bound.why is None and cost is not None and tokens + cost <= CAP:  # as nearly always
        return requests, tokens, tokens_in, tokens_out, in_flight, cost, tokens, tokens_in, tokens_out
    if cost is not None and cost > CAP:
        cost = None
    if tokens > CAP:
        return requests, CAP, min(tokens_in, CAP), min(tokens_out, CAP), in_flight, cost, None, None, None
    if not bound.finite:
        return requests, tokens, tokens_in, tokens_out, in_flight, cost, None, None, None
    return requests, tokens, tokens_in, tokens_out, in_flight, cost, tokens, tokens_in, tokens_out


def spent(used: Used, in_flight: int = 1) -> Spent:
    """Return what a call has used, in the places of `Asks`."""
    tokens_in, tokens_out, cost = used.input_tokens, used.output_tokens, used.cost
    tokens = tokens_in + tokens_out
    if tokens + cost > CAP:
        tokens_in, tokens_out, cost = min(tokens_in, CAP), min(tokens_out, CAP), min(cost, CAP)
        tokens = tokens_in + tokens_out
    return used.requests, tokens, tokens_in, tokens_out, in_flight, cost, tokens, tokens_in, tokens_out


def exceeds(used: Spent, reserved: Asks) -> bool:
    """Say whether a call used more than it had reserved, of what had a bound."""
    cost = reserved[5]
    tokens_in, tokens_out = reserved[7], reserved[8]
    return (
        (cost is not None and used[5] > cost)
        or (tokens_in is not None and used[7] > tokens_in)
        or (tokens_out is not None and used[8] > tokens_out)
    )


class Rules:
    """The rules of a scope, ready to be applied to its row."""

    __slots__ = ("_fitted", "layout", "ops", "slots")

    def __init__(self, rules: Sequence[Rule]) -> None:
        by_slot = {slot_of(rule): rule for rule in rules}  # a rule named twice counts once
        self.slots = tuple(by_slot.items())
        self.layout = layout_of(tuple(by_slot))
        self.ops = self._place(self.layout)
        self._fitted: tuple[Layout, tuple[Op, ...]] = (self.layout, self.ops)

    def _place(self, layout: Layout) -> tuple[Op, ...]:
        return tuple(_op(rule, slot, layout.places[slot]) for slot, rule in self.slots if slot in layout.places)

    def on(self, row: Row) -> tuple[Op, ...]:
        """Return the rules at their places in this row, where others may stand too. What has no slot is left out."""
        layout = row.layout
        if layout is self.layout:
            return self.ops
        if self._fitted[0] is not layout:
            self._fitted = (layout, self._place(layout))
        return self._fitted[1]

    def fit(self, row: Row, boot: int, wall: int) -> tuple[Op, ...]:
        """Give the row a slot for each of these rules, drop foreign slots with nothing in them; return the places."""
        if row.layout is self._fitted[0] and len(self._fitted[1]) == len(self.ops):
            return self._fitted[1]
        places = row.layout.places
        if not all(slot in places for slot, _ in self.slots):
            mine = self.layout.places
            kept = [
                slot
                for slot in row.layout.slots
                if slot in mine or not vacant(slot, row.cells, places[slot], boot, wall)
            ]
            if len(kept) + len(mine) > _SLOTS:  # rules that changed a hundred times over
                kept = [slot for slot in kept if slot in mine or _holds(slot, row.cells, places[slot])]
            layout = layout_of((*kept, *(slot for slot, _ in self.slots if slot not in places)))
            cells = [0] * layout.size
            for slot in kept:
                size, at, now_at = cells_of(slot), places[slot], layout.places[slot]
                cells[now_at : now_at + size] = row.cells[at : at + size]
            row.lay(layout, cells, self)
        return self.on(row)


def _op(rule: Rule, slot: bytes, at: int) -> Op:
    kind = slot[-2]
    amount = min(rule.amount, 1 << 60)
    length = windows.length_ns(rule.window) or 0
    if kind == BUCKET:
        length = length or windows.NEVER << 62  # a bucket that never leaks
    elif kind == ROLLING:
        length = -(-length // slot[-1])
    places = _BUDGETED if kind in (BUDGET, ROLLING) else _LIMITED
    percents = rule.alerts or ((100,) if rule.mode == "soft" else ())
    alerts = tuple(-(-amount * percent // 100) for percent in sorted(percents)) if kind in (BUDGET, ROLLING) else ()
    return kind, at, places[rule.counts], amount, length, rule.mode != "soft", alerts, rule


Fetch = Callable[[Row, Rules], Row]
"""Have a row at hand, read or made for these rules, and note that it may be changed."""


def plain(bound: Bound) -> bool:
    """Return whether a bound is one as nearly all are: its tokens are bounds, and nothing is beyond all measure."""
    return (bound.why is None or bound.why == "unpriced") and (
        bound.input_tokens + bound.output_tokens + (bound.cost or 0) <= CAP
    )


def reserve(fetch: Fetch, plan: "Plan", wanted: Asks, boot: int, wall: int) -> Reserved | Refusal:
    """Reserve what a call asks for in all of its scopes, or in none.

    By one rule after the other, whatever its state: what `Plan.take` leaves to be decided.
    """
    keys: list[int] = []
    left: list[int] = []
    for row, name, rules in plan.rows:
        fetch(row, rules)
        ops = rules.ops if row.layout is rules.layout else rules.fit(row, boot, wall)
        cells = row.changing()
        for kind, at, place, amount, length, firm, _, rule in ops:
            asked = wanted[place]
            if kind == 0:  # BUCKET
                assert asked is not None
                since = cells[at]
                level = cells[at + 1] - ((boot - since) * amount // length if boot > since else 0)
                if level <= 0:
                    cells[at] = boot
                    cells[at + 1] = level = 0
                room = amount - level - asked
                if room < 0 and firm and asked:
                    give_back(plan, wanted, (row, rule))
                    return _bucket_full(name, rule, asked, amount, level, cells[at], cells[at + 1], length, boot)
                cells[at + 1] += asked
            elif kind == 2:  # BUDGET
                if wall >= cells[at + 1] or boot >= cells[at + 2]:
                    _begin(cells, at, rule, boot, wall)
                taken = cells[at + 3] + cells[at + 4]
                if asked is None:
                    asked = 0
                    if firm:
                        give_back(plan, wanted, (row, rule))
                        return Refusal(name, rule, None, max(amount - taken, 0), None, cells[at + 5] >= CLOSED)
                room = amount - taken - asked
                if firm and (room < 0 or cells[at + 5] >= CLOSED) and asked:
                    give_back(plan, wanted, (row, rule))
                    return _window_full(name, rule, asked, amount, cells, at, boot, wall)
                cells[at + 4] += asked
                keys.append(cells[at])
            elif kind == 1:  # IN_FLIGHT
                assert asked is not None
                room = amount - cells[at] - asked
                if room < 0 and firm and asked:
                    give_back(plan, wanted, (row, rule))
                    return Refusal(name, rule, asked, max(amount - cells[at], 0), SOON if asked <= amount else None)
                cells[at] += asked
            else:  # ROLLING
                _roll(cells, at, rule, boot // length)
                taken = cells[at + 1] + cells[at + 2]
                if asked is None:
                    asked = 0
                    if firm:
                        give_back(plan, wanted, (row, rule))
                        return Refusal(name, rule, None, max(amount - taken, 0), None, cells[at + 3] >= CLOSED)
                room = amount - taken - asked
                if firm and (room < 0 or cells[at + 3] >= CLOSED) and asked:
                    give_back(plan, wanted, (row, rule))
                    return _rolling_full(name, rule, asked, amount, cells, at, boot, length)
                cells[at + 2] += asked
                keys.append(cells[at])
            left.append(room)
    return tuple(keys), tuple(left)


def give_back(plan: "Plan", wanted: Asks, until: tuple[Row, Rule] | None = None) -> None:
    """Take back what has just been reserved, up to the rule that refused, in the row where it did."""
    last, refusing = until or (None, None)
    for row, _, rules in plan.rows:
        cells = row.changing()
        for kind, at, place, _, _, _, _, rule in rules.on(row):
            if rule is refusing and row is last:  # one rule counts in the rows of all tags of a call
                return
            asked = wanted[place] or 0
            if kind == BUCKET:
                cells[at + 1] -= asked
            elif kind == IN_FLIGHT:
                cells[at] -= asked
            elif kind == BUDGET:
                cells[at + 4] -= asked
            else:
                cells[at + 2] -= asked


def correct(
    row: Row,
    name: str,
    ops: Sequence[Op],
    reserved: Asks,
    keys: Sequence[int],
    first: int,
    used: Spent,
    over: bool,
    boot: int,
    wall: int,
) -> tuple[int, list[Passed] | None]:
    """Put what was used in the place of what was reserved, in one row; `keys` counts from `first` on.

    Returns the number of the next key and the events. With `over` the hard budgets on what passed its bound close.
    """
    cells = row.changing()
    passed: list[Passed] | None = None
    for op in ops:
        kind, at, place, amount, length, firm, alerts, rule = op
        asked = reserved[place]
        now = used[place]
        if kind == 0:  # BUCKET
            assert asked is not None
            if now > asked and cells[at + 1] < max(boot - cells[at], 0) * amount // length:
                cells[at], cells[at + 1] = boot, 0  # a bucket that is more than empty has no credit
            cells[at + 1] += now - asked
        elif kind == 2:  # BUDGET
            key = keys[first]
            first += 1
            if not (cells[at] or asked):
                begin_again(cells, op, key, boot, wall)
            if cells[at] == key:
                cells[at + 3] += now
                cells[at + 4] -= asked or 0
                if (alerts and cells[at + 3] >= alerts[0]) or over:
                    passed = _events(
                        cells, at + 5, cells[at + 3], now, name, amount, alerts, rule,
                        over and firm and asked is not None and now > asked, passed,
                    )  # fmt: skip
        elif kind == 1:  # IN_FLIGHT
            assert asked is not None
            cells[at] -= asked
        else:  # ROLLING
            key = keys[first]
            first += 1
            if not (cells[at] or asked):
                begin_again(cells, op, key, boot, wall)
            cells[at + 2] -= asked or 0
            if key > cells[at] - rule_parts(rule):
                cells[at + 5 + key % rule_parts(rule)] += now
                cells[at + 1] += now
                if (alerts and cells[at + 1] >= alerts[0]) or over:
                    closes = over and firm and asked is not None and now > asked
                    passed = _events(cells, at + 3, cells[at + 1], now, name, amount, alerts, rule, closes, passed)
                    if closes:
                        cells[at + 4] = key + rule_parts(rule)
    return first, passed


def begin_again(cells: list[int], op: Op, key: int, boot: int, wall: int) -> None:
    """Begin the window of a budget that was forgotten while a call was under way that had reserved nothing there."""
    if op[0] == BUDGET:
        _begin(cells, op[1], op[7], boot, wall)
    else:
        _roll(cells, op[1], op[7], max(key, boot // op[4]))


def put_past(cells: list[int], op: Op, used: Spent, when: int, boot: int, wall: int) -> None:
    """Count what was used at `when` by the wall clock, if this is a budget and its window reaches back so far."""
    kind, at, place, _, length, _, _, rule = op
    if kind == BUDGET:
        if wall >= cells[at + 1] or boot >= cells[at + 2]:
            _begin(cells, at, rule, boot, wall)
        if when >= windows.span(rule.window, wall)[0]:
            cells[at + 3] += used[place]
    elif kind == ROLLING:
        _roll(cells, at, rule, boot // length)
        granule = (boot - max(wall - when, 0)) // length
        if granule > cells[at] - rule_parts(rule):
            cells[at + 5 + granule % rule_parts(rule)] += used[place]
            cells[at + 1] += used[place]


def hold_past(cells: list[int], op: Op, wanted: Asks, when: int, boot: int, wall: int) -> int | None:
    """Reserve what is asked for since `when` by the wall clock; return the key of the window where this is a budget."""
    kind, at, place, _, length, _, _, rule = op
    asked = wanted[place] or 0
    if kind == BUDGET:
        if wall >= cells[at + 1] or boot >= cells[at + 2]:
            _begin(cells, at, rule, boot, wall)
        if when < windows.span(rule.window, wall)[0]:
            return 0  # its window is over
        cells[at + 4] += asked
        return cells[at]
    if kind == ROLLING:
        _roll(cells, at, rule, boot // length)
        cells[at + 2] += asked
        return (boot - max(wall - when, 0)) // length
    return None


def rule_parts(rule: Rule) -> int:
    """Return how many sums a rolling budget keeps: one for each granule, and one for that which is leaving."""
    return windows.granules(rule.window) + 1


def _events(
    cells: list[int],
    at: int,
    used: int,
    now: int,
    name: str,
    amount: int,
    alerts: tuple[int, ...],
    rule: Rule,
    closes: bool,
    passed: list[Passed] | None,
) -> list[Passed] | None:
    """Raise the alerts that were passed and not raised in this window yet, and close the slot if it `closes`.

    `used` includes `now`, what has just been used. Those that it was below before were not raised for this amount, but
    for a smaller one that the rule had.
    """
    state = cells[at]
    raised = min(state & _ALERTS, len(alerts))
    while raised and used - now < alerts[raised - 1]:
        raised -= 1
    percents = sorted(rule.alerts) or [100]
    while raised < len(alerts) and used >= alerts[raised]:
        passed = passed or []
        passed.append(Passed(name, rule, percents[raised], used))
        raised += 1
    closed = state & CLOSED
    if closes and not closed:
        closed = CLOSED
        passed = passed or []
        passed.append(Passed(name, rule, used * 100 // amount if amount else 100, used, closed=True))
    cells[at] = closed | raised
    return passed


def _begin(cells: list[int], at: int, rule: Rule, boot: int, wall: int) -> None:
    """Begin the window that this moment lies in; never one that has been.

    Windows of the calendar end by the wall clock, but after twice their length at the latest, should the clock have
    been set back by years. Shorter ones end by the boot clock: setting the wall clock neither renews nor prolongs them.
    """
    start, end = windows.span(rule.window, wall)
    cells[at] = start if start > cells[at] else cells[at] + 1
    if end == windows.NEVER:
        cells[at + 1] = cells[at + 2] = windows.NEVER
    elif windows.by_calendar(rule.window):
        cells[at + 1] = end
        cells[at + 2] = boot + 2 * (end - start)
    else:
        cells[at + 1] = windows.NEVER
        cells[at + 2] = boot + end - wall
    cells[at + 3] = cells[at + 4] = cells[at + 5] = 0


def _roll(cells: list[int], at: int, rule: Rule, granule: int) -> None:
    """Let go of the granules that have left the window."""
    newest = cells[at]
    if granule <= newest:
        return
    parts = rule_parts(rule)
    for leaving in range(max(newest + 1, granule - parts + 1), granule + 1):
        place = at + 5 + leaving % parts
        cells[at + 1] -= cells[place]
        cells[place] = 0
    cells[at] = granule
    state = cells[at + 3]
    if state >= CLOSED and granule >= cells[at + 4]:
        state &= _ALERTS
    raised = state & _ALERTS
    percents = sorted(rule.alerts) or [100]
    while raised and cells[at + 1] * 100 < percents[min(raised, len(percents)) - 1] * rule.amount:
        raised -= 1  # it may be passed again
    cells[at + 3] = (state & CLOSED) | raised


def _bucket_full(
    name: str, rule: Rule, asked: int, amount: int, level: int, since: int, came: int, length: int, boot: int
) -> Refusal:
    retry = None
    if asked <= amount and rule.window.every != "forever":
        leaks = came + asked - amount  # so much must have leaked since
        retry = (since - boot + -(-leaks * length // amount)) / windows.SECOND
    return Refusal(name, rule, asked, max(amount - level, 0), retry)


def _window_full(
    name: str, rule: Rule, asked: int, amount: int, cells: list[int], at: int, boot: int, wall: int
) -> Refusal:
    closed = cells[at + 5] >= CLOSED
    ends = min(cells[at + 1] - wall, cells[at + 2] - boot)
    retry = ends / windows.SECOND if rule.window.every != "forever" else None
    if not closed and cells[at + 3] + asked <= amount:
        retry = SOON if retry is None else min(SOON, retry)
    elif asked > amount:
        retry = None
    return Refusal(name, rule, asked, max(amount - cells[at + 3] - cells[at + 4], 0), retry, closed)


def _rolling_full(
    name: str, rule: Rule, asked: int, amount: int, cells: list[int], at: int, boot: int, length: int
) -> Refusal:
    closed = cells[at + 3] >= CLOSED
    left = max(amount - cells[at + 1] - cells[at + 2], 0)
    parts = rule_parts(rule)
    leaves: int | None = cells[at + 4] if closed else None
    if asked > amount:
        return Refusal(name, rule, asked, left, None, closed)
    used = cells[at + 1]
    if not closed and used + asked <= amount:
        return Refusal(name, rule, asked, left, SOON, closed)
    granule = cells[at] - parts + 1
    while used + asked > amount:
        used -= cells[at + 5 + granule % parts]
        granule += 1
        leaves = max(leaves or 0, granule - 1 + parts)
    assert leaves is not None
    return Refusal(name, rule, asked, left, (leaves * length - boot) / windows.SECOND, closed)


def vacant(slot: bytes, cells: Sequence[int], at: int, boot: int, wall: int, rule: Rule | None = None) -> bool:
    """Say whether nothing is lost with this slot: nothing reserved, and what it counted is over or nothing.

    Without the rule that it is for, one that might have leaked or rolled on counts as it stands.
    """
    kind = slot[-2]
    if kind == IN_FLIGHT:
        return cells[at] == 0
    if kind == BUDGET:
        # A day of the calendar that is over is kept for another, so that setting the clock back does not renew it.
        over = wall >= cells[at + 1] + _DAY or boot >= cells[at + 2]
        return cells[at + 4] == 0 and (over or (cells[at + 3] == 0 and cells[at + 5] == 0))
    length = windows.length_ns(rule.window) if rule is not None else None
    if kind == BUCKET:
        leaked = (boot - cells[at]) * rule.amount // length if rule is not None and length else 0
        return cells[at + 1] <= leaked
    if length and boot // -(-length // slot[-1]) >= cells[at] + slot[-1] + 1:
        return cells[at + 2] == 0
    return cells[at + 1] == 0 and cells[at + 2] == 0 and cells[at + 3] < CLOSED


def _holds(slot: bytes, cells: Sequence[int], at: int) -> bool:
    """Say whether calls under way have something in this slot."""
    return cells[at + {BUCKET: 1, IN_FLIGHT: 0, BUDGET: 4, ROLLING: 2}[slot[-2]]] != 0 and slot[-2] != BUCKET
