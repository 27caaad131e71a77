"""Generated conversations through every pair of dialects: what is told arrives, or is refused in our words."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dialects.messages import world
from tests.dialects.test_every_dialect import EVERY_PAIR, heard, operation, other
from tests.dialects.test_every_dialect import given as numbered

from portico.dialects.crossing import Notes, Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import LANGUAGES, Question, Translation
from portico.errors import InvalidRequest
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Choice,
    Ended,
    Finished,
    Frame,
    Image,
    PartEnded,
    PartStarted,
    Reply,
    Request,
    Started,
    Text,
    TextDelta,
    ToolCall,
    ToolResult,
    Used,
)
from portico.types import Dialect, Usage

USED = Usage(input=11, output=7)
SHORT = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])

calls = st.builds(ToolCall, id=st.just("call_1"), name=world.names, arguments=world.objects.map(json.dumps))
answers = st.tuples(st.lists(st.builds(Text, text=world.words), min_size=1, max_size=2), st.lists(calls, max_size=2))
cuts = st.lists(st.integers(1, 60), min_size=1, max_size=8)


def told(request: Request) -> tuple[str, int, list[tuple[str, Any]]]:
    """Return the text of a conversation, how many pictures are in it, and its calls: whoever's turn they are in."""
    text, pictures = "".join(part.text for part in request.system if isinstance(part, Text)), 0
    made: list[tuple[str, Any]] = []
    for message in request.messages:
        for part in message.parts:
            inner = part.parts if isinstance(part, ToolResult) else (part,)
            text += "".join(one.text for one in inner if isinstance(one, Text))
            pictures += sum(isinstance(one, Image) for one in inner)
            if isinstance(part, ToolCall):
                made.append((part.name, json.loads(part.arguments)))
    return text, pictures, made


def written(caller: Dialect, request: Request) -> bytes:
    """Return a request as a client of a dialect sends it. The model is one that signs no calls."""
    return LANGUAGES[caller].render_request(request, Target(model="gemini-2.0-flash", dialect=caller), Notes(caller))


def asked(caller: Dialect, provider: Dialect, request: Request) -> Translation | None:
    """Ask a provider of one dialect what a caller of another would; None where either refuses it in our words."""
    try:
        body = written(caller, request)
        question = Question(
            OPERATIONS[operation(caller, stream=request.stream)], body, model="m", stream=request.stream
        )
        upstream = operation(provider, stream=request.stream)
        return Translation(question, upstream, Target(model="t", dialect=provider), numbered())
    except InvalidRequest:
        return None


def arrives(caller: Dialect, provider: Dialect, request: Request) -> None:
    made = asked(caller, provider, request)
    if made is None:
        return
    sent = LANGUAGES[caller].parse_request(written(caller, request), model="m", stream=request.stream)
    arrived = LANGUAGES[provider].parse_request(made.body, model="t", stream=request.stream)
    if made.dropped:
        return  # the table says what; the recorded calls hold that to the letter
    # Dialects join texts with what they like, hoist instructions, and say so where a tool's answer has no words.
    assert not Counter("".join(told(sent)[0].split())) - Counter("".join(told(arrived)[0].split()))
    assert told(arrived)[1:] == told(sent)[1:]


def spoken(texts: list[Text], made: list[ToolCall]) -> Iterator[AnyEvent]:
    yield Started(id="id_1", model="t")
    for index, text in enumerate(texts):
        yield PartStarted(index=index, part=Text(text=""))
        yield TextDelta(index=index, text=text.text)
        yield PartEnded(index=index)
    for index, call in enumerate(made, len(texts)):
        yield PartStarted(index=index, part=ToolCall(id=f"call_{index}", name=call.name, arguments=""))
        half = len(call.arguments) // 2
        yield ArgumentsDelta(index=index, text=call.arguments[:half])
        yield ArgumentsDelta(index=index, text=call.arguments[half:])
        yield PartEnded(index=index)
    yield Used(usage=USED)
    yield Finished(finish="tool_calls" if made else "stop")


def plain(dialect: Dialect, *, stream: bool) -> Request:
    return world.foreign(other(dialect), stream=stream, include_usage=stream or None, max_tokens=64)


def comes_back(caller: Dialect, provider: Dialect, texts: list[Text], made: list[ToolCall]) -> None:
    parts = (*texts, *(ToolCall(id=f"call_{n}", name=c.name, arguments=c.arguments) for n, c in enumerate(made)))
    choice = Choice(parts=parts, finish="tool_calls" if made else "stop")
    reply = Reply(dialect=other(provider), id="id_1", model="t", choices=(choice,), usage=USED)
    body = LANGUAGES[provider].render_reply(reply, plain(provider, stream=False), numbered())
    crossed = asked(caller, provider, plain(caller, stream=False))
    assert crossed is not None
    (found,) = LANGUAGES[caller].parse_reply(crossed.reply(body)).choices
    assert "".join(part.text for part in found.parts if isinstance(part, Text)) == "".join(one.text for one in texts)
    calls_found = [(part.name, json.loads(part.arguments)) for part in found.parts if isinstance(part, ToolCall)]
    assert calls_found == [(call.name, json.loads(call.arguments)) for call in made]


def streams_back(caller: Dialect, provider: Dialect, texts: list[Text], made: list[ToolCall], sizes: list[int]) -> None:
    encoder = LANGUAGES[provider].Encoder(plain(provider, stream=True), numbered())
    events = [*spoken(texts, made), Ended()]
    stream = b"".join(encoder.feed(Frame(dialect=other(provider), events=(event,))) for event in events)
    stream += encoder.finish()
    crossed = asked(caller, provider, plain(caller, stream=True))
    assert crossed is not None
    out, at = b"", 0
    for size in itertools.cycle(sizes):
        if at >= len(stream):
            break
        out += crossed.feed(stream[at : at + size])
        at += size
    out += crossed.flush()
    assert crossed.finished, crossed.failed
    back = heard(caller, out)
    text = "".join(event.text for event in back if isinstance(event, TextDelta))
    text += "".join(e.part.text for e in back if isinstance(e, PartStarted) and isinstance(e.part, Text))
    assert text == "".join(one.text for one in texts)
    begun = [e.part.name for e in back if isinstance(e, PartStarted) and isinstance(e.part, ToolCall)]
    assert begun == [call.name for call in made]
    assert crossed.usage is not None
    assert crossed.usage.total == USED.total


@EVERY_PAIR
@SHORT
@given(request=world.requests())
def test_what_is_asked_arrives(caller: Dialect, provider: Dialect, request: Request) -> None:
    arrives(caller, provider, request)


@EVERY_PAIR
@SHORT
@given(answer=answers)
def test_what_is_answered_comes_back(
    caller: Dialect, provider: Dialect, answer: tuple[list[Text], list[ToolCall]]
) -> None:
    comes_back(caller, provider, *answer)


@EVERY_PAIR
@SHORT
@given(answer=answers, sizes=cuts)
def test_what_is_streamed_comes_back_however_it_is_cut(
    caller: Dialect, provider: Dialect, answer: tuple[list[Text], list[ToolCall]], sizes: list[int]
) -> None:
    streams_back(caller, provider, *answer, sizes)


@pytest.mark.prove
@pytest.mark.timeout(1800)
@EVERY_PAIR
@LONG
@given(request=world.requests(), answer=answers, sizes=cuts)
def test_all_of_it_for_long(
    caller: Dialect,
    provider: Dialect,
    request: Request,
    answer: tuple[list[Text], list[ToolCall]],
    sizes: list[int],
) -> None:
    arrives(caller, provider, request)
    comes_back(caller, provider, *answer)
    streams_back(caller, provider, *answer, sizes)
