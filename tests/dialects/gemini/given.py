"""What the tests of this dialect share: recorded calls, an id giver, short ways to parse and render."""

import itertools
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.framing.recordings import body_of, chunks, load

from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.gemini import Decoder, Encoder, parse_request, render_request
from portico.framing import sse
from portico.ir import Frame, Message, Request, Text

MODEL = "gemini-3-pro-preview"


@cache
def recorded(api: str) -> tuple[dict[str, Any], ...]:
    """Return the recorded calls of an api, of Google's own and of Vertex AI."""
    return tuple(record for record in load() if record["api"] == api)


def given() -> Given:
    """Return what a reply needs; ids are numbered."""
    numbers = itertools.count(1)
    return Given(request_id="req_1", created=1_700_000_000, new_id=lambda prefix: f"{prefix}{next(numbers)}")


def foreign(**fields: Any) -> Request:
    """Return a request of OpenAI's chat."""
    fields.setdefault("messages", (Message(role="user", parts=(Text(text="hi"),)),))
    return Request(dialect="chat", model="gpt", **fields)


def rendered(request: Request, model: str = MODEL, quirks: frozenset[str] = frozenset()) -> tuple[Any, list[str]]:
    """Return the body that a request comes to, and what was lost."""
    notes = Notes("gemini")
    body = render_request(request, Target(model=model, dialect="gemini", quirks=quirks), notes)
    return json.loads(body), notes.dropped


def again(body: Any, model: str = MODEL) -> Any:
    """Parse a body and write it again."""
    return rendered(parse_request(json.dumps(body).encode(), model=model, stream=False), model)[0]


def elements(body: bytes) -> list[Any]:
    """Return the elements of a stream of either form."""
    if body.lstrip()[:1] == b"[":
        return list(json.loads(body))
    found = (sse.parse(event).data for event in sse.split(body))
    return [json.loads(data) for data in found if data]


def decoded(pieces: Iterator[bytes]) -> list[Frame]:
    """Return the frames of a stream."""
    decoder = Decoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return [*frames, *decoder.flush()]


def encoded(frames: list[Frame], array: bool = False, request: Request | None = None) -> bytes:
    """Return the stream that frames come to."""
    encoder = Encoder(request or foreign(), given(), array=array)
    return b"".join([encoder.feed(frame) for frame in frames]) + encoder.finish()


def stream(*found: Any, size: int | None = None) -> list[Frame]:
    """Return the frames of these elements as events."""
    return decoded(chunks(b"".join(b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in found), size))


__all__ = [
    "again",
    "body_of",
    "chunks",
    "decoded",
    "elements",
    "encoded",
    "foreign",
    "given",
    "recorded",
    "rendered",
    "stream",
]
