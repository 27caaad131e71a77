"""What answers come to in short, in every dialect: the same whether whole or streamed, for the same question."""

import asyncio
import http.client
import json
from typing import Any

import pytest

from portico.dialects.gist import Gist, gist
from portico.dialects.operations import OPERATIONS
from portico.errors import BadUpstreamReply
from portico.testing.mock import MockProvider

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"name": "look", "parameters": SCHEMA}
CHAT_TOOLS = [{"type": "function", "function": FUNCTION}]


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


CASES: dict[str, tuple[str, str, str, Any]] = {
    "chat": (
        "/v1/chat/completions",
        "/v1/chat/completions",
        "chat",
        lambda t: {"messages": said(t), "tools": CHAT_TOOLS},
    ),
    "responses": (
        "/v1/responses",
        "/v1/responses",
        "responses",
        lambda t: {"input": t, "tools": [{"type": "function", **FUNCTION}]},
    ),
    "messages": (
        "/v1/messages",
        "/v1/messages",
        "messages",
        lambda t: {"max_tokens": 99, "messages": said(t), "tools": [{"name": "look", "input_schema": SCHEMA}]},
    ),
    "gemini": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        "stream_generate_content",
        lambda t: {
            "contents": [{"role": "user", "parts": [{"text": t}]}],
            "tools": [{"functionDeclarations": [FUNCTION]}],
        },
    ),
    "gemini, an array": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent",
        "stream_generate_content",
        lambda t: {
            "contents": [{"role": "user", "parts": [{"text": t}]}],
            "tools": [{"functionDeclarations": [FUNCTION]}],
        },
    ),
    "converse": (
        "/model/m/converse",
        "/model/m/converse-stream",
        "converse_stream",
        lambda t: {
            "messages": [{"role": "user", "content": [{"text": t}]}],
            "toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": SCHEMA}}}]},
        },
    ),
    "cohere": ("/v2/chat", "/v2/chat", "cohere_chat", lambda t: {"messages": said(t), "tools": CHAT_TOOLS}),
}


def fetched(mock: MockProvider, path: str, body: dict[str, Any]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", mock.port, timeout=20)
    connection.request("POST", path, json.dumps({"model": "m", **body}), {"content-type": "application/json"})
    reply = connection.getresponse()
    found = reply.read()
    connection.close()
    assert reply.status == 200, found
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("prompt", ["[mock tokens=30] Hello", "[mock calls=2] Hello"], ids=["text", "tools"])
async def test_an_answer_comes_to_the_same_whole_or_streamed(mock: MockProvider, name: str, prompt: str) -> None:
    whole, streamed, operation, make = CASES[name]
    loop = asyncio.get_running_loop()
    stream = {} if whole != streamed else {"stream": True}
    found: list[Gist] = []
    for path, more in ((whole, {}), (streamed, stream)):
        reply = await loop.run_in_executor(None, fetched, mock, path, {**make(prompt), **more})
        found.append(gist(OPERATIONS[operation], reply, stream=len(found) == 1))
    assert found[0] == found[1]
    if "calls" in prompt:
        assert found[0].finish == "tool_calls"
        assert [called for called, _ in found[0].calls] == ["look", "look"]
        assert all(list(arguments) == ["a"] for _, arguments in found[0].calls)
    else:
        assert found[0].finish == "stop"
        assert found[0].characters > 60
        assert found[0].calls == ()


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": {"message": "no"}}'])
def test_what_is_no_answer_comes_to_nothing(body: bytes) -> None:
    with pytest.raises(BadUpstreamReply):
        gist(OPERATIONS["chat"], body, stream=False)


def test_arguments_that_are_written_otherwise_are_the_same() -> None:
    def reply(arguments: str) -> bytes:
        call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": arguments}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).encode()

    one, other, third = (
        gist(OPERATIONS["chat"], reply(text), stream=False)
        for text in ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', '{"a": 2, "b": [2]}')
    )
    assert one.calls == other.calls
    assert one.calls != third.calls


def test_of_several_answers_the_first_counts() -> None:
    choices = [
        {"index": number, "message": {"role": "assistant", "content": "x" * (number + 3)}, "finish_reason": "stop"}
        for number in range(3)
    ]
    assert gist(OPERATIONS["chat"], json.dumps({"choices": choices}).encode(), stream=False).characters == 3
