"""Answers of other APIs as whole responses, held to the types of OpenAI's SDK; and replies that are none."""

import json
from typing import Any

import pytest
from tests.dialects.responses.world import ASKED, given, parsed, told

from portico.dialects.responses import parse_reply, read_usage, render_reply
from portico.errors import BadUpstreamReply
from portico.ir import (
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


def answered(*parts: Part, finish: Finish = "stop", **more: Any) -> Reply:
    return Reply(
        dialect="messages", id="msg_theirs", model="claude", choices=(Choice(parts=parts, finish=finish),), **more
    )


def wire(reply: Reply, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = ASKED if body is None else parsed(body)
    written = render_reply(reply, request, given())
    told(written)
    value: dict[str, Any] = json.loads(written)
    return value


PARTS: dict[str, tuple[tuple[Part, ...], list[dict[str, Any]]]] = {
    "texts that follow one another are one message": (
        (Text("a"), Text(""), Text("b", (Citation(kind="url", url="https://x"),))),
        [
            {
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
                    {
                        "type": "output_text",
                        "text": "b",
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url": "https://x",
                                "title": "https://x",
                                "start_index": 0,
                                "end_index": 1,
                            }
                        ],
                        "logprobs": [],
                    },
                ],
            }
        ],
    ),
    "a refusal": (
        (Refusal("No."),),
        [
            {
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "refusal", "refusal": "No."}],
            }
        ],
    ),
    "a citation of a document": (
        (Text("It rains", (Citation(kind="page", document=1, title="Weather", cited="rain"),)),),
        [
            {
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {
                        "type": "output_text",
                        "text": "It rains",
                        "annotations": [
                            {
                                "type": "file_citation",
                                "file_id": "document_1",
                                "filename": "Weather",
                                "index": 8,
                                "quote": "rain",
                            }
                        ],
                        "logprobs": [],
                    }
                ],
            }
        ],
    ),
    "parallel calls": (
        (ToolCall("t1", "f", '{"a":1}'), ToolCall("t2", "g", "")),
        [
            {"type": "function_call", "status": "completed", "call_id": "t1", "name": "f", "arguments": '{"a":1}'},
            {"type": "function_call", "status": "completed", "call_id": "t2", "name": "g", "arguments": "{}"},
        ],
    ),
    "a custom call": (
        (ToolCall("t1", "sh", "ls", "custom"),),
        [{"type": "custom_tool_call", "status": "completed", "call_id": "t1", "name": "sh", "input": "ls"}],
    ),
    "an image": (
        (Image(Source(data="AAAA", media_type="image/jpeg")),),
        [{"type": "image_generation_call", "status": "completed", "output_format": "jpeg", "result": "AAAA"}],
    ),
    "a search": (
        (ToolCall("s", "web_search", '{"query":"rain"}', "server", "web_search"),),
        [{"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "rain"}}],
    ),
    "code, with what it printed": (
        (
            ToolCall("s", "code_execution", '{"code":"1+1"}', "server", "code_execution"),
            ToolResult("s", parts=(Text("2"),), server=True),
        ),
        [
            {
                "type": "code_interpreter_call",
                "status": "completed",
                "code": "1+1",
                "container_id": "",
                "outputs": [{"type": "logs", "logs": "2"}],
            }
        ],
    ),
    "another tool that ran elsewhere": (
        (
            ToolCall("s", "fetch", '{"url":"https://x"}', "server", "web_fetch"),
            ToolResult("s", data={"status": 200}, server=True),
        ),
        [
            {
                "type": "mcp_call",
                "status": "completed",
                "server_label": "web_fetch",
                "name": "fetch",
                "arguments": '{"url":"https://x"}',
                "output": '{"status":200}',
                "error": None,
            }
        ],
    ),
}


@pytest.mark.parametrize(("parts", "items"), PARTS.values(), ids=PARTS.keys())
def test_parts_become_items(parts: tuple[Part, ...], items: list[dict[str, Any]]) -> None:
    output = wire(answered(*parts))["output"]
    ids = [item.pop("id") for item in output]
    assert output == items
    assert len(set(ids)) == len(ids)


ENDS: dict[Finish, tuple[str, Any]] = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "stop_sequence": ("completed", None),
    "pause": ("completed", None),
    "length": ("incomplete", {"reason": "max_output_tokens"}),
    "content_filter": ("incomplete", {"reason": "content_filter"}),
    "refusal": ("incomplete", {"reason": "content_filter"}),
    "error": ("failed", None),
}


@pytest.mark.parametrize(("finish", "expected"), ENDS.items(), ids=ENDS.keys())
def test_how_it_ended_is_its_status(finish: Finish, expected: tuple[str, Any]) -> None:
    said = wire(answered(Text("a"), finish=finish))
    assert (said["status"], said["incomplete_details"]) == expected


def test_a_refusal_in_words_is_complete() -> None:
    assert wire(answered(Refusal("No."), finish="refusal"))["status"] == "completed"


def test_the_request_is_repeated_and_no_foreign_id_is_told() -> None:
    body = {
        "input": "hi",
        "instructions": "Be brief",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}],
        "tool_choice": "required",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"},
        "max_output_tokens": 100,
        "metadata": {"a": "b"},
        "temperature": 0,
        "truncation": "auto",
    }
    said = wire(answered(Text("a"), created=5), body)
    assert said["id"].startswith("resp_")
    assert "msg_theirs" not in json.dumps(said)
    assert said["instructions"] == "Be brief"
    assert said["tools"][0]["name"] == "f"
    assert said["tools"][0]["strict"] is True
    assert said["tool_choice"] == "required"
    assert said["text"]["format"]["schema"] == {"type": "object"}
    assert said["reasoning"] == {"effort": "low", "summary": None}
    assert (said["max_output_tokens"], said["temperature"], said["truncation"]) == (100, 0, "auto")
    assert (said["model"], said["created_at"], said["metadata"]) == ("claude", 5, {"a": "b"})


def test_usage_is_told_in_totals_that_are_read_back() -> None:
    used = Usage(input=10, cache_read=5, cache_write_5m=3, input_audio=2, output=7, reasoning=4, output_image=1)
    body = render_reply(answered(Text("a"), usage=used), ASKED, given())
    said = json.loads(body)["usage"]
    assert (said["input_tokens"], said["output_tokens"], said["total_tokens"]) == (20, 12, 32)
    assert read_usage(body) == used


def test_log_probabilities_stand_with_the_text() -> None:
    token = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    reply = Reply(dialect="chat", choices=(Choice(parts=(Text("a"),), finish="stop", logprobs={"content": [token]}),))
    said = wire(reply)
    assert said["output"][0]["content"][0]["logprobs"] == [token]
    assert parse_reply(json.dumps(said).encode()).choices[0].logprobs == {"content": [token]}


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("so it is", "sig", "messages"),
        Thinking("", "gone", "messages", redacted=True),
        Thinking("so", None, "chat"),
        Thinking("", "blob", "gemini"),
    ],
    ids=lambda thought: f"{thought.maker} {thought.text}",
)
def test_a_thought_survives_a_client_of_this_dialect(thought: Thinking) -> None:
    call = ToolCall("c1", "f", "{}", signature="signed")
    output = wire(answered(thought, call, finish="tool_calls"))["output"]
    request = parsed({"input": [*output, {"type": "function_call_output", "call_id": "c1", "output": "x"}]})
    again, called = request.messages[0].parts
    assert again == thought
    assert isinstance(called, ToolCall)
    assert (called.id, called.signature) == ("c1", "signed")


def test_an_answer_that_is_not_there_is_an_empty_output() -> None:
    assert wire(Reply(dialect="gemini"))["output"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b'{"output":1}', b"\xff", b"[" * 100_000])
def test_what_is_no_response_is_a_bad_reply(body: bytes) -> None:
    with pytest.raises(BadUpstreamReply):
        parse_reply(body)


def test_an_odd_item_is_kept_as_it_is() -> None:
    body = {
        "id": "resp_1",
        "output": [
            7,
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}, 7]},
            {"type": "new_call", "id": "n"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        ],
    }
    reply = parse_reply(json.dumps(body).encode())
    assert json.loads(render_reply(reply, ASKED, given())) == body
    assert [part.text for part in reply.choices[0].parts if isinstance(part, Text)] == ["b"]


def test_a_generated_image_is_an_image() -> None:
    body = {"output": [{"type": "image_generation_call", "id": "ig", "result": "AAAA", "output_format": "webp"}]}
    part = parse_reply(json.dumps(body).encode()).choices[0].parts[0]
    assert isinstance(part, Image)
    assert part.source == Source(data="AAAA", media_type="image/webp")


READ: dict[str, tuple[dict[str, Any], Finish | None]] = {
    "complete": ({"status": "completed"}, "stop"),
    "without a status": ({}, "stop"),
    "too long": ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
    "filtered": ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
    "broken off": ({"status": "incomplete", "incomplete_details": None}, "other"),
    "failed": ({"status": "failed", "error": {"code": "server_error", "message": "x"}}, "error"),
    "not yet": ({"status": "queued"}, None),
}


@pytest.mark.parametrize(("members", "finish"), READ.values(), ids=READ.keys())
def test_a_status_is_how_it_ended(members: dict[str, Any], finish: Finish | None) -> None:
    assert parse_reply(json.dumps({"output": [], **members}).encode()).choices[0].finish == finish


@pytest.mark.parametrize(
    ("tier", "said"), [("standard", "default"), ("priority", "priority"), ("batch", "auto"), (None, "auto")]
)
def test_a_tier_is_told_in_words_that_the_api_has(tier: str | None, said: str) -> None:
    assert wire(answered(Text("a"), service_tier=tier))["service_tier"] == said
