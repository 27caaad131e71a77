"""A store goes up and down between schemas with what is in it, and says so when it is of a newer Portico."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, MetaData, Table, inspect, text
from sqlalchemy.exc import IntegrityError

from portico.errors import ConfigError
from portico.record import Record
from portico.store import migrate
from portico.store.engine import make_engine
from portico.store.migrate import downgrade, revision, revisions, upgrade
from portico.store.tables import MEASURES, PARTS, calls, metadata
from store.filled import MONTH, expected, fill, kept, piece, some, sums_of


def found(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return revision(connection)


def test_revisions_are_numbered_without_a_gap() -> None:
    assert revisions() == [f"{number:04d}" for number in range(1, len(revisions()) + 1)]


def test_a_new_store_has_every_table_and_index_that_the_code_speaks_of(engine: Engine) -> None:
    import portico.store.entities.tables  # noqa: F401  # its tables are in the same metadata

    there = inspect(engine)
    for table in metadata.tables.values():
        assert {column.name for column in table.columns} == {
            column["name"] for column in there.get_columns(table.name)
        }, table.name
        assert {index.name for index in table.indexes} <= {index["name"] for index in there.get_indexes(table.name)}
        assert [column.name for column in table.primary_key] == there.get_pk_constraint(table.name)[
            "constrained_columns"
        ]


def test_a_second_start_migrates_nothing_and_loads_nothing_for_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_run", None)
    upgrade(engine)
    assert found(engine) == revisions()[-1]


APART = """
import sys
from portico.store.engine import make_engine
from portico.store.migrate import revision, upgrade
engine = make_engine(sys.argv[1])
upgrade(engine, apart=True)
with engine.connect() as connection:
    print(revision(connection), "alembic" in sys.modules)
"""


def test_a_store_that_is_upgraded_apart_leaves_nothing_of_it_in_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", APART, f"sqlite:///{tmp_path / 'portico.db'}"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [revisions()[-1], "False"]


@pytest.mark.parametrize("url", ["sqlite:///{}/portico.db", "sqlite://"])
def test_a_store_is_upgraded_here_where_it_cannot_be_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    engine = make_engine(url.format(tmp_path))
    upgrade(engine, apart=True)
    assert found(engine) == revisions()[-1]
    engine.dispose()


def test_a_store_of_a_newer_portico_is_left_alone_from_apart_too(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="9999"):
        upgrade(engine, apart=True)


def as_of(schema: str, lowest: str, records: Iterable[Record]) -> Any:
    """Return what the sums of these records are in a store of a schema that was at a lower one, and forgot what it had.

    Arms are known from 0003 on, markups from 0004 on.
    """
    bare = [
        msgspec.structs.replace(
            each,
            arm=each.arm if lowest >= "0003" else None,
            billed_nano_usd=each.billed_nano_usd if lowest >= "0004" else None,
        )
        for each in records
    ]
    billed = MEASURES.index("billed_nano_usd"), PARTS.index("billed_nano_usd")
    return tuple(
        {
            key: sums if schema >= "0004" else sums[:at] + sums[at + 1 :]
            for key, sums in all_.items()
            if schema >= "0003" or key[0] != MONTH
        }
        for all_, at in zip(expected(bare), billed, strict=True)
    )


def test_a_store_goes_from_every_schema_to_the_newest_and_back_with_its_calls(url: str) -> None:
    engine = make_engine(url)
    records = some(40, over_ms=70 * 86_400_000)
    upgrade(engine)
    fill(engine, piece(records))
    assert sums_of(engine) == expected(records)
    lowest = revisions()[-1]
    for _ in range(2):
        for to in reversed(revisions()[:-1]):
            downgrade(engine, to)
            lowest = min(lowest, to)
            assert found(engine) == to
            assert kept(engine) == {each.id: each for each in records}
            assert sums_of(engine) == as_of(to, lowest, records)
        for to in revisions()[1:]:
            upgrade(engine, to)
            assert found(engine) == to
            assert kept(engine) == {each.id: each for each in records}
            assert sums_of(engine) == as_of(to, lowest, records)
    downgrade(engine, "base")
    assert "calls" not in inspect(engine).get_table_names()
    upgrade(engine)
    assert kept(engine) == {}
    engine.dispose()


def pour(engine: Engine, statements: str, directory: Path) -> None:
    """Put what SQLite has said of a store into one of the same schema."""
    path = directory / "older.db"
    older = make_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        upgrade(older, revision(connection))
    db = sqlite3.connect(path)
    db.executescript(statements)
    db.close()
    for name in ("names", "segments", "calls", "call_tags", "rollups", "breakdowns"):
        from_, to = (Table(name, MetaData(), autoload_with=each) for each in (older, engine))
        with older.connect() as source, engine.begin() as target:
            rows = [dict(row) for row in source.execute(from_.select()).mappings()]
            target.execute(to.insert(), rows)
            if target.dialect.name == "postgresql" and name in ("names", "segments"):
                target.execute(text(f"SELECT setval('{name}_id_seq', (SELECT max(id) FROM {name}))"))
    older.dispose()


@pytest.mark.parametrize("older", sorted(Path(__file__).parent.glob("at_*.sql")), ids=lambda path: path.stem)
def test_a_store_that_an_older_portico_has_filled_is_taken_over_whole(url: str, older: Path, tmp_path: Path) -> None:
    engine = make_engine(url)
    upgrade(engine, older.stem.removeprefix("at_"))
    pour(engine, older.read_text(), tmp_path)
    before = kept(engine)
    assert len(before) == 4
    upgrade(engine)
    assert kept(engine) == before
    unmarked = [msgspec.structs.replace(each, billed_nano_usd=None) for each in before.values()]
    assert sums_of(engine) == expected(unmarked)
    # it goes on: the numbers of names are those of before, and so are the buckets
    more = [msgspec.structs.replace(each, id=f"again {each.id}") for each in before.values()]
    fill(engine, piece([*before.values(), *more, *some(30, seed=4)], "new-000001.seg"))
    assert kept(engine).keys() == before.keys() | {each.id for each in (*more, *some(30, seed=4))}
    here = [each for each in kept(engine).values() if each.id not in before]
    assert sums_of(engine) == expected([*unmarked, *here])
    engine.dispose()


def test_a_store_of_a_newer_portico_is_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="'9999', which this Portico does not know"):
        upgrade(engine)


def test_a_migration_that_fails_leaves_the_schema_as_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    engine = make_engine(url)
    made: list[str] = []
    create = op.create_table

    def failing(name: str, *given: object, **named: object) -> object:
        made.append(name)
        if len(made) == 4:
            raise ZeroDivisionError
        return create(name, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(op, "create_table", failing)
    with pytest.raises(ZeroDivisionError):
        upgrade(engine)
    assert "calls" not in inspect(engine).get_table_names()
    monkeypatch.undo()
    upgrade(engine)
    assert found(engine) == revisions()[-1]
    engine.dispose()


@pytest.mark.parametrize("url", ["nothing", "mysql://host/db", "postgresql:///\0"])
def test_a_url_of_no_store_is_refused_in_words(url: str) -> None:
    if url.startswith("postgresql"):
        make_engine(url).dispose()
        return
    with pytest.raises(ConfigError):
        make_engine(url)


def test_ids_are_unique_in_the_schema_itself(engine: Engine) -> None:
    fill(engine, piece(some(1)))
    with engine.connect() as connection:
        row = connection.execute(calls.select()).mappings().one()
        with pytest.raises(IntegrityError):
            connection.execute(calls.insert().values({**row, "seq": row["seq"] + 1}))
