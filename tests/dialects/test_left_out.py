"""Replies that leave out what can be known without it, as imitators of a dialect do: they are read all the same."""

import json
import re
from typing import Any

import pytest

from portico.dialects import unnamed
from portico.dialects.crossing import Given, Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.framing import eventstream
from portico.ir import Choice, Frame, PartStarted, Reply, ToolCall
from portico.types import Dialect

SIZES = [1, 7, 1 << 20]


def translation(dialect: Dialect, stream: bool) -> Translation:
    asked = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "sine", "parameters": {"type": "object"}}}],
        "stream": stream,
    }
    question = Question(OPERATIONS["chat"], json.dumps(asked).encode(), model="m", stream=stream)
    given = Given(request_id="r", created=1, new_id=lambda prefix: f"{prefix}1")
    return Translation(question, dialect, Target(model="m", dialect=dialect, quirks=frozenset()), given)


def heard(dialect: Dialect, sent: bytes, size: int) -> dict[str, Any]:
    """Return what a caller of Chat Completions gathers from a stream that must end well."""
    told = translation(dialect, stream=True)
    out = b"".join(told.feed(sent[at : at + size]) for at in range(0, len(sent), size)) + told.flush()
    assert told.finished, out
    chunks = [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls: dict[int, list[str]] = {}
    for call in (call for delta in deltas for call in delta.get("tool_calls", ())):
        names = calls.setdefault(call["index"], ["", "", ""])
        names[0] += call.get("id", "")
        names[1] += call["function"].get("name", "")
        names[2] += call["function"]["arguments"]
    return {
        "content": "".join(delta.get("content") or "" for delta in deltas),
        "thought": "".join(delta.get("reasoning_content") or "" for delta in deltas),
        "calls": list(calls.values()),
        "finish": [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]],
    }


def messages(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def converse(*events: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(
        eventstream.encode({":event-type": kind, ":message-type": "event"}, json.dumps(value).encode())
        for kind, value in events
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_stream_of_messages_may_leave_out_ids_indexes_and_what_is_empty(size: int) -> None:
    sent = messages(
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
        {"type": "content_block_start", "content_block": {"type": "thinking"}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "delta": {"type": "signature_delta"}},
        {"type": "content_block_stop"},
        {"type": "content_block_start", "content_block": {"type": "text"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "one"}},
        {"type": "content_block_stop"},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t1", "name": "sine"}},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": '{"x":1}'}},
        {"type": "content_block_stop"},
        {"type": "message_delta", "delta": None, "usage": {"output_tokens": 3}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )
    assert heard("messages", sent, size) == {
        "content": "one",
        "thought": "hm",
        "calls": [["t1", "sine", '{"x":1}']],
        "finish": ["tool_calls"],
    }


@pytest.mark.parametrize("size", SIZES)
def test_a_stream_of_converse_may_leave_out_the_blocks_indexes(size: int) -> None:
    sent = converse(
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"delta": {"reasoningContent": {"text": "hm"}}}),
        ("contentBlockDelta", {"delta": {"text": "one"}}),
        ("contentBlockStop", {}),
        ("contentBlockDelta", {"delta": {"text": "two"}}),
        ("contentBlockStop", {"contentBlockIndex": None}),
        ("contentBlockStart", {"start": {"toolUse": {"toolUseId": "t1", "name": "sine"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"toolUse": {"input": '{"x":1}'}}}),
        ("contentBlockStop", {"contentBlockIndex": 3}),
        ("contentBlockStart", {"start": {"toolUse": {"toolUseId": "t2", "name": "sine"}}}),
        ("contentBlockDelta", {"delta": {"toolUse": {"input": '{"x":2}'}}}),
        ("contentBlockStop", {}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}),
    )
    assert heard("converse", sent, size) == {
        "content": "onetwo",
        "thought": "hm",
        "calls": [["t1", "sine", '{"x":1}'], ["t2", "sine", '{"x":2}']],
        "finish": ["tool_calls"],
    }


def test_a_message_may_leave_out_what_is_empty() -> None:
    told = translation("messages", stream=False)
    content = [
        {"type": "thinking", "signature": "s"},
        {"type": "text", "text": None},
        {"type": "tool_use", "id": "t1", "name": "sine", "input": None},
        {"type": "tool_use", "name": "sine"},
    ]
    reply = json.loads(told.reply(json.dumps({"type": "message", "content": content}).encode()))
    calls = reply["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [{"name": "sine", "arguments": "{}"}] * 2
    assert all(call["id"] for call in calls)
    assert calls[0]["id"] == "t1"


def test_a_message_without_content_is_an_empty_answer() -> None:
    told = translation("messages", stream=False)
    reply = json.loads(told.reply(b'{"type":"message","content":null,"stop_reason":"end_turn"}'))
    assert reply["choices"][0]["message"]["content"] in (None, "")
    assert reply["choices"][0]["finish_reason"] == "stop"


FUNCTIONS = [{"name": "sine", "arguments": '{"x":1}'}, {"name": "sine", "arguments": '{"x":2}'}]
NAMELESS = [{"index": at, "type": "function", "function": each} for at, each in enumerate(FUNCTIONS)]
CALLERS: dict[str, dict[str, Any]] = {
    "responses": {"model": "m", "input": "hi"},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "generate_content": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    "converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
    "cohere_chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
}
STREAMED = {"generate_content": "stream_generate_content", "converse": "converse_stream"}


@pytest.mark.parametrize("missing", [{}, {"id": ""}, {"id": None}], ids=["none", "empty", "null"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("caller", CALLERS)
def test_calls_without_ids_get_ids_that_tell_them_apart(caller: str, stream: bool, missing: dict[str, Any]) -> None:
    operation = OPERATIONS[STREAMED.get(caller, caller) if stream else caller]
    asked = {**CALLERS[caller], "stream": stream} if "model" in CALLERS[caller] else CALLERS[caller]
    question = Question(operation, json.dumps(asked).encode(), model="m", stream=stream)
    made = iter(range(1, 99))
    given = Given(request_id="r", created=1, new_id=lambda prefix: f"{prefix}made{next(made)}")
    told = Translation(question, "chat", Target(model="m", dialect="chat", quirks=frozenset()), given)
    calls = [{**call, **missing} for call in NAMELESS]
    if stream:
        deltas = [{"tool_calls": [call]} for call in calls]
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        sent = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
        out = told.feed(sent) + told.flush()
        assert told.finished
    else:
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        out = told.reply(json.dumps({"choices": [choice]}).encode())
    assert len(set(re.findall(rb"call_made\d+", out))) == 2, out


def test_ids_that_came_stay_as_they_are() -> None:
    reply = Reply(dialect="chat", choices=(Choice(parts=(ToolCall(id="a", name="sine", arguments="{}"),)),))
    frame = Frame(dialect="chat", events=(PartStarted(index=0, part=ToolCall(id="a", name="sine", arguments="")),))
    given = Given(request_id="r", created=1, new_id=lambda prefix: prefix)
    assert unnamed.told(reply, given) is reply
    assert unnamed.heard(frame, given) is frame
