"""Records for other programs: JSON lines, CSV, Parquet. Written in batches, however many there are."""

import csv
import io
from collections.abc import Iterable
from typing import IO, Any

import msgspec

from portico.errors import ConfigError
from portico.record import Record
from portico.store.tables import TOKENS
from portico.types import Usage

COUNTED = ("images", "characters", "seconds", "pages", "searches", "tool_uses")
FIELDS = (
    "id", "time_ms", "org", "team", "user", "key", "customer", "session", "operation", "model", "alias", "target",
    "stream", "status", "end", "error", "message", "basis", "pricing", "price", "cost_nano_usd", "bound_nano_usd",
    "billed", "markup", "over_bound", "first_byte_us", "total_us", "overhead_us", "cache", "guard", "arm", "job",
    "ended_ms",
)  # fmt: skip
NAMES = {"billed": "billed_nano_usd"}
"""What a field is called in its column, where that is not the same."""
COLUMNS = (*(NAMES.get(name, name) for name in FIELDS), "attempts", "tags", *TOKENS, *COUNTED)
"""The columns of CSV and Parquet. `attempts` is how many there were, `tags` are separated by spaces in CSV."""

_NUMBERS = {
    "time_ms",
    "status",
    "cost_nano_usd",
    "bound_nano_usd",
    "billed_nano_usd",
    "markup",
    "ended_ms",
    "first_byte_us",
    "total_us",
    "overhead_us",
    "attempts",
}
_FLAGS = {"stream", "over_bound"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_json_lines(batches: Iterable[Iterable[Record]], out: IO[bytes]) -> int:
    """Write records whole, one JSON object a line; return how many."""
    encode = msgspec.json.Encoder().encode
    count = 0
    for batch in batches:
        lines = [encode(record) for record in batch]
        count += len(lines)
        if lines:
            out.write(b"\n".join(lines) + b"\n")
    return count


def write_csv(batches: Iterable[Iterable[Record]], out: IO[bytes]) -> int:
    """Write records as CSV with a first line of names; return how many.

    Text that a spreadsheet would take for a formula is set behind an apostrophe: some of it is what callers wrote.
    """
    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        count = 0
        for batch in batches:
            rows = [[_cell(value) for value in _flat(record)] for record in batch]
            count += len(rows)
            writer.writerows(rows)
        return count
    finally:
        text.detach()


def write_parquet(batches: Iterable[Iterable[Record]], out: IO[bytes]) -> int:
    """Write records as Parquet; return how many. Raises ConfigError where pyarrow is not installed."""
    try:
        import pyarrow  # type: ignore[import-untyped]  # it has no types
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise ConfigError("export as Parquet needs pyarrow: install portico[parquet]") from error

    kinds = {"tags": pyarrow.list_(pyarrow.string()), "seconds": pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(name) or _parquet_kind(pyarrow, name)) for name in COLUMNS])
    count = 0
    with pyarrow.parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in batches:
            rows = [_flat(record) for record in batch]
            count += len(rows)
            columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
    return count


def _parquet_kind(pyarrow: Any, name: str) -> Any:
    if name in _FLAGS:
        return pyarrow.bool_()
    if name in _NUMBERS or name in TOKENS or name in COUNTED:
        return pyarrow.int64()
    return pyarrow.string()


def _flat(record: Record) -> list[Any]:
    """Return the values of `COLUMNS`."""
    usage = record.usage
    used: list[Any] = [None] * (len(TOKENS) + len(COUNTED))
    if isinstance(usage, Usage):
        used = [getattr(usage, name) for name in (*TOKENS, *COUNTED)]
    return [*(getattr(record, name) for name in FIELDS), len(record.attempts), list(record.tags), *used]


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = " ".join(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
