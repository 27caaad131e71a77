"""What is exported is what was recorded, in each form."""

import csv
import io
import sys

import msgspec
import pyarrow.parquet
import pytest
from sqlalchemy import Engine

from portico.errors import ConfigError
from portico.record import Record
from portico.store.calls import Filter, each
from portico.store.export import COLUMNS, write_csv, write_json_lines, write_parquet
from store.filled import fill, piece, some

RECORDS = some(250, seed=6)


def batches(engine: Engine) -> list[list[Record]]:
    fill(engine, piece(RECORDS))
    return [[call.record for call in chunk] for chunk in each(engine, Filter(), chunk=60)]


def test_json_lines_hold_all_of_a_record(engine: Engine) -> None:
    out = io.BytesIO()
    assert write_json_lines(batches(engine), out) == len(RECORDS)
    lines = out.getvalue().splitlines()
    assert [msgspec.json.decode(line, type=Record) for line in lines] == RECORDS


def test_csv_holds_a_line_for_each(engine: Engine) -> None:
    out = io.BytesIO()
    assert write_csv(batches(engine), out) == len(RECORDS)
    rows = list(csv.DictReader(io.StringIO(out.getvalue().decode())))
    assert [row["id"] for row in rows] == [record.id for record in RECORDS]
    assert [row["cost_nano_usd"] for row in rows] == [str(record.cost_nano_usd or "") for record in RECORDS]
    assert [row["tags"].split() for row in rows] == [list(record.tags) for record in RECORDS]
    assert sum(int(row["input"] or 0) for row in rows) == sum(each.usage.input for each in RECORDS if each.usage)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_text_of_a_caller_is_a_formula(text: str) -> None:
    out = io.BytesIO()
    write_csv([[msgspec.structs.replace(RECORDS[0], customer=text, tags=(text,))]], out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue().decode()))
    assert row["customer"] == row["tags"] == f"'{text}"


def test_parquet_holds_a_row_for_each(engine: Engine) -> None:
    out = io.BytesIO()
    assert write_parquet(batches(engine), out) == len(RECORDS)
    table = pyarrow.parquet.read_table(io.BytesIO(out.getvalue()))
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == [record.id for record in RECORDS]
    assert [row["cost_nano_usd"] for row in rows] == [record.cost_nano_usd for record in RECORDS]
    assert [row["tags"] for row in rows] == [list(record.tags) for record in RECORDS]
    assert [row["input"] for row in rows] == [each.usage.input if each.usage else None for each in RECORDS]


def test_an_export_of_nothing_is_whole_all_the_same() -> None:
    for write in (write_json_lines, write_csv, write_parquet):
        assert write([], io.BytesIO()) == 0


def test_parquet_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"portico\[parquet\]"):
        write_parquet([], io.BytesIO())
