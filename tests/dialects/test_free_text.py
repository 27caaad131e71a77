"""Tools with free text as their input at providers that have none: called with an object, told as the text."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.framing import eventstream
from portico.types import Dialect

FOREIGN: list[Dialect] = ["messages", "gemini", "converse", "cohere"]
# Providers of Chat Completions mostly take functions alone.
FOREIGN_TO: dict[Dialect, list[Dialect]] = {"responses": ["chat", *FOREIGN], "chat": FOREIGN}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
TEXT = '*** Begin Patch\n+ "ä€😀" \\n\n*** End Patch'


def ask(caller: Dialect, *, stream: bool = False, form: Any = None) -> Question:
    """Ask with a tool of free text that was called before, and a function beside it."""
    name, custom = "apply_patch", {"name": "apply_patch", "description": "Applies a patch."}
    if caller == "responses":
        body: dict[str, Any] = {
            "model": "m",
            "input": [
                {"role": "user", "content": "Hi"},
                {"type": "custom_tool_call", "call_id": "c1", "name": name, "input": "old"},
                {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done."},
            ],
            "tools": [
                {"type": "custom", **custom, **({"format": form} if form else {})},
                {"type": "function", "name": "other", "parameters": {"type": "object", "properties": {}}},
            ],
            "tool_choice": {"type": "custom", "name": name},
        }
    else:
        nested = {"type": "grammar", "grammar": {key: form[key] for key in form if key != "type"}} if form else None
        calls = [{"id": "c1", "type": "custom", "custom": {"name": name, "input": "old"}}]
        body = {
            "model": "m",
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "tool_calls": calls},
                {"role": "tool", "tool_call_id": "c1", "content": "Done."},
            ],
            "tools": [
                {"type": "custom", "custom": custom | ({"format": nested} if nested else {})},
                {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}},
            ],
            "tool_choice": {"type": "custom", "custom": {"name": name}},
        }
    operation = OPERATIONS[pairs.OPERATION[caller][stream]]
    return Question(operation, json.dumps(body).encode(), model="m", stream=stream)


CALLERS: list[Dialect] = ["responses", "chat"]
PAIRS = [(caller, provider) for caller in CALLERS for provider in FOREIGN_TO[caller]]


def test_openais_models_take_them_in_chat_completions_as_they_are() -> None:
    made = pairs.put(ask("responses", form=GRAMMAR), "chat", frozenset(("custom_tools",)))
    body = json.loads(made.body)
    assert body["tools"][0]["custom"]["format"]["grammar"]["definition"] == "start: /.+/"
    assert body["messages"][1]["tool_calls"][0]["custom"] == {"name": "apply_patch", "input": "old"}
    assert made.dropped == []


def test_a_call_of_a_tool_that_is_no_longer_there_is_a_functions_too() -> None:
    items = [
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "old"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done."},
    ]
    body = json.dumps({"model": "m", "input": items}).encode()
    question = Question(OPERATIONS["responses"], body, model="m", stream=False)
    (call,) = json.loads(pairs.put(question, "chat").body)["messages"][0]["tool_calls"]
    assert call["function"] == {"name": "apply_patch", "arguments": '{"input":"old"}'}


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
def test_a_tool_of_free_text_is_a_function_with_one_text(caller: Dialect, provider: Dialect) -> None:
    made = pairs.put(ask(caller), provider)
    body = made.body.decode()
    assert made.dropped == []
    assert '"required":["input"]' in body
    assert '"input":"old"' in body or '\\"input\\":\\"old\\"' in body
    assert "Done." in body
    assert '"other"' in body or provider == "cohere"  # whose choice is made by what is declared


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
def test_the_grammar_of_free_text_is_told_in_words_and_named(caller: Dialect, provider: Dialect) -> None:
    made = pairs.put(ask(caller, form=GRAMMAR), provider)
    assert made.dropped == ["custom_tool_format"]
    assert "start: /.+/" in made.body.decode()
    assert pairs.put(ask(caller, form=GRAMMAR), "responses").dropped == []


# What a provider calls the tool with, and what the caller is told.
INPUTS = [
    (json.dumps({"input": TEXT}), TEXT),
    (json.dumps({"input": TEXT}, ensure_ascii=False, indent=1), TEXT),
    ('{"input": ""}', ""),
    ('{"other": 1}', '{"other": 1}'),
    ('{"input": "cut', '{"input": "cut'),
]


def replied(provider: Dialect, arguments: str) -> dict[str, Any]:
    value = json.loads(arguments)
    if provider == "messages":
        blocks = [
            {"type": "tool_use", "id": "t1", "name": "apply_patch", "input": value},
            {"type": "tool_use", "id": "t2", "name": "other", "input": {"input": "kept"}},
        ]
        return {"content": blocks, "stop_reason": "tool_use"}
    parts = [
        {"functionCall": {"name": "apply_patch", "args": value, "id": "t1"}},
        {"functionCall": {"name": "other", "args": {"input": "kept"}, "id": "t2"}},
    ]
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}


@pytest.mark.parametrize(("arguments", "text"), [case for case in INPUTS if "cut" not in case[0]])
@pytest.mark.parametrize("provider", ["messages", "gemini"])
@pytest.mark.parametrize("caller", CALLERS)
def test_a_call_of_it_is_told_as_the_text(caller: Dialect, provider: Dialect, arguments: str, text: str) -> None:
    reply = json.loads(pairs.put(ask(caller), provider).reply(json.dumps(replied(provider, arguments)).encode()))
    if caller == "responses":
        first, second = reply["output"]
        assert (first["type"], first["name"]) == ("custom_tool_call", "apply_patch")
        told = first["input"]
        assert (second["type"], json.loads(second["arguments"])) == ("function_call", {"input": "kept"})
    else:
        first, second = reply["choices"][0]["message"]["tool_calls"]
        assert first["type"] == "custom"
        told = first["custom"]["input"]
        assert json.loads(second["function"]["arguments"]) == {"input": "kept"}
    assert told == text or json.loads(told) == json.loads(text)


def messages_stream(arguments: str, size: int) -> bytes:
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    start = {"type": "tool_use", "id": "t1", "name": "apply_patch", "input": {}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        *[
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in pieces
        ],
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events)


def run(translation: Translation, sent: bytes, chunk: int) -> list[dict[str, Any]]:
    out = b"".join(translation.feed(sent[at : at + chunk]) for at in range(0, len(sent), chunk)) + translation.flush()
    assert translation.finished
    return [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: {")]


@pytest.mark.parametrize(("chunk", "size"), [(1, 1), (7, 3), (100_000, 1000)])
@pytest.mark.parametrize(("arguments", "text"), INPUTS)
def test_a_streamed_call_of_it_is_told_as_the_text(arguments: str, text: str, chunk: int, size: int) -> None:
    events = run(pairs.put(ask("responses", stream=True), "messages"), messages_stream(arguments, size), chunk)
    deltas = [each["delta"] for each in events if each["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == text
    item = events[-1]["response"]["output"][0]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", text)
    chunks = run(pairs.put(ask("chat", stream=True), "messages"), messages_stream(arguments, size), chunk)
    calls = [call for each in chunks if each["choices"] for call in each["choices"][0]["delta"].get("tool_calls", ())]
    assert calls[0]["custom"]["name"] == "apply_patch"
    assert "".join(call["custom"].get("input", "") for call in calls) == text


def test_a_call_that_comes_whole_in_a_stream_is_told_as_the_text() -> None:
    sent = b"data: %b\n\n" % json.dumps(replied("gemini", INPUTS[0][0])).encode()
    events = run(pairs.put(ask("responses", stream=True), "gemini"), sent, 7)
    kinds = [(item["type"], item.get("input", item.get("arguments"))) for item in events[-1]["response"]["output"]]
    assert kinds == [("custom_tool_call", TEXT), ("function_call", '{"input":"kept"}')]


def test_callers_of_other_apis_know_no_such_tools() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    tool = {"name": "apply_patch", "input_schema": {"type": "object"}}
    operation = OPERATIONS["messages"]
    question = Question(operation, json.dumps(body | {"tools": [tool]}).encode(), model="m", stream=False)
    reply = json.loads(pairs.put(question, "gemini").reply(json.dumps(replied("gemini", INPUTS[0][0])).encode()))
    assert reply["content"][0]["input"] == {"input": TEXT}


def test_bedrock_tells_of_it_in_its_own_framing() -> None:
    def event(kind: str, value: dict[str, Any]) -> bytes:
        return eventstream.encode(
            {":event-type": kind, ":content-type": "application/json", ":message-type": "event"},
            json.dumps(value).encode(),
        )

    use = {"toolUseId": "t1", "name": "apply_patch"}
    sent = b"".join(
        (
            event("messageStart", {"role": "assistant"}),
            event("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": use}}),
            event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": INPUTS[0][0]}}}),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": "tool_use"}),
            event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}),
        )
    )
    events = run(pairs.put(ask("responses", stream=True), "converse"), sent, 7)
    assert events[-1]["response"]["output"][0]["input"] == TEXT
