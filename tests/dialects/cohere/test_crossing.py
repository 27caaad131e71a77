"""What other dialects ask for, said to Cohere, and what Cohere's callers ask for, in our words: cases are data."""

from typing import Any

import pytest
from tests.dialects.cohere.given import chunks, decoded, foreign, read, rendered, stream

from portico.dialects.cohere import parse_error, parse_reply, parse_request
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import (
    ArgumentsDelta,
    Audio,
    CacheMark,
    Citation,
    CitationDelta,
    Ended,
    Failed,
    File,
    Finished,
    Image,
    Message,
    Opaque,
    Output,
    Part,
    PartEnded,
    PartStarted,
    Reasoning,
    Refusal,
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

SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts)


def said(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def answered(*parts: Part, **fields: Any) -> Message:
    return Message(role="tool", parts=(ToolResult(id="a", parts=parts, **fields),))


GO = user(Text(text="go"))
CALLED = said(ToolCall(id="a", name="f"))
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}

MESSAGES: list[tuple[tuple[Message, ...], list[Any], list[str]]] = [
    (
        (Message(role="system", parts=(Text(text="a"),)), Message(role="developer", parts=(Text(text="b"),)), GO),
        [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "content": "go"}],
        [],
    ),
    (
        (user(Text(text="see", cache=CacheMark()), Image(source=Source(url="https://a/b"), detail="low")),),
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "https://a/b", "detail": "low"}},
                ],
            }
        ],
        ["cache_mark"],
    ),
    (
        (user(Image(source=Source(data="aaaa", media_type="image/gif"))),),
        [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/gif;base64,aaaa"}}],
            }
        ],
        [],
    ),
    ((GO, said(Text(text="")), user(Text(text=""))), [{"role": "user", "content": "go"}], []),
    ((GO, user(Opaque(value=1))), [{"role": "user", "content": "go"}], ["opaque"]),
    ((said(Refusal(text="no")),), [{"role": "assistant", "content": "no"}], []),
    (
        (said(Thinking(text="hm", opaque="s", maker="messages"), Text(text="so")),),
        [
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}],
            }
        ],
        ["thinking_history"],
    ),
    (
        (said(Text(text="so", citations=(Citation(kind="document", document=0, start=0, end=1),))),),
        [
            {
                "role": "assistant",
                "content": "so",
                "citations": [
                    {
                        "start": 0,
                        "end": 1,
                        "text": "s",
                        "sources": [{"type": "document", "id": "doc:0", "document": {"id": "doc:0"}}],
                        "type": "TEXT_CONTENT",
                        "content_index": 0,
                    }
                ],
            }
        ],
        [],
    ),
    (
        (GO, said(Text(text="I will."), ToolCall(id="a", name="f", arguments="")), answered(Text(text="1"))),
        [
            {"role": "user", "content": "go"},
            {"role": "assistant", "tool_plan": "I will.", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
        ],
        [],
    ),
    (
        (CALLED, user(ToolResult(id="a", data={"x": 1}), Text(text="so?"))),
        [
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "document", "document": {"data": {"x": 1}}}]},
            {"role": "user", "content": "so?"},
        ],
        [],
    ),
    (
        (CALLED, answered(Text(text="bad"), error=True)),
        [
            {"role": "assistant", "tool_calls": [CALL]},
            {
                "role": "tool",
                "tool_call_id": "a",
                "content": [{"type": "document", "document": {"data": {"error": "bad"}}}],
            },
        ],
        [],
    ),
    (
        (CALLED, answered(Text(text="see"), Image(source=Source(data="a")))),
        [
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a", "content": "see"},
        ],
        ["tool_result_media"],
    ),
    (
        (CALLED, answered()),
        [
            {"role": "assistant", "tool_calls": [CALL]},
            {
                "role": "tool",
                "tool_call_id": "a",
                "content": [{"type": "document", "document": {"data": {"output": ""}}}],
            },
        ],
        [],
    ),
    ((answered(Text(text="42"), name="f"),), [{"role": "user", "content": "Result of f: 42"}], []),
    (
        (said(ToolCall(id="w", name="web_search", kind="server"), Text(text="so")),),
        [{"role": "assistant", "content": "so"}],
        ["server_tool_history"],
    ),
]


@pytest.mark.parametrize(("messages", "expected", "lost"), MESSAGES, ids=range(len(MESSAGES)))
def test_messages_are_said(messages, expected, lost):
    body, dropped = rendered(foreign(messages=messages))
    assert body["messages"] == expected
    assert dropped == lost


def test_documents_are_documents():
    blocks = File(source=Source(), parts=(Text(text="one"), Text(text="two")), name="B")
    messages = (user(File(source=Source(text="words"), name="A", context="c"), blocks, Text(text="hi")),)
    body, dropped = rendered(foreign(messages=messages, documents=(File(source=Source(), data={"k": "v"}, id="x"),)))
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert body["documents"] == [
        {"id": "doc:0", "data": {"text": "words", "title": "A", "context": "c"}},
        {"id": "doc:1", "data": {"text": "one\ntwo", "title": "B"}},
        {"id": "x", "data": {"k": "v"}},
    ]
    assert dropped == []


REFUSED: list[dict[str, Any]] = [
    {"messages": (user(Audio(source=Source(data="a"))),)},
    {"messages": (user(File(source=Source(data="JVBER"))),)},
    {"messages": (user(File(source=Source(url="https://a/b.pdf"))),)},
    {"messages": (user(Image(source=Source(file_id="file-1"))),)},
    {"tools": (Tool(name="web_search", kind="server"),)},
    {"n": 2},
    {"modalities": ("text", "audio")},
]


@pytest.mark.parametrize("fields", REFUSED, ids=range(len(REFUSED)))
def test_what_cohere_cannot_take_is_refused(fields):
    with pytest.raises(InvalidRequest):
        rendered(foreign(**fields))


FIELDS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (
        {"max_tokens": 5, "temperature": 1, "top_p": 0.5, "top_k": 3},
        {"max_tokens": 5, "temperature": 1, "p": 0.5, "k": 3},
        [],
    ),
    ({"seed": 7, "stop": ("a",), "n": 1, "stream": True}, {"seed": 7, "stop_sequences": ["a"], "stream": True}, []),
    ({"frequency_penalty": 0.5, "presence_penalty": 0.25}, {"frequency_penalty": 0.5, "presence_penalty": 0.25}, []),
    ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True}, ["top_logprobs"]),
    ({"user": "u", "metadata": {"a": "b"}, "extra": {"store": True}}, {}, ["user", "metadata", "field"]),
    ({"service_tier": "flex", "safety": [1]}, {}, ["safety", "service_tier"]),
    ({"output": Output(kind="json")}, {"response_format": {"type": "json_object"}}, []),
    (
        {"output": Output(kind="json_schema", schema=SCHEMA)},
        {"response_format": {"type": "json_object", "json_schema": SCHEMA}},
        [],
    ),
    ({"reasoning": Reasoning(effort="low")}, {"thinking": {"type": "enabled", "token_budget": 1024}}, []),
    ({"reasoning": Reasoning(effort="high")}, {"thinking": {"type": "enabled"}}, []),
    ({"reasoning": Reasoning(effort="none")}, {"thinking": {"type": "disabled"}}, []),
    ({"reasoning": Reasoning(enabled=True, budget=9)}, {"thinking": {"type": "enabled", "token_budget": 9}}, []),
    ({"reasoning": Reasoning(summary="auto")}, {}, []),
]


@pytest.mark.parametrize(("fields", "expected", "lost"), FIELDS, ids=range(len(FIELDS)))
def test_a_setting_is_said(fields, expected, lost):
    body, dropped = rendered(foreign(**fields))
    assert body == {"model": "command-a-03-2025", "messages": [{"role": "user", "content": "hi"}], **expected}
    assert dropped == lost


CHOICES: list[tuple[ToolChoice | None, list[str], str | None]] = [
    (None, ["f", "g"], None),
    (ToolChoice(mode="auto"), ["f", "g"], None),
    (ToolChoice(mode="none"), ["f", "g"], "NONE"),
    (ToolChoice(mode="required"), ["f", "g"], "REQUIRED"),
    (ToolChoice(mode="tool", name="g"), ["g"], "REQUIRED"),
    (ToolChoice(mode="allowed", names=("f",)), ["f"], None),
    (ToolChoice(mode="allowed", names=("f",), required=True), ["f"], "REQUIRED"),
]


@pytest.mark.parametrize(("choice", "names", "said"), CHOICES, ids=range(len(CHOICES)))
def test_a_choice_of_tools_is_made_by_offering_them(choice, names, said):
    tools = (Tool(name="f", description="", strict=True), Tool(name="g", parameters=SCHEMA, strict=True))
    body, dropped = rendered(foreign(tools=tools, tool_choice=choice))
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body.get("tool_choice") == said
    assert body["strict_tools"] is True
    assert "description" not in body["tools"][0]["function"]
    assert dropped == []


# Theirs in our words


def test_a_plan_comes_before_its_calls_and_answers_after_them():
    request = read(
        {
            "messages": [
                {"role": "assistant", "tool_plan": "I will.", "tool_calls": [CALL]},
                {
                    "role": "tool",
                    "tool_call_id": "a",
                    "content": [{"type": "document", "document": {"data": {"output": "6"}}}],
                },
                {
                    "role": "tool",
                    "tool_call_id": "a",
                    "content": [{"type": "document", "document": {"data": {"x": 1}}}],
                },
                {
                    "role": "tool",
                    "tool_call_id": "a",
                    "content": [{"type": "document", "document": {"data": {"error": "e"}}}],
                },
            ]
        }
    )
    plan, call = request.messages[0].parts
    assert isinstance(plan, Text)
    assert plan.text == "I will."
    assert call == ToolCall(id="a", name="f")
    results = [message.parts[0] for message in request.messages[1:]]
    assert results == [
        ToolResult(id="a", parts=(Text(text="6"),)),
        ToolResult(id="a", data={"x": 1}),
        ToolResult(id="a", parts=(Text(text="e"),), error=True),
    ]


def test_documents_have_their_text_for_those_who_know_no_fields():
    documents = read(
        {"documents": ["a", {"id": "d", "data": {"title": "T", "snippet": "s"}}, {"data": {"k": 1, "l": "m"}}]}
    ).documents
    assert [(each.id, each.name, each.source.text) for each in documents] == [
        (None, None, "a"),
        ("d", "T", "s"),
        (None, None, "k: 1\nl: m"),
    ]


FAULTS = [
    ({"messages": 5}, "messages"),
    ({"messages": [5]}, "messages[0]"),
    ({"messages": [{"role": "wizard"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
    ({"tools": [{"function": {}}]}, "tools[0].function.name"),
    ({"temperature": "hot"}, "temperature"),
    ({"k": 1.5}, "k"),
    ({"stop_sequences": [1]}, "stop_sequences"),
    ({"documents": [5]}, "documents"),
]


@pytest.mark.parametrize(("body", "param"), FAULTS, ids=[param for _, param in FAULTS])
def test_a_fault_is_named(body, param):
    with pytest.raises(InvalidRequest) as raised:
        read(body)
    assert raised.value.param == param


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"messages":[1e999]}', b'{"message":"no"}'])
def test_what_is_no_reply_is_refused(body):
    with pytest.raises(BadUpstreamReply):
        parse_reply(body)
    if body != b'{"message":"no"}':
        with pytest.raises(InvalidRequest):
            parse_request(body, model="m", stream=False)


# Streams


def delta(kind: str, index: int | None = None, **message: Any) -> Any:
    return {"type": kind, **({} if index is None else {"index": index}), "delta": {"message": message}}


START = {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}}
CITED = {
    "start": 0,
    "end": 2,
    "text": "So",
    "sources": [{"type": "document", "id": "doc:1", "document": {"title": "T"}}],
}
END = {
    "type": "message-end",
    "delta": {"finish_reason": "TOOL_CALL", "usage": {"billed_units": {"input_tokens": 2, "output_tokens": 3}}},
}


@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_stream_with_a_thought_keeps_its_text_even_at_one_index(size):
    frames = stream(
        START,
        delta("content-start", 0, content={"type": "thinking", "thinking": ""}),
        delta("content-delta", 0, content={"thinking": "hm"}),
        delta("content-delta", 0, content={"text": "So"}),
        delta("citation-start", 0, citations=CITED),
        {"type": "citation-end", "index": 0},
        {"type": "content-end", "index": 0},
        delta("tool-plan-delta", tool_plan="I"),
        delta("tool-plan-delta", tool_plan=" will"),
        delta(
            "tool-call-start", 0, tool_calls={"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
        ),
        delta("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"x"'}}),
        delta("tool-call-delta", 0, tool_calls={"function": {"arguments": ":1}"}}),
        {"type": "tool-call-end", "index": 0},
        delta(
            "tool-call-start", 1, tool_calls={"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}
        ),
        {"type": "tool-call-end", "index": 1},
        END,
        size=size,
    )
    assert [event for frame in frames for event in frame.events] == [
        Started(id="1"),
        PartStarted(index=0, part=Thinking()),
        ThinkingDelta(index=0, text="hm"),
        PartEnded(index=0),
        PartStarted(index=1, part=Text(text="")),
        TextDelta(index=1, text="So"),
        CitationDelta(
            index=1,
            citation=Citation(kind="document", start=0, end=2, document=1, document_id="doc:1", title="T"),
        ),
        PartEnded(index=1),
        PartStarted(index=2, part=Text(text="", extra={"$plan": True})),
        TextDelta(index=2, text="I"),
        TextDelta(index=2, text=" will"),
        PartEnded(index=2),
        PartStarted(index=3, part=ToolCall(id="a", name="f")),
        ArgumentsDelta(index=3, text='{"x"'),
        ArgumentsDelta(index=3, text=":1}"),
        PartEnded(index=3),
        PartStarted(index=4, part=ToolCall(id="b", name="g")),
        ArgumentsDelta(index=4, text="{}"),
        PartEnded(index=4),
        Finished(finish="tool_calls", finish_raw="TOOL_CALL"),
        Used(usage=Usage(input=2, output=3)),
        Ended(),
    ]


@pytest.mark.parametrize("found", [{"finish_reason": "ERROR", "error": "busy"}, {"finish_reason": "TIMEOUT"}])
def test_an_error_at_the_end_fails_the_stream(found):
    events = [event for frame in stream(START, {"type": "message-end", "delta": found}) for event in frame.events]
    assert isinstance(events[-1], Failed)
    assert not any(isinstance(event, Ended) for event in events)


@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_stream_cut_short_has_not_ended(size):
    body = b'data: {"type":"message-start","id":"1"}\n\ndata: {"type":"message-end","delta":{"finish_re'
    events = [event for frame in decoded(chunks(body, size)) for event in frame.events]
    assert events == [Started(id="1")]


def test_an_error_is_read():
    found = parse_error(429, [(b"retry-after", b"3")], b'{"id":"1","message":"slow down","error_type":"LIMIT"}')
    assert (found.status, found.message, found.code) == (429, "slow down", "LIMIT")
    assert (found.request_id, found.retry_after) == ("1", 3)
    assert parse_error(502, [], b"<html>").message == "<html>"
