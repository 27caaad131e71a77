"""Every recorded call, read and written in its own dialect, is what it was."""

import json

import pytest
from tests.dialects.chat.given import answered, decoded, documents, given, own, parsed, rendered, requests
from tests.framing.recordings import SIZES, body_of, chunks, recorded_chunks

from portico.dialects.chat import Encoder, parse_reply, read_usage, render_reply
from portico.errors import BadUpstreamReply
from portico.ir import Ended, Failed, Finished

NO_ANSWER = {
    "2f26a215d96a8bdba32f": "an error with a good status: it is raised, and told as an error",
    "98a0412d75cf1ac48193": "an error with a good status: it is raised, and told as an error",
}
STREAMS_THAT_DIFFER = {
    "e0c0a0ca63412b359607": "[DONE] after an error: a stream that failed is not passed off as complete",
}
CUT = {
    "6bf9a3525f91e71f0446": "ends with an error",
    "dd52ae2db03e0af3d4cf": "ends with an error",
    "01b81e4b1d805afbf239": "ends with an error and usage",
    "e0c0a0ca63412b359607": "ends with an error and [DONE]",
}
# Streams beyond this many bytes are not cut into single bytes: there are enough below it.
LONG = 10_000


def test_every_recorded_request_is_written_as_it_came() -> None:
    seen = 0
    for name, body in requests():
        request = parsed(body)
        # Azure keeps the model in the path; a body without one gets it.
        assert rendered(request) == (body | {"model": request.model}, []), name
        seen += 1
    assert seen > 2500


def test_every_recorded_reply_is_written_as_it_came() -> None:
    seen = 0
    odd = set()
    for record in answered(streaming=False):
        body = body_of(record)
        if not body:
            continue
        try:
            reply = parse_reply(body)
        except BadUpstreamReply:
            odd.add(record["id"])
            continue
        assert json.loads(render_reply(reply, own(), given())) == json.loads(body), record["id"]
        assert reply.usage == read_usage(body), record["id"]
        seen += 1
    assert odd == NO_ANSWER.keys()
    assert seen > 1500


@pytest.mark.parametrize("size", [*SIZES, "recorded"])
def test_every_recorded_stream_is_written_as_it_came(size: int | str | None) -> None:
    seen = 0
    for record in answered(streaming=True):
        body = body_of(record)
        if not body or record["id"] in STREAMS_THAT_DIFFER or (size == 1 and len(body) > LONG):
            continue
        frames = decoded(recorded_chunks(record) if isinstance(size, str) else chunks(body, size))
        encoder = Encoder(own(stream=True), given())
        out = b"".join(map(encoder.feed, frames))
        if any(type(event) is Ended for frame in frames for event in frame.events):
            out += encoder.finish()
        assert documents(out) == documents(body), record["id"]
        seen += 1
    assert seen > (400 if size == 1 else 900)


def test_every_recorded_stream_tells_its_end_unless_it_failed() -> None:
    cut = set()
    for record in answered(streaming=True):
        body = body_of(record)
        if not body:
            continue
        events = [event for frame in decoded([body]) for event in frame.events]
        kinds = {type(event) for event in events}
        if Ended not in kinds:
            assert Failed in kinds, record["id"]
            cut.add(record["id"])
        else:
            assert Finished in kinds, record["id"]
    assert cut == CUT.keys()
