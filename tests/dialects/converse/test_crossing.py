"""What another dialect's conversation is for Bedrock, and what Bedrock's is for another's client."""

import json
from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import settings
from tests.dialects.messages.world import (
    PDF,
    PNG,
    assistant,
    foreign,
    given,
    recorded,
    requests,
    shown,
    tool,
    user,
    written,
)
from tests.dialects.odd_cases import damages, outcome

from portico.dialects import emulate
from portico.dialects.chat import render_request as to_chat
from portico.dialects.converse import Decoder, parse_error, parse_reply, parse_request, render_reply, render_request
from portico.dialects.crossing import Notes, Target, fate_of
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import (
    Audio,
    CacheMark,
    Choice,
    Citation,
    File,
    Image,
    Message,
    Output,
    Reasoning,
    Reply,
    Request,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
)
from portico.types import Usage

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
CLAUDE, NOVA, NOVA2, OSS, LLAMA = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "amazon.nova-lite-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "openai.gpt-oss-120b-1:0",
    "meta.llama3-3-70b-instruct-v1:0",
)


def rendered(request: Request, model: str = CLAUDE) -> tuple[Any, list[str]]:
    """Return the body that a request comes to, and what was lost."""
    return written("converse", request, model)


CONTENT = [
    (
        "text and media",
        (
            user(
                "see",
                Image(source=Source(data="AA==", media_type="image/jpg"), cache=CacheMark("1h")),
                Image(source=Source(url="s3://b/k.webp", media_type="image/webp")),
                Video(source=Source(data="AA==", media_type="video/quicktime")),
                Audio(source=Source(data="AA==", media_type="audio/x-wav")),
            ),
        ),
        [
            {
                "role": "user",
                "content": [
                    {"text": "see"},
                    {"image": {"format": "jpeg", "source": {"bytes": "AA=="}}},
                    {"cachePoint": {"type": "default", "ttl": "1h"}},
                    {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://b/k.webp"}}}},
                    {"video": {"format": "mov", "source": {"bytes": "AA=="}}},
                    {"audio": {"format": "wav", "source": {"bytes": "AA=="}}},
                ],
            }
        ],
    ),
    (
        "documents have names of their own, and text beside them",
        (
            user(
                File(source=Source(data=PDF, media_type="application/pdf"), name="a_b.pdf", cite=True),
                File(source=Source(data=PDF, media_type="application/pdf"), name="a b pdf"),
                File(source=Source(text="t"), context="c"),
                File(source=Source(), data={"k": 1}, id="d"),
                File(source=Source(), parts=(Text(text="one"),)),
            ),
        ),
        [
            {
                "role": "user",
                "content": [
                    {
                        "document": {
                            "name": "a b pdf",
                            "format": "pdf",
                            "source": {"bytes": PDF},
                            "citations": {"enabled": True},
                        }
                    },
                    {"document": {"name": "a b pdf 2", "format": "pdf", "source": {"bytes": PDF}}},
                    {"document": {"name": "document", "format": "txt", "source": {"text": "t"}, "context": "c"}},
                    {"document": {"name": "d", "format": "txt", "source": {"text": '{"k":1}'}}},
                    {"document": {"name": "document 2", "format": "txt", "source": {"content": [{"text": "one"}]}}},
                    {"text": "See the document."},
                ],
            }
        ],
    ),
    (
        "results go first, each call has one, with whatever they hold",
        (
            user("q"),
            assistant(
                ToolCall(id="a.1", name="f", arguments='{"x":1}'),
                ToolCall(id="b", name="g", arguments="bad"),
                ToolCall(id="c", name="g"),
            ),
            user(" ", "meanwhile"),
            tool(
                ToolResult(id="a.1", data={"z": 1}, error=False),
                ToolResult(
                    id="b",
                    parts=(
                        Text(text="t"),
                        Image(source=Source(data=PNG, media_type="image/png")),
                        File(source=Source(data=PDF, media_type="application/pdf")),
                    ),
                    error=True,
                ),
            ),
        ),
        [
            {"role": "user", "content": [{"text": "q"}]},
            {
                "role": "assistant",
                "content": [
                    {"toolUse": {"toolUseId": "call_a_1_ec8d7113", "name": "f", "input": {"x": 1}}},
                    {"toolUse": {"toolUseId": "b", "name": "g", "input": {"raw_arguments": "bad"}}},
                    {"toolUse": {"toolUseId": "c", "name": "g", "input": {}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": "call_a_1_ec8d7113",
                            "content": [{"json": {"z": 1}}],
                            "status": "success",
                        }
                    },
                    {
                        "toolResult": {
                            "toolUseId": "b",
                            "content": [
                                {"text": "t"},
                                {"image": {"format": "png", "source": {"bytes": PNG}}},
                                {"document": {"name": "document", "format": "pdf", "source": {"bytes": PDF}}},
                            ],
                            "status": "error",
                        }
                    },
                    {
                        "toolResult": {
                            "toolUseId": "c",
                            "content": [{"text": "No result was given."}],
                            "status": "error",
                        }
                    },
                    {"text": "meanwhile"},
                ],
            },
        ],
    ),
    (
        "thoughts that Claude sealed go back, here or there",
        (
            user("q"),
            assistant(
                Thinking(text="hm", opaque="sig", maker="messages"),
                Thinking(opaque="ZGF0YQ==", maker="converse", redacted=True),
                "a",
            ),
        ),
        [
            {"role": "user", "content": [{"text": "q"}]},
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                    {"reasoningContent": {"redactedContent": "ZGF0YQ=="}},
                    {"text": "a"},
                ],
            },
        ],
    ),
]


@pytest.mark.parametrize(("messages", "wire"), [case[1:] for case in CONTENT], ids=[case[0] for case in CONTENT])
def test_messages_are_written_as_bedrock_takes_them(messages: tuple[Message, ...], wire: list[Any]) -> None:
    body, dropped = rendered(foreign(messages=messages))
    assert body["messages"] == wire
    assert dropped == []


FUNCTION = Tool(name="f", description="d", parameters=SCHEMA)
SPEC = {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": SCHEMA}}}
ROUND = (user("q"), assistant(ToolCall(id="a", name="f")), tool(ToolResult(id="a")))
DECLARED = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
FIELDS = "additionalModelRequestFields"
SETTINGS: list[tuple[str, str, dict[str, Any], dict[str, Any], list[str]]] = [
    (
        "inference",
        CLAUDE,
        {"max_tokens": 9, "temperature": 0.5, "stop": ("a", "\n")},
        {"inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "stopSequences": ["a"]}},
        ["stop_blank"],
    ),
    ("nothing asked, nothing said", CLAUDE, {}, {"inferenceConfig": None, FIELDS: None, "toolConfig": None}, []),
    ("top_k of Claude", CLAUDE, {"top_k": 5}, {FIELDS: {"top_k": 5}}, []),
    ("top_k of Nova", NOVA, {"top_k": 5}, {FIELDS: {"inferenceConfig": {"topK": 5}}}, []),
    ("top_k of none", LLAMA, {"top_k": 5}, {FIELDS: None}, ["top_k"]),
    (
        "a hot temperature",
        NOVA,
        {"temperature": 1.5},
        {"inferenceConfig": {"temperature": 1.0}},
        ["temperature_above_1"],
    ),
    (
        "a budget, with max_tokens above it",
        CLAUDE,
        {"reasoning": Reasoning(budget=2000), "temperature": 0.1},
        {
            FIELDS: {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            "inferenceConfig": {"maxTokens": 32_000},
        },
        ["sampling"],
    ),
    (
        "an effort of a new Claude",
        "us.anthropic.claude-opus-4-7",
        {"reasoning": Reasoning(effort="high")},
        {FIELDS: {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}},
        [],
    ),
    (
        "an effort of Nova",
        NOVA2,
        {"reasoning": Reasoning(effort="high"), "temperature": 0.3},
        {FIELDS: {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, "inferenceConfig": None},
        ["sampling"],
    ),
    ("an effort of gpt-oss", OSS, {"reasoning": Reasoning(effort="xhigh")}, {FIELDS: {"reasoning_effort": "high"}}, []),
    ("an effort of none", LLAMA, {"reasoning": Reasoning(effort="low")}, {FIELDS: None}, ["thinking"]),
    (
        "tools",
        CLAUDE,
        {
            "tools": (FUNCTION, Tool(name="g", description=" ", cache=CacheMark())),
            "tool_choice": ToolChoice(mode="required"),
        },
        {
            "toolConfig": {
                "tools": [
                    SPEC,
                    {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
                    {"cachePoint": {"type": "default"}},
                ],
                "toolChoice": {"any": {}},
            }
        },
        [],
    ),
    (
        "one tool",
        CLAUDE,
        {"tools": (FUNCTION,), "tool_choice": ToolChoice(mode="tool", name="f"), "parallel_tools": False},
        {"toolConfig": {"tools": [SPEC], "toolChoice": {"tool": {"name": "f"}}}},
        ["parallel_tools"],
    ),
    ("tools of the conversation are declared", CLAUDE, {"messages": ROUND}, {"toolConfig": {"tools": [DECLARED]}}, []),
    (
        "no call is allowed",
        CLAUDE,
        {"tools": (FUNCTION,), "tool_choice": ToolChoice(mode="none")},
        {"toolConfig": None},
        [],
    ),
    (
        "no call is allowed after one was made",
        CLAUDE,
        {"tools": (FUNCTION,), "tool_choice": ToolChoice(mode="none"), "messages": ROUND},
        {"toolConfig": {"tools": [SPEC]}},
        ["tool_choice_none"],
    ),
    (
        "Amazon's own tools",
        NOVA2,
        {"tools": (Tool(name="web_search", kind="server"),)},
        {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
        [],
    ),
    (
        "a schema where the model takes one",
        CLAUDE,
        {"output": Output(kind="json_schema", schema=SCHEMA, name="n", description="d")},
        {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {
                        "jsonSchema": {
                            "schema": '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],'
                            '"additionalProperties":false}',
                            "name": "n",
                            "description": "d",
                        }
                    },
                }
            }
        },
        [],
    ),
    (
        "a schema where it does not",
        NOVA,
        {"output": Output(kind="json_schema", schema=SCHEMA)},
        {
            "outputConfig": None,
            "toolConfig": {
                "tools": [
                    {
                        "toolSpec": {
                            "name": emulate.ANSWER,
                            "description": "Give the answer, in this form.",
                            "inputSchema": {"json": SCHEMA},
                        }
                    }
                ],
                "toolChoice": {"tool": {"name": emulate.ANSWER}},
            },
        },
        [],
    ),
    (
        "labels",
        CLAUDE,
        {"metadata": {"a": "b", "n": 1}, "service_tier": "priority", "user": "u"},
        {"requestMetadata": {"a": "b", "n": "1"}, "serviceTier": {"type": "priority"}},
        ["user"],
    ),
]


@pytest.mark.parametrize(
    ("model", "fields", "wire", "lost"), [case[1:] for case in SETTINGS], ids=[case[0] for case in SETTINGS]
)
def test_settings_are_written_as_the_model_takes_them(
    model: str, fields: dict[str, Any], wire: dict[str, Any], lost: list[str]
) -> None:
    body, dropped = rendered(foreign(**fields), model)
    assert {name: body.get(name) for name in wire} == wire
    assert dropped == lost


REFUSED = [
    ("n", {"n": 2}),
    ("an image by its address", {"messages": (user(Image(source=Source(url="https://x"))),)}),
    ("a document by its address", {"messages": (user(File(source=Source(url="https://x"))),)}),
    ("a file elsewhere", {"messages": (user(File(source=Source(file_id="f"))),)}),
    ("what is kept elsewhere", {"extra": {"cachedContent": "c"}}),
    ("a server's tool", {"tools": (Tool(name="web_search", kind="server"),)}),
]


@pytest.mark.parametrize(
    ("kind", "told"), [(Image, "an image"), (Audio, "sound"), (Video, "a film"), (File, "a document")]
)
def test_media_at_an_address_that_is_not_s3_s_is_refused_by_its_kind(kind: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{told} by its address"):
        rendered(foreign(messages=(user(kind(source=Source(url="https://example.com/it"))),)))


def test_the_table_refuses_no_sound_that_the_renderer_sends() -> None:
    body, dropped = rendered(foreign(messages=(user(Audio(source=Source(data="AA==", media_type="audio/mpeg"))),)))
    assert body["messages"][0]["content"] == [{"audio": {"format": "mpeg", "source": {"bytes": "AA=="}}}]
    assert dropped == []
    assert fate_of("audio", "converse") is None


@pytest.mark.parametrize("fields", [case[1] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_would_change_the_meaning_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        rendered(foreign(**fields))


PARSED = [
    ("thinking", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, Reasoning(enabled=True, budget=1024), None),
    (
        "adaptive",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "top_k": 3},
        Reasoning(enabled=True, effort="high"),
        3,
    ),
    (
        "nova",
        {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
        Reasoning(enabled=True, effort="low"),
        None,
    ),
    ("gpt-oss", {"reasoning_effort": "low"}, Reasoning(effort="low"), None),
    ("qwen", {"reasoning_config": "high", "inferenceConfig": {"topK": 2}}, Reasoning(effort="high"), 2),
]


@pytest.mark.parametrize(
    ("fields", "reasoning", "top_k"), [case[1:] for case in PARSED], ids=[case[0] for case in PARSED]
)
def test_a_makers_own_fields_are_understood(fields: dict[str, Any], reasoning: Reasoning, top_k: int | None) -> None:
    body = json.dumps({"messages": [], FIELDS: fields}).encode()
    request = parse_request(body, model="m", stream=False)
    assert (request.reasoning, request.top_k) == (reasoning, top_k)
    assert FIELDS not in request.extra


@pytest.mark.parametrize("effort", [{}, {"effort": "low"}])
def test_a_schema_among_claudes_own_fields_is_understood_and_stays_where_it_stood(effort: dict[str, str]) -> None:
    form = {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
    asked = {
        "messages": [{"role": "user", "content": [{"text": "q"}]}],
        FIELDS: {"output_config": {**effort, "format": form}},
    }
    request = parse_request(json.dumps(asked).encode(), model="m", stream=False)
    assert request.output is not None
    assert (request.output.kind, request.output.schema) == ("json_schema", form["schema"])
    assert (request.reasoning.effort if request.reasoning is not None else None) == effort.get("effort")
    again = render_request(request, Target(dialect="converse", model="m"), Notes("converse"))
    assert json.loads(again) == asked
    notes = Notes("chat")
    there = json.loads(to_chat(request, Target(dialect="chat", model="m"), notes))
    assert there["response_format"]["json_schema"]["schema"] == form["schema"]
    assert notes.dropped == []


def test_a_foreign_reply_is_bedrocks_and_its_secrets_come_back_whole() -> None:
    parts = (
        Thinking(text="hm", opaque="enc", maker="responses", id="rs_1"),
        Text(text=""),
        Text(text="see", citations=(Citation(kind="url", url="https://x", title="X"),)),
        ToolCall(id="call_1", name="f", arguments='{"x":1}', signature="gemini-sig"),
    )
    usage = Usage(input=5, cache_read=2, cache_write_5m=4, cache_write_1h=1, output=7, reasoning=3)
    reply = Reply(dialect="chat", model="gpt-5", choices=(Choice(parts=parts, finish="tool_calls"),), usage=usage)
    body = json.loads(render_reply(reply, foreign(), given()))
    assert body["stopReason"] == "tool_use"
    assert body["usage"] == {
        "inputTokens": 5,
        "outputTokens": 10,
        "totalTokens": 22,
        "cacheReadInputTokens": 2,
        "cacheWriteInputTokens": 5,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 4}, {"ttl": "1h", "inputTokens": 1}],
    }
    message = body["output"]["message"]
    assert [next(iter(block)) for block in message["content"]] == [
        "reasoningContent",
        "citationsContent",
        "reasoningContent",
        "toolUse",
    ]
    request = parse_request(json.dumps({"messages": [message]}).encode(), model="m", stream=False)
    thought, text, call = request.messages[0].parts
    assert thought == parts[0]
    assert isinstance(text, Text)
    assert text.text == "see"
    assert call == parts[3]
    assert b"portico:" not in render_request(request, Target(model="m", dialect="converse"), Notes("converse"))


@settings(max_examples=120, deadline=None)
@generated(requests())
def test_a_generated_conversation_says_the_same_when_it_is_read_back(request: Request) -> None:
    body, _ = rendered(request, CLAUDE)
    again = parse_request(json.dumps(body).encode(), model=CLAUDE, stream=request.stream)
    assert shown(again.messages) == shown(request.messages)
    assert again.system == request.system
    declared = [one.name for one in again.tools if one.name != emulate.ANSWER]
    assert declared == [one.name for one in request.tools] or not request.tools
    roles = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    used = any("toolUse" in block or "toolResult" in block for one in body["messages"] for block in one["content"])
    assert "toolConfig" in body or not used


def test_no_recorded_request_changed_raises_anything_but_ours() -> None:
    def pass_on(damaged: Any) -> None:
        request = parse_request(json.dumps(damaged).encode(), model="m", stream=False)
        render_request(request, Target(model="m", dialect="converse"), Notes("converse"))

    came: Counter[str] = Counter()
    for record in recorded("converse")[::8]:
        body = record["request"].get("body")
        for damaged in damages(body) if isinstance(body, dict) else ():
            came[outcome(partial(pass_on, damaged), InvalidRequest)] += 1
    assert min(came["taken"], came["refused"]) > 1000, came


def test_no_damaged_reply_raises_anything_but_ours() -> None:
    def pass_on(damaged: Any) -> None:
        render_reply(parse_reply(json.dumps(damaged).encode()), foreign(), given())

    came: Counter[str] = Counter()
    for record in recorded("converse")[::6]:
        if not record["streaming"] and record["response"]["status"] == 200:
            for damaged in damages(json.loads(record["response"]["body_text"])):
                came[outcome(partial(pass_on, damaged), BadUpstreamReply)] += 1
    assert min(came["taken"], came["refused"]) > 1000, came


def test_what_is_no_event_stream_is_a_bad_reply() -> None:
    with pytest.raises(BadUpstreamReply):
        Decoder().feed(b"data: {}\n\n" * 4)


def test_an_error_is_told_in_the_providers_words() -> None:
    headers = [(b"x-amzn-errortype", b"ThrottlingException:http://x/"), (b"x-amzn-requestid", b"r")]
    complaint = parse_error(429, headers, b'{"message":"slow down"}')
    assert (complaint.message, complaint.code, complaint.request_id) == ("slow down", "ThrottlingException", "r")
    assert parse_error(400, [], b'{"__type":"a#ValidationException","Message":"m"}').code == "ValidationException"
