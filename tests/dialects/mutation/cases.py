"""A flawed call: a recorded request, reply, stream or error with something wrong, put through a pair of dialects."""

import json
import random
from functools import cache

import msgspec
from tests.dialects.crossing import pairs
from tests.dialects.crossing.pairs import DIALECTS, MODELS, Record
from tests.dialects.mutation.flaws import flawed, flawed_events, flawed_messages
from tests.framing.recordings import body_of, load

from portico.dialects.errors import render_error
from portico.dialects.request import peek
from portico.dialects.translate import Question, Translation
from portico.errors import BadUpstreamReply, ConnectionLost, PorticoError
from portico.types import Dialect

LARGE = 60_000
"""Bytes of a recording beyond which it is left out: a flaw in a small one says as much, sooner."""
STEPS = 3000
"""Chunks of a stream beyond which it is cut into larger ones."""
QUIRKS = (frozenset[str](), frozenset(("schema_subset", "usage_always", "json_object_only", "thought_signature")))


@cache
def corpus(kind: str, dialect: Dialect) -> tuple[tuple[Record, bytes], ...]:
    """Return the recordings of a kind, with the bytes that are to be flawed."""
    if kind == "request":
        found = [(each, json.dumps(each["request"]["body"]).encode()) for each in pairs.requests(dialect)]
    elif kind == "reply":
        found = [(each, body_of(each)) for each in pairs.replies(dialect)]
    elif kind == "stream":
        found = [(each, body_of(each)) for each in pairs.streams(dialect)]
    else:
        found = [
            (each, body_of(each))
            for each in load()
            if pairs.APIS.get(each["api"]) == dialect and (each["response"]["status"] or 200) >= 400
        ]
    return tuple((each, body) for each, body in found if 0 < len(body) < LARGE)


def case(seed: str) -> str:
    """Play one case, and return what came of it. Raises whatever is none of our errors, and what should not be."""
    rng = random.Random(seed)
    kind = rng.choice(("request", "request", "reply", "stream", "stream", "error"))
    dialect = rng.choice(DIALECTS)
    recordings = corpus(kind, dialect)
    if not recordings:
        return "none recorded"
    record, body = rng.choice(recordings)
    other = rng.choice(DIALECTS)
    if kind == "request":
        return request(rng, dialect, other, flawed(rng, body), stream=record["streaming"])
    if kind == "reply":
        return reply(other, dialect, flawed(rng, body))
    if kind == "stream":
        cut = flawed_messages(rng, body) if dialect == "converse" else flawed_events(rng, body)
        return stream(other, dialect, cut, rng.choice((None, 1, 3, 7, 64, 1000)))
    return error(other, dialect, record["response"]["status"], flawed(rng, body))


def request(rng: random.Random, caller: Dialect, provider: Dialect, body: bytes, *, stream: bool) -> str:
    """Put a flawed request to a provider: it is refused, or becomes JSON."""
    operation = pairs.operation(caller, stream)
    try:
        members = peek(operation, body, b"application/json").members
        question = Question(operation, body, model="m", stream=stream, members=members if rng.random() < 0.8 else None)
        translation = _put(rng, question, provider)
    except PorticoError as refused:
        return _refused(caller, refused)
    msgspec.json.decode(translation.body)
    assert not any(isinstance(value, msgspec.Raw) for value in question.request.extra.values())
    return "asked"


def _put(rng: random.Random, question: Question, provider: Dialect) -> Translation:
    translation = pairs.put(question, provider, rng.choice(QUIRKS))
    if rng.random() < 0.1:
        # Tools that were read and told before are told the same.
        assert pairs.put(question, provider).body == pairs.put(question, provider).body
    return translation


def _refused(caller: Dialect, refused: PorticoError) -> str:
    assert refused.status < 500, f"the caller is at fault: {refused!r}"
    _, _, told = render_error(caller, refused, "req_1")
    msgspec.json.decode(told)
    return "refused"


def reply(caller: Dialect, provider: Dialect, body: bytes) -> str:
    """Read a flawed reply for a caller: it is refused, or becomes JSON."""
    translation = pairs.put(pairs.plain(caller, False), provider)
    try:
        msgspec.json.decode(translation.reply(body))
    except BadUpstreamReply as refused:
        msgspec.json.decode(render_error(caller, refused, "req_1")[2])
        return "refused"
    return "answered"


def stream(caller: Dialect, provider: Dialect, body: bytes, size: int | None) -> str:
    """Pass a flawed stream on to a caller: nothing is raised, and what is told is well-formed."""
    translation = pairs.put(pairs.plain(caller, True), provider)
    size = size or len(body) or 1
    if len(body) // size > STEPS:
        size = 64
    out = b"".join(translation.feed(body[at : at + size]) for at in range(0, len(body), size)) + translation.flush()
    ended = translation.finished or translation.failed is not None
    if not ended:
        out += translation.fail(ConnectionLost("the stream was cut"))
    assert translation.feed(b"data: {}\n\n") == b""
    if caller != provider:
        for line in out.splitlines() if caller != "converse" else ():
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                msgspec.json.decode(line[6:])
    return "told" if translation.finished else "broken off"


def error(caller: Dialect, provider: Dialect, status: int, body: bytes) -> str:
    """Tell a flawed error to a caller."""
    translation = pairs.put(pairs.plain(caller, False), provider)
    found = translation.error(status, [(b"retry-after", b"7"), (b"x-request-id", b"r")], body)
    _, _, told = render_error(caller, found, "req_1")
    msgspec.json.decode(told)
    assert 400 <= found.status < 600
    return "told"


assert MODELS.keys() == set(DIALECTS)
