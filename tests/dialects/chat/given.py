"""What the tests of this dialect share: recorded calls, short ways to parse and render, streams made of events."""

import itertools
import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from tests.framing.recordings import load

from portico.dialects.chat import Decoder, Encoder, parse_request, render_request
from portico.dialects.crossing import Given, Notes, Target
from portico.framing import sse
from portico.ir import AnyEvent, Frame, Message, Request, Text
from portico.types import Dialect

MODEL = "gpt-5"
HELLO = Message(role="user", parts=(Text(text="hi"),))
# Recorded as chat, but of Ollama's own shape.
OTHER_SHAPE = "/api/chat"
# Its body has a comma too many, which its provider took.
NOT_JSON = "801c85d611f2ac7b0ef4"


@cache
def recorded(api: str = "chat") -> tuple[dict[str, Any], ...]:
    """Return the recorded calls of an api."""
    return tuple(
        record
        for record in load()
        if record["api"] == api
        and record["request"]["method"] == "POST"
        and not record["request"]["path"].endswith(OTHER_SHAPE)
    )


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the bodies of recorded requests, with their ids."""
    for record in recorded():
        body = record["request"].get("body")
        if type(body) is dict and not record.get("response_only") and record["id"] != NOT_JSON:
            yield record["id"], body


def answered(*, streaming: bool) -> Iterator[dict[str, Any]]:
    """Return the recorded calls that have a good answer."""
    for record in recorded():
        if record["streaming"] is streaming and record["response"]["status"] < 400:
            yield record


def given() -> Given:
    """Return what a reply needs; ids are numbered."""
    numbers = itertools.count(1)
    return Given(request_id="req_1", created=1_700_000_000, new_id=lambda prefix: f"{prefix}{next(numbers)}")


def own(**fields: Any) -> Request:
    """Return a request of this dialect."""
    return Request(dialect="chat", model=MODEL, **({"messages": (HELLO,)} | fields))


def foreign(**fields: Any) -> Request:
    """Return a request of another dialect."""
    return Request(dialect="messages", model="claude", **({"messages": (HELLO,)} | fields))


def parsed(body: dict[str, Any]) -> Request:
    """Parse a body."""
    return parse_request(json.dumps(body).encode(), model=body.get("model") or MODEL, stream=bool(body.get("stream")))


def rendered(request: Request, *quirks: str) -> tuple[dict[str, Any], list[str]]:
    """Return the body that a request comes to, and what was lost."""
    notes = Notes("chat")
    target = Target(model=request.model, dialect="chat", quirks=frozenset(quirks))
    return json.loads(render_request(request, target, notes)), notes.dropped


def documents(body: bytes) -> list[Any]:
    """Return the events of a stream: their JSON, or the text of one that is none."""
    splitter = sse.Splitter()
    found = [sse.parse(event).data.strip() for event in (*splitter.feed(body), splitter.flush())]
    return ["[DONE]" if data == b"[DONE]" else json.loads(data) for data in found if data]


def decoded(pieces: Iterable[bytes]) -> list[Frame]:
    """Return the frames of a stream."""
    decoder = Decoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return [*frames, *decoder.flush()]


def happened(*chunks: Any, done: bool = True) -> list[AnyEvent]:
    """Return the events of a stream of these chunks."""
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    frames = decoded([body + (b"data: [DONE]\n\n" if done else b"")])
    return [event for frame in frames for event in frame.events]


def chunk(delta: dict[str, Any] | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a chunk with one choice; `fields` are the choice's."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": None} | fields
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
    }


def encoded(*events: AnyEvent, request: Request | None = None, dialect: Dialect = "messages") -> bytes:
    """Return the stream that the events of a foreign one come to, a frame each."""
    encoder = Encoder(request or own(stream=True), given())
    out = b"".join([encoder.feed(Frame(dialect=dialect, events=(event,))) for event in events])
    return out + encoder.finish()
