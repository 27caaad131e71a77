"""What all shapes write with: moulds for streamed events, and reading wire data without surprises."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec

from portico.errors import InvalidRequest
from portico.testing.ask import Answer, Ask, Piece, Request
from portico.testing.words import MEDIA, MESSAGE, slices, tokens

JSON = b"application/json"
SSE = b"text/event-stream; charset=utf-8"
EVENT_STREAM = b"application/vnd.amazon.eventstream"

encode = msgspec.json.Encoder().encode
_MARK = "\x01"
_WRITTEN = b'"\\u0001"'
_T = TypeVar("_T")


class Shape(NamedTuple):
    """How one operation is read and written. `stream` is None where the operation has none."""

    read: Callable[[Request, str | None], Ask]
    whole: Callable[[Ask, Answer], bytes]
    stream: Callable[[Ask, Answer], list[Piece]] | None = None
    stream_type: bytes = SSE
    whole_type: Callable[[Ask], bytes] = lambda _: JSON


def mould(event: Any) -> tuple[bytes, bytes]:
    """Return what stands before and after the text in an encoded event; `TEXT` in the event marks its place."""
    before, _, after = encode(event).partition(_WRITTEN)
    return before, after


TEXT = _MARK


def data(payload: bytes) -> bytes:
    """Return an SSE event without a name."""
    return b"data: " + payload + b"\n\n"


def poured(event: Any, text: str, chunk: int, *, thought: bool = False) -> Iterator[Piece]:
    """Yield the pieces of a text as unnamed SSE events, each `chunk` tokens."""
    before, after = mould(event)
    before, after = b"data: " + before, after + b"\n\n"
    for part in slices(text, chunk):
        count = tokens(part)
        yield Piece(before + encode(part) + after, 0 if thought else count, count if thought else 0)


def named(name: str, payload: bytes) -> bytes:
    """Return an SSE event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"


def decoded(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Return the request's body; raises InvalidRequest naming what is wrong."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The request body cannot be read: {error}") from None


def text_of(content: Any) -> tuple[str, int]:
    """Return the text of a message's content in any dialect's parts, and how many media parts it has."""
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, list):
        return "", 0
    texts: list[str] = []
    media = 0
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            found, more = _part(part)
            texts.append(found)
            media += more
    return "\n".join(text for text in texts if text), media


def _part(part: dict[str, Any]) -> tuple[str, int]:
    """Return the text of one content part and whether it is media."""
    for word in ("text", "thinking", "refusal", "output_text"):
        if isinstance(part.get(word), str):
            return part[word], 0
    for word in ("content", "toolResult", "output"):  # a tool's result, nested
        inner = part.get(word)
        if inner is not None:
            return text_of(inner.get("content") if isinstance(inner, dict) else inner)
    for word in ("toolUse", "functionCall", "functionResponse", "input", "json"):
        if isinstance(part.get(word), dict):
            return encode(part[word]).decode(), 0
    if "cachePoint" in part or "reasoningContent" in part or part.get("type") == "redacted_thinking":
        return "", 0
    return "", 1


def weigh(text: str, media: int) -> int:
    """Return the input tokens of one message."""
    return MESSAGE + tokens(text) + MEDIA * media


def weigh_json(raw: msgspec.Raw | bytes) -> int:
    """Return the input tokens of definitions, by the characters of their JSON as sent."""
    text = bytes(raw)
    return 0 if text in (b"", b"null") else (len(text) + 3) // 4


def present(raw: msgspec.Raw) -> bool:
    """Whether an optional raw value is there and not null."""
    return bytes(raw) not in (b"", b"null")


def words(stop: Any) -> tuple[str, ...]:
    """Return stop sequences, written as one or as several."""
    if isinstance(stop, str):
        return (stop,)
    return tuple(word for word in stop or () if isinstance(word, str))
