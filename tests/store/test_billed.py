"""What is billed on: each call's cost with its markup, in sums, in exports, and after a price was corrected."""

import csv
import io
import json
from collections.abc import Sequence

import msgspec
import pytest
from sqlalchemy import Engine

from portico.record import MILLION, Record, marked_up
from portico.store import export, reprice, rollups
from portico.store.reprice import Repriced
from portico.types import Usage
from store.filled import START_MS, fill, kept, piece

PLAIN = Record(
    "plain", START_MS, "k", "chat", "smart", "openai/m", 200, False, [], Usage(input=10), 1_000, "reported", 1, 1, 1,
    team="core",
)  # fmt: skip


def marked(name: str, nano: int | None, markup: int, **more: object) -> Record:
    record = msgspec.structs.replace(PLAIN, id=name, **more)  # type: ignore[arg-type]  # fields, by their names
    record.costing(nano, markup)
    return record


@pytest.mark.parametrize(
    ("nano", "markup", "billed"),
    [
        (1_000, 1_200_000, 1_200),
        (1_000, 900_000, 900),
        (1, 1_500_000, 2),  # half up
        (1, 1_499_999, 1),
        (3, 500_000, 2),
        (3, 499_999, 1),
        (999_999_999_999, 1_000_001, 1_000_000_999_999),
        (7, 0, 0),
        (0, 2_000_000, 0),
    ],
)
def test_a_markup_is_rounded_half_up_to_a_nano_dollar(nano: int, markup: int, billed: int) -> None:
    assert marked_up(nano, markup) == billed
    assert marked("one", nano, markup).billed == billed


def test_what_is_not_marked_up_is_billed_at_its_cost() -> None:
    record = marked("one", 5, MILLION)
    assert (record.billed_nano_usd, record.markup, record.billed) == (None, None, 5)
    unpriced = marked("two", None, 1_200_000)
    assert (unpriced.billed_nano_usd, unpriced.markup, unpriced.billed) == (None, 1_200_000, None)


RECORDS: Sequence[Record] = (
    PLAIN,
    marked("dear", 1_000, 1_250_000),
    marked("cheap", 1_001, 500_000),
    marked("unpriced", None, 1_250_000),
    marked("job", 4_000, 2_000_000, job="batch_1", operation="batches_job", target="openai/other", total_us=0),
)


def test_sums_have_what_is_billed_beside_what_it_cost(engine: Engine) -> None:
    fill(engine, piece(RECORDS))
    end = START_MS // 1000 + 60
    with engine.connect() as connection:
        whole = rollups.total(connection, 0, end, "team", "core")
        targets = {one.value: one.amounts for one in rollups.by(connection, "target", 0, end)}
        of_core = {one.value: one.amounts for one in rollups.broken_down(connection, "team", "core", "model", 0, end)}
    assert whole["cost_nano_usd"] == 1_000 + 1_000 + 1_001 + 4_000
    assert whole["billed_nano_usd"] == 1_000 + 1_250 + 501 + 8_000
    assert whole["unpriced"] == 1
    assert whole["requests"] == 4, "a job is no call of its own"
    assert targets["openai/other"]["cost_nano_usd"] == 4_000, "what only a job was spent on is in no other line"
    assert of_core["smart"]["billed_nano_usd"] == whole["billed_nano_usd"]


def test_a_corrected_price_is_billed_with_the_markup_that_its_call_had(engine: Engine) -> None:
    fill(engine, piece(RECORDS))

    def double(record: Record) -> Repriced:
        return Repriced((record.cost_nano_usd or 50) * 2, "table", "new")

    job = reprice.begin(
        engine, actor="a", reason="wrong", from_ms=0, to_ms=START_MS + 1, now_ms=START_MS + 2, target="openai/m"
    )
    assert reprice.run(engine, job, double).changed == 4
    assert {name: record.billed for name, record in kept(engine).items()} == {
        "plain": 2_000,
        "dear": 2_500,
        "cheap": 1_001,
        "unpriced": 125,
        "job": 8_000,
    }
    with engine.connect() as connection:
        whole = rollups.total(connection, 0, START_MS // 1000 + 60)
    assert whole["billed_nano_usd"] == 2_000 + 2_500 + 1_001 + 125 + 8_000


def test_exports_have_what_is_billed_of_every_call(engine: Engine) -> None:
    out = io.BytesIO()
    export.write_csv([RECORDS], out)
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(out.getvalue().decode()))}
    assert [rows[record.id]["billed_nano_usd"] for record in RECORDS] == ["1000", "1250", "501", "", "8000"]
    assert [rows[record.id]["markup"] for record in RECORDS] == ["", "1250000", "500000", "1250000", "2000000"]
    assert rows["job"]["job"] == "batch_1"
    lines = io.BytesIO()
    export.write_json_lines([RECORDS], lines)
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [one.get("billed_nano_usd") for one in told] == [None, 1_250, 501, None, 8_000]
