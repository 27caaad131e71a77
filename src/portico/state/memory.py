"""State in this process alone: the reference that other backends are held to, for tests and for embedding."""

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from portico.errors import StateUnavailable
from portico.rules import NO_BOUND, Applied, Bound, Holder, Rule
from portico.state import books
from portico.state.contract import (
    ANY_TIME,
    Admission,
    Asker,
    Counter,
    Moment,
    Orphan,
    Owned,
    Passed,
    Permit,
    Refusal,
    Scope,
    Settled,
    Used,
)
from portico.state.counting import Rules, vacant
from portico.state.reading import read_counter, reopen_slot
from portico.state.rows import ABSENT, Row
from portico.state.supplies import NOTHING, Supplies

T = TypeVar("T")


class Now(Generic[T]):
    """An answer that is there already."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __await__(self) -> Generator[None, None, T]:
        return self.value
        yield  # type: ignore[unreachable]  # makes this a generator, which is what is awaited


class MemoryState:
    """Counters, permits, keys and objects in dictionaries. All permits are of one owner, which is this process."""

    def __init__(self, owner: str = "here") -> None:
        self.owner = owner
        self.before_settling: Callable[[], None] | None = None
        self.when_passed: Callable[[Sequence[Passed]], None] | None = None
        self.rebuilt = True
        self._rows: dict[bytes, Row] = {}
        self._known: dict[bytes, Rule] = {}
        self._planner = books.Planner(lambda rules: self._known.update(rules.slots))
        self._permits: dict[str, Permit] = {}
        self._expired: dict[str, Permit] = {}
        self._jobs: dict[str, tuple[books.Hold, dict[str, tuple[str, ...]] | None]] = {}
        self._holders: dict[bytes, Holder] = {}
        self._applied: tuple[Applied, ...] = ()
        self._version = 1
        self._supplies = NOTHING
        self._owned: dict[str, Owned] = {}

    # Calls

    def begin(self, call_id: str, about: bytes) -> Permit | None:
        """Give a call without scopes its permit, at once."""
        answer = self.admit(Admission(call_id, (), NO_BOUND, ANY_TIME, about))
        assert isinstance(answer, Now)
        return answer.value if isinstance(answer.value, Permit) else None

    def admit(self, admission: Admission) -> Awaitable[Permit | Refusal]:
        """Reserve the bound in every scope, or in none."""
        plan = self._planner.plan(admission.scopes)
        answer = books.admit(self._fetch, plan, admission)
        if isinstance(answer, Permit):
            self._permits[admission.call_id] = answer
        return Now(answer)

    def ask(self, admission: Admission, asker: Asker) -> None:
        """Do the same, and tell it to who asks."""
        answer = self.admit(admission)
        assert isinstance(answer, Now)
        asker.set_result(answer.value)

    def extend(
        self, permit: Permit, bound: Bound, at: Moment, scopes: tuple[Scope, ...] = (), fresh: Bound | None = None
    ) -> Awaitable[Refusal | None]:
        """Reserve more for what may be billed again, in the permit's scopes and in new ones; all of it or none."""
        hold = permit.token
        assert isinstance(hold, books.Hold)
        if permit.call_id not in self._permits:
            raise StateUnavailable(f"call {permit.call_id!r} has no permit any more")
        answer = books.extend(self._fetch, self._planner, hold, bound, at, scopes, fresh or bound)
        if isinstance(answer, Refusal):
            return Now(answer)
        books.grow(hold, *answer)
        return Now(None)

    def settle(self, permit: Permit, used: Used, at: Moment, done: Callable[[Settled], None] | None = None) -> None:
        """Put true usage in the place of what was reserved."""
        self._end(permit, used, at, done)

    def release(self, permit: Permit, at: Moment, done: Callable[[Settled], None] | None = None) -> None:
        """Give everything back."""
        self._end(permit, None, at, done)

    def _end(self, permit: Permit, used: Used | None, at: Moment, done: Callable[[Settled], None] | None) -> None:
        if self.before_settling is not None:
            self.before_settling()
        settled = Settled()
        used = books.UNUSED if used is None else used
        now = books.counted(used)
        known = self._permits.get(permit.call_id)
        if known is not None and permit.token in (None, known.token):
            del self._permits[permit.call_id]
            hold = known.token
            assert isinstance(hold, books.Hold)
            job = None
            if permit.onward is not None:
                rows = books.rows_of_job(known.rows, used)
                hold, begun, now = books.onward(hold, known.bound, now, rows)
                self._jobs[permit.onward] = begun, known.rows
                job = known.bound
            plan = hold.plan
            if hold.wanted is None and plan.put({}, self._fetch, hold.bound, hold.keys, used):
                settled = books.QUIET
            else:
                settled = books.settle(self._fetch, hold, now, at, books.apart(known.rows, used, hold, job))
        elif (expired := self._expired.pop(permit.call_id, None)) is not None:
            assert isinstance(expired.token, books.Hold)
            apart = books.apart(expired.rows, used, expired.token)
            settled = books.replace(self._fetch, expired.token, now, at, apart)
        if settled.passed and self.when_passed is not None:
            self.when_passed(settled.passed)
        if done is not None:
            done(settled)

    def finish(self, job: str, used: Used, at: Moment) -> Settled:
        """Put what a job did use in the place of what is reserved under its name: once."""
        found = self._jobs.pop(job, None)
        return Settled() if found is None else books.finish(self._fetch, found[0], used, at, found[1])

    def adopt(self, call_id: str, job: str, at: Moment) -> None:
        """Reserve for a job what its call was charged that died with its worker, after it had started the job."""
        expired = self._expired.pop(call_id, None)
        if expired is not None:
            assert isinstance(expired.token, books.Hold)
            hold = books.resume(self._fetch, expired.token, expired.bound, at)
            self._jobs[job] = hold, expired.rows

    def carry(self, job: str, scopes: tuple[Scope, ...], bound: Bound, when: int, at: Moment) -> None:
        """Reserve again for a job, whose state was lost; `when` is its start, in ns since the epoch."""
        if job not in self._jobs:
            hold = books.reserve_again(self._fetch, self._planner.plan(scopes), bound, when, at)
            self._jobs[job] = hold, None

    def jobs(self) -> list[str]:
        """Return the names of jobs for which something is reserved."""
        return list(self._jobs)

    def renew(self, permits: Sequence[Permit], at: Moment) -> None:
        """Do nothing: permits live as long as their process."""

    def flush(self) -> None:
        """Do nothing: everything is booked at once."""

    def expire(self, owner: str, at: Moment) -> list[Orphan]:
        """Settle every permit at its bound, as if this process had died."""
        if owner != self.owner:
            return []
        for call_id, permit in self._permits.items():
            hold = permit.token
            assert isinstance(hold, books.Hold)
            books.assume(self._fetch, hold, at)
            self._expired[call_id] = permit
        self._permits.clear()
        return [
            Orphan(call_id, permit.bound, permit.token.about, permit.token.reserved())
            for call_id, permit in self._expired.items()
            if isinstance(permit.token, books.Hold)
        ]

    # Counters

    def _fetch(self, row: Row, rules: Rules) -> Row:
        if row.layout is ABSENT:
            row.begin(rules)
            self._rows[row.key] = row
        return row

    def counters(self, rows: Sequence[str], at: Moment) -> list[Counter]:
        """Return what the rules of these rows have counted."""
        found: list[Counter] = []
        for name in rows:
            row = self._rows.get(books.row_key(name))
            if row is not None:
                found += [read_counter(name, self._known[slot], row, slot, at) for slot in row.layout.slots]
        return found

    def reopen(self, row: str, rule_id: str) -> None:
        """Open a scope again that was closed because a call used more than its bound."""
        known = self._rows.get(books.row_key(row))
        if known is None:
            return
        for slot in known.layout.slots:
            if self._known[slot].id == rule_id:
                reopen_slot(known, slot)

    def charge(self, spent: Iterable[tuple[Scope, Used, int]], at: Moment) -> None:
        """Count what was used before this process: for each scope, what, and when by the wall clock."""
        for scope, used, when in spent:
            books.charge(self._fetch, self._planner.plan((scope,)), used, when, at)

    def tidy(self, at: Moment) -> None:
        """Forget rows with nothing in them."""
        for key, row in list(self._rows.items()):
            if all(
                vacant(slot, row.cells, place, at.boot_ns, at.wall_ns, self._known[slot])
                for slot, place in row.layout.places.items()
            ):
                del self._rows[key]
                row.lay(ABSENT, ())

    # Keys

    def holder(self, digest: bytes) -> Holder | None:
        """Return who holds the key with this hash."""
        return self._holders.get(digest)

    def supplies(self) -> Supplies:
        """Return the prices and keys of providers that were put here."""
        return self._supplies

    def put_supplies(self, supplies: Supplies) -> None:
        """Put prices and keys of providers in the place of those before."""
        self._supplies = supplies
        self._version += 1

    def rules(self) -> Sequence[Applied]:
        """Return the rules in force."""
        return self._applied

    @property
    def version(self) -> int:
        """The version of the keys and rules."""
        return self._version

    def put_holders(self, changes: Mapping[bytes, Holder | None]) -> None:
        """Put keys in force, and take those that are None out of it."""
        for digest, holder in changes.items():
            if holder is None:
                self._holders.pop(digest, None)
            else:
                self._holders[digest] = holder
        self._version += 1

    def put_rules(self, rules: Iterable[Applied]) -> None:
        """Put these rules in force in the place of all others."""
        self._applied = tuple(rules)
        self._version += 1

    # Objects

    def own(self, thing: Owned) -> Awaitable[None]:
        """Remember an object."""
        self._owned[thing.id] = thing
        return Now(None)

    def owned(self, id: str) -> Owned | None:  # noqa: A002  # the word of every API
        """Return whose an object is."""
        return self._owned.get(id)

    def disown(self, id: str) -> Awaitable[None]:  # noqa: A002
        """Forget an object that is no more."""
        self._owned.pop(id, None)
        return Now(None)

    def owned_by(self, tenant: str, kind: str, after: str = "", limit: int = 100) -> list[Owned]:
        """Return a tenant's objects of a kind, newest first, from the one after `after` on."""
        theirs = [thing for thing in self._owned.values() if thing.tenant == tenant and thing.kind == kind]
        theirs.sort(key=lambda thing: (thing.created, thing.id), reverse=True)
        if after:
            last = self._owned.get(after)
            if last is None:
                return []
            theirs = [thing for thing in theirs if (thing.created, thing.id) < (last.created, last.id)]
        return theirs[:limit]
