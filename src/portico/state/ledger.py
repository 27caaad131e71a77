"""The money: rows in their file, permits and what expired in the books, in transactions. Knows no loop."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from portico.counts import figures
from portico.errors import StateUnavailable
from portico.rules import Bound, Rule
from portico.state import books, windows
from portico.state.contract import Admission, Counter, Moment, Orphan, Permit, Refusal, Scope, Settled, Used
from portico.state.counting import (
    CAP,
    Asks,
    Rules,
    asks,
    plain,
    reserve,
    vacant,
)
from portico.state.environment import StateAbsent, open_environment
from portico.state.kept_permits import Expired, Kept, Slots
from portico.state.permits import (
    EXTENDED,
    SIMPLE,
    begin_simple,
    decode_expired,
    decode_kept,
    kept_as,
    read_permit,
    reserved_by,
    within_reason,
)
from portico.state.plans import Changed, Plan
from portico.state.reading import read_counter, reopen_slot
from portico.state.row_file import RowFile
from portico.state.rows import ABSENT, BUDGET, ROLLING, Row, cells_of

TOMBSTONES_NS: Final = 24 * 3600 * windows.SECOND  # how long a call that expired may still be settled
_SLICE: Final = 100  # permits expired, or rows looked at, while the one lock is held
_AT_HAND: Final = 8_192  # rows kept decoded
_TRIES: Final = 1_000  # to read a row that others write
_TIGHT: Final = 7 / 8  # of the file in use: from here on only what makes room is written

_number: Final = Struct(">Q").pack
Tx: TypeAlias = "lmdb.Transaction[bytes]"
_encode: Final = msgspec.msgpack.Encoder().encode

W = TypeVar("W")

_decode_rule: Final = msgspec.msgpack.Decoder(Rule).decode


Asked = tuple[W, Admission, Plan, bool, bytes]
"""Who waits for an admission; that, its plan, whether it may go the short way, and its permit up to windows' keys."""

Ending = tuple[Permit, Used, Moment, object]
"""A permit that ends, what its call has used, when, and who waits for that."""


class Ledger:
    """The counters of a machine, and one owner's permits in them.

    Who owns none (`owner` is empty) may look, reopen, and charge what was used before.
    """

    def __init__(
        self,
        folder: Path,
        owner: str,
        size: int,
        *,
        inode: int | None = None,
        boot: str | None = None,
        make: bool = True,
    ) -> None:
        half = size // 2
        opened = self._opened = open_environment(
            folder, half, preallocate=True, rows_size=half, inode=inode, boot=boot, make=make
        )
        env = self._env = opened.env
        try:
            self._file = RowFile(opened)
        except StateUnavailable:
            opened.close()
            raise
        self._permits = env.open_db(b"permits")
        self._expired = env.open_db(b"expired")
        self._rules = env.open_db(b"rules")
        self._others = env.open_db(b"others")
        self._jobs = env.open_db(b"jobs")
        self._owner = bytes.fromhex(owner)
        self._given = 0
        self._planner = books.Planner()
        self._swept = b""
        self.lost = False
        self._tx: Tx | None = None
        self._changed: Changed = {}  # in this transaction
        self._read: list[Row] = []  # as they are in the file, unless somebody else writes
        self._grown: list[tuple[books.Hold, Asks | None, list[books.Further] | None]] = []
        self.tight = False

    @classmethod
    def visit(cls, folder: Path, *, boot: str | None = None) -> Self | None:
        """Open the file that the workers of this machine use; None where they have made none since it was started."""
        if not (folder / "data.mdb").exists():
            return None
        try:
            return cls(folder, "", 0, boot=boot, make=False)
        except StateAbsent:
            return None

    def in_place(self) -> bool:
        """Say whether the file is still where others look for it."""
        return self._opened.in_place()

    @property
    def boot_id(self) -> str:
        """The boot of the machine that this file is of."""
        return self._opened.origin.boot_id

    @property
    def generation(self) -> int:
        """How many times the file was made anew."""
        return self._opened.origin.generation

    @property
    def inode(self) -> int:
        """The file's number: every worker of the machine must have the same."""
        return self._opened.origin.inode

    @property
    def rebuilt(self) -> bool:
        """Whether what this machine had counted before is in the file: it never lost it, or control has put it back."""
        with self._env.begin(self._others) as tx:
            return tx.get(b"rebuilt") is not None

    def mark_rebuilt(self) -> None:
        """Say that what was counted before is in the file."""
        with self.writing():
            assert self._tx is not None
            self._tx.put(b"rebuilt", b"1", db=self._others)

    @property
    def tag(self) -> str:
        """What tells this file from every other one that there was."""
        return f"{self.boot_id}:{self.generation}:{self._opened.origin.mark}"

    # One transaction

    def writing(self) -> "Writing":
        """Hold the one lock of the machine, and commit what was done in it; nothing where it fails."""
        if self.lost:
            raise StateUnavailable("the state is no longer where all workers look for it")
        return Writing(self._begin, self._commit, self._abort)

    def _begin(self) -> None:
        tx = self._tx = self._env.begin(write=True)
        self._changed = {}
        try:
            others = self._file.begin(tx)
        except BaseException:
            self._abort()
            raise
        if others or len(self._read) > _AT_HAND:
            self._forget()

    def _forget(self) -> None:
        """Let go of what was read: it is read again where it is needed."""
        for row in self._read:
            row.layout = ABSENT
        self._read.clear()

    def _commit(self) -> None:
        tx, rows = self._tx, self._changed
        assert tx is not None
        for row in rows:
            if row.given:
                for rules in row.given:
                    self._learn(tx, rules)
                row.given = ()
            if row.kept is not row.layout:
                self._file.place(tx, row)
        if rows or self._file.vacated:
            self._file.write(tx, rows)
        tx.commit()
        self._tx = None
        self._grown.clear()

    def _abort(self) -> None:
        tx, self._tx = self._tx, None
        assert tx is not None
        self._file.abort()
        self._forget()
        for row in self._changed:
            row.kept = ABSENT  # it may be there that it was to be
        for hold, wanted, more in reversed(self._grown):  # one that was extended twice is as it was before both
            hold.wanted, hold.more = wanted, more
        self._grown.clear()
        tx.abort()

    def _fetch(self, row: Row, rules: Rules) -> Row:
        if row.layout is ABSENT:
            tx = self._tx
            assert tx is not None
            if not self._file.find(tx, row, rules.layout):
                row.begin(rules)
                self._learn(tx, rules)
            self._read.append(row)
        self._changed[row] = None
        return row

    def _opened_up(self, key: bytes) -> Row | None:
        """Have the row at hand that is kept under this key, whatever its rules are, to be changed. None without one."""
        tx, row = self._tx, self._planner.row(key)
        assert tx is not None
        if row.layout is ABSENT:
            if not self._file.find(tx, row, ABSENT):
                return None
            self._read.append(row)
        self._changed[row] = None
        return row

    def _learn(self, tx: Tx, rules: Rules) -> None:
        """Remember which rules these slots are, for those who do not have them."""
        for slot, rule in rules.slots:
            tx.put(slot, _encode(rule), db=self._rules)

    def prepare(self, waiting: W, admission: Admission) -> Asked[W]:
        """Do for an admission what can be done before the lock is held."""
        under = admission.under
        plan: Plan | None = None if under is None else under.plan
        if plan is None:
            plan = self._planner.plan(admission.scopes)
            if under is not None:
                under.plan = plan
        at, bound = admission.at, admission.bound
        tokens_in, tokens_out, cost, why = figures(bound)
        short = True
        if why is not None or cost is None or tokens_in + tokens_out + cost > CAP:
            short, bound = plain(bound), within_reason(bound)
        fixed = _encode((admission.call_id, bound, admission.about, plan.encoded, at.boot_ns, at.wall_ns))
        return waiting, admission, plan, short, begin_simple(SIMPLE, len(fixed)) + fixed

    def admit(self, asked: Iterable[Asked[object]]) -> list[Refusal | Permit]:
        """Reserve for these calls, each in all of its scopes or in none. Permits are good once this is committed."""
        tx = self._tx
        assert tx is not None
        changed, fetch = self._changed, self._fetch
        owner, given = self._owner, self._given
        answers: list[Refusal | Permit] = []
        permits: list[tuple[bytes, bytes]] = []
        for _, admission, plan, short, fixed in asked:
            at, bound, taken = admission.at, admission.bound, None
            if short:
                taken = plan.take(changed, fetch, bound, at.boot_ns, at.wall_ns)
            if taken is None:
                answer = reserve(fetch, plan, asks(bound), at.boot_ns, at.wall_ns)
                if isinstance(answer, Refusal):
                    answers.append(answer)
                    continue
                taken = answer
            keys, room = taken
            given += 1
            name = owner + _number(given)
            permits.append((name, fixed + plan.pack(*keys)))
            hold = books.Hold(plan, bound, keys, room, at, name, admission.about)
            if not short:
                hold.wanted = asks(bound)
            answers.append(Permit(admission.call_id, admission.scopes, bound, hold))
        self._given = given
        if permits:
            tx.cursor(self._permits).putmulti(permits)
        return answers

    def extend(
        self, permit: Permit, bound: Bound, at: Moment, scopes: Sequence[Scope], fresh: Bound
    ) -> Refusal | StateUnavailable | None:
        """Reserve more for a call."""
        tx, hold = self._tx, permit.token
        assert tx is not None
        assert isinstance(hold, books.Hold)
        if tx.get(hold.id, db=self._permits) is None:
            return StateUnavailable(f"call {permit.call_id!r} has no permit any more")
        answer = books.extend(self._fetch, self._planner, hold, bound, at, scopes, fresh)
        if isinstance(answer, Refusal):
            return answer
        self._grown.append((hold, hold.wanted, hold.more))
        books.grow(hold, *answer)
        tx.put(hold.id, EXTENDED + _encode(kept_as(permit, hold)), db=self._permits)
        return None

    def end(self, ending: Iterable[Ending]) -> list[Settled]:
        """Settle permits, with nothing those that are released. One that is not in the books changes nothing."""
        tx = self._tx
        assert tx is not None
        changed, fetch, permits = self._changed, self._fetch, self._permits
        settled: list[Settled] = []
        for permit, used, at, _ in ending:
            hold = permit.token
            if hold is None:
                settled.append(self._replace(tx, permit, used, at))
                continue
            if TYPE_CHECKING:
                assert isinstance(hold, books.Hold)
            if not tx.delete(hold.id, b"", permits):
                settled.append(self._replace(tx, permit, used, at))
            elif permit.onward is not None:
                rows = books.rows_of_job(permit.rows, used)
                hold, job, now = books.onward(hold, permit.bound, books.counted(used), rows)  # what is left of both
                self._keep_job(permit.onward, permit.bound, job, permit.rows)
                apart = books.apart(permit.rows, used, hold, permit.bound)
                settled.append(books.settle(fetch, hold, now, at, apart))
            else:
                plan = hold.plan
                if hold.wanted is None and plan.put(changed, fetch, hold.bound, hold.keys, used):
                    settled.append(books.QUIET)  # what becomes of nearly every call
                else:
                    apart = books.apart(permit.rows, used, hold)
                    settled.append(books.settle(fetch, hold, books.counted(used), at, apart))
        return settled

    def _replace(self, tx: Tx, permit: Permit, used: Used, at: Moment) -> Settled:
        """Put true usage in the place of what was assumed of a call, where it is one of those that expired."""
        value = tx.pop(permit.call_id.encode(), self._expired)
        if value is None:
            return books.QUIET
        kept = decode_expired(value).kept
        expired = self._restore(tx, kept)
        apart = books.apart(kept.rows, used, expired)
        return books.replace(self._fetch, expired, books.counted(used), at, apart)

    def _restore(self, tx: Tx, kept: Kept) -> books.Hold:
        fixed = kept.fixed
        at = Moment(fixed.boot_ns, fixed.wall_ns)
        hold = books.Hold(self._planned(tx, fixed.plan), fixed.bound, kept.keys, (), at, wanted=kept.asks)
        if kept.more:
            hold.more = [(self._planned(tx, plan), amounts, keys) for plan, amounts, keys in kept.more]
        return hold

    def _planned(self, tx: Tx, plan: Slots) -> Plan:
        row = self._planner.row
        rows = tuple((row(key), _name(key), Rules([self._rule(tx, slot) for slot in slots])) for key, slots in plan)
        return Plan(None, rows)

    def _rule(self, tx: Tx, slot: bytes) -> Rule:
        value = tx.get(slot, db=self._rules)
        assert value is not None, "a slot is made together with the name of its rule"
        return _decode_rule(value)

    # Jobs, which outlive their calls and whoever made them

    def _keep_job(
        self, job: str, bound: Bound, hold: books.Hold, rows: dict[str, tuple[str, ...]] | None = None
    ) -> None:
        assert self._tx is not None
        kept = kept_as(Permit(job, (), bound, rows=rows), hold)
        self._tx.put(job.encode(), _encode(kept), db=self._jobs)

    def finish(self, job: str, used: Used, at: Moment) -> Settled:
        """Settle what is reserved under a job's name, once."""
        with self.writing():
            tx = self._tx
            assert tx is not None
            value = tx.pop(job.encode(), self._jobs)
            if value is None:
                return books.QUIET
            kept = decode_kept(value)
            return books.finish(self._fetch, self._restore(tx, kept), used, at, kept.rows)

    def adopt(self, call_id: str, job: str, at: Moment) -> None:
        """Reserve for a job what its call was charged that died with its worker, after it had started the job."""
        with self.writing():
            tx = self._tx
            assert tx is not None
            value = tx.pop(call_id.encode(), self._expired)
            if value is not None:
                kept = decode_expired(value).kept
                bound = kept.fixed.bound
                hold = books.resume(self._fetch, self._restore(tx, kept), bound, at)
                self._keep_job(job, bound, hold, kept.rows)

    def carry(self, job: str, scopes: tuple[Scope, ...], bound: Bound, when: int, at: Moment) -> None:
        """Reserve again for a job, whose state was lost; `when` is its start, in ns since the epoch."""
        with self.writing():
            assert self._tx is not None
            if self._tx.get(job.encode(), db=self._jobs) is None:
                plan = self._planner.plan(scopes)
                hold = books.reserve_again(self._fetch, plan, bound, when, at)
                self._keep_job(job, bound, hold)

    def jobs(self) -> list[str]:
        """Return the names of jobs for which something is reserved."""
        with self._env.begin(self._jobs) as tx:
            return [name.decode() for name in tx.cursor().iternext(values=False)]

    # What is done now and then

    def expire(self, owner: str, at: Moment) -> list[Orphan]:
        """Settle the permits of a dead owner at what they reserved, in slices.

        Returns all of its calls that expired and were not settled since, those of an earlier time too: whoever dies
        before it has recorded them leaves them to the next.
        """
        prefix = bytes.fromhex(owner)
        while True:
            with self.writing():
                expired = self._expire_some(prefix, at)
            if expired < _SLICE:
                break
        with self._env.begin(self._expired) as tx:
            known = [decode_expired(value) for value in tx.cursor().iternext(keys=False)]
        return [
            Orphan(one.kept.fixed.call_id, one.kept.fixed.bound, one.kept.fixed.about, reserved_by(one.kept))
            for one in known
            if one.owner == prefix
        ]

    def _expire_some(self, prefix: bytes, at: Moment) -> int:
        tx = self._tx
        assert tx is not None
        cursor = tx.cursor(self._permits)
        expired = 0
        here = cursor.set_range(prefix)
        while here and cursor.key().startswith(prefix) and expired < _SLICE:
            kept = read_permit(cursor.value())
            books.assume(self._fetch, self._restore(tx, kept), at)
            stone = _encode(Expired(at.boot_ns + TOMBSTONES_NS, prefix, kept))
            tx.put(kept.fixed.call_id.encode(), stone, db=self._expired)
            expired += 1
            here = cursor.delete()
        return expired

    def permits(self) -> int:
        """Return how many calls are under way on this machine."""
        with self._env.begin() as tx:
            return tx.stat(self._permits)["entries"]

    def holds(self) -> bool:
        """Return whether this owner has calls under way."""
        with self._env.begin(self._permits) as tx:
            cursor = tx.cursor()
            return bool(cursor.set_range(self._owner)) and cursor.key().startswith(self._owner)

    def counters(self, names: Sequence[str], at: Moment) -> list[Counter]:
        """Return what the rules of these rows have counted."""
        found: list[Counter] = []
        for name in names:
            for _ in range(_TRIES):
                counters = self._counters(name, at)
                if counters is not None:
                    found += counters
                    break
            else:
                raise StateUnavailable(f"the counters of {name!r} are written faster than they are read")
        return found

    def _counters(self, name: str, at: Moment) -> list[Counter] | None:
        """Return what is counted in a row; None where it was written meanwhile."""
        key = books.row_key(name)
        with self._env.begin() as tx:
            value = tx.get(key, db=self._file.index)
            if value is None:
                return []
            row = self._file.peek(tx, key, value)
            if row is None:
                return None
            return [read_counter(name, self._rule(tx, slot), row, slot, at) for slot in row.layout.slots]

    def reopen(self, name: str, rule_id: str) -> None:
        """Open a scope again that was closed because a call used more than its bound."""
        key = books.row_key(name)
        with self.writing():
            tx = self._tx
            assert tx is not None
            row = self._opened_up(key)
            if row is not None:
                for slot in row.layout.slots:
                    if self._rule(tx, slot).id == rule_id:
                        reopen_slot(row, slot)

    def charge(self, spent: Iterable[tuple[Scope, Used, int]], at: Moment) -> None:
        """Count what was used before the file was made, in slices: for each scope, what, and when by the wall clock.

        Budgets whose window it lies in are charged; limits are not, they begin anew with the machine.
        """
        left = iter(spent)
        while part := list(islice(left, _SLICE)):
            with self.writing():
                for scope, used, when in part:
                    plan = self._planner.plan((scope,))
                    books.charge(self._fetch, plan, used, when, at)

    def forget_spending(self) -> None:
        """Set all budgets to zero, in slices, and forget jobs: whoever was putting back what they had begins again.

        Only while no call under a budget is admitted, so before `mark_rebuilt`.
        """
        last = b""
        while True:
            with self.writing():
                tx = self._tx
                assert tx is not None
                tx.drop(self._jobs, delete=False)
                cursor = tx.cursor(self._file.index)
                found = cursor.set_range(last + b"\0") if last else cursor.first()
                part = list(islice(cursor.iternext(values=False), _SLICE)) if found else []
                for key in part:
                    row = self._opened_up(key)
                    assert row is not None
                    for slot, place in row.layout.places.items():
                        if slot[-2] in (BUDGET, ROLLING):
                            row.changing()[place : place + cells_of(slot)] = [0] * cells_of(slot)
            if len(part) < _SLICE:
                return
            last = part[-1]

    def tidy(self, at: Moment) -> None:
        """Do a slice of what has to be done now and then: dead readers, full files, old tombstones, empty rows."""
        self._env.reader_check()
        if not self._opened.in_place():
            self.lost = True
            raise StateUnavailable("the state is no longer where all workers look for it")
        info = self._env.info()
        tables = (
            self._file.index,
            self._file.vacant,
            self._permits,
            self._expired,
            self._rules,
            self._others,
            self._jobs,
        )
        empty: list[bytes] = []
        over: list[bytes] = []
        with self._env.begin() as tx:
            stats = [tx.stat(table) for table in tables]
            full, scattered = self._file.tight(tx), self._file.scattered(tx)
            cursor = tx.cursor(self._file.index)
            found = cursor.set_range(self._swept) if self._swept else cursor.first()
            self._swept = b""
            for seen, (key, value) in enumerate(cursor if found else ()):
                if seen == _SLICE:
                    self._swept = key
                    break
                row = self._file.peek(tx, key, value)
                if row is not None and self._vacant(tx, row, at):
                    empty.append(key)
            for seen, (key, value) in enumerate(tx.cursor(self._expired)):
                if seen == _SLICE:
                    break
                if decode_expired(value).until <= at.boot_ns:
                    over.append(key)
        pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        self.tight = full or pages * stats[0]["psize"] > info["map_size"] * _TIGHT
        if empty or over:
            with self.writing():
                self._clear(empty, over, at)
        if scattered:
            with self.writing():
                assert self._tx is not None
                self._file.join(self._tx)

    def _clear(self, empty: list[bytes], over: list[bytes], at: Moment) -> None:
        tx = self._tx
        assert tx is not None
        for key in empty:
            row = self._opened_up(key)
            if row is None:
                continue
            del self._changed[row]
            if self._vacant(tx, row, at):
                self._file.remove(tx, row)
        for key in over:
            tx.delete(key, db=self._expired)

    def _vacant(self, tx: Tx, row: Row, at: Moment) -> bool:
        return all(
            vacant(slot, row.cells, place, at.boot_ns, at.wall_ns, self._rule(tx, slot))
            for slot, place in row.layout.places.items()
        )

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._opened.close()


class Writing:
    """One transaction: committed where what is done in it does not fail, and given up where that or the commit does."""

    __slots__ = ("_abort", "_begin", "_commit")

    def __init__(self, begin: Callable[[], None], commit: Callable[[], None], abort: Callable[[], None]) -> None:
        self._begin = begin
        self._commit = commit
        self._abort = abort

    def __enter__(self) -> None:
        self._begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._abort()
            return
        try:
            self._commit()
        except BaseException:
            self._abort()
            raise


def _name(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")
