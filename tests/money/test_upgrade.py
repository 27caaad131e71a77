"""A data directory that an older Portico has left is taken over by this one: its calls stay, new ones come to them."""

import sqlite3
import time
from pathlib import Path

import pytest

from money.callers import call, question
from money.house import house, until
from money.test_crash import DECLARED, KEYS
from portico.journal.entries import decode_record
from portico.store.engine import make_engine
from portico.store.migrate import revisions, upgrade

OLDER = sorted((Path(__file__).parents[1] / "store").glob("at_*.sql"))


def left_behind(data_dir: Path, older: Path) -> None:
    """Make the store that a Portico of this schema had."""
    data_dir.mkdir(mode=0o700)
    engine = make_engine(f"sqlite:///{data_dir}/portico.db")
    upgrade(engine, older.stem.removeprefix("at_"))
    engine.dispose()
    db = sqlite3.connect(data_dir / "portico.db")
    db.executescript(older.read_text())
    db.close()


@pytest.mark.parametrize("older", OLDER, ids=lambda path: path.stem)
async def test_what_an_older_portico_has_left_is_served_from_and_added_to(tmp_path: Path, older: Path) -> None:
    left_behind(tmp_path / "data", older)
    async with house(tmp_path, workers=2, **DECLARED) as home:
        # State is new beside a store with calls: what budgets had used is counted from them first.
        await until(lambda: home.portico.request("GET", "/readyz")[0] == 200, "the older records are counted")
        for number in range(20):
            said = await call(
                home.address, KEYS["key-1"], number, question(number, "first/plain", most=16, stream=False)
            )
            assert said.status == 200, said
        await home.settled()
        headers = {"authorization": "Bearer sk-master-of-the-house"}

        def spend() -> bytes:
            return home.portico.request(
                "GET", f"/api/v1/spend?since=2026-01-01T00:00:00Z&until={UNTIL}", headers=headers
            )[2]

        await until(lambda: b'"requests":24' in spend(), lambda: f"the store has 24 calls: {spend()!r}")
        new = {record.id for record in home.records()}
        await home.stop()
    db = sqlite3.connect(tmp_path / "data" / "portico.db")
    found = {id_: decode_record(record) for id_, record in db.execute("SELECT id, record FROM calls")}
    (at,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
    db.close()
    assert at == revisions()[-1]
    assert len(found) == 24
    assert new < found.keys()


UNTIL = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
