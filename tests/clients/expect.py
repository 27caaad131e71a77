"""What must be true of one call: what the SDK gave is what the mock said, and the mock got what the SDK was given."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from tests.clients.said import Call, Said, Tool
from tests.clients.stage import answered, asked
from tests.dialects.crossing import chat, cohere, converse, gemini, messages, responses
from tests.dialects.crossing.facts import Facts, arguments, by_kind, digest, joined, squeezed, tool
from tests.dialects.crossing.test_returns import signatures

from portico.testing import Entry
from portico.testing.ask import Answer

READERS = MappingProxyType(
    {
        "chat": chat.request,
        "responses": responses.request,
        "messages": messages.request,
        "gemini": gemini.request,
        "converse": converse.request,
        "cohere": cohere.request,
    }
)
"""How the facts of a request are read: written without a look at what renders them."""


class Wind(BaseModel):
    """Where the wind comes from."""

    direction: str
    speed: float


class Weather(BaseModel):
    """What an answer is to look like."""

    city: str
    degrees: int
    sunny: bool
    tags: list[str]
    wind: Wind


TOOLS = (
    Tool(
        "look_up",
        "Look up the weather",
        {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Zürich", "東京", 'the "Bay"\n', "a\\b/c"]},
                "days": {"type": "integer", "description": "How many days from now"},
                "near": {
                    "type": "object",
                    "properties": {"lat": {"type": "number"}, "roads": {"type": "array", "items": {"type": "string"}}},
                    "required": ["lat", "roads"],
                },
            },
            "required": ["city", "days", "near"],
        },
    ),
    Tool("now", "Tell the time", {"type": "object", "properties": {}}),
)
"""Called in turn by the mock: of three parallel calls the first and the third are of one name."""

LOOP = "turns=3 calls=3 rare=true"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3
"""Enough of a picture: nobody here looks at it, and each of its bytes must arrive."""


def run(call: Call, number: int) -> str:
    """Answer a tool call, each in a way of its own."""
    return (
        f"{number}: {call.name} of {json.dumps(call.arguments, ensure_ascii=False, sort_keys=True)} = “ok” <{number}>"
    )


def plan(upstream: str, answer: Answer) -> str:
    """Return the text of an answer: Cohere's models write down what they are going to call."""
    calls = answer.choices[0].calls
    if upstream == "cohere" and calls:
        return "I will call " + ", ".join(call.name for call in calls) + "."
    return answer.choices[0].text


def told(said: Said, entry: Entry, upstream: str, finishes: Mapping[str, str], *, thinking: bool) -> None:
    """Assert that the SDK gave what the mock answered."""
    answer = answered(entry)
    (choice,) = answer.choices
    assert entry.outcome == "served"
    assert said.text == plan(upstream, answer)
    assert [(call.name, call.arguments) for call in said.calls] == [
        (call.name, json.loads(call.arguments)) for call in choice.calls
    ]
    assert said.finish == finishes["tools" if choice.calls else "length" if choice.finish == "length" else "stop"]
    assert said.thinking == (answer.reasoning if thinking else "")
    assert (said.input, said.output) == (answer.input_total, answer.output_total)


def facts(entry: Entry, upstream: str) -> Facts:
    """Return the facts of a request that the mock got."""
    return by_kind(joined(READERS[upstream](entry.json)))


def asks(text: str, tools: Sequence[Tool] = (), image: bytes | None = None) -> Facts:
    """Return the facts of a first request."""
    found: Facts = [tool(each.name, each.description, each.schema) for each in tools]
    found.append(("text", "user", squeezed(text)))
    if image is not None:
        found.append(("image", "user", digest(b64encode(image).decode())))
    return found


def went_on(said: Said, answers: Sequence[tuple[Call, str]], first: int, upstream: str) -> Facts:
    """Return the facts that a round of tools adds to a request."""
    found: Facts = []
    if said.thinking:
        found.append(("thinking", squeezed(said.thinking)))
    if said.text:
        found.append(("text", "assistant", squeezed(said.text)))
    found += [("call", call.name, arguments(call.arguments)) for call, _ in answers]
    found += [("result", first + place, squeezed(text), ()) for place, (_, text) in enumerate(answers)]
    return found


def signed(entry: Entry, upstream: str) -> list[str]:
    """Return what the mock sealed its thoughts with, where that API has seals."""
    if upstream == "cohere" or (upstream == "chat" and not asked(entry).body):
        return []
    return [answered(entry).signature]


def sealed(entry: Entry) -> list[str]:
    """Return the signatures that came back to the mock."""
    body: Any = entry.json
    return signatures(body)


def words(value: Any) -> list[str]:
    """Return every text in plain data, to the letter."""
    if isinstance(value, list):
        return [text for each in value for text in words(each)]
    if isinstance(value, dict):
        return [text for each in value.values() for text in words(each)]
    return [value] if isinstance(value, str) else []


def wants(entry: Entry, form: type[BaseModel]) -> None:
    """Assert that JSON by a schema is asked for, natively or by a tool that must be called."""
    ask = asked(entry)
    schema = ask.format
    if schema is None:
        assert ask.force in ("any", "portico_json_answer")
        schema = next(each.schema for each in ask.tools if each.name == "portico_json_answer")
    assert set(schema["properties"]) == set(form.model_fields)
