"""The requests in a batch: which models they name, and a batch of Anthropic's with other names for them.

A request of Anthropic's is `{"custom_id", "params"}`, its params a request to Messages
(docs.anthropic.com/en/api/creating-message-batches); OpenAI's are the lines of a file,
`{"custom_id", "method", "url", "body"}` (platform.openai.com/docs/guides/batch); both read 2026-11-20.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from portico.dialects.jobs import ENDPOINTS
from portico.dialects.multipart import Buffer
from portico.dialects.operation import Operation
from portico.dialects.operations import OPERATIONS
from portico.dialects.request import Peek, peek, rewrite
from portico.dialects.tokens import UNREADABLE
from portico.errors import InvalidRequest


class _Entry(msgspec.Struct):
    params: msgspec.Raw


class _Line(msgspec.Struct):
    url: str
    body: msgspec.Raw


MESSAGES = OPERATIONS["messages"]
_lines = msgspec.json.Decoder(_Line)
_entries = msgspec.json.Decoder(list[_Entry])


class Batched(msgspec.Struct, frozen=True):
    """One request of a batch: its bytes, and what they say. `operation` is None where nobody knows what it asks for."""

    body: bytes
    asked: Peek
    operation: Operation | None = MESSAGES

    @property
    def model(self) -> str:
        """The model that it names."""
        return self.asked.model or ""


def batched(members: Mapping[str, msgspec.Raw]) -> list[Batched]:
    """Return the requests of a batch. Raises InvalidRequest for what is no batch."""
    try:
        entries = _entries.decode(members.get("requests", msgspec.Raw(b"[]")))
    except UNREADABLE as error:
        raise InvalidRequest("`requests` must be a list of objects with `params`", param="requests") from error
    found = []
    for place, entry in enumerate(entries):
        body = bytes(entry.params)
        try:
            asked = peek(MESSAGES, body, b"application/json")
        except InvalidRequest as error:
            raise InvalidRequest(f"request {place}: {error.message}", param=f"requests.{place}") from error
        if not asked.model:
            raise InvalidRequest(f"request {place} names no `model`", param=f"requests.{place}.params.model")
        found.append(Batched(body, asked))
    return found


def renamed(body: bytes, requests: Sequence[Batched], models: Sequence[str]) -> bytes:
    """Return a batch with these models in its requests, every other byte left as it is."""
    pieces = []
    at = 0
    for request, model in zip(requests, models, strict=True):
        start = body.index(request.body, at)
        told = rewrite(MESSAGES, request.body, request.asked, model=model, ask_usage=False)
        pieces += [body[at:start], told]
        at = start + len(request.body)
    return b"".join([*pieces, body[at:]])


def lines(file: Buffer, start: int, end: int) -> Iterator[Batched]:
    """Read the requests of a batch file, which stands from `start` to `end`. Raises InvalidRequest, naming the line."""
    number = 0
    while start < end:
        stop = file.find(b"\n", start, end)
        stop = end if stop < 0 else stop
        text = file[start:stop]
        start = stop + 1
        number += 1
        if not text.strip():
            continue
        try:
            line = _lines.decode(text)
        except UNREADABLE as error:
            raise InvalidRequest(
                f"line {number} of the file is no object with `url` and `body`", param="file"
            ) from error
        operation = OPERATIONS.get(ENDPOINTS.get(line.url, ""))
        body = bytes(line.body)
        try:
            asked = peek(operation or OPERATIONS["chat"], body, b"application/json")
        except InvalidRequest as error:
            raise InvalidRequest(f"line {number} of the file: {error.message}", param="file") from error
        if not asked.model:
            raise InvalidRequest(f"line {number} of the file names no `model`", param="file")
        yield Batched(body, asked, operation)
