"""What the tests of this dialect share: recorded calls, an id giver, short ways to parse and render."""

import itertools
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.framing.recordings import chunks, load

from portico.dialects.cohere import Decoder, Encoder, parse_request, render_request
from portico.dialects.crossing import Given, Notes, Target
from portico.framing import sse
from portico.ir import Frame, Message, Request, Text


@cache
def recorded(streaming: bool | None = None) -> tuple[dict[str, Any], ...]:
    """Return the recorded chats, of either kind or of one."""
    found = (record for record in load() if record["api"] == "v2_chat")
    return tuple(record for record in found if streaming is None or record["streaming"] is streaming)


def given() -> Given:
    """Return what a reply needs; ids are numbered."""
    numbers = itertools.count(1)
    return Given(request_id="req_1", created=1_700_000_000, new_id=lambda prefix: f"{prefix}{next(numbers)}")


def foreign(**fields: Any) -> Request:
    """Return a request of OpenAI's chat."""
    fields.setdefault("messages", (Message(role="user", parts=(Text(text="hi"),)),))
    return Request(dialect="chat", model="gpt", **fields)


def rendered(request: Request, model: str = "command-a-03-2025") -> tuple[Any, list[str]]:
    """Return the body that a request comes to, and what was lost."""
    notes = Notes("cohere")
    return json.loads(render_request(request, Target(model=model, dialect="cohere"), notes)), notes.dropped


def read(body: Any) -> Request:
    """Parse a body."""
    return parse_request(json.dumps(body).encode(), model=body.get("model", ""), stream=body.get("stream") is True)


def again(body: Any) -> Any:
    """Parse a body and write it again."""
    return rendered(read(body), body.get("model", ""))[0]


def events_of(body: bytes) -> list[Any]:
    """Return the events of a stream, the last `[DONE]` as it stands."""
    found = (sse.parse(event).data for event in sse.split(body))
    return [data if data == b"[DONE]" else json.loads(data) for data in found if data]


def decoded(pieces: Iterator[bytes]) -> list[Frame]:
    """Return the frames of a stream."""
    decoder = Decoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return [*frames, *decoder.flush()]


def encoded(frames: list[Frame]) -> bytes:
    """Return the stream that frames come to."""
    encoder = Encoder(foreign(), given())
    return b"".join([encoder.feed(frame) for frame in frames]) + encoder.finish()


def stream(*found: Any, size: int | None = None) -> list[Frame]:
    """Return the frames of these events."""
    return decoded(chunks(b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in found), size))
