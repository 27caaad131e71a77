"""Any conversation that Cohere can take can be said and read back; no bytes make a parser raise anything but ours."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.anything import changed, few, names, objects, shown, values, wild, words
from tests.dialects.cohere.given import chunks, decoded, encoded, foreign, recorded, rendered
from tests.dialects.cohere.given import given as numbered
from tests.dialects.odd_cases import outcome
from tests.framing.recordings import body_of

from portico.dialects.cohere import Decoder, parse_error, parse_reply, parse_request, render_reply, render_request
from portico.dialects.crossing import Notes, Target
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.framing import sse
from portico.ir import (
    File,
    Frame,
    Message,
    Output,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages = [Message(role="system", parts=(Text(text=draw(words)),))]
    for at in range(draw(st.integers(1, 3))):
        messages.append(Message(role="user", parts=tuple(draw(st.lists(shown, min_size=1, max_size=3)))))
        calls = [
            ToolCall(id=f"c{at}_{n}", name=draw(names), arguments=json.dumps(draw(objects)))
            for n in range(draw(st.integers(0, 2)))
        ]
        # Beside calls one text, which is their plan.
        texts = draw(st.lists(st.builds(Text, text=words), min_size=0 if calls else 1, max_size=1 if calls else 2))
        messages.append(Message(role="assistant", parts=(*texts, *calls)))
        for call in calls:
            fields: dict[str, Any] = {"parts": (Text(text=draw(words)),), "error": draw(st.sampled_from([None, True]))}
            if draw(st.booleans()):
                fields = {"data": {"x": draw(values), "y": 1}}
            messages.append(Message(role="tool", parts=(ToolResult(id=call.id, **fields),)))
    return tuple(messages)


def plain(message: Message) -> Any:
    """Return a message without hints, its arguments parsed."""
    parts: list[Any] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            parts.append(("call", part.id, part.name, json.loads(part.arguments)))
        elif isinstance(part, Text):
            parts.append(("text", part.text))
        else:
            parts.append(part)
    return message.role, parts


@few
@given(conversations(), st.lists(names, max_size=3, unique=True), objects, st.lists(words, max_size=2))
def test_a_conversation_comes_back_as_it_was(messages, tools, schema, documents):
    request = foreign(
        messages=messages,
        documents=tuple(File(source=Source(text=text), id="d", name="n") for text in documents),
        tools=tuple(Tool(name=name, description="d", parameters={"type": "object", **schema}) for name in tools),
        tool_choice=ToolChoice(mode="required") if tools else None,
        output=Output(kind="json_schema", schema={"type": "object", **schema}),
        max_tokens=7,
        top_k=3,
        stop=("x",),
    )
    body, lost = rendered(request)
    back = parse_request(json.dumps(body).encode(), model="m", stream=False)
    assert lost == []
    assert [plain(message) for message in back.messages] == [plain(message) for message in messages]
    assert [(each.source.text, each.id, each.name) for each in back.documents] == [
        (text, "d", "n") for text in documents
    ]
    assert [(tool.name, tool.parameters) for tool in back.tools] == [(n, {"type": "object", **schema}) for n in tools]
    assert (back.tool_choice, back.max_tokens, back.top_k, back.stop) == (request.tool_choice, 7, 3, ("x",))
    assert back.output == request.output


def attempt(body: bytes) -> tuple[str, str, str]:
    """Give these bytes to every parser, and what they give to those that write: what becomes of it."""
    decoder = Decoder()
    frames: list[Frame] = []

    def read() -> None:
        for piece in chunks(body, 7):
            frames.extend(decoder.feed(piece))
        frames.extend(decoder.flush())

    parse_error(500, [(b"retry-after", body[:20])], body)
    asked = outcome(lambda: rendered(parse_request(body, model="m", stream=False)), InvalidRequest)
    replied = outcome(lambda: parse_reply(body), BadUpstreamReply)
    streamed = outcome(read, BadUpstreamReply)
    encoded(frames)
    encoded([Frame(dialect="chat", events=frame.events) for frame in frames])
    return f"request {asked}", f"reply {replied}", f"stream {streamed}"


FIELDS = ["messages", "role", "content", "type", "text", "thinking", "tool_calls", "function", "name", "arguments"]
FIELDS += ["tool_call_id", "tool_plan", "documents", "document", "data", "id", "image_url", "url", "tools", "citations"]
FIELDS += ["response_format", "json_schema", "message", "delta", "index", "usage", "finish_reason", "sources", "$done"]
FIELDS += ["billed_units", "logprobs", "stop_sequences", "tool_choice", "signature", "content_index", "start", "$plan"]
KINDS = ["text", "thinking", "image_url", "document", "function", "tool", "user", "assistant", "portico:call:eA=="]
KINDS += ["message-start", "content-start", "content-delta", "content-end", "tool-plan-delta", "tool-call-start"]
KINDS += ["tool-call-delta", "tool-call-end", "citation-start", "message-end", "COMPLETE", "ERROR", "REQUIRED"]
shapes = wild(FIELDS, KINDS)


@few
@given(st.binary(max_size=60) | shapes.map(lambda shape: json.dumps(shape, allow_nan=True).encode()))
def test_no_bytes_raise_anything_but_ours(body):
    attempt(body)
    attempt(b"data: " + body + b"\n\n")


def test_no_change_of_a_recorded_call_raises_anything_but_ours():
    came = Counter[str]()

    @few
    @given(st.data())
    def change(data):
        record = data.draw(st.sampled_from(recorded(streaming=False)))
        came.update(attempt(changed(data, record["request"].get("body") or {}, shapes))[:1])
        if record["response"]["status"] == 200:
            came.update(attempt(changed(data, json.loads(body_of(record)), shapes))[1:2])

    change()
    assert min(came["request taken"], came["request refused"], came["reply taken"]) > 9, came
    assert came["reply refused"], came


def test_no_change_of_a_recorded_stream_raises_anything_but_ours():
    came = Counter[str]()

    @few
    @given(st.data())
    def change(data):
        record = data.draw(st.sampled_from([each for each in recorded(streaming=True) if len(body_of(each)) < 20_000]))
        events = [sse.parse(event).data for event in sse.split(body_of(record))]
        at = data.draw(st.integers(0, len(events) - 1))
        if events[at] not in (b"", b"[DONE]"):
            events[at] = changed(data, json.loads(events[at]), shapes)
        came.update(attempt(b"".join(b"data: " + event + b"\n\n" for event in events))[2:])

    change()
    assert came["stream taken"] > 9, came


DEEP = [
    '{"messages":[{"role":"tool","tool_call_id":"x","content":[{"type":"document","document":{"x":%s}}]}]}',
    '{"documents":[{"x":%s}]}',
    '{"message":{"content":[{"type":"document","document":{"x":%s}}]}}',
    '{"message":{},"usage":%s}',
    '{"type":"message-end","delta":{"usage":%s}}',
]


@pytest.mark.parametrize("depth", [50, 300, 700, 900, 940, 960, 980, 2000])
@pytest.mark.parametrize("shape", range(len(DEEP)))
def test_what_is_nested_deeply_is_taken_or_refused(shape, depth):
    body = DEEP[shape].replace("%s", '{"items":' * depth + "1" + "}" * depth).encode()
    target = Target(model="m", dialect="cohere", quirks=frozenset(["schema_subset"]))

    def ask() -> None:
        request = parse_request(body, model="m", stream=False)
        for dialect in ("cohere", "chat"):
            render_request(msgspec.structs.replace(request, dialect=dialect), target, Notes("cohere"))

    asked = outcome(ask, InvalidRequest)
    replied = outcome(lambda: render_reply(parse_reply(body), foreign(), numbered()), BadUpstreamReply)
    streamed = outcome(lambda: encoded(decoded(iter([b"data: " + body + b"\n\n"]))), BadUpstreamReply)
    assert depth > 300 or (asked, streamed) == ("taken", "taken")
    assert depth < 2000 or (asked, replied, streamed) == ("refused", "refused", "refused")
