"""What becomes of a permit in the rows of its scopes: admitted, extended, settled, released, expired. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from weakref import WeakValueDictionary

from portico.compiled import mypyc_attr
from portico.rules import Bound, Rule
from portico.state import windows
from portico.state.contract import Admission, Allowances, Left, Moment, Passed, Permit, Refusal, Scope, Settled, Used
from portico.state.counting import (
    Asks,
    Fetch,
    Op,
    Reserved,
    Rules,
    Spent,
    asks,
    begin_again,
    correct,
    exceeds,
    give_back,
    hold_past,
    plain,
    put_past,
    reserve,
    spent,
)
from portico.state.plans import Plan
from portico.state.rows import BUCKET, BUDGET, IN_FLIGHT, Row
from portico.state.shared_row import SharedRow
from portico.state.straight import straight

SECOND: Final = windows.SECOND
QUIET: Final = Settled()
_OVER: Final = Settled(over_bound=True)
NOTHING: Spent = (0,) * 9
UNUSED: Final = Used(requests=0)
"""What a call that is released has used."""

# Rules and plans that are at hand. Callers memoise scopes, so that they are found by identity.
_KNOWN: Final = 8_192


Further = tuple[Plan, Asks, Sequence[int]]
"""What an extension reserved elsewhere or later."""

Apart = Mapping[bytes, Spent]
"""What rows are charged that are not of all targets of a call, by their keys."""
NONE_APART: Final[Apart] = {}


@mypyc_attr(acyclic=True)
class Hold:
    """What a permit reserved, where, and in which windows. `more` is what extensions did.

    `wanted` is what it holds, None where that is just what a call with its bound asks for, and the bound is `plain`.
    """

    __slots__ = ("about", "at", "bound", "id", "keys", "more", "plan", "room", "wanted")

    def __init__(
        self,
        plan: Plan,
        bound: Bound,
        keys: Sequence[int],
        room: Sequence[int],
        at: Moment,
        id: bytes = b"",  # noqa: A002  # what the books know it by
        about: bytes = b"",
        wanted: Asks | None = None,
    ) -> None:
        self.plan = plan
        self.bound = bound
        self.keys = keys
        self.room = room
        self.at = at
        self.id = id
        self.about = about
        self.more: list[Further] | None = None
        self.wanted = wanted

    def __repr__(self) -> str:
        return f"<Hold of {self.bound} in {len(self.plan.rows)} rows>"

    @property
    def asks(self) -> Asks:
        """What it holds where the call was admitted."""
        return asks(self.bound) if self.wanted is None else self.wanted

    def reserved(self) -> int | None:
        """Return the cost that is reserved where the call was admitted, extensions and all."""
        costs = [self.asks[5], *(amounts[5] for plan, amounts, _ in self.more or () if plan is self.plan)]
        return None if None in costs else sum(filter(None, costs))

    def allowances(self) -> Allowances:
        """Return what limits on requests and tokens had left."""
        return self.plan.limits, self.room

    def left(self) -> tuple[Left, ...]:
        """Return what every rule had left, and when all of it is back."""
        found: list[Left] = []
        room, keys = iter(self.room), iter(self.keys)
        for _, name, rules in self.plan.rows:
            for kind, _, _, amount, length, _, _, rule in rules.ops:
                left = max(next(room), 0)
                resets: float | None
                if kind == BUCKET:
                    resets = -((left - amount) * length // amount) / windows.SECOND if amount else None
                    if rule.window.every == "forever":
                        resets = None
                elif kind == IN_FLIGHT:
                    resets = None
                elif kind == BUDGET:
                    end = windows.span(rule.window, next(keys))[1]
                    resets = None if end == windows.NEVER else max(end - self.at.wall_ns, 0) / windows.SECOND
                else:
                    next(keys)
                    resets = length * rules_parts(rule) / windows.SECOND
                found.append(Left(name, rule, left, resets))
        return tuple(found)


def rules_parts(rule: Rule) -> int:
    """Return how many granules it takes until a rolling window has forgotten what is used now."""
    return windows.granules(rule.window) + 1


class Planner:
    """Makes scopes ready to be counted, and remembers that for those it is given again."""

    __slots__ = ("_learn", "_plans", "_rows", "_rules", "_scopes")

    def __init__(self, learn: Callable[[Rules], None] | None = None) -> None:
        self._learn = learn
        self._plans: dict[int, Plan] = {}
        self._rows: WeakValueDictionary[bytes, SharedRow] = WeakValueDictionary()
        self._scopes: dict[int, tuple[Scope, tuple[Row, str, Rules]]] = {}
        self._rules: dict[tuple[Rule, ...], Rules] = {}

    def plan(self, scopes: tuple[Scope, ...]) -> Plan:
        """Return the plan of these scopes."""
        plan = self._plans.get(id(scopes))
        if plan is not None and plan.scopes is scopes:
            return plan
        if len(self._plans) >= _KNOWN:
            self._plans.clear()
        rows: dict[Row, tuple[Row, str, Rules]] = {}
        for scope in scopes:
            row = self._placed(scope)
            if row[0] in rows:  # two scopes that share a row are one
                same = rows[row[0]]
                row = (row[0], row[1], Rules([*(r for _, r in same[2].slots), *scope.rules]))
            rows[row[0]] = row
        plan = self._plans[id(scopes)] = Plan(scopes, tuple(rows.values()), straight(tuple(rows.values())))
        return plan

    def row(self, key: bytes) -> Row:
        """Return the row that is kept under this key: the same one for as long as anybody has it."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = SharedRow(key)
        return row

    def _placed(self, scope: Scope) -> tuple[Row, str, Rules]:
        known = self._scopes.get(id(scope))
        if known is not None and known[0] is scope:
            return known[1]
        rules = self._rules.get(scope.rules)
        if rules is None:
            if len(self._rules) >= _KNOWN:
                self._rules.clear()
            rules = self._rules[scope.rules] = Rules(scope.rules)
            if self._learn is not None:
                self._learn(rules)
        if len(self._scopes) >= _KNOWN:
            self._scopes.clear()
        row = (self.row(row_key(scope.row)), scope.row, rules)
        self._scopes[id(scope)] = (scope, row)
        return row


def row_key(name: str) -> bytes:
    """Return what a row is kept under: its name, shortened where callers made it long."""
    key = name.encode("utf-8", "surrogatepass")
    if 0 < len(key) <= 256:
        return key
    from portico.hashing import blake2b  # few names are long

    return key[:200] + b"#" + blake2b(key, digest_size=16).hexdigest().encode()


def admit(fetch: Fetch, plan: Plan, admission: Admission) -> Permit | Refusal:
    """Reserve the bound of a call in all of its scopes, or in none."""
    bound, at = admission.bound, admission.at
    answer: Reserved | Refusal | None = None
    short = plain(bound)
    if short:
        answer = plan.take({}, fetch, bound, at.boot_ns, at.wall_ns)
    if answer is None:
        answer = reserve(fetch, plan, asks(bound), at.boot_ns, at.wall_ns)
    if isinstance(answer, Refusal):
        return answer
    hold = Hold(plan, bound, *answer, at, about=admission.about)
    if not short:
        hold.wanted = asks(bound)
    return Permit(admission.call_id, admission.scopes, bound, hold)


def extend(
    fetch: Fetch,
    planner: Planner,
    hold: Hold,
    bound: Bound,
    at: Moment,
    scopes: Sequence[Scope],
    first: Bound,
) -> Refusal | tuple[Asks, list[Further]]:
    """Reserve more for a call under way; a scope that is new to it counts the call, too, and reserves `first`.

    Returns what the hold becomes, its own amounts and what it holds besides, for `grow` to put there once it is booked.
    """
    again = asks(bound, requests=0, in_flight=0)
    plan = hold.plan
    held = {row.key for row, _, _ in plan.rows}
    more = list(hold.more or ())
    for other, _, _ in more:
        held.update(row.key for row, _, _ in other.rows)
    fresh = tuple(scope for scope in scopes if row_key(scope.row) not in held)
    wanted = hold.asks
    reserved: list[tuple[Plan, Asks]] = []
    tries: list[tuple[Plan, Asks]] = []
    if again != NOTHING:
        answer = reserve(fetch, plan, again, at.boot_ns, at.wall_ns)
        if isinstance(answer, Refusal):
            return answer
        keys, _ = answer
        # What earlier extensions reserved elsewhere is asked for again there as well.
        tries += [(other, again) for other in {id(other): other for other, _, _ in more if other is not plan}.values()]
        if keys == hold.keys and not any((a is None) is not (b is None) for a, b in zip(wanted, again, strict=True)):
            wanted = _sum(wanted, again)
        else:  # also where one of both has no bound: what the other has reserved is to be given back
            more.append((plan, again, keys))
        reserved.append((plan, again))
    if fresh:
        tries.append((planner.plan(fresh), asks(first)))
    for other, asked in tries:
        found = reserve(fetch, other, asked, at.boot_ns, at.wall_ns)
        if isinstance(found, Refusal):
            for undone, amounts in reserved:
                give_back(undone, amounts)
            return found
        reserved.append((other, asked))
        more.append((other, asked, found[0]))
    return wanted, more


def grow(hold: Hold, wanted: Asks, more: list[Further]) -> None:
    """Put into a hold what `extend` reserved for it."""
    hold.wanted = wanted
    hold.more = more or None


def _sum(one: Asks, other: Asks) -> Asks:
    return tuple(None if a is None or b is None else a + b for a, b in zip(one, other, strict=True))  # type: ignore[return-value]  # as long as they are


def settle(fetch: Fetch, hold: Hold, now: Spent, at: Moment, apart: Apart | None = None) -> Settled:
    """Put true usage in the place of what a hold reserved: `now`, or what `apart` says of a row.

    By one rule after the other, whatever its state: what `Plan.put` leaves to be decided.
    """
    if hold.more is not None:
        return _settle_all(fetch, hold, now, at, apart or {})
    if not hold.plan.rows:
        return QUIET
    wanted, keys = hold.asks, hold.keys
    over = exceeds(now, wanted)
    passed: list[Passed] | None = None
    first = 0
    for row, name, rules in hold.plan.rows:
        fetch(row, rules)
        ops = rules.ops if row.layout is rules.layout else rules.fit(row, at.boot_ns, at.wall_ns)
        charged, closes = now, over
        if apart is not None and row.key in apart:
            charged = apart[row.key]
            closes = exceeds(charged, wanted)
        first, events = correct(row, name, ops, wanted, keys, first, charged, closes, at.boot_ns, at.wall_ns)
        if events is not None:
            passed = events if passed is None else [*passed, *events]
    if passed is not None:
        return Settled(over, tuple(passed))
    return _OVER if over else QUIET


def _settle_all(fetch: Fetch, hold: Hold, now: Spent, at: Moment, apart: Apart) -> Settled:
    """Settle a hold that was extended elsewhere or in a later window.

    The rows of the admission are charged with all of it, and those that are told apart with what is theirs. Any other
    row, or a later window, that only an extension reserved in is charged with as much of it as was reserved there,
    since no more can be of its attempts; with all of it where the call passed its bound.
    """
    holds = [(hold.plan, hold.asks, hold.keys), *(hold.more or ())]
    total = hold.asks
    for plan, amounts, _ in holds[1:]:
        if plan is hold.plan:  # other rows have reserved of the same
            total = _sum(total, amounts)
    over = exceeds(now, total)
    gathered: dict[tuple[Row, bytes], list[tuple[int, int | None, int]]] = {}
    where: dict[tuple[Row, bytes], tuple[str, Rules]] = {}
    for number, (plan, amounts, keys) in enumerate(holds):
        following = iter(keys)
        for row, name, rules in plan.rows:
            for (slot, _), op in zip(rules.slots, rules.ops, strict=True):
                window = next(following) if op[0] >= BUDGET else 0
                gathered.setdefault((row, slot), []).append((number, amounts[op[2]], window))
                where[row, slot] = name, rules
    passed: list[Passed] = []
    for (row, slot), parts in gathered.items():
        name, rules = where[row, slot]
        fetch(row, rules)
        ops = rules.fit(row, at.boot_ns, at.wall_ns)
        op = ops[[known for known, _ in rules.slots].index(slot)]
        kind, place, window = op[0], op[1], max(part[2] for part in parts)
        if kind >= BUDGET and not (row.cells[place] or any(part[1] for part in parts)):
            begin_again(row.changing(), op, window, at.boot_ns, at.wall_ns)
        here = [p for p in parts if kind != BUDGET or p[2] == row.cells[place]]
        reserved = sum(asked or 0 for _, asked, _ in here)
        mine = apart.get(row.key)
        closes = over if mine is None else True  # as far as it is more than what is reserved here
        # By its number: a tuple that was taken apart and made anew is not the same one.
        whole = bool(here) and (here[0][0] == parts[0][0] if mine is not None else over or here[0][0] == 0)
        unbounded = any(asked is None for _, asked, _ in here)
        charged = tuple(amount if whole or unbounded else min(amount, reserved) for amount in mine or now)
        asked = None if unbounded and not reserved else reserved
        # Only the last places may be without a bound.
        held = (reserved, reserved, reserved, reserved, reserved, asked, asked, asked, asked)
        _, events = correct(row, name, (op,), held, (window,), 0, charged, closes, at.boot_ns, at.wall_ns)  # type: ignore[arg-type]  # nine are charged
        passed.extend(events or ())
    return Settled(over, tuple(passed))


def onward(hold: Hold, bound: Bound, used: Spent, rows: Sequence[str] | None = None) -> tuple[Hold, Hold, Spent]:
    """Part a hold into that of a call and that of the job it has started, which keeps what budgets hold for its bound.

    `rows` are those that the job is under; what an extension reserved where none of them is, is the call's alone.
    Returns both, and what the call is settled at, which used so much itself: limits count the job's bound, now.
    """
    wanted: Asks = (0, 0, 0, 0, 0, *asks(bound)[5:])
    call = Hold(hold.plan, hold.bound, hold.keys, hold.room, hold.at)
    kept = _of_both(hold.asks, wanted)
    call.wanted = _less(hold.asks, kept)
    job = Hold(hold.plan, bound, hold.keys, (), hold.at, wanted=kept)
    seen = {_names(hold.plan)}
    theirs = None if rows is None else {row_key(name) for name in rows}
    for plan, amounts, keys in hold.more or ():
        mine: Further = (plan, amounts, keys)
        if _names(plan) not in seen and (theirs is None or not theirs.isdisjoint(_names(plan))):
            # What an extension reserved first elsewhere.
            seen.add(_names(plan))
            kept = _of_both(amounts, wanted)
            mine = (plan, _less(amounts, kept), keys)
            job.more = [*(job.more or ()), (plan, kept, keys)]
        call.more = [*(call.more or ()), mine]
    return call, job, started(used, bound)


def rows_of_job(rows: Mapping[str, Sequence[str]] | None, used: Used) -> Sequence[str] | None:
    """Return the rows of the target that has answered, which runs the job; None where it is not told apart."""
    return None if rows is None or not used.parts else rows.get(used.parts[-1][0])


def started(used: Spent, bound: Bound) -> Spent:
    """Return what a call is settled at that has started a job, and used so much itself."""
    whole = asks(bound)
    return used[0], used[1] + whole[1], used[2] + whole[2], used[3] + whole[3], *used[4:]


def _less(amounts: Asks, others: Asks) -> Asks:
    return tuple(0 if a is None or b is None else a - b for a, b in zip(amounts, others, strict=True))  # type: ignore[return-value]  # as long as they are


def _of_both(held: Asks, wanted: Asks) -> Asks:
    """Return what is kept of what is held: what is wanted, and all of it where either has no bound."""
    return tuple(a if a is None or b is None else b for a, b in zip(held, wanted, strict=True))  # type: ignore[return-value]  # as long as they are


def _names(plan: Plan) -> tuple[bytes, ...]:
    return tuple(row.key for row, _, _ in plan.rows)


def apart(
    rows: Mapping[str, Sequence[str]] | None, used: Used, hold: Hold, job: Bound | None = None
) -> dict[bytes, Spent] | None:
    """Return what those rows of a hold are charged that are not of all targets of its call, by their keys.

    `rows` is as in `Permit`; `job` is the bound of the job that the call has started at the target that answered.
    """
    if rows is None:
        return None
    parts = used.parts or ((next(iter(rows)), used),)
    known = {target: {row_key(name) for name in names} for target, names in rows.items()}
    found: dict[bytes, Spent] = {}
    for plan in (hold.plan, *(plan for plan, _, _ in hold.more or ())):
        for key in _names(plan):
            mine = [target for target, _ in parts if target not in known or key in known[target]]
            if key not in found and not all(key in names for names in known.values()):
                charged = counted(used.of(parts).at(mine))
                found[key] = charged if job is None or parts[-1][0] not in mine else started(charged, job)
    return found


def counted(used: Used) -> Spent:
    """Return what a call that ends has used, as it is counted."""
    return NOTHING if used is UNUSED else spent(used)


def finish(fetch: Fetch, hold: Hold, used: Used, at: Moment, known: Mapping[str, Sequence[str]] | None) -> Settled:
    """Settle a job: limits have counted it when it was started. `known` is what its permit says of rows."""
    theirs = apart(known, used, hold)
    if theirs is not None:
        theirs = {key: _of_job(amounts) for key, amounts in theirs.items()}
    return settle(fetch, hold, _of_job(spent(used)), at, theirs)


def _of_job(amounts: Spent) -> Spent:
    return (0, 0, 0, 0, 0, *amounts[5:])


def reserve_again(fetch: Fetch, plan: Plan, bound: Bound, when: int, at: Moment) -> Hold:
    """Reserve in budgets what a job holds since `when` (by the wall clock), whatever they have left."""
    wanted: Asks = (0, 0, 0, 0, 0, *asks(bound)[5:])
    keys: list[int] = []
    for row, _, rules in plan.rows:
        fetch(row, rules)
        for op in rules.fit(row, at.boot_ns, at.wall_ns):
            window = hold_past(row.changing(), op, wanted, when, at.boot_ns, at.wall_ns)
            if window is not None:
                keys.append(window)
    return Hold(plan, bound, keys, (), at, wanted=wanted)


def resume(fetch: Fetch, hold: Hold, bound: Bound, at: Moment) -> Hold:
    """Take back what was assumed of a call that had started a job: it is reserved for the job. Return its hold."""
    _, job, _ = onward(hold, bound, NOTHING)
    for plan, amounts, keys in [(job.plan, job.asks, job.keys), *(job.more or ())]:
        back: Spent = tuple(-(amount or 0) for amount in amounts)  # type: ignore[assignment]  # as many
        _walk(fetch, plan, back, keys, back, at)
    return job


def charge(fetch: Fetch, plan: Plan, used: Used, when: int, at: Moment) -> None:
    """Count in budgets what was used at `when` (by the wall clock, in nanoseconds), where it is in their window."""
    now = spent(used)
    for row, _, rules in plan.rows:
        fetch(row, rules)
        for op in rules.fit(row, at.boot_ns, at.wall_ns):
            put_past(row.changing(), op, now, when, at.boot_ns, at.wall_ns)


def assume(fetch: Fetch, hold: Hold, at: Moment) -> None:
    """Settle a hold at all that it reserved: nobody knows what the call used. No alert is raised; the next one is."""
    for plan, amounts, keys in [(hold.plan, hold.asks, hold.keys), *(hold.more or ())]:
        used: Spent = tuple(amount or 0 for amount in amounts)  # type: ignore[assignment]  # as many
        _walk(fetch, plan, amounts, keys, used, at)


def replace(fetch: Fetch, hold: Hold, now: Spent, at: Moment, apart: Apart | None = None) -> Settled:
    """Put true usage in the place of what was assumed of a call: `now`, or what `apart` says of a row."""
    total = hold.asks
    for _, amounts, _ in hold.more or ():
        total = _sum(total, amounts)
    over = exceeds(now, total)
    seen: dict[bytes, Sequence[int]] = {}
    for number, (plan, amounts, keys) in enumerate([(hold.plan, hold.asks, hold.keys), *(hold.more or ())]):
        assumed: Spent = tuple(amount or 0 for amount in amounts)  # type: ignore[assignment]  # as many
        charged = now if number == 0 else _within(now, assumed)
        theirs: dict[bytes, Spent] = {}
        for key in _names(plan):
            if apart is not None and key in apart:
                # All of it where it was reserved first; what is in the same windows as that is in there.
                mine = apart[key]
                if key in seen:
                    mine = NOTHING if keys == seen[key] else _within(mine, assumed)
                seen.setdefault(key, keys)
                theirs[key] = _difference(mine, assumed)
        # Nothing is reserved any more: the difference is charged, and the call has left the calls in flight.
        _walk(fetch, plan, NOTHING, keys, _difference(charged, assumed), at, theirs)
    return _OVER if over else QUIET


def _within(amounts: Spent, most: Spent) -> Spent:
    return tuple(map(min, amounts, most))  # type: ignore[return-value]  # as long as they are


def _difference(new: Spent, old: Spent) -> Spent:
    return tuple(a - b for a, b in zip(new, old, strict=True))  # type: ignore[return-value]  # as long as they are


def _walk(
    fetch: Fetch,
    plan: Plan,
    reserved: Asks,
    keys: Sequence[int],
    used: Spent,
    at: Moment,
    apart: Apart = NONE_APART,
) -> None:
    first = 0
    for row, name, rules in plan.rows:
        fetch(row, rules)
        quiet: list[Op] = [(*op[:6], (), op[7]) for op in rules.fit(row, at.boot_ns, at.wall_ns)]
        first, _ = correct(
            row, name, quiet, reserved, keys, first, apart.get(row.key, used), False, at.boot_ns, at.wall_ns
        )
