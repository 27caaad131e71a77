"""Whatever the bytes, parsers raise but ours; whatever the conversation, it is read back as it was written."""

import json
from collections import Counter
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dialects.odd_cases import outcome
from tests.dialects.responses import world
from tests.dialects.responses.world import accumulated, encoded, rendered, told
from tests.framing.recordings import body_of

from portico.dialects.responses import Decoder, Encoder, parse_error, parse_reply, parse_request, render_reply
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Choice,
    Citation,
    Ended,
    File,
    Finished,
    Frame,
    Image,
    Message,
    Output,
    Part,
    PartEnded,
    PartStarted,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Source,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Used,
)
from portico.types import Usage

SLOW = settings(
    deadline=None,
    max_examples=150,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# Bytes that are nobody's

WORDS = """
input output type role content text message function_call function_call_output call_id id name arguments
reasoning summary encrypted_content user assistant system tools tool_choice function custom parameters strict text
format json_schema schema input_text output_text input_image image_url input_file file_data refusal annotations
url_citation response status completed incomplete response.completed response.output_text.delta delta output_index
content_index
item item_id part response.output_item.done response.output_item.added response.content_part.done error usage
image_generation_call result web_search_call action created_at $message $item $pieces $choice $tool $nameless
portico:messages:bnVsbA== portico:call:W10= data:image/png;base64,AA allowed_tools mode queries include
"""
names = st.sampled_from(WORDS.split())
scalars = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats(allow_nan=False) | names | st.text(max_size=5)
wild = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=25
)


def asked(body: bytes) -> None:
    request = parse_request(body, model="m", stream=False)
    rendered(request)
    rendered(msgspec.structs.replace(request, dialect="chat"))


def replied(body: bytes) -> None:
    reply = parse_reply(body)
    render_reply(reply, world.ASKED, world.given())
    render_reply(msgspec.structs.replace(reply, dialect="gemini"), world.ASKED, world.given())


def streamed(body: bytes) -> None:
    decoder, own, foreign = Decoder(), Encoder(world.ASKED, world.given()), Encoder(world.ASKED, world.given())
    for frame in decoder.feed(body) + decoder.flush():
        own.feed(frame)
        foreign.feed(Frame(dialect="chat", events=frame.events))
    foreign.finish()


def survives(body: bytes) -> tuple[str, str, str]:
    """Read bytes as everything that this dialect has, and write what can be read: what becomes of it."""
    parse_error(400, [], body)
    outcome(lambda: streamed(b"data: " + body.replace(b"\n", b" ") + b"\n\n"), BadUpstreamReply)
    return (
        f"request {outcome(lambda: asked(body), InvalidRequest)}",
        f"reply {outcome(lambda: replied(body), BadUpstreamReply)}",
        f"stream {outcome(lambda: streamed(body), BadUpstreamReply)}",
    )


@SLOW
@given(st.binary(max_size=200))
def test_bytes_raise_nothing_but_ours(body: bytes) -> None:
    survives(body)


@SLOW
@given(wild)
def test_json_raises_nothing_but_ours(value: Any) -> None:
    survives(json.dumps(value).encode())


@SLOW
@given(st.lists(st.dictionaries(names, wild, max_size=6), max_size=4))
def test_events_raise_nothing_but_ours(values: list[Any]) -> None:
    survives(b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values))


def mutated(body: Any, at: int, value: Any) -> Any:
    """Put a value in the place of another one, the one that is counted to."""
    count = 0

    def walk(found: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            return value
        if isinstance(found, dict):
            return {name: walk(member) for name, member in found.items()}
        return [walk(member) for member in found] if isinstance(found, list) else found

    return walk(body)


def test_recordings_with_a_flaw_raise_nothing_but_ours() -> None:
    came = Counter[str]()

    @SLOW
    @given(st.data())
    def flawed(data: st.DataObject) -> None:
        record = data.draw(st.sampled_from(world.recorded()))
        flaw, at = data.draw(wild), data.draw(st.integers(1, 60))
        if isinstance(record["request"]["body"], dict):
            came.update(survives(json.dumps(mutated(record["request"]["body"], at, flaw)).encode())[:1])
        body = body_of(record)[:20_000]
        if record["streaming"]:
            listed = [value for _, value in world.events(body.rpartition(b"\n\n")[0]) if isinstance(value, dict)]
            if listed:
                place = data.draw(st.integers(0, len(listed) - 1))
                listed[place] = mutated(listed[place], at, flaw)
                stream = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in listed)
                came.update(survives(stream)[2:])
        elif body.startswith(b"{"):
            try:
                value = json.loads(body)
            except ValueError:
                return
            came.update(survives(json.dumps(mutated(value, at, flaw)).encode())[1:2])
        cut = data.draw(st.integers(0, len(body)))
        survives(body[:cut] + data.draw(st.binary(max_size=3)) + body[cut:])

    flawed()
    assert min(came["request taken"], came["request refused"], came["reply taken"], came["stream taken"]) > 5, came
    assert came["reply refused"], came


# Conversations that make sense

words = st.text(min_size=1, max_size=20)
ids = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
# One id for two calls would leave open which of them a result answers.
call_ids = st.uuids().map(lambda found: f"call_{found.hex}")
objects = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=2)
texts = st.builds(Text, words)
images = st.builds(
    Image,
    st.builds(Source, data=st.just("AAAA"), media_type=st.sampled_from(["image/png", "image/webp"]))
    | st.builds(Source, url=st.just("https://x.org/i.png")),
    st.none() | st.just("low"),
)
files = st.builds(File, st.just(Source(data="AAAA", media_type="application/pdf")), st.just("a.pdf"))
shown = st.lists(texts | images | files, min_size=1, max_size=3).map(tuple)
spoken = st.builds(Text, words) | st.builds(
    Text, words, st.just((Citation(kind="url", url="https://x.org", title="X", start=0, end=1),))
)
thoughts = st.builds(Thinking, st.just("") | words, words, st.just("responses"), id=ids, summary=st.just(True))


@st.composite
def rounds(draw: st.DrawFn) -> list[Message]:
    """A user's words, a thought, an answer, calls, and what they gave."""
    made: list[Part] = []
    if draw(st.booleans()):
        made.append(draw(thoughts))
    made += draw(st.lists(spoken, max_size=2)) or [draw(st.builds(Refusal, words))]
    calls = draw(st.lists(st.tuples(call_ids, ids, st.sampled_from(["function", "custom"])), max_size=3))
    results = []
    for call_id, name, kind in calls:
        made.append(ToolCall(call_id, name, json.dumps(draw(objects)), kind))
        results.append(Message("tool", (ToolResult(call_id, name, draw(shown)),)))
    turn = [Message("user", draw(shown)), Message("assistant", tuple(made)), *results]
    if draw(st.booleans()):
        turn.append(Message(draw(st.sampled_from(["system", "developer"])), (draw(texts),)))
    return turn


tools = st.builds(
    Tool,
    ids,
    st.none() | words,
    st.just({"type": "object", "properties": {}, "additionalProperties": False}),
    st.booleans(),
) | st.builds(Tool, ids, st.none() | words, kind=st.just("custom"))
requests = st.builds(
    Request,
    dialect=st.just("messages"),
    model=st.just("gpt-5.5"),
    system=st.just(()) | st.tuples(texts),
    messages=st.lists(rounds(), min_size=1, max_size=3).map(
        lambda turns: tuple(message for turn in turns for message in turn)
    ),
    tools=st.lists(tools, max_size=3, unique_by=lambda tool: tool.name).map(tuple),
    output=st.none()
    | st.just(Output("json"))
    | st.builds(Output, st.just("json_schema"), st.just({"type": "object"}), ids, st.none() | words, st.none()),
    reasoning=st.none() | st.builds(Reasoning, enabled=st.just(True), effort=st.sampled_from(["low", "high"])),
    max_tokens=st.none() | st.integers(16, 10_000),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    user=st.none() | words,
    parallel_tools=st.none() | st.booleans(),
    stream=st.booleans(),
    verbosity=st.none() | st.just("low"),
)


def bare(value: Any) -> Any:
    """Take away how something was written, so that only what it means is left."""
    if isinstance(value, msgspec.Struct):
        fields = {
            name: bare(getattr(value, name)) for name in value.__struct_fields__ if name not in ("extra", "dialect")
        }
        return (type(value).__name__, fields)
    if isinstance(value, tuple):
        return tuple(bare(each) for each in value)
    return value


@SLOW
@given(requests)
def test_a_conversation_is_read_as_it_was_written(request: Request) -> None:
    # What is said in other words here: without tools, nothing is said of them; effort shows its thoughts.
    if not request.tools:
        request = msgspec.structs.replace(request, parallel_tools=None)
    said = rendered(request)
    assert said.pop("dropped") == []
    again = parse_request(json.dumps(said).encode(), model="gpt-5.5", stream=request.stream)
    own = rendered(again)
    own.pop("dropped")
    assert own == said
    if request.reasoning is not None:
        assert again.reasoning is not None
        assert again.reasoning.effort == request.reasoning.effort
        again = msgspec.structs.replace(again, reasoning=request.reasoning)
    assert bare(again) == bare(request)


answers = st.lists(
    spoken
    | st.builds(Thinking, words, st.none() | words, st.just("messages"))
    | st.builds(ToolCall, ids, ids, objects.map(json.dumps)),
    max_size=6,
    unique_by=lambda part: part.id if isinstance(part, ToolCall) else id(part),
)


@settings(SLOW, max_examples=60)
@given(answers, st.builds(Usage, input=st.integers(0, 99), cache_read=st.integers(0, 9), output=st.integers(0, 99)))
def test_an_answer_is_read_as_it_was_written_whole_and_streamed(parts: list[Part], used: Usage) -> None:
    whole = render_reply(
        Reply(dialect="messages", choices=(Choice(parts=tuple(parts), finish="stop"),), usage=used),
        world.ASKED,
        world.given(),
    )
    told(whole)
    happened: list[AnyEvent] = [Started()]
    for index, part in enumerate(parts):
        if isinstance(part, Text):
            happened.append(PartStarted(index=index, part=Text("", part.citations)))
            happened += [TextDelta(index=index, text=letter) for letter in part.text]
        elif isinstance(part, Thinking):
            happened.append(PartStarted(index=index, part=Thinking()))
            happened += [ThinkingDelta(index=index, text=letter) for letter in part.text]
            happened.append(ThinkingDelta(index=index, opaque=part.opaque))
        elif isinstance(part, ToolCall):
            happened.append(PartStarted(index=index, part=ToolCall(part.id, part.name, "")))
            happened += [ArgumentsDelta(index=index, text=letter) for letter in part.arguments]
        happened.append(PartEnded(index=index))
    happened += [Used(usage=used), Finished(finish="stop"), Ended()]
    streamed = encoded([Frame(dialect="messages", events=(event,)) for event in happened])
    accumulated(streamed)
    last = world.events(streamed)[-1][1]["response"]
    for body in (whole, json.dumps(last).encode()):
        reply = parse_reply(body)
        assert bare(reply.choices[0].parts) == bare(tuple(parts))
        assert reply.usage == used


@settings(SLOW, max_examples=60)
@given(
    st.lists(
        st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"]))
        | st.builds(ToolChoice, st.just("tool"), ids)
        | st.builds(ToolChoice, st.just("allowed"), names=st.tuples(ids), required=st.booleans()),
        min_size=1,
        max_size=1,
    )
)
def test_a_choice_is_read_as_it_was_written(choices: list[ToolChoice]) -> None:
    request = Request(dialect="chat", model="m", tools=(Tool("look"),), tool_choice=choices[0])
    said = rendered(request)
    again = parse_request(json.dumps(said).encode(), model="m", stream=False)
    assert bare(again.tool_choice) == bare(choices[0])
