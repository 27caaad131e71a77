"""Records and journals to test with."""

from pathlib import Path

from portico.journal.entries import Entry, decode_record
from portico.journal.reader import Tally, read
from portico.journal.segments import segments
from portico.record import AttemptRecord, Record
from portico.types import Usage

OWNER = "00c0ffee00c0ffee"


def record(number: int, **changes: object) -> Record:
    """Return a record like many."""
    fields: dict[str, object] = {
        "id": f"call-{number:08d}",
        "time_ms": 1_770_000_000_000 + number,
        "key": "web",
        "operation": "chat",
        "model": "smart",
        "target": "openai/gpt-5.5",
        "status": 200,
        "stream": False,
        "attempts": [AttemptRecord(target="openai/gpt-5.5", status=200)],
        "usage": Usage(input=100, output=50),
        "cost_nano_usd": 1_234,
        "basis": "reported",
        "first_byte_us": 800,
        "total_us": 2_000,
        "overhead_us": 90,
    }
    return Record(**(fields | changes))  # type: ignore[arg-type]


def entries(directory: Path | str, tally: Tally | None = None) -> list[Entry]:
    """Return everything that can be read in a directory; who is killed at the right moment leaves an empty file."""
    begun = [segment.path for segment in segments(str(directory)) if Path(segment.path).stat().st_size]
    return [entry for path in begun for _, entry in read(path, 0, tally)]


def ids(directory: Path | str) -> list[str]:
    """Return the ids of all records in a directory, in order of segments and offsets."""
    return [decode_record(entry.payload).id for entry in entries(directory) if entry.kind == 1]
