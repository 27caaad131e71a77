"""Counting budgets again from the records of calls: each call once, whoever is cut off on the way."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from control.conftest import MASTER
from portico.config.load import load_plain
from portico.control import rebuild as rebuilding
from portico.control.actors import MASTER as OWNER
from portico.control.admin import Admin
from portico.control.ingest import Ingest
from portico.control.keys import issue
from portico.control.rebuild import Interrupted, rebuild
from portico.control.starting import open_admin
from portico.control.state import OnState
from portico.journal.journal import Journal
from portico.record import AttemptRecord, Record
from portico.rules import Window
from portico.state import windows
from portico.state.clock import moment
from portico.state.contract import Moment
from portico.state.ledger import Ledger
from portico.state.owner import Owner
from portico.store.retention import Keep
from portico.store.tables import calls
from portico.types import Usage

CONFIG = load_plain(
    {
        "server": {"master_key": MASTER},
        "providers": {"openai": {"api_key": "sk-nobody"}},
        "teams": {"red": {"budgets": [{"usd": 100}, {"usd": 50, "per": "day"}, {"requests": 500}]}},
        "budgets": [
            {"tokens": 10**9, "for": {"model": ["smart"]}, "each": ["customer"]},
            {"usd": 10**3, "requests": 10**6, "each": ["provider"]},
        ],
    },
    {},
).config
NOW_MS = 1_770_033_600_000
"""Noon of a day: the budget of that day counts what came before, whenever this runs."""
LONG_AGO = NOW_MS - 3 * 86_400_000
PLAIN = Record(
    id="",
    time_ms=NOW_MS,
    key="k",
    operation="chat",
    model="smart",
    target="openai/plain",
    status=200,
    stream=False,
    attempts=[AttemptRecord("openai/plain", status=200)],
    usage=Usage(input=100, output=10),
    cost_nano_usd=1_000,
    basis="reported",
    first_byte_us=1,
    total_us=1,
    overhead_us=1,
    team="red",
    customer="ann",
)
FELL_BACK = msgspec.structs.replace(
    PLAIN, attempts=[AttemptRecord("azure/plain", error="cut", assumed_nano_usd=500), *PLAIN.attempts]
)
KINDS = {
    "served": (PLAIN, 1_000, 1),
    "long ago": (msgspec.structs.replace(PLAIN, time_ms=LONG_AGO), 1_000, 1),
    "refused": (msgspec.structs.replace(PLAIN, attempts=[], usage=None, cost_nano_usd=None, basis="none"), 0, 0),
    "of a dead worker": (
        msgspec.structs.replace(PLAIN, attempts=[], usage=None, cost_nano_usd=7_000, basis="assumed", end="aborted"),
        7_000,
        1,
    ),
    "of unknown usage": (
        msgspec.structs.replace(PLAIN, usage=None, cost_nano_usd=None, basis="unknown", bound_nano_usd=9_000),
        9_000,
        1,
    ),
    "with a try that was lost": (
        msgspec.structs.replace(
            PLAIN,
            attempts=[AttemptRecord("openai/other", error="cut", assumed_nano_usd=500), *PLAIN.attempts],
        ),
        1_500,
        1,
    ),
    "that fell back": (FELL_BACK, 1_500, 1),
    "that fell back long ago": (msgspec.structs.replace(FELL_BACK, time_ms=LONG_AGO), 1_500, 1),
}
"""Records, what each costs in budgets (nano-dollars), and how many calls it counts as."""
EACH = 30


def noon() -> Moment:
    """Return noon of that day, by a clock that does not go."""
    return Moment(moment().boot_ns, NOW_MS * 1_000_000)


class Installation:
    """A state that was just made anew, and a store that has the calls from before."""

    def __init__(self, directory: Path) -> None:
        journal = Journal(str(directory / "journal"), "a" * 16)
        for kind, (record, _, _) in KINDS.items():
            for number in range(EACH):
                journal.append(msgspec.structs.replace(record, id=f"{kind} {number}"))
        assert journal.close()
        self.reading = Ingest(directory)
        self.owners = directory / "state" / "owners"
        self.ledger = Ledger(directory / "state" / "money", "b" * 16, 16 << 20)
        self.admin: Admin = open_admin(directory, CONFIG, {})
        assert isinstance(self.admin.snapshot, OnState)
        self.state = self.admin.snapshot
        self.ledger.close()  # one process opens it once; workers are others

    def rebuild(self, patience: int = 1_000) -> int:
        """Rebuild, giving up when it was asked so many times."""
        left = patience

        def go_on() -> bool:
            nonlocal left
            left -= 1
            self.reading.turn()
            return left > 0

        return rebuild(self.admin, self.state, self.owners, self.reading, go_on, clock=noon)

    def counted(self) -> dict[str, int]:
        with self.state.money() as ledger:
            assert ledger is not None
            rows = ["team:red", "model:smart|customer:ann", f"key:{PLAIN.key}", "provider:azure", "provider:openai"]
            found = ledger.counters(rows, noon())
        return {
            f"{counter.row} {counter.rule_id}" if counter.row.startswith("provider:") else counter.rule_id: counter.used
            for counter in found
        }

    def rebuilt(self) -> bool:
        with self.state.money() as ledger:
            assert ledger is not None
            return ledger.rebuilt

    def close(self) -> None:
        self.reading.stop()
        self.state.close()
        self.admin.engine.dispose()


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.close()


EXPECTED = {
    "team:red/budget/cost/forever": EACH * sum(cost for _, cost, _ in KINDS.values()),
    "team:red/budget/cost/day": EACH * sum(cost for record, cost, _ in KINDS.values() if record.time_ms == NOW_MS),
    "team:red/budget/requests/forever": EACH * sum(times for _, _, times in KINDS.values()),
    "model=smart|each=customer/budget/tokens/forever": EACH * 5 * 110,
    "provider:azure all|each=provider/budget/cost/forever": EACH * 2 * 500,
    "provider:azure all|each=provider/budget/requests/forever": EACH * 2,
    "provider:openai all|each=provider/budget/cost/forever": EACH
    * (sum(cost for _, cost, _ in KINDS.values()) - 2 * 500),
    "provider:openai all|each=provider/budget/requests/forever": EACH * sum(times for _, _, times in KINDS.values()),
}


def test_each_budget_counts_the_calls_in_its_window(lost: Installation) -> None:
    assert lost.rebuild() == EACH * 7
    assert lost.counted() == EXPECTED
    assert lost.rebuilt()
    assert lost.rebuild() == 0, "it is done once"


@pytest.mark.parametrize("steps", [2, 3, 4, 6])
def test_who_is_cut_off_begins_again_from_nothing(
    lost: Installation, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SUMS", 1)
    with pytest.raises(Interrupted):
        lost.rebuild(patience=steps)
    assert not lost.rebuilt()
    lost.rebuild()
    assert lost.counted() == EXPECTED


def test_it_waits_for_those_whose_calls_are_in_a_file_that_is_gone(lost: Installation) -> None:
    other = Owner.new(lost.owners)
    other.join("a file that is gone")
    with pytest.raises(Interrupted):
        lost.rebuild(patience=50)
    assert lost.counted() == {}
    other.bury()
    lost.rebuild()
    assert lost.counted() == EXPECTED


def test_a_budget_that_a_key_of_the_store_carries_is_counted_too(tmp_path: Path) -> None:
    admin = open_admin(tmp_path, CONFIG, {})
    with admin.changing(OWNER) as change:
        key = issue(change, {"name": "bob", "budgets": [{"usd": 1, "per": "week", "rolling": True}]}).id
    assert isinstance(admin.snapshot, OnState)
    admin.snapshot.close()
    admin.engine.dispose()
    journal = Journal(str(tmp_path / "journal"), "c" * 16)
    for number, days in enumerate((0, 2, 9)):
        at = NOW_MS - days * 86_400_000
        journal.append(msgspec.structs.replace(PLAIN, id=f"of bob {number}", key=key, time_ms=at))
    assert journal.close()
    made = Installation(tmp_path)
    made.rebuild()
    with made.state.money() as ledger:
        assert ledger is not None
        (counter,) = ledger.counters([f"key:{key}"], noon())
    made.close()
    assert counter.used == 2_000


def letting_go(directory: Path, made: Installation, days: int) -> int:
    """Let go of calls older than so many days, as of that day; return how many are left."""
    keep = Keep(calls=days * 86_400)
    reading = Ingest(directory, keep=keep, admin=lambda: made.admin, wall=lambda: NOW_MS / 1000)
    while reading.turn():
        pass
    reading.tidy()
    reading.stop()
    with made.admin.reading() as db:
        return db.execute(select(func.count()).select_from(calls)).scalar_one()


@pytest.mark.parametrize("times", [1, 3])
def test_a_budget_counts_calls_that_are_long_gone_from_the_store(
    lost: Installation, tmp_path: Path, times: int
) -> None:
    for _ in range(times):
        left = letting_go(tmp_path, lost, days=1)
    assert left == EACH * (len(KINDS) - 2)
    lost.rebuild()
    assert lost.counted() == EXPECTED


def test_calls_that_are_gone_count_for_as_long_as_the_window_goes(tmp_path: Path) -> None:
    admin = open_admin(tmp_path, CONFIG, {})
    with admin.changing(OWNER) as change:
        budgets: list[object] = [{"usd": 9}, {"usd": 9, "per": "365d"}, {"usd": 9, "per": "120d", "rolling": True}]
        key = issue(change, {"name": "bob", "budgets": budgets}).id
    assert isinstance(admin.snapshot, OnState)
    admin.snapshot.close()
    admin.engine.dispose()
    year = windows.span(Window(365 * 86_400), NOW_MS * 1_000_000)[0] // 1_000_000
    times = [NOW_MS, NOW_MS - 100 * 86_400_000, NOW_MS - 130 * 86_400_000, year, year - 2 * 86_400_000]
    journal = Journal(str(tmp_path / "journal"), "c" * 16)
    for number, at in enumerate(times):
        journal.append(msgspec.structs.replace(PLAIN, id=f"of bob {number}", key=key, time_ms=at))
    assert journal.close()
    made = Installation(tmp_path)
    letting_go(tmp_path, made, days=1)
    made.rebuild()
    with made.state.money() as ledger:
        assert ledger is not None
        found = {one.rule_id: one.used for one in ledger.counters([f"key:{key}"], noon())}
    made.close()
    assert found == {
        f"key:{key}/budget/cost/forever": 1_000 * len(times),
        f"key:{key}/budget/cost/365d": 1_000 * sum(at >= year for at in times),
        f"key:{key}/budget/cost/120d/rolling": 1_000 * sum(at > NOW_MS - 120 * 86_400_000 for at in times),
    }


def test_what_a_budget_counted_that_is_no_more_is_not_put_back(tmp_path: Path) -> None:
    made = Installation(tmp_path)
    letting_go(tmp_path, made, days=1)
    made.admin.config = msgspec.structs.replace(CONFIG, teams={})
    made.rebuild()
    assert made.counted() == {name: used for name, used in EXPECTED.items() if not name.startswith("team:")}
    made.close()
