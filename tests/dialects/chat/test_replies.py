"""Whole replies: foreign ones written for a caller of this dialect, and what providers of it write besides OpenAI."""

import json
from typing import Any

import openai.types.chat
import pytest
from tests.dialects.chat.given import foreign, given, own, parsed, rendered

from portico.dialects.chat import parse_reply, read_usage, render_reply
from portico.dialects.seal import seal, seal_call
from portico.errors import BadUpstreamReply
from portico.ir import (
    Audio,
    Choice,
    Citation,
    Finish,
    Image,
    Part,
    Refusal,
    Reply,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from portico.types import Usage

CALL = ToolCall(id="c1", name="look", arguments='{"q":1}')
WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q":1}'}}
SIGNED = Thinking(text="hm", opaque="sig", maker="messages")
REDACTED = Thinking(opaque="secret", maker="messages", redacted=True)


def answer(*parts: Part, finish: Finish = "stop", **fields: Any) -> Reply:
    return Reply(dialect="messages", choices=(Choice(parts=parts, finish=finish),), **fields)


def written(reply: Reply, **request: Any) -> dict[str, Any]:
    body = render_reply(reply, own(**request), given())
    openai.types.chat.ChatCompletion.model_validate_json(body)
    found: dict[str, Any] = json.loads(body)
    return found


MESSAGES: dict[str, tuple[tuple[Part, ...], dict[str, Any]]] = {
    "text": ((Text(text="a"), Text(text="b")), {"content": "ab"}),
    "nothing": ((), {"content": None}),
    "a call": ((Text(text="a"), CALL), {"content": "a", "tool_calls": [WIRE_CALL]}),
    "a call that is signed": (
        (ToolCall(id="c1", name="look", arguments='{"q":1}', signature="s"),),
        {
            "content": None,
            "tool_calls": [WIRE_CALL | {"id": seal_call(ToolCall(id="c1", name="look", signature="s"))}],
        },
    ),
    "a custom call": (
        (ToolCall(id="c1", name="look", arguments="1+1", kind="custom"),),
        {"content": None, "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "look", "input": "1+1"}}]},
    ),
    "a step of a server's tool": (
        (ToolCall(id="s", name="web_search", kind="server"), ToolResult(id="s", server=True), Text(text="a")),
        {"content": "a"},
    ),
    "a thought": ((Thinking(text="hm"), Text(text="a")), {"content": "a", "reasoning_content": "hm"}),
    "thoughts that are sealed": (
        (SIGNED, REDACTED, Text(text="a")),
        {
            "content": "a",
            "reasoning_content": "hm",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": seal(SIGNED), "index": 0},
                {"type": "reasoning.encrypted", "data": seal(REDACTED), "index": 1},
            ],
        },
    ),
    "a refusal": ((Refusal(text="no"),), {"content": None, "refusal": "no"}),
    "a citation": (
        (Text(text="a", citations=(Citation(kind="url", url="https://x", title="X", start=0, end=1),)),),
        {
            "content": "a",
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 1},
                }
            ],
        },
    ),
    "an image": (
        (Image(source=Source(data="iVBO", media_type="image/png")),),
        {
            "content": None,
            "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}],
        },
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_an_answer_crosses(name: str) -> None:
    parts, expected = MESSAGES[name]
    message = written(answer(*parts))["choices"][0]["message"]
    assert message == {"role": "assistant", "refusal": None} | expected


def test_a_spoken_answer_crosses() -> None:
    sound = Audio(source=Source(data="UklG"), transcript="hello", id="a1")
    message = json.loads(render_reply(answer(sound), own(), given()))["choices"][0]["message"]
    assert message["audio"] == {"id": "a1", "data": "UklG", "transcript": "hello"}


FINISHES: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "stop_sequence": "stop",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
    "other": "stop",
}


@pytest.mark.parametrize("finish", FINISHES)
def test_every_finish_has_a_word(finish: Finish) -> None:
    assert written(answer(Text(text="a"), finish=finish))["choices"][0]["finish_reason"] == FINISHES[finish]


def test_a_foreign_reply_has_the_envelope_of_this_dialect_and_no_foreign_id() -> None:
    reply = written(answer(Text(text="a"), id="msg_1", model="claude-x"))
    assert (reply["id"], reply["object"], reply["created"]) == ("chatcmpl-1", "chat.completion", 1_700_000_000)
    assert reply["model"] == "claude-x"
    assert "usage" not in reply


@pytest.mark.parametrize(
    ("tier", "said"),
    [("standard", "default"), ("priority", "priority"), ("fast", "fast"), ("batch", None), ("reserved", None)],
)
def test_a_foreign_tier_is_told_in_words_that_the_api_has(tier: str, said: str | None) -> None:
    assert written(answer(Text(text="a"), service_tier=tier)).get("service_tier") == said


def test_several_answers_and_their_log_probabilities_cross() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}], "refusal": None}
    choices = (
        Choice(index=0, parts=(Text(text="a"),), finish="stop", logprobs=logprobs),
        Choice(index=1, parts=(Text(text="b"),), finish="length"),
    )
    found = written(Reply(dialect="gemini", choices=choices))["choices"]
    assert [choice["index"] for choice in found] == [0, 1]
    assert found[0]["logprobs"] == logprobs
    assert found[1]["finish_reason"] == "length"


USAGES = (
    Usage(input=10, output=5),
    Usage(input=10, cache_read=3, output=5, reasoning=7),
    Usage(input=10, cache_read=3, cache_write_5m=2, cache_write_1h=4, output=5),
    Usage(input=1, input_audio=2, input_image=3, output=4, output_audio=5, output_image=6, reasoning=7),
    Usage(input=1, output=1, searches=2, reported_cost=1_500_000),
)


@pytest.mark.parametrize("usage", USAGES, ids=repr)
def test_usage_keeps_every_bucket(usage: Usage) -> None:
    body = render_reply(answer(Text(text="a"), usage=usage), own(), given())
    assert read_usage(body) == usage
    assert json.loads(body)["usage"]["total_tokens"] == usage.total


def test_a_caller_who_gave_functions_gets_a_function_call() -> None:
    functions = [{"name": "look", "parameters": {"type": "object"}}]
    request = parsed({"messages": [{"role": "user", "content": "hi"}], "functions": functions})
    choice = json.loads(render_reply(answer(CALL, finish="tool_calls"), request, given()))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "look", "arguments": '{"q":1}'}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "function_call"


# What providers write


def read(message: dict[str, Any], **choice: Any) -> Choice:
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"} | choice]}
    return parse_reply(json.dumps(body).encode()).choices[0]


def plain(part: Part) -> Part:
    """Return a part without what only this dialect knows of it."""
    return type(part)(**{name: getattr(part, name) for name in part.__struct_fields__ if name != "extra"})


READ: dict[str, tuple[dict[str, Any], tuple[Part, ...]]] = {
    "DeepSeek's thought": (
        {"content": "a", "reasoning_content": "hm"},
        (Thinking(text="hm"), Text(text="a")),
    ),
    "Groq's thought": ({"content": "a", "reasoning": "hm"}, (Thinking(text="hm"), Text(text="a"))),
    "the same thought twice": (
        {"content": "a", "reasoning": "hm", "reasoning_content": "hm"},
        (Thinking(text="hm"), Text(text="a")),
    ),
    "OpenRouter's thought": (
        {
            "content": "a",
            "reasoning": "hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}],
        },
        (
            Thinking(text="hm", maker="chat", opaque='[{"type":"reasoning.text","text":"hm","signature":"s"}]'),
            Text(text="a"),
        ),
    ),
    "Mistral's thought": (
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "a"},
            ]
        },
        (Thinking(text="hm"), Text(text="a")),
    ),
    "OpenRouter's image": (
        {"content": "a", "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]},
        (Text(text="a"), Image(source=Source(data="iVBO", media_type="image/png"))),
    ),
    "a spoken answer": (
        {"content": None, "audio": {"id": "a1", "data": "UklG", "transcript": "x", "expires_at": 1}},
        (Audio(source=Source(data="UklG"), transcript="x", id="a1"),),
    ),
    "a refusal": ({"content": None, "refusal": "no"}, (Refusal(text="no"),)),
    "an old call": (
        {"content": None, "function_call": {"name": "look", "arguments": '{"q":1}'}},
        (ToolCall(id="call_0", name="look", arguments='{"q":1}'),),
    ),
    "a call without arguments": (
        {
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}],
        },
        (ToolCall(id="c1", name="look", arguments="{}"),),
    ),
    "a call with an object": (
        {"tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": {"q": 1}}}]},
        (CALL,),
    ),
    "Gemini's signature": (
        {"content": None, "tool_calls": [WIRE_CALL | {"extra_content": {"google": {"thought_signature": "s"}}}]},
        (ToolCall(id="c1", name="look", arguments='{"q":1}', signature="s"),),
    ),
    "a custom call": (
        {"content": None, "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "look", "input": "x"}}]},
        (ToolCall(id="c1", name="look", arguments="x", kind="custom"),),
    ),
    "an annotation": (
        {
            "content": "a",
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 1},
                }
            ],
        },
        (Text(text="a", citations=(Citation(kind="url", url="https://x", title="X", start=0, end=1),)),),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_a_provider_writes_is_read(name: str) -> None:
    message, expected = READ[name]
    assert tuple(map(plain, read({"role": "assistant"} | message).parts)) == expected


REASONS: dict[str, tuple[dict[str, Any], Finish]] = {
    "stop": ({}, "stop"),
    "stop after a call": ({"message": {"content": None, "tool_calls": [WIRE_CALL]}}, "tool_calls"),
    "function_call": ({"finish_reason": "function_call"}, "tool_calls"),
    "model_length": ({"finish_reason": "model_length"}, "length"),
    "vLLM's stop": ({"stop_reason": "END"}, "stop_sequence"),
    "sensitive": ({"finish_reason": "sensitive"}, "content_filter"),
    "an unknown word": ({"finish_reason": "tired"}, "other"),
}


@pytest.mark.parametrize("name", REASONS)
def test_every_reason_has_our_word(name: str) -> None:
    choice, finish = REASONS[name]
    assert read(**({"message": {"content": "a"}} | choice)).finish == finish


NO_REPLIES = (
    b"",
    b"[]",
    b"{}",
    b'{"choices":{}}',
    b'{"choices":[1]}',
    b'{"choices":[{}]}',
    b'{"choices":[{"message":{"content":1}}]}',
    b'{"choices":[{"message":{"tool_calls":[1]}}]}',
    b"\xff",
    b"[" * 100_000,
)


@pytest.mark.parametrize("body", NO_REPLIES, ids=lambda body: repr(body[:40]))
def test_what_is_no_reply_is_the_provider_s_fault(body: bytes) -> None:
    with pytest.raises(BadUpstreamReply):
        parse_reply(body)


def test_an_error_with_a_good_status_is_told() -> None:
    with pytest.raises(BadUpstreamReply, match="Provider returned error"):
        parse_reply(b'{"error":{"message":"Provider returned error","code":502}}')


def test_sealed_thoughts_come_back_through_a_caller_to_their_maker() -> None:
    message = written(answer(SIGNED, REDACTED, Text(text="a")))["choices"][0]["message"]
    again = parsed({"messages": [{"role": "user", "content": "hi"}, message]}).messages[1]
    assert again.parts[:2] == (SIGNED, REDACTED)


def test_details_of_a_provider_come_back_through_a_foreign_caller() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}]
    thought = read({"content": "a", "reasoning": "hm", "reasoning_details": details}).parts[0]
    assert isinstance(thought, Thinking)
    carried = Thinking(text=thought.text, opaque=thought.opaque, maker=thought.maker)
    message = foreign().messages[0]
    turn = type(message)(role="assistant", parts=(carried, Text(text="a")))
    body, _ = rendered(foreign(messages=(message, turn)), "reasoning_details")
    assert body["messages"][1]["reasoning_details"] == details
