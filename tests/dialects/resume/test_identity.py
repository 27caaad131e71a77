"""A stream that can be gone on with, and need not be: its caller of the same dialect gets the events that came."""

import base64
from typing import Any

import msgspec
import pytest
from tests.dialects.resume.dying import DIALECTS, Recording, answer, recordings
from tests.framing.recordings import SIZES, chunks

from portico.framing import eventstream, sse
from portico.types import Dialect


def told(dialect: Dialect, body: bytes) -> list[Any]:
    """Return the events of a stream as JSON; their names are in it."""
    if dialect == "converse":
        return [
            (message.headers(), msgspec.json.decode(message.payload)) for message in eventstream.Decoder().feed(body)
        ]
    found = []
    for event in sse.split(body):
        parsed = sse.parse(event)
        if parsed.data:
            found.append(plain(parsed.data.strip()))
    return found


def plain(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return base64.b64encode(data)


def same(recording: Recording, size: int | None) -> bool:
    body = b"".join(recording.pieces)
    stream = answer(recording.dialect, recording.dialect)
    out = b"".join(map(stream.feed, chunks(body, size))) + stream.flush()
    assert stream.finished
    return told(recording.dialect, out) == told(recording.dialect, body)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_events_are_the_same(dialect: Dialect, size: int | None) -> None:
    able = recordings(dialect)[:: 1 if size is None else 8]
    changed = [recording.id for recording in able if not same(recording, size)]
    assert not changed
