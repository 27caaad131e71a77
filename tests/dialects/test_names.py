"""Names of tools that a provider would refuse: other ones there, the caller's own in the reply."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.names import renamed
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question
from portico.types import Dialect

LONG = "mcp__a_server_with_a_long_name__and_a_tool_whose_name_says_all_that_it_does"
NAMES = ["files.read:all", LONG, LONG + "_2", "größe", "7 up", "."]
SIZES: dict[Dialect, int] = {"chat": 64, "responses": 64, "messages": 128, "gemini": 64, "converse": 64, "cohere": 64}


@pytest.mark.parametrize("provider", pairs.DIALECTS)
@pytest.mark.parametrize("name", [*NAMES, "plain_name-1"])
def test_a_name_becomes_one_that_the_provider_takes_and_always_the_same(name: str, provider: Dialect) -> None:
    told = renamed(name, provider)
    assert len(told) <= SIZES[provider]
    assert told == renamed(name, provider) == renamed(told, provider)
    assert provider == "gemini" or told.replace("-", "_").replace("_", "a").isalnum()
    assert told.isascii()
    assert told[0] not in "-.:" or told == name


def test_names_that_are_legal_stay() -> None:
    assert renamed("files.read:all", "gemini") == "files.read:all"
    assert renamed(LONG, "messages") == LONG
    assert renamed("get_weather-2", "chat") == "get_weather-2"


def test_two_long_names_that_begin_alike_stay_two() -> None:
    assert renamed(LONG, "chat") != renamed(LONG + "_2", "chat")


def asked(dialect: Dialect, name: str, *, stream: bool = False) -> Question:
    """Ask for a tool that was called before, and that is to be called again."""
    if dialect == "gemini":
        tool: dict[str, Any] = {"functionDeclarations": [{"name": name}, {"name": "other"}]}
        body: dict[str, Any] = {
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"functionCall": {"name": name, "args": {}, "id": "c1"}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"a": 1}, "id": "c1"}}]},
            ],
            "tools": [tool],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [name]}},
        }
    else:
        body = {
            "model": "m",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": name, "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "1"}]},
            ],
            "tools": [{"name": each, "input_schema": {"type": "object"}} for each in (name, "other")],
            "tool_choice": {"type": "tool", "name": name},
        }
    operation = OPERATIONS[pairs.OPERATION[dialect][stream]]
    return Question(operation, json.dumps(body).encode(), model="m", stream=stream)


@pytest.mark.parametrize("provider", ["chat", "responses", "converse", "cohere"])
@pytest.mark.parametrize(("caller", "name"), [("gemini", "files.read:all"), ("messages", LONG)])
def test_a_tool_is_spoken_of_by_the_providers_name(caller: Dialect, name: str, provider: Dialect) -> None:
    body = pairs.put(asked(caller, name), provider).body.decode()
    assert name not in body
    # It is declared, it was called, and it is to be called; Cohere's choice is made by what is declared.
    assert body.count(renamed(name, provider)) == (2 if provider == "cohere" else 3)
    assert '"other"' in body or provider == "cohere"


def completion(name: str) -> dict[str, Any]:
    call = {"index": 0, "id": "c2", "type": "function", "function": {"name": name, "arguments": "{}"}}
    other = {"index": 1, "id": "c3", "type": "function", "function": {"name": "other", "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call, other]}


@pytest.mark.parametrize("caller", ["gemini", "messages"])
def test_the_caller_is_told_of_its_own_name(caller: Dialect) -> None:
    name = {"gemini": "files.read:all", "messages": LONG}[caller]
    message = completion(renamed(name, "chat"))
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    reply = pairs.put(asked(caller, name), "chat").reply(json.dumps(whole).encode()).decode()
    assert json.dumps(name) in reply
    assert '"other"' in reply
    assert renamed(name, "chat") not in reply
    chunk = {"choices": [{"index": 0, "delta": message, "finish_reason": "tool_calls"}]}
    stream = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk).encode()
    for size in (1, 7, len(stream)):
        translation = pairs.put(asked(caller, name, stream=True), "chat")
        out = b"".join(translation.feed(stream[at : at + size]) for at in range(0, len(stream), size)).decode()
        assert json.dumps(name) in out
        assert '"other"' in out
        assert renamed(name, "chat") not in out


def test_tools_that_come_again_are_renamed_once() -> None:
    question = asked("messages", LONG)
    many = json.loads(json.dumps([{"name": LONG, "description": "d" * 600, "input_schema": {"type": "object"}}]))
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "tools": many}
    first, second = (
        Question(question.operation, json.dumps(body).encode(), model="m", stream=False).request.tools for _ in range(2)
    )
    assert first is second
    assert pairs.put(question, "chat").body == pairs.put(question, "chat").body
