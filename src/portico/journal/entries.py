"""What a segment holds beside its header: entries, each of a kind, encoded as MessagePack."""

from enum import IntEnum
from typing import NamedTuple

import msgspec

from portico.record import Record


class Kind(IntEnum):
    """What an entry is. Numbers are never given anew; a reader passes over those that it does not know."""

    RECORD = 1
    """How a call ended (`record.Record`), its bodies beside it where they are kept."""
    EVENT = 2
    """Something that people want to hear of (`Event`)."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A threshold that was passed, a scope that was closed. `about` is what it says of itself, by name.

    `name` is in words with dots (`budget.passed`, `budget.closed`); `time_ms` in milliseconds since the epoch.
    """

    name: str
    time_ms: int
    about: dict[str, str | int | float | bool | None] = {}


class Entry(NamedTuple):
    """An entry as it stands in a segment: at `start`, followed at `end` by the next. `body` is the size of its bodies.

    `kind` is a number of `Kind`, or one that a newer Portico wrote.
    """

    kind: int
    payload: bytes
    start: int
    end: int
    body: int


encode = msgspec.msgpack.Encoder().encode
decode_record = msgspec.msgpack.Decoder(Record).decode
"""Read a record from the payload of an entry. Raises msgspec.MsgspecError for what is none."""
decode_event = msgspec.msgpack.Decoder(Event).decode


class _Id(msgspec.Struct):
    id: str


_decode_id = msgspec.msgpack.Decoder(_Id).decode


def call_id(payload: bytes) -> str:
    """Return the id alone of an encoded record: a third of the work of reading it whole."""
    return _decode_id(payload).id
