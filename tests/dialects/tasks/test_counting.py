"""Counts of tokens: a request of each counter's shape, as each other counter gets it."""

import json
from base64 import b64encode
from typing import Any

import pytest

from portico.dialects import counting
from portico.dialects.crossing import Given, Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.tasks import Errand, Task
from portico.errors import InvalidRequest

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED: dict[str, dict[str, Any]] = {
    "messages_count_tokens": {
        "model": "m",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "weather", "description": "Tells it.", "input_schema": SCHEMA}],
    },
    "responses_input_tokens": {
        "model": "m",
        "instructions": "Be brief.",
        "input": "Hi",
        "tools": [{"type": "function", "name": "weather", "description": "Tells it.", "parameters": SCHEMA}],
    },
    "gemini_count_tokens": {
        "generateContentRequest": {
            "model": "models/m",
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "weather", "description": "Tells it.", "parametersJsonSchema": SCHEMA}
                    ]
                }
            ],
        }
    },
    "converse_count_tokens": {
        "input": {
            "converse": {
                "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
                "system": [{"text": "Be brief."}],
                "toolConfig": {
                    "tools": [
                        {"toolSpec": {"name": "weather", "description": "Tells it.", "inputSchema": {"json": SCHEMA}}}
                    ]
                },
            }
        }
    },
}
GIVEN = Given(request_id="r", created=0, new_id=lambda prefix: f"{prefix}1")
COUNTED = {
    "messages_count_tokens": b'{"input_tokens":42}',
    "responses_input_tokens": b'{"object":"response.input_tokens","input_tokens":42}',
    "gemini_count_tokens": b'{"totalTokens":42}',
    "converse_count_tokens": b'{"inputTokens":42}',
}


def errand(operation: str, body: Any, to: str, quirks: tuple[str, ...] = ()) -> Errand:
    task = Task(OPERATIONS[operation], json.dumps(body).encode(), model="m")
    target = Target(model="up", dialect=OPERATIONS[to].dialect, quirks=frozenset(quirks))
    return Errand(task, to, target, GIVEN)


@pytest.mark.parametrize("to", ASKED)
@pytest.mark.parametrize("caller", ASKED)
def test_a_request_to_be_counted_is_what_the_counter_would_be_asked(caller: str, to: str) -> None:
    made = errand(caller, ASKED[caller], to)
    expected = json.loads(json.dumps(ASKED[to]).replace('"m"', '"up"').replace("models/m", "models/up"))
    found = json.loads(made.body)
    if to == "responses_input_tokens" and isinstance(found["input"], list):
        (item,) = found["input"]
        content = item["content"]
        assert content == "Hi" or content[0]["text"] == "Hi"
        found["input"] = "Hi"
    if to == "messages_count_tokens":
        assert found.keys() <= {"model", "system", "messages", "tools"}, "a counter takes nothing else"
        content = found["messages"][0]["content"]
        assert content == "Hi" or content[0]["text"] == "Hi"
        found["messages"][0]["content"] = "Hi"
    for tool in found.get("tools") or ():
        tool.pop("strict", None)
    assert found == expected
    assert made.dropped == []
    assert json.loads(made.reply(COUNTED[to])) == json.loads(COUNTED[caller])


def test_vertex_counts_in_words_of_its_own() -> None:
    flat = json.loads(
        errand(
            "messages_count_tokens", ASKED["messages_count_tokens"], "gemini_count_tokens", ("count_tokens_flat",)
        ).body
    )
    assert flat.keys() == {"contents", "systemInstruction", "tools"}
    claude = json.loads(
        errand(
            "responses_input_tokens",
            ASKED["responses_input_tokens"],
            "messages_count_tokens",
            ("anthropic_version_in_body",),
        ).body
    )
    assert (claude["model"], claude["anthropic_version"]) == ("up", "vertex-2023-10-16")
    told = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "systemInstruction": {"parts": [{"text": "Be"}]}}
    asked = json.loads(errand("gemini_count_tokens", told, "messages_count_tokens").body)
    assert asked["system"] == "Be"


def test_the_body_of_an_invoke_of_claude_can_be_counted() -> None:
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    asked = {"input": {"invokeModel": {"body": b64encode(json.dumps(body).encode()).decode()}}}
    made = json.loads(errand("converse_count_tokens", asked, "messages_count_tokens").body)
    assert made == {"model": "up", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("caller", ASKED)
def test_an_estimate_says_that_it_is_one(caller: str) -> None:
    told = json.loads(counting.answer(caller, json.dumps(ASKED[caller]).encode(), "m", "gpt-4o"))
    (count,) = [value for value in told.values() if type(value) is int]
    assert told["estimate"] is True
    assert 25 <= count <= 60


@pytest.mark.parametrize(
    ("caller", "body"),
    [
        ("messages_count_tokens", {"model": "m", "messages": 3}),
        ("responses_input_tokens", {"model": "m", "input": 3}),
        ("gemini_count_tokens", {"contents": 3}),
        ("converse_count_tokens", {"input": {}}),
        ("converse_count_tokens", {"input": {"invokeModel": {"body": "%%"}}}),
        ("converse_count_tokens", {}),
    ],
)
def test_what_cannot_be_read_is_refused(caller: str, body: Any) -> None:
    with pytest.raises(InvalidRequest):
        counting.answer(caller, json.dumps(body).encode(), "m", "gpt-4o")


ODD = "files.read and a name that is longer than any provider but one takes it, which is more than sixty-four"
TOLD = ["messages_count_tokens", "gemini_count_tokens", "converse_count_tokens"]


@pytest.mark.parametrize("to", TOLD)
def test_tools_are_counted_as_they_are_put_to_the_provider(to: str) -> None:
    tools = [{"type": "custom", "name": "patch"}, {"type": "function", "name": ODD, "parameters": SCHEMA}]
    body = errand("responses_input_tokens", ASKED["responses_input_tokens"] | {"tools": tools}, to).body.decode()
    assert '"input"' in body
    assert ODD not in body
    assert '"files_read_and' in body
