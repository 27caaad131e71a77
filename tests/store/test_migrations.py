"""A store goes up and down between schemas with what is in it, and says so when it is of a newer Portico."""

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError

from portico.errors import ConfigError
from portico.store import migrate
from portico.store.engine import make_engine
from portico.store.migrate import downgrade, revision, revisions, upgrade
from portico.store.tables import calls, metadata
from store.filled import expected, fill, kept, piece, some, sums_of


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


def test_a_store_goes_from_every_schema_to_the_newest_and_back_with_its_calls(url: str) -> None:
    engine = make_engine(url)
    records = some(40)
    upgrade(engine, revisions()[0])
    fill(engine, piece(records[:20]))
    for to in revisions()[1:]:
        upgrade(engine, to)
        assert found(engine) == to
        assert sums_of(engine) == expected(records[:20])
    fill(engine, piece(records[20:], "b-000001.seg"))
    for to in reversed(revisions()[:-1]):
        downgrade(engine, to)
        assert found(engine) == to
        assert kept(engine) == {each.id: each for each in records}
        assert sums_of(engine) == expected(records)
    upgrade(engine)
    assert kept(engine) == {each.id: each for each in records}
    downgrade(engine, "base")
    assert "calls" not in inspect(engine).get_table_names()
    upgrade(engine)
    assert kept(engine) == {}
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
