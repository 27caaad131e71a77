"""Rows in their file: what is left there by who was killed, or failed, before the books were committed, never was."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.state.desk import budget, limit, row

from portico.errors import StateFull, StateUnavailable
from portico.rules import Rule
from portico.state.clock import moment
from portico.state.contract import Scope, Used
from portico.state.environment import Environment, open_environment
from portico.state.ledger import Ledger
from portico.state.row_file import GRAIN, HEAD, RowFile, read_entry, read_vacancy
from portico.state.rows import ABSENT, Layout, Row, layout_of, slot_of

SIZE = 2 << 20
ROWS = [f"key:{number}" for number in range(6)]
SPENT = 10

CHARGES = """
import os, signal, sys
from pathlib import Path
from struct import pack_into
from tests.state.test_row_file import charge, layouts
from portico.state.ledger import Ledger

ledger, last, how, more = Ledger(Path(sys.argv[1]), "", 0), int(sys.argv[2]), sys.argv[3], len(sys.argv) > 4
written = 0

def writes(write):
    def writing(there, place, number, *cells):
        global written
        if written == last:
            if how != "whole":  # a copy is zeros before it is written, its number first
                there[place : place + 8 * (1 + len(cells))] = bytes(8 * (1 + len(cells)))
            if how == "torn":
                pack_into("@QQ", there, place, number, 2**62)
            if how == "waits":
                print("inside", flush=True)
                sys.stdin.read()
            os.kill(os.getpid(), signal.SIGKILL)
        written += 1
        write(there, place, number, *cells)
    return writing

for layout in layouts(more):
    layout.write = writes(layout.write)
charge(ledger, 7, more=more)
"""


def scopes(more: bool = False) -> list[Scope]:
    """Return a scope for each row, of two sorts; with `more` under a rule that they had not before."""
    rules: list[tuple[Rule, ...]] = [(budget(1_000, "month"),), (budget(1_000, "month"), limit(9))]
    further = (limit(5, "in_flight"),) if more else ()
    return [row(*further, *rules[number % 2], name=name) for number, name in enumerate(ROWS)]


def layouts(more: bool) -> set[Layout]:
    """Return how rows are laid out that get the rules of these scopes."""
    before, now = scopes(), scopes(more)
    slots = [[slot_of(rule) for rule in scope.rules] for scope in before]
    for known, scope in zip(slots, now, strict=True):
        known += [slot for slot in map(slot_of, scope.rules) if slot not in known]
    return {layout_of(tuple(known)) for known in slots}


def charge(ledger: Ledger, cost: int, rows: slice = slice(None), more: bool = False) -> None:
    at = moment()
    ledger.charge([(scope, Used(cost=cost), at.wall_ns) for scope in scopes(more)[rows]], at)


def spent(ledger: Ledger) -> list[int]:
    return [counter.used for counter in ledger.counters(ROWS, moment()) if counter.rule_id == "budget"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a state in which every row was charged twice: both of its copies were written."""
    ledger = Ledger(tmp_path, "", SIZE)
    charge(ledger, SPENT - 1)
    charge(ledger, 1)
    ledger.close()
    return tmp_path


@pytest.mark.parametrize("more", [False, True], ids=["where they are", "where they move to"])
@pytest.mark.parametrize("how", ["whole", "zeros", "torn"])
@pytest.mark.parametrize("last", range(len(ROWS)))
def test_rows_written_by_who_was_killed_before_the_commit_are_as_they_were(
    folder: Path, last: int, how: str, more: bool
) -> None:
    command = [sys.executable, "-c", CHARGES, str(folder), str(last), how, *["more"] * more]
    died = subprocess.run(command, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    ledger = Ledger(folder, "", 0)
    others = [SPENT] * (len(ROWS) - 1)
    assert spent(ledger) == [SPENT, *others]  # as who only looks sees them
    for times in range(1, 4):  # the first has the number that the dead had, and says nothing of the other rows
        charge(ledger, 1, slice(1))
        assert spent(ledger) == [SPENT + times, *others]
    charge(ledger, 5, more=more)
    assert spent(ledger) == [SPENT + 8, *[SPENT + 5] * len(others)]
    ledger.close()


def test_what_another_process_is_writing_is_seen_once_it_is_committed_and_nobody_waits_to_see(folder: Path) -> None:
    command = [sys.executable, "-c", CHARGES, str(folder), str(len(ROWS) - 1), "waits"]
    ledger = Ledger.visit(folder)
    assert ledger is not None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"inside\n"
        assert spent(ledger) == [SPENT] * len(ROWS)
        process.kill()
    charge(ledger, 1)
    assert spent(ledger) == [SPENT + 1] * len(ROWS)
    ledger.close()


def test_rows_are_as_they_were_where_one_of_them_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(folder, "", 0)
    charge(ledger, 0)
    (first, *_) = (layout for layout in layouts(False) if len(layout.slots) > 1)  # that of the second row

    def fails(*_: object) -> None:
        raise OSError("not this time")

    with monkeypatch.context() as patched:
        patched.setattr(first, "write", fails)
        with pytest.raises(OSError, match="not this time"):
            charge(ledger, 7)
    assert spent(ledger) == [SPENT] * len(ROWS)
    charge(ledger, 1, slice(1, 2))
    assert spent(ledger) == [SPENT, SPENT + 1, *[SPENT] * (len(ROWS) - 2)]
    ledger.close()


def test_a_state_without_its_file_of_rows_is_made_anew(folder: Path) -> None:
    ledger = Ledger(folder, "", 0)
    assert ledger.in_place()
    (folder / "rows").rename(folder / "gone")
    assert not ledger.in_place()
    with pytest.raises(StateUnavailable, match="no longer where"):
        ledger.tidy(moment())
    ledger.close()
    anew = Ledger(folder, "", SIZE)
    assert (anew.generation, spent(anew)) == (2, [])
    assert (folder / "rows").stat().st_blocks * 512 >= (folder / "rows").stat().st_size == SIZE // 2
    anew.close()


@pytest.mark.parametrize("content", [b"", bytes(SIZE // 2)], ids=["empty", "another's"])
def test_another_file_of_rows_is_not_written_to(folder: Path, content: bytes) -> None:
    """One that was put there between the look at both and the opening of this one."""
    opened = open_environment(folder, 0, preallocate=True)
    (folder / "rows").rename(folder / "gone")
    (folder / "rows").write_bytes(content)
    with pytest.raises(StateUnavailable, match="not the file of rows"):
        RowFile(opened)
    opened.close()


POLLS = """
import sys
from mmap import ACCESS_READ, mmap
with open(sys.argv[1], "rb") as file:
    word = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ)).cast("Q")
    last = word[0]
    print("here", flush=True)
    while last < int(sys.argv[2]):
        now = word[0]
        if now < last:
            sys.exit(f"{now} after {last}")
        last = now
"""


def test_the_number_that_is_being_written_is_there_at_once_or_not_at_all(tmp_path: Path) -> None:
    opened = open_environment(tmp_path, 1 << 20, preallocate=True, rows_size=SMALL)
    writer = Writer(opened)
    turns = 20_000
    command = [sys.executable, "-c", POLLS, str(tmp_path / "rows"), str(turns)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"here\n"
        for _ in range(turns):
            writer.begin()
            writer.commit()
        assert (process.stderr.read(), process.wait()) == (b"", 0)
    writer.file.close()
    opened.close()


# Places


SHAPES = [
    layout_of(tuple(slot_of(limit(amount, kind)) for amount in range(1, number + 1) for kind in ("requests", "tokens")))
    for number in (0, 1, 2, 5, 9)
]
SMALL = 4_096


class Writer:
    """One process of several: it goes on with the rows that it knows, and reads them again."""

    def __init__(self, opened: Environment) -> None:
        self.opened = opened
        self.file = RowFile(opened)
        self.rows: dict[bytes, Row] = {}

    def begin(self) -> None:
        self.tx = self.opened.env.begin(write=True)
        self.changed: dict[Row, None] = {}
        if self.file.begin(self.tx):
            self.forget()

    def forget(self) -> None:
        for known in self.rows.values():
            known.layout = ABSENT

    def row(self, key: bytes) -> Row | None:
        known = self.rows.setdefault(key, Row(key))
        there = known.layout is not ABSENT or self.file.find(self.tx, known, SHAPES[1])
        return known if there else None

    def put(self, key: bytes, shape: int, value: int) -> None:
        known = self.row(key) or self.rows[key]
        known.lay(SHAPES[shape], [value] * SHAPES[shape].size)
        self.changed[known] = None

    def remove(self, key: bytes) -> None:
        known = self.row(key)
        if known is not None and known not in self.changed:
            self.file.remove(self.tx, known)

    def commit(self, upto: int | None = None) -> None:
        """Write all, and commit it; `upto` so many rows, and die."""
        try:
            for known in self.changed:
                if known.kept is not known.layout:
                    self.file.place(self.tx, known)
            self.file.write(self.tx, list(self.changed)[:upto])
        except StateFull:
            self.give_up()
            raise
        if upto is None:
            self.tx.commit()
        else:
            self.tx.abort()
            self.file.close()
            self.file, self.rows = RowFile(self.opened), {}

    def give_up(self) -> None:
        self.tx.abort()
        self.file.abort()
        self.forget()
        for known in self.changed:
            known.kept = ABSENT


def whole(opened: Environment, file: RowFile) -> dict[bytes, tuple[int, ...]]:
    """Return what stands in all rows; every byte of the file is of one of them, vacant or unused."""
    found: dict[bytes, tuple[int, ...]] = {}
    spans: list[tuple[int, int]] = [(0, HEAD)]
    with opened.env.begin() as tx:
        for key, value in tx.cursor(file.index):
            seen = file.peek(tx, key, value)
            assert seen is not None
            found[key] = (SHAPES.index(seen.layout), *seen.cells)
            at, copy = read_entry(value)
            spans.append((at, -(-2 * copy // GRAIN) * GRAIN))
        end, used = file._filled(tx)
        assert used == sum(size for _, size in spans)
        for size, at in map(read_vacancy, tx.cursor(file.vacant).iternext(values=False)):
            spans.append((at, size))
    at = 0
    for start, size in sorted(spans):
        assert start == at, "bytes that are nobody's, or of two"
        at += size
    assert at == end <= file.size
    return found


KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
CHANGES = st.one_of(
    st.tuples(st.just("put"), KEYS, st.integers(0, len(SHAPES) - 1)), st.tuples(st.just("remove"), KEYS)
)
TURNS = st.tuples(
    st.integers(0, 1),
    st.lists(CHANGES, max_size=6),
    st.sampled_from(["commit", "commit", "give up", "other", "join", 0, 1, 2, 3, 9]),
)


@given(st.lists(TURNS, min_size=3, max_size=25))
@settings(deadline=None, max_examples=150)
def test_rows_are_what_the_last_transaction_made_of_them_whoever_else_failed_or_died(
    turns: list[tuple[int, list[tuple[Any, ...]], str | int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        opened = open_environment(Path(folder), 1 << 20, preallocate=True, rows_size=SMALL)
        writers = [Writer(opened), Writer(opened)]
        true: dict[bytes, tuple[int, ...]] = {}
        for value, (who, changes, ends) in enumerate(turns, start=1 << 60):  # no number of a transaction is as large
            writer = writers[who]
            writer.begin()
            after = dict(true)
            for what, key, *shape in changes:
                if what == "put":
                    writer.put(key, shape[0], value)
                    after[key] = (shape[0], *[value] * SHAPES[shape[0]].size)
                elif writer.row(key) not in writer.changed:
                    writer.remove(key)
                    after.pop(key, None)
            for key, expected in after.items():
                known = writer.row(key)
                assert known is not None
                assert (SHAPES.index(known.layout), *known.cells) == expected
            try:
                if ends in ("give up", "other", "join"):
                    writer.give_up()
                    if ends == "join":
                        writer.begin()
                        writer.file.join(writer.tx)
                        writer.tx.commit()
                    if ends == "other":
                        with opened.env.begin(opened.env.open_db(b"others"), write=True) as tx:  # of no row
                            tx.put(b"other", b"%d" % value)
                elif ends == "commit":
                    writer.commit()
                    true = after
                else:
                    writer.commit(int(ends))
            except StateFull:
                pass
            assert whole(opened, writers[0].file) == true
        for writer in writers:
            writer.file.close()
        opened.close()


def test_a_file_with_no_room_left_takes_rows_again_where_others_were(tmp_path: Path) -> None:
    opened = open_environment(tmp_path, 1 << 20, preallocate=True, rows_size=SMALL)
    writer = Writer(opened)
    large, small = len(SHAPES) - 1, 1
    put = 0

    def fill() -> None:
        nonlocal put
        while True:
            writer.begin()
            writer.put(b"%d" % put, large, put)
            writer.commit()
            put += 1

    with pytest.raises(StateFull, match="no room for another row"):
        fill()
    assert put > 3
    writer.begin()
    writer.remove(b"1")
    writer.put(b"new", large, 5)
    with pytest.raises(StateFull):  # a place that is given up is good for others after the commit
        writer.commit()
    writer.begin()
    writer.remove(b"1")
    writer.commit()
    for name in (b"new", b"newer"):  # parts of it
        writer.begin()
        writer.put(name, small, 5)
        writer.commit()
    found = whole(opened, writer.file)
    assert len(found) == put + 1
    assert found[b"newer"] == (small, *[5] * SHAPES[small].size)
    writer.file.close()
    opened.close()


def test_places_that_lie_together_are_joined_for_larger_rows(tmp_path: Path) -> None:
    opened = open_environment(tmp_path, 1 << 20, preallocate=True, rows_size=SMALL)
    writer = Writer(opened)
    put: list[bytes] = []

    def fill() -> None:
        while True:
            writer.begin()
            writer.put(b"%d" % len(put), 1, 5)
            writer.commit()
            put.append(b"%d" % len(put))

    with pytest.raises(StateFull):
        fill()
    writer.begin()
    for name in put[3:]:
        writer.remove(name)
    writer.commit()

    def large() -> None:
        writer.begin()
        writer.put(b"large", len(SHAPES) - 1, 7)
        writer.commit()

    with pytest.raises(StateFull):
        large()
    with opened.env.begin() as tx:
        assert writer.file.scattered(tx)
        assert not writer.file.tight(tx)
    writer.begin()
    writer.file.join(writer.tx)
    writer.tx.commit()
    large()
    assert len(whole(opened, writer.file)) == 4
    with opened.env.begin() as tx:
        assert not writer.file.scattered(tx)
    writer.file.close()
    opened.close()


def test_who_reads_a_row_whose_place_was_taken_meanwhile_is_told_so(tmp_path: Path) -> None:
    opened = open_environment(tmp_path, 1 << 20, preallocate=True, rows_size=SMALL)
    writer = Writer(opened)
    writer.begin()
    writer.put(b"a", 1, 5)
    writer.commit()
    with opened.env.begin() as tx:
        index = tx.get(b"a", db=writer.file.index)
        assert index is not None
        writer.begin()
        writer.remove(b"a")
        writer.commit()
        assert writer.file.peek(tx, b"a", index) is not None  # it is as it was: nobody may write there yet
        writer.begin()
        writer.put(b"b", 1, 6)
        for known in writer.changed:
            writer.file.place(writer.tx, known)
        assert writer.file.peek(tx, b"a", index) is None  # from when its place has nothing in it
        writer.commit()
        assert writer.file.peek(tx, b"a", index) is None
    writer.file.close()
    opened.close()


def test_a_new_row_has_nothing_of_what_the_dead_wrote_in_its_place(tmp_path: Path) -> None:
    opened = open_environment(tmp_path, 1 << 20, preallocate=True, rows_size=SMALL)
    writer = Writer(opened)
    writer.begin()
    writer.put(b"large", len(SHAPES) - 1, 1 << 60)  # greater than the number of any transaction
    writer.commit(1)
    names = [b"a", b"b", b"c", b"d", b"e"]
    writer.begin()
    for name in names:
        writer.put(name, 1, 5)
    writer.commit()
    assert whole(opened, writer.file) == dict.fromkeys(names, (1, 5, 5, 5, 5))
    writer.begin()
    writer.forget()
    assert [known.cells for name in names if (known := writer.row(name))] == [(5, 5, 5, 5)] * len(names)
    writer.give_up()
    writer.file.close()
    opened.close()
