"""What a Gemini client kept of a stream, element by element, goes to another provider as what it was."""

import json
from typing import Any

import pytest

from portico.dialects.crossing import Given, Target
from portico.dialects.gemini import parse_request
from portico.dialects.gemini.gathered import gathered
from portico.dialects.gemini.writing import sealed
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.ir import Part, Text, Thinking, ToolCall

USER = {"role": "user", "parts": [{"text": "Go"}]}
SEAL = sealed(Thinking(opaque="c2ln", maker="messages"))


def said(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "model", "parts": [part]} for part in parts]


def thought(text: str, **more: str) -> dict[str, Any]:
    return {"text": text, "thought": True, **more}


def read(*contents: dict[str, Any]) -> list[tuple[Part, ...]]:
    request = parse_request(json.dumps({"contents": contents}).encode(), model="m", stream=False)
    return [message.parts for message in gathered(request).messages if message.role == "assistant"]


CASES: dict[str, tuple[list[dict[str, Any]], list[tuple[Part, ...]]]] = {
    "a text": (
        said({"text": "Hel"}, {"text": "lo"}, {"text": " "}, {"text": "\n\n"}, {"text": "you"}, {"text": ""}),
        [(Text(text="Hello \n\nyou"),)],
    ),
    "a thought sealed behind its words": (
        said(thought("Let "), thought("me see"), thought("", thoughtSignature=SEAL), {"text": "So"}),
        [(Thinking(text="Let me see", opaque="c2ln", maker="messages"), Text(text="So"))],
    ),
    "two thoughts": (
        said(thought("One", thoughtSignature=SEAL), thought("Two"), thought("", thoughtSignature=SEAL)),
        [
            (
                Thinking(text="One", opaque="c2ln", maker="messages"),
                Thinking(text="Two", opaque="c2ln", maker="messages"),
            )
        ],
    ),
    "a call between texts": (
        said({"text": "A"}, {"functionCall": {"name": "f", "id": "1"}}, {"text": "B"}, {"text": "C"}),
        [(Text(text="A"), ToolCall(id="1", name="f"), Text(text="BC"))],
    ),
    "turns with the user between them": (
        [*said({"text": "A"}, {"text": "B"}), USER, *said({"text": "C"}, {"text": "D"})],
        [(Text(text="AB"),), (Text(text="CD"),)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_pieces_are_joined(name: str):
    contents, expected = CASES[name]
    bare = [
        tuple(
            type(part)(**{field: getattr(part, field) for field in part.__struct_fields__ if field != "extra"})
            for part in parts
        )
        for parts in read(USER, *contents)
    ]
    # How a call was written is a hint for its own dialect alone.
    assert bare == expected


def test_what_is_whole_stays_the_same_object():
    body = {"contents": [USER, *said({"text": "A"}), USER]}
    request = parse_request(json.dumps(body).encode(), model="m", stream=False)
    assert gathered(request) is request


def test_a_thought_goes_back_to_its_maker_with_its_words():
    contents = [USER, *said(thought("Let "), thought("me"), thought("", thoughtSignature=SEAL))]
    contents += [*said({"functionCall": {"name": "f", "id": "toolu_1"}}), *said({"text": ""})]
    contents.append(
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "toolu_1", "response": {"output": "ok"}}}]}
    )
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    asked = json.dumps({"contents": contents, "tools": tools}).encode()
    question = Question(OPERATIONS["generate_content"], asked, model="m", stream=False)
    given = Given(request_id="r", created=1, new_id=lambda prefix: f"{prefix}1")
    target = Target(model="claude-sonnet-4-5", dialect="messages")
    sent = json.loads(Translation(question, "messages", target, given).body)
    assert sent["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Let me", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    ]
