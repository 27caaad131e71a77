"""A call of one dialect at a provider of another: which operation serves it, its stream's end, its errors."""

import itertools
import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from portico.dialects.crossing import Given, Target
from portico.dialects.errors import render_error
from portico.dialects.operations import OPERATIONS
from portico.dialects.stand_ins import PREFERENCE, upstream_operation
from portico.dialects.translate import LANGUAGES, Question, Translation
from portico.errors import ConnectionLost, InvalidRequest
from portico.framing import eventstream

HI: dict[str, Any] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "completions": {"model": "m", "prompt": "Hi"},
    "responses": {"model": "m", "input": "Hi"},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    "stream_generate_content": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    "converse_stream": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    "cohere_chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
}
MESSAGES_STREAM = b"".join(
    b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())  # type: ignore[attr-defined]
    for event in (
        {
            "type": "message_start",
            "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
)
BEGUN = MESSAGES_STREAM[: MESSAGES_STREAM.index(b"event: content_block_stop")]


def given() -> Given:
    numbers = itertools.count(1)
    return Given(request_id="req_1", created=1_700_000_000, new_id=lambda prefix: f"{prefix}{next(numbers)}")


def ask(operation: str, *, stream: bool = True, array: bool = False, **more: Any) -> Question:
    body = json.dumps(HI[operation] | more).encode()
    return Question(OPERATIONS[operation], body, model="m", stream=stream, array=array)


def put(question: Question, upstream: str, *, strict: bool = False) -> Translation:
    dialect = OPERATIONS[upstream].dialect
    return Translation(question, upstream, Target(model="t", dialect=dialect), given(), strict=strict)


@pytest.mark.parametrize(
    ("operation", "offered", "stream", "expected"),
    [
        ("chat", ["responses", "chat"], True, "chat"),
        ("chat", ["responses", "messages"], True, "responses"),
        ("chat", ["generate_content", "stream_generate_content"], True, "stream_generate_content"),
        ("chat", ["generate_content", "stream_generate_content"], False, "generate_content"),
        ("chat", ["converse"], True, None),
        ("stream_generate_content", ["chat"], True, "chat"),
        ("completions", ["chat", "responses"], False, "chat"),
        ("completions", ["completions", "chat"], False, "completions"),
        ("messages", ["chat", "converse", "converse_stream"], True, "converse_stream"),
        ("responses", ["cohere_chat"], False, "cohere_chat"),
        ("cohere_chat", ["chat", "messages"], False, "messages"),
        ("embeddings", ["chat"], False, None),
        ("embeddings", ["embeddings"], False, "embeddings"),
        ("converse", ["embeddings", "completions", "invoke"], False, None),
    ],
)
def test_a_call_goes_to_the_operation_that_keeps_most(
    operation: str, offered: list[str], stream: bool, expected: str | None
) -> None:
    assert upstream_operation(operation, offered, stream=stream) == expected


def test_every_dialect_is_served_by_every_other() -> None:
    assert all(set(order) == LANGUAGES.keys() - {own} for own, order in PREFERENCE.items())


def test_one_question_is_put_to_several_targets() -> None:
    question = ask("messages", stream=False)
    bodies = [json.loads(put(question, name).body) for name in ("chat", "responses", "cohere_chat", "messages")]
    assert [body["model"] for body in bodies] == ["t"] * 4
    assert question.request.model == "m"


def test_what_cannot_be_said_is_named_and_refused_where_strict() -> None:
    question = ask("chat", seed=7)
    assert put(question, "messages").dropped == ["seed"]
    with pytest.raises(InvalidRequest, match="a seed") as refused:
        put(question, "messages", strict=True)
    assert refused.value.param == "seed"


@pytest.mark.parametrize("name", ["chat", "messages", "generate_content"])
def test_a_request_that_cannot_be_read_is_refused_wherever_it_is_put(name: str) -> None:
    question = Question(OPERATIONS["messages"], b'{"messages": 1}', model="m", stream=False)
    with pytest.raises(InvalidRequest, match="messages"):
        put(question, name)


def test_context_that_another_keeps_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="previous_response_id"):
        put(ask("responses", previous_response_id="resp_1"), "messages")


ENDS = {
    "chat": b"data: [DONE]\n\n",
    "completions": b"data: [DONE]\n\n",
    "responses": b"response.completed",
    "messages": b'data: {"type":"message_stop"}\n\n',
    "stream_generate_content": b'"finishReason":"STOP"',
    "converse_stream": b"messageStop",
    "cohere_chat": b"message-end",
}


@pytest.mark.parametrize("operation", ENDS)
@pytest.mark.parametrize("size", [10_000, 7, 1])
def test_a_stream_ends_once_and_as_its_caller_knows_it(operation: str, size: int) -> None:
    translation = put(ask(operation), "messages")
    pieces = [MESSAGES_STREAM[at : at + size] for at in range(0, len(MESSAGES_STREAM), size)]
    out = b"".join(map(translation.feed, pieces))
    assert translation.finished
    assert translation.flush() == b""
    assert translation.fail(ConnectionLost("late")) == b""
    assert b"Hello" in out
    assert out.count(ENDS[operation]) >= 1
    assert translation.usage is not None
    assert (translation.usage.input_total, translation.usage.output_total) == (3, 2)


@pytest.mark.parametrize("operation", ENDS)
def test_a_stream_that_was_cut_is_not_ended_but_fails(operation: str) -> None:
    translation = put(ask(operation), "messages")
    out = translation.feed(BEGUN) + translation.flush()
    assert not translation.finished
    assert b"Hello" in out
    assert ENDS[operation] not in out
    told = translation.fail(ConnectionLost("the provider hung up"))
    assert b"the provider hung up" in told
    assert translation.fail(ConnectionLost("again")) == translation.feed(b"x") == translation.flush() == b""


@pytest.mark.parametrize("operation", ENDS)
def test_an_error_in_a_stream_is_told_in_the_callers_grammar(operation: str) -> None:
    translation = put(ask(operation), "messages")
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    out = translation.feed(BEGUN + error) + translation.flush()
    assert b"Overloaded" in out
    assert not translation.finished
    assert translation.failed is not None
    assert translation.fail(ConnectionLost("again")) == b""


def test_a_stream_that_cannot_be_read_fails_and_does_not_raise() -> None:
    translation = put(ask("responses"), "messages")
    out = translation.feed(b"event: message_start\ndata: {not json}\n\n")
    assert b"event: error\n" in out
    assert translation.failed is not None
    assert not translation.finished


@pytest.mark.parametrize("size", [10_000, 7, 1])
def test_a_stream_without_sse_is_an_array_for_gemini(size: int) -> None:
    translation = put(ask("stream_generate_content", array=True), "messages")
    pieces = [MESSAGES_STREAM[at : at + size] for at in range(0, len(MESSAGES_STREAM), size)]
    elements = json.loads(b"".join(map(translation.feed, pieces)) + translation.flush())
    texts = [part["text"] for each in elements for part in each["candidates"][0]["content"]["parts"]]
    assert "".join(texts) == "Hello"
    assert elements[-1]["usageMetadata"]["totalTokenCount"] == 5
    assert translation.stream_type == b"application/json"


def test_an_array_that_was_cut_holds_its_error() -> None:
    translation = put(ask("stream_generate_content", array=True), "messages")
    out = translation.feed(BEGUN) + translation.fail(ConnectionLost("the provider hung up"))
    assert json.loads(out)[-1]["error"]["message"] == "the provider hung up"


def test_bedrocks_callers_get_messages_with_their_checksums() -> None:
    translation = put(ask("converse_stream"), "messages")
    buffer = EventStreamBuffer()
    buffer.add_data(translation.feed(MESSAGES_STREAM))
    names = [message.headers[":event-type"] for message in buffer]
    assert names[0] == "messageStart"
    assert names[-2:] == ["messageStop", "metadata"]
    assert translation.stream_type == b"application/vnd.amazon.eventstream"


SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"a": {}}}}}


def converse_stream(events: list[tuple[str, dict[str, Any]]]) -> bytes:
    return b"".join(
        eventstream.encode({":event-type": name, ":message-type": "event"}, json.dumps(value).encode())
        for name, value in events
    )


def test_an_answer_by_a_schema_that_came_as_a_tools_arguments_is_text_again() -> None:
    question = ask("chat", stream=False, response_format=SCHEMA)
    translation = Translation(question, "converse", Target(model="amazon.nova-pro-v1:0", dialect="converse"), given())
    tools = json.loads(translation.body)["toolConfig"]["tools"]
    name = tools[0]["toolSpec"]["name"]
    use = {"toolUse": {"toolUseId": "t1", "name": name, "input": {"a": 1}}}
    reply = {"output": {"message": {"role": "assistant", "content": [use]}}, "stopReason": "tool_use"}
    choice = json.loads(translation.reply(json.dumps(reply).encode()))["choices"][0]
    assert json.loads(choice["message"]["content"]) == {"a": 1}
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("size", [10_000, 7, 1])
def test_an_answer_by_a_schema_is_text_again_in_a_stream(size: int) -> None:
    question = ask("chat", response_format=SCHEMA)
    target = Target(model="amazon.nova-pro-v1:0", dialect="converse")
    translation = Translation(question, "converse_stream", target, given())
    name = json.loads(translation.body)["toolConfig"]["tools"][0]["toolSpec"]["name"]
    stream = converse_stream(
        [
            ("messageStart", {"role": "assistant"}),
            ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": name}}}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"a":'}}}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "1}"}}}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("messageStop", {"stopReason": "tool_use"}),
            ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}),
        ]
    )
    out = b"".join(translation.feed(stream[at : at + size]) for at in range(0, len(stream), size))
    chunks = [json.loads(line[6:]) for line in out.decode().splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert json.loads("".join(delta.get("content") or "" for delta in deltas)) == {"a": 1}
    assert not any("tool_calls" in delta for delta in deltas)
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][-1] == "stop"


ERRORS = [
    # provider's operation, its status and body; caller's operation, the status that its SDK knows
    ("messages", 529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "chat", 503),
    (
        "messages",
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        "messages",
        529,
    ),
    ("chat", 503, {"error": {"message": "Overloaded", "code": "busy"}}, "messages", 529),
    ("chat", 429, {"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}, "messages", 429),
    ("converse", 408, {"message": "The model took too long"}, "chat", 504),
    ("converse", 424, {"message": "The model failed"}, "responses", 502),
    ("cohere_chat", 498, {"message": "Blocked"}, "chat", 400),
    ("generate_content", 404, {"error": {"code": 404, "message": "No model", "status": "NOT_FOUND"}}, "chat", 404),
    (
        "generate_content",
        400,
        {"error": {"code": 400, "message": "API key not valid", "details": [{"reason": "API_KEY_INVALID"}]}},
        "chat",
        401,
    ),
    ("chat", 422, {"detail": [{"msg": "no", "loc": ["a"]}]}, "converse_stream", 400),
    ("chat", 302, {}, "chat", 502),
]


@pytest.mark.parametrize(("upstream", "status", "body", "operation", "expected"), ERRORS)
def test_an_error_has_the_status_that_the_callers_sdk_knows(
    upstream: str, status: int, body: dict[str, Any], operation: str, expected: int
) -> None:
    translation = put(ask(operation, stream=False), upstream)
    error = translation.error(status, [(b"retry-after", b"7")], json.dumps(body, separators=(",", ":")).encode())
    told, headers, _ = render_error(OPERATIONS[operation].dialect, error, error.request_id or "req_1")
    assert told == expected
    assert dict(headers)[b"retry-after"] == b"7"


def test_an_error_keeps_what_its_provider_said() -> None:
    translation = put(ask("chat"), "messages")
    body = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "max_tokens: too large"},
        "request_id": "req_theirs",
    }
    error = translation.error(400, [(b"retry-after-ms", b"1500")], json.dumps(body).encode())
    assert (error.message, error.code, error.request_id) == (
        "max_tokens: too large",
        "invalid_request_error",
        "req_theirs",
    )
    assert error.retry_after == 1.5
    status, _, told = render_error("chat", error, "")
    assert status == 400
    assert json.loads(told)["error"]["message"] == "max_tokens: too large"


def test_an_error_without_json_is_told_by_its_text() -> None:
    assert (
        put(ask("chat"), "messages").error(502, [], b"<html>Bad gateway</html>").message == "<html>Bad gateway</html>"
    )
