"""Whatever Anthropic's own clients and servers wrote is written again as it was."""

import json
from typing import Any

import pytest
from tests.dialects.messages.world import foreign, given, recorded
from tests.framing.recordings import SIZES, body_of, chunks, recorded_chunks

from portico.dialects.crossing import Notes, Target
from portico.dialects.messages import Decoder, Encoder, parse_reply, parse_request, render_reply, render_request
from portico.framing import sse

EXCEPTIONS = {
    "87c4a64b6c570926eb65": "two replies joined by hand: nothing follows `message_stop`",
}


def events(stream: bytes) -> list[Any]:
    """Return the events of a stream: their names and data."""
    found = [sse.parse(event) for event in sse.split(stream)]
    return [(event.name, json.loads(event.data)) for event in found if event.data]


def named(stream: bytes) -> list[Any]:
    """Return the events, named by their type where a recording left the line out."""
    return [(value["type"].encode(), value) for _, value in events(stream)]


def test_every_recorded_request_is_written_as_it_was() -> None:
    seen = 0
    for record in recorded("messages"):
        body = record["request"].get("body")
        if not isinstance(body, dict):
            continue
        seen += 1
        model = body.get("model", "")
        quirks = frozenset(() if model else ("anthropic_version_in_body",))
        request = parse_request(json.dumps(body).encode(), model=model, stream=record["streaming"])
        notes = Notes("messages")
        again = render_request(request, Target(model=model, dialect="messages", quirks=quirks), notes)
        assert json.loads(again) == body, record["id"]
        assert notes.dropped == []
    assert seen > 800


def test_every_recorded_reply_is_written_as_it_was() -> None:
    seen = 0
    for record in recorded("messages"):
        if record["streaming"] or record["response"]["status"] != 200:
            continue
        seen += 1
        body = body_of(record)
        assert json.loads(render_reply(parse_reply(body), foreign(), given())) == json.loads(body), record["id"]
    assert seen > 500


@pytest.mark.parametrize("size", [*SIZES, -1], ids=["whole", "1", "7", "recorded"])
def test_every_recorded_stream_is_written_as_it_was(size: int | None) -> None:
    seen = 0
    for record in recorded("messages"):
        if not record["streaming"] or record["response"]["status"] != 200 or record["id"] in EXCEPTIONS:
            continue
        seen += 1
        body = body_of(record)
        decoder, encoder = Decoder(), Encoder(foreign(), given())
        pieces = recorded_chunks(record) if size == -1 else chunks(body, size)
        out = [encoder.feed(frame) for piece in pieces for frame in decoder.feed(piece)]
        out += [encoder.feed(frame) for frame in decoder.flush()]
        assert events(b"".join(out)) == named(body), record["id"]
    assert seen > 300
