"""Every recorded chat, read and written in its own dialect, is what it was."""

import json

import pytest
from tests.dialects.cohere.given import again, decoded, encoded, events_of, foreign, given, recorded
from tests.framing.recordings import SIZES, body_of, chunks, recorded_chunks

from portico.dialects.cohere import parse_reply, read_usage, render_reply
from portico.ir import Ended


def test_every_recorded_request_is_written_as_it_came():
    bodies = [record["request"]["body"] for record in recorded() if record["request"].get("body")]
    for body in bodies:
        assert again(body) == body
    assert len(bodies) > 80


def test_every_recorded_reply_is_written_as_it_came():
    seen = 0
    for record in recorded(streaming=False):
        if record["response"]["status"] != 200:
            continue
        body = body_of(record)
        reply = parse_reply(body)
        assert json.loads(render_reply(reply, foreign(), given())) == json.loads(body), record["id"]
        assert reply.usage == read_usage(body), record["id"]
        seen += 1
    assert seen > 60


@pytest.mark.parametrize("size", [*SIZES, "recorded"])
def test_every_recorded_stream_is_written_as_it_came(size):
    seen = 0
    for record in recorded(streaming=True):
        body = body_of(record)
        frames = decoded(recorded_chunks(record) if size == "recorded" else chunks(body, size))
        assert events_of(encoded(frames)) == events_of(body), record["id"]
        assert any(isinstance(event, Ended) for frame in frames for event in frame.events), record["id"]
        seen += 1
    assert seen > 20


USER = {"role": "user", "content": "hi"}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SPELLINGS = [
    {"model": "m", "messages": []},
    {"model": "m", "messages": [USER], "stream": False, "tools": [], "documents": [], "stop_sequences": []},
    {"model": "m", "messages": [USER], "stream": True, "temperature": None, "tools": None, "thinking": None},
    {"model": "m", "messages": [USER], "documents": ["a", {"data": {"x": 1}}, {"id": "d", "data": "b"}, {"id": "e"}]},
    {"model": "m", "messages": [{"role": "User", "content": []}, {"role": "assistant", "content": None}]},
    {
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "a", "odd": 1}]},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low", "odd": 1}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;charset=x;base64,aaaa"}},
                    {"type": "image_url", "image_url": "https://a/b.png"},
                    {"type": "brand_new", "x": 1},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}],
                "citations": [{"start": 0, "end": 2, "text": "so", "sources": [{"type": "document", "id": "doc:0"}]}],
                "tool_plan": "I will.",
                "tool_calls": [
                    CALL,
                    {"id": "2", "type": "function", "function": {"name": "f", "arguments": ""}},
                    {"id": "3", "type": "function", "function": {"name": "f"}},
                    {"type": "function", "function": {"name": "f", "arguments": None}, "odd": 1},
                    {"id": "5", "function": {"name": "f", "arguments": "{not json"}},
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": "x"},
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "x"}]},
            {
                "role": "tool",
                "tool_call_id": "3",
                "content": [
                    {"type": "document", "document": {"data": {"a": 1}, "id": "d"}},
                    {"type": "document", "document": {"data": "words"}, "odd": 1},
                ],
            },
            {"role": "tool", "tool_call_id": "4", "content": [{"type": "document", "document": {"data": {"a": 1}}}]},
            {
                "role": "tool",
                "tool_call_id": "5",
                "content": [{"type": "document", "document": {"data": {"error": "x"}}}],
            },
        ],
    },
    {
        "model": "m",
        "messages": [USER],
        "tools": [{"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}],
        "strict_tools": True,
        "tool_choice": "required",
        "citation_options": {"mode": "FAST"},
        "response_format": {"type": "json_object", "schema": {"type": "object"}},
        "thinking": {"type": "enabled", "token_budget": 100, "odd": 1},
        "safety_mode": "STRICT",
        "k": 3,
        "p": 0.5,
        "seed": 7,
        "logprobs": True,
        "priority": 1,
        "stop_sequences": ["a"],
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "max_tokens": 3,
    },
    {"model": "m", "messages": [USER], "response_format": {"type": "json_object"}, "thinking": {"type": "disabled"}},
    {"model": "m", "messages": [USER], "response_format": {"type": "text"}, "tool_choice": "NONE"},
    {"model": "m", "messages": [USER], "response_format": {"type": "brand_new"}, "tool_choice": "brand_new"},
]


@pytest.mark.parametrize("body", SPELLINGS, ids=range(len(SPELLINGS)))
def test_a_request_is_written_as_it_was_spelled(body):
    assert again(body) == body


REPLIES = [
    {"message": {}},
    {"id": "1", "message": {"role": "assistant", "content": None}, "finish_reason": "TIMEOUT", "odd": 1},
    {"message": {"role": "assistant", "content": "plain", "tool_calls": []}, "finish_reason": "BRAND_NEW"},
    {"message": {"role": "assistant", "content": [{"type": "odd"}], "citations": [{"type": "PLAN"}]}, "usage": None},
    {"message": {"role": "assistant", "tool_plan": "I", "tool_calls": [CALL]}, "logprobs": [{"text": "I"}]},
]


@pytest.mark.parametrize("body", REPLIES, ids=range(len(REPLIES)))
def test_a_reply_is_written_as_it_was_spelled(body):
    assert json.loads(render_reply(parse_reply(json.dumps(body).encode()), foreign(), given())) == body
