"""What clients send and providers refuse as it is: images by another name, schemas with a choice at their root."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.errors import InvalidRequest
from portico.types import Dialect

CLAUDES: list[Dialect] = ["messages", "converse"]


def put(more: dict[str, Any], provider: Dialect) -> Translation:
    body = json.dumps(pairs.PLAIN["chat"] | more).encode()
    return pairs.put(Question(OPERATIONS["chat"], body, model="m", stream=False), provider)


def showing(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


# How an image is written, its media type where it is told, and its data.
IMAGES = [
    ("data:image/png;base64,aGk=", "image/png", "aGk="),
    ("data:image/jpg;base64,aGk=", "image/jpeg", "aGk="),
    ("data:image/png;base64,/9j/aGk=", "image/jpeg", "/9j/aGk="),
    ("data:application/octet-stream;base64,iVBORw0KGgo=", "image/png", "iVBORw0KGgo="),
    ("data:image/png;charset=utf-8;base64,aGk=", "image/png", "aGk="),
    ("data:image/GIF;BASE64,aGk=", "image/gif", "aGk="),
    ("data:image/webp,%68i", "image/webp", "aGk="),
]


@pytest.mark.parametrize(("url", "media_type", "data"), IMAGES)
def test_an_image_is_told_by_the_type_that_it_has(url: str, media_type: str, data: str) -> None:
    block = json.loads(put(showing(url), "messages").body)["messages"][0]["content"][0]
    assert block == {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    block = json.loads(put(showing(url), "converse").body)["messages"][0]["content"][0]
    assert block == {"image": {"format": media_type.removeprefix("image/"), "source": {"bytes": data}}}


@pytest.mark.parametrize("provider", CLAUDES)
@pytest.mark.parametrize("url", ["data:image/heic;base64,aGk=", "data:image/svg+xml;utf8,<svg/>"])
def test_an_image_of_a_type_that_is_not_read_is_refused(url: str, provider: Dialect) -> None:
    with pytest.raises(InvalidRequest, match="reads JPEG, PNG, GIF and WebP"):
        put(showing(url), provider)


def test_a_document_is_read_out_of_any_data_url() -> None:
    part = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;charset=utf-8;base64,aGk="}}
    more = {"messages": [{"role": "user", "content": [part]}]}
    block = json.loads(put(more, "messages").body)["messages"][0]["content"][0]
    assert block["source"] == {"type": "text", "media_type": "text/plain", "data": "hi"}
    block = json.loads(put(more, "converse").body)["messages"][0]["content"][0]
    assert block["document"]["source"] == {"bytes": "aGk="}


@pytest.mark.parametrize("provider", CLAUDES)
@pytest.mark.parametrize("content", ["", "  \n", []])
def test_a_user_who_says_nothing_is_heard_all_the_same(content: Any, provider: Dialect) -> None:
    turns = json.loads(put({"messages": [{"role": "user", "content": content}]}, provider).body)["messages"]
    assert [turn["role"] for turn in turns] == ["user"]
    assert json.loads(put({"messages": []}, provider).body)["messages"] == []


A = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a", "b"]}
B = {"type": "object", "properties": {"b": {"type": "integer"}, "c": {"type": "string"}}, "required": ["b"]}
SCHEMAS: list[tuple[Any, list[str], list[str]]] = [
    ({"anyOf": [A, B]}, ["a", "b", "c"], ["b"]),
    ({"type": "object", "oneOf": [A, B]}, ["a", "b", "c"], ["b"]),
    ({"allOf": [A, B]}, ["a", "b", "c"], ["a", "b"]),
    (
        {"type": "object", "properties": {"d": {}}, "required": ["d"], "anyOf": [A, {"required": 7}]},
        ["a", "b", "d"],
        ["d"],
    ),
    ({"anyOf": "x"}, [], []),
]


@pytest.mark.parametrize("provider", CLAUDES)
@pytest.mark.parametrize(("schema", "properties", "required"), SCHEMAS)
def test_a_choice_at_the_root_of_a_tools_schema_becomes_one_object(
    schema: Any, properties: list[str], required: list[str], provider: Dialect
) -> None:
    made = put({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}, provider)
    body = json.loads(made.body)
    if provider == "messages":
        told = body["tools"][0]["input_schema"]
    else:
        told = body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert told["type"] == "object"
    assert not told.keys() & {"anyOf", "oneOf", "allOf"}
    assert sorted(told["properties"]) == properties
    assert sorted(told.get("required", [])) == required
    assert made.dropped == ["schema_keywords"]
