"""JSON by a schema at providers that take the schemas of objects alone: asked for in a box, told without it."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.types import Dialect

LIST = {"type": "array", "items": {"type": "string"}}
CHOICE = {"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "null"}]}
REFERENCE = {"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {"a": {"type": "string"}}}}}
ENUM = {"type": "string", "enum": ["x", "y"]}


def ask(schema: Any, *, stream: bool = False, media_type: str = "application/json") -> Question:
    body = pairs.PLAIN["gemini"] | {"generationConfig": {"responseMimeType": media_type, "responseJsonSchema": schema}}
    operation = "stream_generate_content" if stream else "generate_content"
    return Question(OPERATIONS[operation], json.dumps(body).encode(), model="m", stream=stream)


def schema_of(translation: Translation, provider: Dialect) -> Any:
    body = json.loads(translation.body)
    if provider == "responses":
        return body["text"]["format"]["schema"]
    form = body["response_format"]
    return form["json_schema"] if provider == "cohere" else form["json_schema"]["schema"]


@pytest.mark.parametrize("schema", [LIST, CHOICE, REFERENCE, ENUM])
@pytest.mark.parametrize("provider", ["chat", "responses", "cohere"])
def test_a_schema_that_is_no_objects_is_asked_for_in_an_objects(provider: Dialect, schema: Any) -> None:
    asked = schema_of(pairs.put(ask(schema), provider), provider)
    assert asked["type"] == "object"
    assert asked["properties"] == {"value": schema}
    assert asked["required"] == ["value"]
    assert asked["additionalProperties"] is False
    assert asked.get("$defs") == schema.get("$defs")


@pytest.mark.parametrize("provider", ["chat", "responses", "cohere"])
def test_a_schema_of_an_object_is_asked_for_as_it_is(provider: Dialect) -> None:
    schema = {"type": "object", "properties": {"value": {"type": "string"}}}
    translation = pairs.put(ask(schema), provider)
    assert schema_of(translation, provider) == schema
    if provider == "chat":
        assert told(translation.reply(completion('{"value": "v"}'))) == '{"value": "v"}'


def completion(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "1", "model": "g", "choices": [choice]}).encode()


def told(reply: bytes) -> str:
    parts = json.loads(reply)["candidates"][0]["content"]["parts"]
    return "".join(part["text"] for part in parts)


# What a model answered, and what the caller is told of it.
ANSWERS = [
    ('{"value":["a"]}', '["a"]'),
    (' {\n "value" : [{"a": "b}\\"],{"},\t{"c": "\\\\"}] \n} ', '[{"a": "b}\\"],{"},\t{"c": "\\\\"}]'),
    ('{"value": "ä€😀"}', '"ä€😀"'),
    ('{"value":7,"more":{"b":1}}', "7"),
    ('{"value":[{"a":1}', '[{"a":1}'),
    ('{"value":', ""),
    ("I would rather {not} say }", "I would rather {not} say }"),
    ('{"other": 1}', '{"other": 1}'),
    ('["a"]', '["a"]'),
    ('{"val', '{"val'),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
def test_an_answer_is_told_without_its_box(answer: str, expected: str) -> None:
    assert told(pairs.put(ask(LIST), "chat").reply(completion(answer))) == expected


def events(answer: str, size: int) -> bytes:
    deltas: list[dict[str, Any]] = [{"content": answer[at : at + size]} for at in range(0, len(answer), size)]
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def streamed(translation: Translation, body: bytes, size: int) -> str:
    out = b"".join(translation.feed(body[at : at + size]) for at in range(0, len(body), size)) + translation.flush()
    assert translation.finished
    values = [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: ")]
    return "".join(part.get("text", "") for value in values for part in value["candidates"][0]["content"]["parts"])


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
def test_a_streamed_answer_is_told_without_its_box(answer: str, expected: str, size: int, chunk: int) -> None:
    translation = pairs.put(ask(LIST, stream=True), "chat")
    assert streamed(translation, events(answer, size), chunk) == expected


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_word_of_an_enumeration_is_told_without_quotes_where_the_caller_asked_for_words(size: int) -> None:
    question = ask(ENUM, stream=True, media_type="text/x.enum")
    assert streamed(pairs.put(question, "chat"), events('{"value": "x"}', size), 7) == "x"
    assert told(pairs.put(ask(ENUM, media_type="text/x.enum"), "chat").reply(completion('{"value":"x"}'))) == "x"
    assert told(pairs.put(ask(ENUM), "chat").reply(completion('{"value":"x"}'))) == '"x"'
    call = {"type": "tool_use", "id": "t", "name": "portico_json_value", "input": {"value": "x"}}
    reply = json.dumps({"content": [call], "stop_reason": "tool_use"}).encode()
    assert told(pairs.put(ask(ENUM, media_type="text/x.enum"), "messages").reply(reply)) == "x"
