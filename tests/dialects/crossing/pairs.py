"""The thirty-six pairs: recorded calls of one dialect put to, or answered by, providers of another."""

import base64
import itertools
import json
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import msgspec
from tests.dialects import slow
from tests.dialects.crossing import chat, cohere, converse, declared, gemini, messages, responses
from tests.dialects.crossing.facts import Facts
from tests.framing.recordings import body_of, chunks, load, recorded_chunks

from portico.dialects.crossing import Given, Target
from portico.dialects.operations import OPERATIONS, Operation
from portico.dialects.translate import Question, Translation
from portico.types import Dialect

Record = dict[str, Any]
READERS: dict[Dialect, ModuleType] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "gemini": gemini,
    "converse": converse,
    "cohere": cohere,
}
DIALECTS = tuple(READERS)
PAIRS = tuple(itertools.product(DIALECTS, DIALECTS))
APIS: dict[str, Dialect] = {
    "chat": "chat",
    "responses": "responses",
    "messages": "messages",
    "rawPredict": "messages",
    "streamRawPredict": "messages",
    "generateContent": "gemini",
    "streamGenerateContent": "gemini",
    "converse": "converse",
    "converse_stream": "converse",
    "v2_chat": "cohere",
}
OPERATION: dict[Dialect, tuple[str, str]] = {
    "chat": ("chat", "chat"),
    "responses": ("responses", "responses"),
    "messages": ("messages", "messages"),
    "gemini": ("generate_content", "stream_generate_content"),
    "converse": ("converse", "converse_stream"),
    "cohere": ("cohere_chat", "cohere_chat"),
}
MODELS: dict[Dialect, str] = {
    "chat": "gpt-4.1",
    "responses": "gpt-5",
    "messages": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "converse": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-03-2025",
}
# Asks of each dialect that replies are made for, where the recording of the reply is a foreign provider's.
PLAIN: dict[Dialect, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream_options": {"include_usage": True}},
    "responses": {"model": "m", "input": "Hi"},
    "messages": {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    "converse": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    "cohere": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
}


@cache
def recorded(dialect: Dialect) -> tuple[Record, ...]:
    """Return the calls of a dialect that went well, wherever its provider hosts it."""
    return tuple(
        record
        for record in load()
        if APIS.get(record["api"]) == dialect
        and record["request"]["method"] == "POST"
        and not record["request"]["path"].endswith("/api/chat")
        and (record["response"]["status"] or 200) < 300
        and record["id"] not in declared.UNREADABLE
    )


def requests(dialect: Dialect) -> Iterator[Record]:
    """Yield the calls whose request is recorded."""
    return (
        each
        for each in recorded(dialect)
        if not each.get("response_only") and isinstance(each["request"].get("body"), dict)
    )


def replies(dialect: Dialect) -> Iterator[Record]:
    """Yield the calls that were answered whole."""
    return (each for each in recorded(dialect) if not each["streaming"] and "body_text" in each["response"])


def streams(dialect: Dialect) -> Iterator[Record]:
    """Yield the calls that were answered by a stream, of the dialect's own framing."""
    for each in recorded(dialect):
        framed = bool(each["response"].get("body_b64")) == (dialect == "converse")
        if each["streaming"] and framed:
            yield each


def operation(dialect: Dialect, stream: bool) -> Operation:
    """Return the operation that a conversation is."""
    return OPERATIONS[OPERATION[dialect][stream]]


def given() -> Given:
    """Return what a reply needs; ids are numbered."""
    numbers = itertools.count(1)
    return Given(request_id="req_1", created=1_700_000_000, new_id=lambda prefix: f"{prefix}{next(numbers)}")


def question(dialect: Dialect, record: Record) -> Question:
    """Return what a recorded caller asked."""
    body = record["request"]["body"]
    encoded = json.dumps(body).encode()
    model = (body.get("model") if isinstance(body, dict) else None) or unquote(record["request"]["path"])
    return Question(operation(dialect, record["streaming"]), encoded, model=str(model), stream=record["streaming"])


@cache
def plain(dialect: Dialect, stream: bool) -> Question:
    """Return a plain question of a dialect."""
    body = msgspec.json.encode(PLAIN[dialect] | ({"stream": True} if stream else {}))
    return Question(operation(dialect, stream), body, model="m", stream=stream)


def put(asked: Question, provider: Dialect, quirks: frozenset[str] = frozenset()) -> Translation:
    """Put a question to a provider."""
    name = OPERATION[provider][asked.request.stream]
    return Translation(asked, name, Target(model=MODELS[provider], dialect=provider, quirks=quirks), given())


def documents(dialect: Dialect, body: bytes, stream: bool) -> list[Any]:
    """Return the JSON objects of a reply or of the events of a stream."""
    if dialect == "converse" and stream:
        encoded = {"body_b64": base64.b64encode(body).decode(), "headers": {"content-type": "eventstream"}}
        return list(slow.documents({"api": "converse_stream", "response": encoded}))
    told = {"api": "", "response": {"headers": {}, "body_text": body.decode()}}
    return [each for each in slow.documents(told) if isinstance(each, dict)]


def facts(dialect: Dialect, body: bytes, stream: bool) -> Facts:
    """Return the facts of a reply or of a stream."""
    docs = documents(dialect, body, stream)
    reader = READERS[dialect]
    if stream:
        return reader.stream(docs)
    return reader.reply(docs[0] if docs else {}, docs)


def arrived(provider: Dialect, body: bytes) -> Facts:
    """Return the facts of a request that was written for a provider."""
    value = json.loads(body)
    found: Facts = cohere.request(value, arrived=True) if provider == "cohere" else READERS[provider].request(value)
    return found


def broken(provider: Dialect, record: Record) -> bool:
    """Return whether a recorded stream has no proper end: it tells of an error, or of no end: neither why, nor that."""
    docs = documents(provider, body_of(record), True)
    errors = any(doc.get("error") or doc.get("type") in ("error", "response.failed") for doc in docs)
    named = any(fact[0] == "finish" for fact in READERS[provider].stream(docs))
    return errors or not (named or b"data: [DONE]" in body_of(record))


def streamed(caller: Dialect, provider: Dialect, record: Record, size: int | None) -> tuple[Translation, bytes]:
    """Pass a recorded stream through a translation: as it was recorded (size -1), or cut."""
    translation = put(plain(caller, True), provider)
    pieces = recorded_chunks(record) if size == -1 else chunks(body_of(record), size)
    out = [translation.feed(piece) for piece in pieces]
    out.append(translation.flush())
    return translation, b"".join(out)
