"""What the tests of this dialect share: a request's surroundings, recordings, and OpenAI's own SDK over bytes."""

import itertools
import json
from functools import cache
from typing import Any

import httpx
import openai
from openai.types.responses import Response
from tests.framing.recordings import load

from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.responses import Decoder, Encoder, parse_request, render_request
from portico.ir import Frame, Request

ASKED = Request(dialect="responses", model="gpt-5.5")
TARGET = Target(model="gpt-5.5", dialect="responses")


def given() -> Given:
    """Return surroundings whose ids count up."""
    numbers = itertools.count(1)
    return Given(request_id="req_1", created=1_760_000_000, new_id=lambda prefix: f"{prefix}{next(numbers)}")


@cache
def recorded(*, streaming: bool | None = None) -> tuple[dict[str, Any], ...]:
    """Return the recorded calls of this dialect; with `streaming`, those of them that were answered so."""
    return tuple(
        record
        for record in load()
        if record["api"] == "responses"
        and (streaming is None or (record["streaming"] is streaming and record["response"]["status"] == 200))
    )


def rendered(request: Request, quirks: frozenset[str] = frozenset(), *, strict: bool = False) -> dict[str, Any]:
    """Write a request and decode it; `dropped` has the notes."""
    notes = Notes("responses", strict=strict)
    body = render_request(request, Target(model="gpt-5.5", dialect="responses", quirks=quirks), notes)
    value: dict[str, Any] = json.loads(body)
    return value | {"dropped": notes.dropped}


def parsed(body: Any, *, stream: bool = False) -> Request:
    """Read a request from its JSON."""
    return parse_request(json.dumps(body).encode(), model="gpt-5.5", stream=stream)


def events(body: bytes) -> list[tuple[str, Any]]:
    """Read the events of a stream, independently of the code under test: each with its name and its JSON."""
    found = []
    for block in body.decode().replace("\r\n", "\n").split("\n\n"):
        name, data = "", None
        for line in block.split("\n"):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data = line[5:].strip()
        if data is not None:
            found.append((name, data if data == "[DONE]" else json.loads(data)))
    return found


def frames(body: bytes, size: int | None = None) -> list[Frame]:
    """Decode a stream, cut into chunks of a size."""
    decoder = Decoder()
    found = []
    step = size or len(body) or 1
    for at in range(0, len(body), step):
        found += decoder.feed(body[at : at + step])
    return found + decoder.flush()


def stream_of(*told: Any) -> bytes:
    """Write events as an imitator would: without names."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in told)


def encoded(listed: list[Frame], request: Request = ASKED) -> bytes:
    """Encode frames and end the stream."""
    encoder = Encoder(request, given())
    return b"".join([encoder.feed(frame) for frame in listed]) + encoder.finish()


def client(body: bytes, content_type: str, status: int = 200) -> openai.OpenAI:
    """Return OpenAI's SDK, to which every call answers with this body."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"content-type": content_type}, content=body)

    return openai.OpenAI(
        api_key="k",
        base_url="http://gateway.test/v1",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(answer)),
    )


def accumulated(body: bytes) -> Response:
    """Let OpenAI's SDK put a stream together."""
    with client(body, "text/event-stream") as sdk, sdk.responses.stream(model="gpt-5.5", input="x") as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


def told(body: bytes) -> Response:
    """Let OpenAI's SDK read a whole reply, and hold it to its types."""
    with client(body, "application/json") as sdk:
        sdk.responses.create(model="gpt-5.5", input="x")
    return Response.model_validate_json(body)
