"""Every recorded call of the dialect, read and written again, is what it was."""

import json
from typing import Any

import pytest
from tests.dialects.responses.world import ASKED, events, frames, given, recorded
from tests.framing.recordings import SIZES, body_of, recorded_chunks

from portico.dialects.crossing import Notes, Target
from portico.dialects.responses import Decoder, Encoder, parse_reply, parse_request, read_usage, render_reply
from portico.dialects.responses.request import render_request
from portico.errors import BadUpstreamReply
from portico.ir import (
    ArgumentsDelta,
    Ended,
    Failed,
    Finished,
    PartEnded,
    PartStarted,
    Ping,
    Refusal,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)

NO_MODEL = "The body names no model; a request is always written with one."
EXCEPTIONS = {
    "59e6e8f6b9c2faf00fa8": NO_MODEL,
    "9021c1c364f80b7cc2c0": NO_MODEL,
    "93eba3c099b7c14e6565": NO_MODEL,
    "e23fd33107dd6d2e7314": NO_MODEL,
    "2cb2a70bfd16f45027ff": "The reply is one of Chat Completions: it is refused as no response.",
}
# Streams beyond this many bytes are not cut into single bytes: there are enough below it.
LONG = 20_000


def test_requests_are_written_as_they_were_read() -> None:
    wrong = {}
    for record in recorded():
        body = record["request"]["body"]
        if not isinstance(body, dict):
            continue
        model = body.get("model") or "m"
        request = parse_request(json.dumps(body).encode(), model=model, stream=body.get("stream") is True)
        again = json.loads(render_request(request, Target(model=model, dialect="responses"), Notes("responses")))
        if again != body:
            wrong[record["id"]] = again
    assert wrong.keys() <= EXCEPTIONS.keys()


def test_replies_are_written_as_they_were_read() -> None:
    wrong: dict[str, Any] = {}
    for record in recorded(streaming=False):
        body = body_of(record)
        try:
            reply = parse_reply(body)
        except BadUpstreamReply as error:
            wrong[record["id"]] = error
            continue
        assert reply.usage == read_usage(body)
        again = json.loads(render_reply(reply, ASKED, given()))
        if again != json.loads(body):
            wrong[record["id"]] = again
    assert wrong.keys() <= EXCEPTIONS.keys()


@pytest.mark.parametrize("size", [*SIZES, 0])
def test_streams_are_written_as_they_were_read(size: int | None) -> None:
    """The size 0 stands for the chunks as they were recorded."""
    assert len(recorded(streaming=True)) > 300
    for record in recorded(streaming=True):
        body = body_of(record)
        if size == 1 and len(body) > LONG:
            continue
        if size == 0:
            decoder = Decoder()
            listed = [frame for chunk in recorded_chunks(record) for frame in decoder.feed(chunk)] + decoder.flush()
        else:
            listed = frames(body, size)
        encoder = Encoder(ASKED, given())
        pieces = [encoder.feed(frame) for frame in listed]
        assert events(b"".join(pieces)) == events(body), record["id"]
        assert encoder.finish() == b"", "a stream that has its end gets no other"


def test_a_recorded_stream_tells_its_parts_in_deltas_that_add_up() -> None:
    for record in recorded(streaming=True):
        happened = [event for frame in frames(body_of(record)) for event in frame.events if type(event) is not Ping]
        started = [event.index for event in happened if isinstance(event, PartStarted)]
        assert started == list(range(len(started)))
        texts = dict.fromkeys(started, "")
        for event in happened:
            if isinstance(event, TextDelta | ArgumentsDelta | ThinkingDelta):
                texts[event.index] += event.text
            elif isinstance(event, PartEnded):
                part = event.part
                if isinstance(part, Text | Refusal | Thinking):
                    assert part.text == texts[event.index], record["id"]
                elif isinstance(part, ToolCall) and part.kind != "server":
                    assert part.arguments == texts[event.index], record["id"]
        assert isinstance(happened[0], Started)
        if isinstance(happened[-1], Failed):
            continue
        assert sorted(started) == sorted(event.index for event in happened if isinstance(event, PartEnded))
        assert [type(event) for event in happened[-3:]] == [Used, Finished, Ended], record["id"]
