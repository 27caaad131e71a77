"""Tools in namespaces, and tools that come in an input, as Codex sends them, at providers that know neither."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.errors import InvalidRequest
from portico.types import Dialect

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
FOREIGN: list[Dialect] = ["chat", "messages", "gemini", "converse", "cohere"]


def group(name: str, *tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": f"All of {name}.", "tools": list(tools)}


FIND = {"type": "function", "name": "find", "parameters": SCHEMA}
EXEC = {"type": "custom", "name": "exec", "description": "Runs code."}
ASKED = {
    "input": [
        {"type": "additional_tools", "role": "developer", "tools": [group("functions", EXEC), group("mail", FIND)]},
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "c1", "name": "find", "namespace": "crm", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Nobody."},
    ],
    "tools": [group("crm", FIND), {"type": "function", "name": "find", "parameters": SCHEMA}],
}


def put(provider: Dialect, *, stream: bool = False, asked: dict[str, Any] | None = None) -> Translation:
    body = json.dumps({"model": "m", **(asked or ASKED)}).encode()
    return pairs.put(Question(OPERATIONS["responses"], body, model="m", stream=stream), provider)


@pytest.mark.parametrize("provider", FOREIGN)
def test_each_tool_is_one_of_its_own(provider: Dialect) -> None:
    for _ in range(2):  # tools that come again are kept as they were read
        made = put(provider)
        body = made.body.decode()
        assert made.dropped == []
        assert body.count('"crm__find"') >= 2  # declared, and called before
        assert all(f'"{name}"' in body for name in ("find", "mail__find", "functions__exec"))
        assert "additional_tools" not in body
        assert "Nobody." in body


def called(provider: Dialect) -> dict[str, Any]:
    if provider == "messages":
        blocks = [
            {"type": "tool_use", "id": "t1", "name": "crm__find", "input": {"q": "x"}},
            {"type": "tool_use", "id": "t2", "name": "functions__exec", "input": {"input": "1 + 1"}},
            {"type": "tool_use", "id": "t3", "name": "find", "input": {}},
        ]
        return {"content": blocks, "stop_reason": "tool_use"}
    parts = [
        {"functionCall": {"id": "t1", "name": "crm__find", "args": {"q": "x"}}},
        {"functionCall": {"id": "t2", "name": "functions__exec", "args": {"input": "1 + 1"}}},
        {"functionCall": {"id": "t3", "name": "find", "args": {}}},
    ]
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}


EXPECTED = [
    ("function_call", "crm", "find", '{"q":"x"}'),
    ("custom_tool_call", "functions", "exec", "1 + 1"),
    ("function_call", None, "find", "{}"),
]


def told(items: list[dict[str, Any]]) -> list[tuple[str, str | None, str, str]]:
    return [
        (item["type"], item.get("namespace"), item["name"], item.get("arguments", item.get("input"))) for item in items
    ]


@pytest.mark.parametrize("provider", ["messages", "gemini"])
def test_a_call_is_told_with_its_namespace(provider: Dialect) -> None:
    reply = json.loads(put(provider).reply(json.dumps(called(provider)).encode()))
    assert told(reply["output"]) == EXPECTED


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_streamed_call_is_told_with_its_namespace(size: int) -> None:
    made = put("gemini", stream=True)
    sent = b"data: %b\n\n" % json.dumps(called("gemini")).encode()
    out = b"".join(made.feed(sent[at : at + size]) for at in range(0, len(sent), size)) + made.flush()
    assert made.finished
    events = [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: ")]
    assert told(events[-1]["response"]["output"]) == EXPECTED
    added = [each["item"] for each in events if each["type"] == "response.output_item.added"]
    assert [(item.get("namespace"), item["name"]) for item in added] == [case[1:3] for case in EXPECTED]


def test_they_pass_as_they_are_to_who_knows_them() -> None:
    body = json.loads(put("responses").body)
    assert body["input"] == ASKED["input"]
    assert body["tools"] == ASKED["tools"]


BROKEN: list[Any] = [None, 7, [7], [{"type": 7}], [{"type": "function"}], [group("x", {"type": "function"})]]


@pytest.mark.parametrize("tools", BROKEN)
def test_added_tools_that_are_none_are_refused(tools: Any) -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": tools}
    with pytest.raises(InvalidRequest):
        put("chat", asked={"input": [item, {"role": "user", "content": "Hi"}]})
