"""Filling a store as ingest does, and reading all of it back."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Select, Table, inspect, select

from portico.journal.entries import Entry, Event, Kind, decode_record, encode
from portico.record import AttemptRecord, Record
from portico.store.dimensions import BY_DAY, BY_HOUR, KINDS, Names
from portico.store.engine import writing
from portico.store.histogram import slot_of
from portico.store.ingest import Counts, Piece, apply
from portico.store.tables import MEASURES, PARTS, breakdowns, calls, names, rollups
from portico.types import Usage

START_MS = 1_770_000_000_000
MONTH = 2_592_000


def some(count: int, seed: int = 0, over_ms: int = 7_200_000, keys: int = 12) -> list[Record]:
    """Return records of many kinds, in order of time."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        key = chance.randrange(keys)
        model = chance.choice(["smart", "fast", "cheap"])
        target = chance.choice([None, f"openai/{model}", f"anthropic/{model}"])
        failed = chance.random() < 0.1
        used = (
            None
            if failed or target is None
            else Usage(
                input=chance.randrange(5_000), output=chance.randrange(900), cache_read=chance.choice([0, 0, 700])
            )
        )
        made.append(
            Record(
                id=f"{chance.getrandbits(96):024x}",
                time_ms=START_MS + number * over_ms // count,
                key=f"key-{key}",
                team=f"team-{key % 3}" if key else None,
                org="acme" if key % 2 else None,
                user=chance.choice([None, "ann", "bob"]),
                customer=chance.choice([None, None, *(f"customer-{each}" for each in range(9))]),
                tags=tuple(chance.sample(["env:prod", "env:test", "feature:search"], chance.randrange(3))),
                operation=chance.choice(["chat", "messages"]),
                model=model,
                target=target,
                status=chance.choice([429, 500, 503]) if failed else 200,
                stream=chance.random() < 0.5,
                attempts=[AttemptRecord(target=target, status=200)] if target else [],
                usage=used,
                cost_nano_usd=chance.randrange(10**7) if used else None,
                basis="reported" if used else "none",
                pricing="table" if used else None,
                first_byte_us=chance.randrange(1, 3_000_000) if used else None,
                total_us=chance.randrange(100, 90_000_000),
                overhead_us=chance.randrange(100, 300),
                error="overloaded" if failed else None,
                end="failed" if failed else "served",
                session=chance.choice([None, None, None, f"session-{number // 50}"]),
                arm=chance.choice([None, "the old prompt", "the new prompt"]) if model == "smart" else None,
            )
        )  # fmt: skip
    return made


def piece(
    records: Sequence[Record | Event], name: str = "a-000001.seg", begin: int = 0, body: int = 0, whole: bool = False
) -> Piece:
    """Return a piece of a segment that holds these."""
    entries = []
    at = begin
    for record in records:
        kind = Kind.RECORD if isinstance(record, Record) else Kind.EVENT
        payload = encode(record)
        entries.append(Entry(kind, payload, at, at + len(payload) + 17 + body, body))
        at = entries[-1].end
    return Piece(name, name.partition("-")[0], begin, at, entries, whole)


def fill(engine: Engine, *pieces: Piece, names_: Names | None = None) -> Counts:
    """Apply pieces in one transaction."""
    known = names_ or Names()
    with writing(engine).begin() as connection:
        counts = apply(connection, known, pieces)
    known.committed()
    return counts


def kept(engine: Engine) -> dict[str, Record]:
    """Return all records by id."""
    with engine.connect() as connection:
        rows = connection.execute(select(calls.c.id, calls.c.record)).all()
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: decode_record(row.record) for row in rows}


def sums_of(engine: Engine) -> tuple[dict[tuple[Any, ...], list[int]], dict[tuple[Any, ...], list[int]]]:
    """Return all sums in the store, by names instead of numbers; those that are nothing at all are left out.

    A store of an older schema has the columns of that.
    """
    there = inspect(engine)

    def rows_of(table: Table) -> Select[Any]:
        known = {column["name"] for column in there.get_columns(table.name)}
        return select(*(column for column in table.columns if column.name in known))

    with engine.connect() as connection:
        named = {row.id: row.value for row in connection.execute(select(names))}
        kinds = {row.id: row.kind for row in connection.execute(select(names))}
        whole = {
            (row.grain, row.dimension, row.bucket, named.get(row.value, "")): list(row[4:])
            for row in connection.execute(rows_of(rollups))
            if any(row[4:])
        }
        parts = {
            (row.grain, kinds[row.scope], named[row.scope], row.dimension, row.bucket, named[row.value]): list(row[5:])
            for row in connection.execute(rows_of(breakdowns))
            if any(row[5:])
        }
    return whole, parts


def start_of(grain: int, second: int) -> int:
    """Return where the bucket begins that a second is in."""
    if grain == MONTH:
        return int(datetime.fromtimestamp(second, UTC).replace(day=1, hour=0, minute=0, second=0).timestamp())
    return second - second % grain


def expected(records: Sequence[Record]) -> tuple[dict[tuple[Any, ...], list[int]], dict[tuple[Any, ...], list[int]]]:
    """Return what the sums of these records are, added up one by one."""
    whole: dict[tuple[Any, ...], list[int]] = {}
    parts: dict[tuple[Any, ...], list[int]] = {}

    def put(sums: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], amounts: list[int]) -> None:
        sums[key] = [a + b for a, b in zip(sums.get(key, [0] * len(amounts)), amounts, strict=True)]

    for record in records:
        usage = record.usage or Usage()
        cost = record.cost_nano_usd or 0
        amounts = dict.fromkeys(MEASURES, 0)
        amounts |= {name: getattr(usage, name) for name in MEASURES if hasattr(usage, name)}
        amounts |= {
            "requests": 1,
            "errors": int(record.status >= 400),
            "cost_nano_usd": cost,
            "unpriced": int(record.usage is not None and record.cost_nano_usd is None),
            "total_us": record.total_us,
            "overhead_us": record.overhead_us,
            "first_byte_us": record.first_byte_us or 0,
            "answered": int(record.first_byte_us is not None),
            "billed_nano_usd": record.billed or 0,
        }
        amounts[f"t{slot_of(record.total_us)}"] = 1
        if record.first_byte_us is not None:
            amounts[f"f{slot_of(record.first_byte_us)}"] = 1
        part = [1, amounts["errors"], usage.input_total, usage.output_total, cost, record.billed or 0]
        assert len(part) == len(PARTS)
        values: dict[str, list[str]] = {
            name: [getattr(record, name)] for name in KINDS if getattr(record, name, None) and name != "status"
        }
        values["tag"] = list(record.tags)
        values["status"] = [f"{record.status // 100}xx"]
        if record.target:
            values["provider"] = [record.target.split("/")[0]]
        second = record.time_ms // 1000
        for grain in (60, 3600, 86_400, MONTH):
            bucket = start_of(grain, second)
            put(whole, (grain, 0, bucket, ""), list(amounts.values()))
            for dimension, kind in KINDS.items():
                for value in values.get(dimension, []):
                    put(whole, (grain, kind, bucket, value), list(amounts.values()))
        for grain, by in ((3600, BY_HOUR), (86_400, BY_DAY), (MONTH, BY_DAY)):
            bucket = start_of(grain, second)
            for scope, dimensions in by.items():
                for scope_value in values.get(scope, []):
                    for dimension in dimensions:
                        for value in values.get(dimension, []):
                            put(parts, (grain, KINDS[scope], scope_value, KINDS[dimension], bucket, value), part)
    return whole, parts
