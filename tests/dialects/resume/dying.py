"""Recorded streams that die on the way, and a second provider that goes on with them; what the caller then has."""

import json
import random
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal

import msgspec
from tests.dialects.crossing.test_replayed import ASKED
from tests.framing.recordings import body_of, load

from portico.dialects.crossing import Given, Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.registry import SPOKEN
from portico.dialects.replayed import frames
from portico.dialects.resume.answer import Answer, Rest
from portico.dialects.resume.said import Said
from portico.dialects.translate import LANGUAGES, Question
from portico.errors import BadUpstreamReply, ConnectionLost
from portico.framing import sse
from portico.ir import Choice, Failed, Reply, Request, Text
from portico.types import Dialect, Usage

Manner = Literal["exactly", "words", "anew"]
MANNERS: tuple[Manner, ...] = ("exactly", "words", "anew")
"""How the second provider goes on: exactly from there; with some of the last words again; from the very start."""
APIS = {
    "chat": "chat",
    "responses": "responses",
    "messages": "messages",
    "streamGenerateContent": "stream_generate_content",
    "converse_stream": "converse_stream",
    "v2_chat": "cohere_chat",
}
DIALECTS: tuple[Dialect, ...] = ("chat", "responses", "messages", "gemini", "converse", "cohere")


UNFIT = frozenset(
    (
        # Answers that go round in circles, said twice, or of one word over and over: where another begins in them,
        # nobody can say.
        "d09318e32d0cca034a5d",
        "79197eb42feecba5d51b",
        "7e68d20410c0f1b95ade",
        "acec3176fcadf6986ab7",
        "686484dedd5b3331c718",
        # Two streams kept in one file, one after the other.
        "b1daa2a23bfb7bb436ac",
        "87c4a64b6c570926eb65",
    )
)


class Recording(msgspec.Struct, frozen=True):
    """A recorded stream: whose dialect, its events as they came, and what it said in the end."""

    id: str
    dialect: Dialect
    pieces: tuple[bytes, ...]
    text: str


def given() -> Given:
    counter = iter(range(1, 1_000_000))
    return Given(request_id="call", created=1_700_000_000, new_id=lambda prefix: f"{prefix}{next(counter)}")


def events_of(dialect: Dialect, body: bytes) -> tuple[bytes, ...]:
    """Cut the body of a stream after each of its events."""
    if dialect == "converse":
        messages, at = [], 0
        while at < len(body):
            size = int.from_bytes(body[at : at + 4], "big")
            messages.append(body[at : at + size])
            at += size
        return tuple(messages)
    return tuple(sse.split(body))


@cache
def recordings(dialect: Dialect) -> tuple[Recording, ...]:
    """Return the recorded streams of a dialect that came to their end and said something."""
    found = []
    for record in load():
        operation = APIS.get(record["api"], "")
        if operation not in OPERATIONS or not record["streaming"] or record["response"]["status"] != 200:
            continue
        if OPERATIONS[operation].dialect != dialect or record["request"]["path"].endswith("/api/chat"):
            continue
        body = body_of(record)
        if dialect == "converse" and not record["response"].get("body_b64"):
            continue
        if dialect == "gemini" and body.lstrip()[:1] == b"[":
            continue
        said = heard(dialect, (body,))
        if said is None or said.finished is None or not said.text or len(body) > 60_000:
            continue
        pieces = events_of(dialect, body)
        assert b"".join(pieces) == body
        if record["id"] not in UNFIT:
            found.append(Recording(record["id"], dialect, pieces, said.text))
    return tuple(found)


def all_events(dialect: Dialect, pieces: Iterable[bytes]) -> Iterator[Any]:
    decoder = LANGUAGES[dialect].Decoder()
    for piece in pieces:
        for frame in decoder.feed(piece):
            yield from frame.events
    for frame in decoder.flush():
        yield from frame.events


def heard(dialect: Dialect, pieces: Iterable[bytes]) -> Said | None:
    """Return what a stream says, None where it fails."""
    said = Said()
    try:
        for event in all_events(dialect, pieces):
            if isinstance(event, Failed):
                return None
            if not event.choice:
                said.hear(event)
    except BadUpstreamReply:
        return None
    return said


def question(caller: Dialect, **more: Any) -> Question:
    """Return what a caller of a dialect asked."""
    name, body = ASKED[caller]
    return Question(OPERATIONS[name], json.dumps({**body, **more}).encode(), model="m", stream=True)


def answer(caller: Dialect, upstream: Dialect) -> Answer:
    target = Target(model="m", dialect=upstream)
    return Answer(question(caller), SPOKEN[upstream].streamed, target, given())


def told(dialect: Dialect, text: str, draw: random.Random, usage: Usage | None = None) -> list[bytes]:
    """Return the stream in which a provider of a dialect says a text, in pieces of any size."""
    request = Request(dialect=dialect, model="other", stream=True, include_usage=True)
    encoder = LANGUAGES[dialect].Encoder(request, given())
    foreign: Dialect = "chat" if dialect != "chat" else "messages"
    parts = (Text(text=text),) if text else ()
    reply = Reply(dialect=foreign, model="other", choices=(Choice(parts=parts, finish="stop"),), usage=usage)
    body = b"".join([*map(encoder.feed, frames(reply)), encoder.finish()])
    size = draw.choice((1, 7, 50, len(body)))
    return [body[at : at + size] for at in range(0, len(body), size)]


def continuation(said: str, whole: str, manner: Manner) -> str:
    """Return what the second provider says."""
    if manner == "exactly":
        return whole[len(said) :]
    if manner == "anew":
        return whole
    return said[again(said) :] + whole[len(said) :]


def again(said: str) -> int:
    """Return where the last words begin: two at least, and no few characters; the start, where there are no such."""
    starts = [at for at in range(len(said)) if not said[at].isspace() and (not at or said[at - 1].isspace())]
    fit = [at for at in starts if len(said[at:].strip()) >= 16 and len(said[at:].split()) > 1]
    return max(fit, default=0)


def seen(rest: Rest, said: str) -> str:
    """Return how much of an answer the second provider was shown."""
    last = rest.asked.messages[-1]
    shown = last.parts[-1]
    if last.role == "assistant" and isinstance(shown, Text):
        return shown.text
    return said if said.strip() else ""


def chance(rest: Rest, shown: str, text: str, manner: Manner) -> bool:
    """Return whether nobody can tell a repetition from chance.

    A provider that had no reason to repeat anything repeats very little; or one goes on, and the answer as recorded
    says itself twice.
    """
    if manner == "exactly":
        return bool(shown.strip()) and text.startswith(shown.strip())
    repeated = shown if manner == "anew" else shown[again(shown) :]
    return rest.asked.messages[-1].role == "assistant" and len(repeated.strip()) < 12


class Outcome(msgspec.Struct):
    """What became of a stream that died: how far it had come, what its caller has, and what is to be there."""

    state: str
    out: bytes
    asked: Request | None = None
    ambiguous: bool = False


def resumed(
    recording: Recording, caller: Dialect, cut: Iterable[bytes], second: Dialect, manner: Manner, draw: random.Random
) -> Outcome:
    """Cut a stream, and go on with it as the gateway does."""
    stream = answer(caller, recording.dialect)
    out = [stream.feed(piece) for piece in cut]
    if stream.finished:
        return Outcome("finished", b"".join(out))
    state = stream.state()
    if state == "whole":
        out.append(stream.end_whole())
    elif state == "never":
        out.append(stream.fail(ConnectionLost("gone")))
    else:
        model = "claude-sonnet-4-5" if draw.random() < 0.5 else "other"
        target = Target(model=model, dialect=second)
        rest = stream.rest(SPOKEN[second].streamed, target)
        shown = seen(rest, stream.said.text)
        text = continuation(shown, recording.text, manner)
        usage = Usage(input=11, output=7)
        pieces = told(second, text, draw, usage)
        stream.go_on(rest, Usage(input=5, output=3))
        out += map(stream.feed, pieces)
        out.append(stream.flush())
        assert stream.died is None, stream.died
        assert stream.finished
        assert stream.usage == Usage(input=16, output=10)
        return Outcome(state, b"".join(out), rest.asked, chance(rest, shown, text, manner))
    return Outcome(state, b"".join(out))
