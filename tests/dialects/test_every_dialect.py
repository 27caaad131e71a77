"""What holds for every dialect and every pair, whichever there are: one that is added is tested by being there."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portico.dialects.crossing import FEATURES, Given, Notes, Target, fate_of
from portico.dialects.errors import render_error, render_stream_error
from portico.dialects.operations import OPERATIONS, route
from portico.dialects.registry import DIALECTS, SPOKEN
from portico.dialects.stand_ins import upstream_operation
from portico.dialects.translate import LANGUAGES, Question, Translation
from portico.errors import BadUpstreamReply, ConnectionLost, UpstreamRefused
from portico.ir import (
    ArgumentsDelta,
    Choice,
    Ended,
    Failed,
    Finished,
    Frame,
    Message,
    PartEnded,
    PartStarted,
    Reply,
    Request,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolResult,
    Used,
)
from portico.providers import row as rows
from portico.types import Dialect, Usage

PAIRS = list(itertools.product(DIALECTS, repeat=2))
EACH = pytest.mark.parametrize("dialect", DIALECTS)
EVERY_PAIR = pytest.mark.parametrize(("caller", "provider"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED = {"city": "Paris"}
FACTS = [
    ("system", "Be brief."),
    ("user", "What is the weather in Paris?"),
    ("assistant", "I look."),
    ("call", "weather", ASKED),
    ("result", "sunny"),
    ("user", "And tomorrow?"),
]


def other(dialect: Dialect) -> Dialect:
    """Return a dialect that is not this one: what it says is foreign here."""
    return next(name for name in DIALECTS if name != dialect)


def conversation(dialect: Dialect, *, stream: bool) -> Request:
    call = ToolCall(id="call_1", name="weather", arguments=json.dumps(ASKED))
    return Request(
        dialect=dialect,
        model="m",
        system=(Text(text="Be brief."),),
        messages=(
            Message(role="user", parts=(Text(text="What is the weather in Paris?"),)),
            Message(role="assistant", parts=(Text(text="I look."), call)),
            Message(role="tool", parts=(ToolResult(id="call_1", name="weather", parts=(Text(text="sunny"),)),)),
            Message(role="user", parts=(Text(text="And tomorrow?"),)),
        ),
        tools=(Tool(name="weather", description="Tells the weather", parameters=SCHEMA),),
        max_tokens=64,
        stream=stream,
        include_usage=stream or None,
    )


def facts(request: Request) -> list[tuple[Any, ...]]:
    """Return what is said in a conversation, in order; an instruction is the system's wherever it stands."""
    told: list[tuple[Any, ...]] = [("system", part.text) for part in request.system if isinstance(part, Text)]
    for message in request.messages:
        role = "system" if message.role == "developer" else message.role
        for part in message.parts:
            match part:
                case Text():
                    told.append((role, part.text))
                case ToolCall():
                    told.append(("call", part.name, json.loads(part.arguments)))
                case ToolResult():
                    told.append(("result", answered(part)))
    return told


def answered(result: ToolResult) -> str:
    """Return what a tool answered; a dialect whose answers are objects has it as the one member of one."""
    if isinstance(result.data, dict):
        (only,) = result.data.values()
        return str(only)
    return "".join(part.text for part in result.parts if isinstance(part, Text))


def given() -> Given:
    numbers = itertools.count(1)
    return Given(request_id="call-1", created=1_700_000_000, new_id=lambda prefix: f"{prefix}{next(numbers)}")


def operation(dialect: Dialect, *, stream: bool) -> str:
    return SPOKEN[dialect].streamed if stream else SPOKEN[dialect].whole


def crossed(caller: Dialect, provider: Dialect, *, stream: bool) -> Translation:
    """Ask as a caller of one dialect, at a provider of another."""
    request = conversation(other(caller), stream=stream)
    # A model that signs no calls: what stands in for a signature would be one that does not cross.
    target = Target(model="gemini-2.0-flash", dialect=caller)
    body = LANGUAGES[caller].render_request(request, target, Notes(caller))
    question = Question(OPERATIONS[operation(caller, stream=stream)], body, model="m", stream=stream)
    upstream = operation(provider, stream=stream)
    return Translation(question, upstream, Target(model="t", dialect=provider), given())


CALL = ToolCall(id="call_2", name="weather", arguments='{"city":"Rome"}')
USED = Usage(input=11, output=7)


def streamed(provider: Dialect) -> bytes:
    """Return a provider's stream, of a text and a call."""
    frames = (
        Started(id="id_1", model="t"),
        PartStarted(index=0, part=Text(text="")),
        TextDelta(index=0, text="It "),
        TextDelta(index=0, text="räins."),
        PartEnded(index=0),
        PartStarted(index=1, part=ToolCall(id="call_2", name="weather", arguments="")),
        ArgumentsDelta(index=1, text='{"city":'),
        ArgumentsDelta(index=1, text='"Rome"}'),
        PartEnded(index=1),
        Used(usage=USED),
        Finished(finish="tool_calls"),
    )
    encoder = LANGUAGES[provider].Encoder(conversation(provider, stream=True), given())
    written = [encoder.feed(Frame(dialect=other(provider), events=(event,))) for event in frames]
    return b"".join([*written, encoder.feed(Frame(dialect=other(provider), events=(Ended(),))), encoder.finish()])


def heard(caller: Dialect, stream: bytes) -> list[Any]:
    """Return the events of a stream as the caller's own decoder reads them."""
    decoder = LANGUAGES[caller].Decoder()
    return [event for frame in (*decoder.feed(stream), *decoder.flush()) for event in frame.events]


# One by one

ROW = """
[quirks]
[providers.it]
name = "A provider of it"
base_url = "https://it.example"
operations = ["%s"]
docs = "https://it.example/docs"
"""


@EACH
def test_its_operations_are_known_and_have_a_place_at_its_providers(dialect: Dialect) -> None:
    spoken = SPOKEN[dialect]
    assert {spoken.whole, spoken.streamed} <= {one.name for one in spoken.operations}
    for one in spoken.operations:
        assert OPERATIONS[one.name] is one
        assert one.dialect == dialect
        assert rows.load(ROW % one.name).providers["it"].path(one.name).startswith("/")
    for path, name in spoken.routes.items():
        found = route("POST", path, ())
        assert found is not None
        assert found.operation.name == name


@EACH
def test_its_error_says_what_happened_and_names_both_calls(dialect: Dialect) -> None:
    error = UpstreamRefused("too much", status=429, request_id="req_theirs", retry_after=3)
    status, headers, body = render_error(dialect, error, "call-1")
    assert status == 429
    assert b"too much" in body
    assert dict(headers)[b"x-portico-provider-request-id"] == b"req_theirs"
    assert dict(headers)[b"retry-after"] == b"3"
    assert b"too much" in render_stream_error(dialect, error, "call-1")


@EACH
@pytest.mark.parametrize("name", ["a\r\nset-cookie: b", "é", ""])
def test_a_provider_s_odd_name_for_a_call_is_no_header(dialect: Dialect, name: str) -> None:
    _, headers, _ = render_error(dialect, UpstreamRefused("no", status=500, request_id=name), "call-1")
    assert b"x-portico-provider-request-id" not in dict(headers)


@EACH
def test_every_feature_crosses_is_dropped_or_is_refused(dialect: Dialect) -> None:
    assert {fate_of(name, dialect) for name in FEATURES} <= {"drop", "refuse", None}
    assert set(SPOKEN[dialect].loses) <= set(FEATURES)


# Pair by pair


@EVERY_PAIR
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_conversation_arrives_as_it_was_told(caller: Dialect, provider: Dialect, stream: bool) -> None:
    made = crossed(caller, provider, stream=stream)
    arrived = LANGUAGES[provider].parse_request(made.body, model="t", stream=stream)
    assert facts(arrived) == FACTS
    assert [tool.name for tool in arrived.tools] == ["weather"]
    assert arrived.max_tokens == 64
    assert made.dropped == []


@EVERY_PAIR
def test_a_whole_reply_comes_back_as_it_was_said(caller: Dialect, provider: Dialect) -> None:
    choice = Choice(parts=(Text(text="It räins."), CALL), finish="tool_calls")
    reply = Reply(dialect=other(provider), id="id_1", model="t", choices=(choice,), usage=USED)
    body = LANGUAGES[provider].render_reply(reply, conversation(provider, stream=False), given())

    made = crossed(caller, provider, stream=False)
    back = LANGUAGES[caller].parse_reply(made.reply(body))

    (found,) = back.choices
    assert [part.text for part in found.parts if isinstance(part, Text)] == ["It räins."]
    calls = [(part.name, json.loads(part.arguments)) for part in found.parts if isinstance(part, ToolCall)]
    assert calls == [("weather", {"city": "Rome"})]
    assert found.finish == "tool_calls"
    assert back.usage is not None
    assert (back.usage.input_total, back.usage.output_total) == (11, 7)
    assert made.usage is not None
    assert made.usage.total == 18


@EVERY_PAIR
@pytest.mark.parametrize("size", [0, 1, 7], ids=["whole", "1", "7"])
def test_a_stream_comes_back_as_it_was_said(caller: Dialect, provider: Dialect, size: int) -> None:
    made = crossed(caller, provider, stream=True)
    stream = streamed(provider)
    step = size or len(stream)
    out = b"".join(made.feed(stream[at : at + step]) for at in range(0, len(stream), step)) + made.flush()

    assert made.finished
    assert made.failed is None
    events = heard(caller, out)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    texts += [event.part.text for event in events if isinstance(event, PartStarted) and isinstance(event.part, Text)]
    assert "".join(texts) == "It räins."
    begun = [event.part for event in events if isinstance(event, PartStarted) and isinstance(event.part, ToolCall)]
    assert [call.name for call in begun] == ["weather"]
    told = "".join(event.text for event in events if isinstance(event, ArgumentsDelta))
    assert json.loads(told or begun[0].arguments) == {"city": "Rome"}
    assert [event.finish for event in events if isinstance(event, Finished)] == ["tool_calls"]
    assert isinstance(events[-1], Ended)
    assert made.usage is not None
    assert made.usage.total == 18


@EVERY_PAIR
def test_a_stream_that_is_cut_is_not_passed_off_as_whole(caller: Dialect, provider: Dialect) -> None:
    made = crossed(caller, provider, stream=True)
    stream = streamed(provider)
    out = made.feed(stream[: len(stream) // 2])
    assert not made.finished
    out += made.fail(ConnectionLost("the provider hung up"))
    assert b"hung up" in out
    try:
        events = heard(caller, out)
    except BadUpstreamReply:
        return  # which is how a decoder may tell of the error
    assert not isinstance(events[-1], Ended) or any(isinstance(event, Failed) for event in events)


@EVERY_PAIR
def test_a_provider_s_error_is_told_in_the_caller_s_words(caller: Dialect, provider: Dialect) -> None:
    made = crossed(caller, provider, stream=False)
    status, headers, body = render_error(provider, UpstreamRefused("slow down", status=429, retry_after=3), "req_9")
    said = made.error(status, [*headers, (b"x-request-id", b"req_9")], body)
    assert (said.status, said.message, said.retry_after, said.request_id) == (429, "slow down", 3, "req_9")
    _, _, told = render_error(caller, said, "call-1")
    assert b"slow down" in told


@EVERY_PAIR
def test_a_provider_of_one_serves_callers_of_the_other(caller: Dialect, provider: Dialect) -> None:
    offered = {SPOKEN[provider].whole, SPOKEN[provider].streamed}
    for stream in (False, True):
        expected = operation(provider, stream=stream)
        assert upstream_operation(operation(caller, stream=stream), offered, stream=stream) == expected


# One more


@pytest.mark.skipif("seventh" in DIALECTS, reason="this is the run with one more")
def test_a_seventh_dialect_is_one_module_and_its_name() -> None:
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-m", "pytest", "-p", "dialects.seventh", "-q", "-p", "no:cacheprovider", __file__]
    run = subprocess.run(
        [*command, "-k", "seventh", "-o", "addopts=--import-mode=importlib"],
        cwd=tests.parent,
        env={**os.environ, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    pairs = 2 * len(DIALECTS) + 1
    per_pair, alone = 2 + 1 + 3 + 1 + 1 + 1, 1 + 1 + 3 + 1
    assert f"{per_pair * pairs + alone} passed" in run.stdout, run.stdout[-500:]
