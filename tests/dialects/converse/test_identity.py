"""Whatever Bedrock's own clients and servers wrote is written again as it was."""

import base64
import json
from typing import Any

import pytest
from tests.dialects.messages.world import foreign, given, recorded
from tests.framing.recordings import SIZES, body_of, chunks, recorded_chunks

from portico.dialects.converse import Decoder, Encoder, parse_reply, parse_request, render_reply, render_request
from portico.dialects.crossing import Notes, Target
from portico.framing import eventstream
from portico.ir import Failed, TextDelta


def events(stream: bytes) -> list[Any]:
    """Return the messages of a stream: their headers and payloads."""
    return [(one.headers(), json.loads(one.payload)) for one in eventstream.Decoder().feed(stream)]


def binary(record: dict[str, Any]) -> bytes:
    """Return a recorded stream; one that was kept as a line for each event is framed again."""
    if record["response"].get("body_b64"):
        return base64.b64decode(record["response"]["body_b64"])
    framed = []
    for line in body_of(record).splitlines():
        if line.strip():
            ((name, value),) = json.loads(line).items()
            headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
            framed.append(eventstream.encode(headers, json.dumps(value).encode()))
    return b"".join(framed)


def test_every_recorded_request_is_written_as_it_was() -> None:
    seen = 0
    for record in recorded("converse"):
        body = record["request"].get("body")
        if not isinstance(body, dict):
            continue
        seen += 1
        request = parse_request(json.dumps(body).encode(), model="m", stream=record["streaming"])
        notes = Notes("converse")
        again = render_request(request, Target(model="m", dialect="converse"), notes)
        assert json.loads(again) == body, record["id"]
        assert notes.dropped == []
    assert seen > 280


def test_every_recorded_reply_is_written_as_it_was() -> None:
    seen = 0
    for record in recorded("converse"):
        if record["streaming"] or record["response"]["status"] != 200:
            continue
        seen += 1
        body = body_of(record)
        assert json.loads(render_reply(parse_reply(body), foreign(), given())) == json.loads(body), record["id"]
    assert seen > 220


@pytest.mark.parametrize("size", [*SIZES, -1], ids=["whole", "1", "7", "recorded"])
def test_every_recorded_stream_is_written_as_it_was(size: int | None) -> None:
    seen = 0
    for record in recorded("converse"):
        if not record["streaming"] or record["response"]["status"] != 200:
            continue
        seen += 1
        body = binary(record)
        decoder, encoder = Decoder(), Encoder(foreign(), given())
        binary_chunks = size == -1 and record["response"].get("chunk_sizes")
        pieces = recorded_chunks(record) if binary_chunks else chunks(body, None if size == -1 else size)
        out = [encoder.feed(frame) for piece in pieces for frame in decoder.feed(piece)]
        out += [encoder.feed(frame) for frame in decoder.flush()]
        assert events(b"".join(out)) == events(body), record["id"]
    assert seen > 55


@pytest.mark.parametrize("size", [*SIZES])
def test_messages_that_do_not_say_that_they_are_events_are(size: int) -> None:
    said = (
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
    )
    stream = b"".join(eventstream.encode({":event-type": kind}, json.dumps(value).encode()) for kind, value in said)
    decoder = Decoder()
    read = [event for chunk in chunks(stream, size) for frame in decoder.feed(chunk) for event in frame.events]
    assert not any(isinstance(event, Failed) for event in read)
    assert [event.text for event in read if isinstance(event, TextDelta)] == ["Hello"]
