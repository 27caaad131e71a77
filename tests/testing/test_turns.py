"""The mock goes through rounds of tool calls, and what a caller told it holds while its tools answer."""

import json
from typing import Any

import pytest

from portico.testing.ask import Ask, Request, answer
from portico.testing.controls import controls, in_prompt, pairs
from portico.testing.shapes import SHAPES

TOLD = "Look around [mock turns=2 calls=2]"
FUNCTION = {"name": "look", "parameters": {"type": "object", "properties": {}}}


def chat(rounds: int) -> dict[str, Any]:
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "look", "arguments": "{}"}} for n in range(2)]
    turn = [{"role": "assistant", "tool_calls": calls}]
    turn += [{"role": "tool", "tool_call_id": f"c{n}", "content": "ok"} for n in range(2)]
    messages = [{"role": "user", "content": TOLD}, *turn * rounds]
    return {"model": "m", "messages": messages, "tools": [{"type": "function", "function": FUNCTION}]}


def responses(rounds: int) -> dict[str, Any]:
    turn = [{"type": "function_call", "call_id": f"c{n}", "name": "look", "arguments": "{}"} for n in range(2)]
    turn += [{"type": "function_call_output", "call_id": f"c{n}", "output": "ok"} for n in range(2)]
    items = [{"role": "user", "content": TOLD}, *turn * rounds]
    return {"model": "m", "input": items, "tools": [{"type": "function", **FUNCTION}]}


def messages(rounds: int) -> dict[str, Any]:
    calls = [{"type": "tool_use", "id": f"c{n}", "name": "look", "input": {}} for n in range(2)]
    results = [{"type": "tool_result", "tool_use_id": f"c{n}", "content": "ok"} for n in range(2)]
    turn = [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    return {
        "model": "m",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": TOLD}, *turn * rounds],
        "tools": tools,
    }


def gemini(rounds: int) -> dict[str, Any]:
    calls = [{"functionCall": {"name": "look"}}] * 2
    results = [{"functionResponse": {"name": "look", "response": {"output": "ok"}}}] * 2
    turn = [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    contents = [{"role": "user", "parts": [{"text": TOLD}]}, *turn * rounds]
    return {"contents": contents, "tools": [{"functionDeclarations": [FUNCTION]}]}


def converse(rounds: int) -> dict[str, Any]:
    calls = [{"toolUse": {"toolUseId": f"c{n}", "name": "look", "input": {}}} for n in range(2)]
    results = [{"toolResult": {"toolUseId": f"c{n}", "content": [{"text": "ok"}]}} for n in range(2)]
    turn = [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    spec = {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}
    said = [{"role": "user", "content": [{"text": TOLD}]}, *turn * rounds]
    return {"messages": said, "toolConfig": {"tools": [spec]}}


CASES = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "generate_content": gemini,
    "converse": converse,
    "cohere_chat": chat,
}


def asked(operation: str, rounds: int) -> Ask:
    body = json.dumps(CASES[operation](rounds)).encode()
    return SHAPES[operation].read(Request("POST", "/", "", [], body), "m")


@pytest.mark.parametrize("operation", CASES)
def test_rounds_are_counted_from_what_the_caller_said(operation: str):
    for rounds in range(4):
        ask = asked(operation, rounds)
        assert (ask.rounds, ask.question) == (rounds, TOLD)
        assert ask.answering is (rounds > 0)
        (choice,) = answer(ask, controls(pairs(in_prompt(ask.question)))).choices
        assert len(choice.calls) == (2 if rounds < 2 else 0)
        assert bool(choice.text) is (rounds >= 2)


def test_each_answer_has_a_signature_of_its_own():
    signatures = {answer(asked("messages", rounds), controls({})).signature for rounds in range(4)}
    assert len(signatures) == 4
