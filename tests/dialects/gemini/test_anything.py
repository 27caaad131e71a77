"""Any conversation that the IR holds can be said and read back; no bytes make a parser raise anything but ours."""

import contextlib
import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.anything import changed, few, names, objects, shown, values, wild, words
from tests.dialects.gemini.given import chunks, decoded, encoded, foreign, recorded, rendered
from tests.dialects.gemini.given import given as numbered
from tests.dialects.odd_cases import outcome
from tests.framing.recordings import body_of

from portico.dialects.crossing import Notes, Target
from portico.dialects.gemini import Decoder, parse_error, parse_reply, parse_request, render_reply, render_request
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import (
    Frame,
    Message,
    Output,
    Part,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages = []
    for at in range(draw(st.integers(1, 3))):
        messages.append(Message(role="user", parts=tuple(draw(st.lists(shown, min_size=1, max_size=3)))))
        parts: list[Part] = list(draw(st.lists(st.builds(Text, text=words), max_size=2)))
        if draw(st.booleans()):
            parts.insert(0, Thinking(text=draw(words), opaque="c2ln", maker="gemini", summary=True))
        calls = [
            ToolCall(id=f"c{at}_{n}", name=draw(names), arguments=json.dumps(draw(objects)), signature="c2ln")
            for n in range(draw(st.integers(0, 2)))
        ]
        if not parts and not calls:
            parts = [Text(text="ok")]
        messages.append(Message(role="assistant", parts=(*parts, *calls)))
        if calls:
            results = []
            for call in calls:
                fields: dict[str, Any] = {
                    "parts": (Text(text=draw(words)),),
                    "error": draw(st.sampled_from([None, True])),
                }
                if draw(st.booleans()):
                    fields = {"data": {"x": draw(values), "y": 1}}
                results.append(ToolResult(id=call.id, name=call.name, **fields))
            messages.append(Message(role="user", parts=tuple(results)))
    return tuple(messages)


def plain(message: Message) -> Any:
    """Return a message without hints, its arguments parsed."""
    parts: list[Any] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            parts.append(("call", part.id, part.name, json.loads(part.arguments), part.signature))
        elif isinstance(part, ToolResult):
            parts.append(("result", part.id, part.name, part.parts, part.data, part.error))
        else:
            parts.append(part)
    return message.role, parts


@few
@given(conversations(), st.lists(names, max_size=3, unique=True), objects)
def test_a_conversation_comes_back_as_it_was(messages, tools, schema):
    request = foreign(
        messages=messages,
        system=(Text(text="be brief"),),
        tools=tuple(Tool(name=name, description="d", parameters={"type": "object", **schema}) for name in tools),
        tool_choice=ToolChoice(mode="required") if tools else None,
        output=Output(kind="json_schema", schema={"type": "object", **schema}),
        max_tokens=7,
        temperature=0.5,
        stop=("x",),
    )
    body, lost = rendered(request)
    back = parse_request(json.dumps(body).encode(), model="m", stream=False)
    assert lost == []
    assert [plain(message) for message in back.messages] == [plain(message) for message in messages]
    assert back.system == request.system
    assert [(tool.name, tool.description) for tool in back.tools] == [(name, "d") for name in tools]
    assert (back.tool_choice, back.max_tokens, back.temperature, back.stop) == (request.tool_choice, 7, 0.5, ("x",))
    assert back.output is not None
    assert back.output.kind == "json_schema"


def attempt(body: bytes) -> tuple[str, str]:
    """Give these bytes to every parser, and what they give to those that write: what becomes of them as a whole."""
    quirks = frozenset(["schema_subset"])
    asked = outcome(
        lambda: rendered(parse_request(body, model="m", stream=False), "gemini-2.5-pro", quirks), InvalidRequest
    )
    replied = outcome(lambda: parse_reply(body), BadUpstreamReply)
    parse_error(500, [(b"retry-after", body[:20])], body)
    for pieces in (body, b"data: " + body + b"\n\n", b"[" + body + b"]"):
        decoder = Decoder()
        frames: list[Frame] = []
        with contextlib.suppress(BadUpstreamReply):
            for piece in chunks(pieces, 7):
                frames += decoder.feed(piece)
            frames += decoder.flush()
        encoded(frames)
        encoded([Frame(dialect="chat", events=frame.events) for frame in frames], array=True)
    return f"request {asked}", f"reply {replied}"


FIELDS = ["contents", "parts", "text", "functionCall", "function_call", "functionResponse", "name", "args", "response"]
FIELDS += ["tools", "functionDeclarations", "parameters", "generationConfig", "thinkingConfig", "candidates", "content"]
FIELDS += ["inlineData", "fileData", "fileUri", "mimeType", "data", "toolConfig", "functionCallingConfig", "mode", "$x"]
FIELDS += ["systemInstruction", "thought", "thoughtSignature", "executableCode", "groundingMetadata", "$snake", "error"]
FIELDS += ["groundingSupports", "groundingChunks", "segment", "groundingChunkIndices", "usageMetadata", "finishReason"]
FIELDS += ["partialArgs", "jsonPath", "willContinue", "promptFeedback", "blockReason", "role", "logprobsResult", "id"]
shapes = wild(FIELDS, ["model", "ANY", "STOP", "$.a"])


@few
@given(st.binary(max_size=60) | shapes.map(lambda shape: json.dumps(shape, allow_nan=True).encode()))
def test_no_bytes_raise_anything_but_ours(body):
    attempt(body)


def test_no_change_of_a_recorded_call_raises_anything_but_ours():
    came = Counter[str]()

    @few
    @given(st.data())
    def change(data):
        record = data.draw(st.sampled_from(recorded("generateContent")))
        came.update(attempt(changed(data, record["request"].get("body") or {}, shapes))[:1])
        if record["response"]["status"] == 200:
            came.update(attempt(changed(data, json.loads(body_of(record)), shapes))[1:])

    change()
    assert min(came["request taken"], came["request refused"], came["reply taken"]) > 9, came
    assert came["reply refused"], came


DEEP = [
    '{"contents":[{"parts":[{"functionCall":{"name":"f","args":%s}}]}]}',
    '{"tools":[{"functionDeclarations":[{"name":"f","parameters":%s}]}]}',
    '{"generationConfig":{"responseSchema":%s}}',
    '{"x":%s,"usageMetadata":{"x":%s,"y":1.5}}',
    '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%s}}]}}]}',
]


@pytest.mark.parametrize("depth", [50, 300, 700, 900, 940, 960, 980, 2000])
@pytest.mark.parametrize("shape", range(len(DEEP)))
def test_what_is_nested_deeply_is_taken_or_refused(shape, depth):
    body = DEEP[shape].replace("%s", '{"items":' * depth + "1" + "}" * depth).encode()
    target = Target(model="m", dialect="gemini", quirks=frozenset(["schema_subset"]))

    def ask() -> None:
        request = parse_request(body, model="m", stream=False)
        for dialect in ("gemini", "chat"):
            render_request(msgspec.structs.replace(request, dialect=dialect), target, Notes("gemini"))

    asked = outcome(ask, InvalidRequest)
    replied = outcome(lambda: render_reply(parse_reply(body), foreign(), numbered()), BadUpstreamReply)
    streamed = outcome(lambda: encoded(decoded(iter([b"data: " + body + b"\n\n"]))), BadUpstreamReply)
    assert depth > 300 or (asked, replied, streamed) == ("taken", "taken", "taken")
    assert depth < 2000 or (asked, replied, streamed) == ("refused", "refused", "refused")
