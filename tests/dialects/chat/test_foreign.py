"""What callers write as other APIs have it: read for other providers, and passed on as it was to those of this one."""

from typing import Any

import pytest
from tests.dialects.chat.given import parsed, rendered

from portico.ir import (
    Audio,
    CacheMark,
    File,
    Image,
    Opaque,
    Output,
    Part,
    Source,
    Text,
    ToolChoice,
    Video,
)

PNG = Source(data="iVBO", media_type="image/png")
PDF = Source(data="JVBE", media_type="application/pdf")
PARTS: dict[str, tuple[Any, Part]] = {
    "text without a type": ({"text": "a"}, Text(text="a")),
    "Responses' text": ({"type": "input_text", "text": "a"}, Text(text="a")),
    "guarded text": ({"type": "guarded_text", "text": "a"}, Text(text="a")),
    "Anthropic's image": (
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"},
            "cache_control": {"type": "ephemeral"},
        },
        Image(source=PNG, cache=CacheMark()),
    ),
    "Anthropic's image by its address": (
        {"type": "image", "source": {"type": "url", "url": "https://x/i"}},
        Image(source=Source(url="https://x/i")),
    ),
    "Anthropic's document": (
        {
            "type": "document",
            "title": "t",
            "context": "c",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        },
        File(source=PDF, name="t", context="c"),
    ),
    "Anthropic's text": (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}},
        File(source=Source(text="abc", media_type="text/plain")),
    ),
    "Responses' image": (
        {"type": "input_image", "detail": "low", "image_url": "data:image/png;base64,iVBO"},
        Image(source=PNG, detail="low"),
    ),
    "Responses' file": (
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        File(source=PDF, name="a.pdf"),
    ),
    "Responses' kept file": ({"type": "input_file", "file_id": "file-1"}, File(source=Source(file_id="file-1"))),
    "an address in place of an id": (
        {"type": "file", "file": {"file_id": "https://x/a.pdf", "format": "application/pdf"}},
        File(source=Source(url="https://x/a.pdf", media_type="application/pdf")),
    ),
    "bytes in place of an id": (
        {"type": "file", "file": {"file_id": "data:application/pdf;base64,JVBE"}},
        File(source=PDF),
    ),
    "LangChain's image": ({"type": "image", "base64": "iVBO", "mime_type": "image/png"}, Image(source=PNG)),
    "LangChain's image of old": (
        {"type": "image", "source_type": "base64", "data": "iVBO", "mime_type": "image/png"},
        Image(source=PNG),
    ),
    "the AI SDK's image": ({"type": "image", "image": "data:image/png;base64,iVBO"}, Image(source=PNG)),
    "the AI SDK's file": (
        {"type": "file", "data": "JVBE", "mediaType": "application/pdf", "filename": "a.pdf"},
        File(source=PDF, name="a.pdf"),
    ),
    "an image as a file": ({"type": "file", "data": "iVBO", "mediaType": "image/png"}, Image(source=PNG)),
    "an address beside the type": (
        {"type": "image_url", "url": "https://x/i"},
        Image(source=Source(url="https://x/i")),
    ),
    "sound by its address": (
        {"type": "audio_url", "audio_url": {"url": "https://x/a.mp3"}},
        Audio(source=Source(url="https://x/a.mp3")),
    ),
    "a film": (
        {"type": "video", "base64": "AAAA", "mime_type": "video/mp4"},
        Video(source=Source(data="AAAA", media_type="video/mp4")),
    ),
}


def asked(**fields: Any) -> Any:
    return parsed({"model": "gpt-5", "messages": [], **fields})


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_anothers_shape_is_read_and_written_as_it_was(name: str) -> None:
    wire, expected = PARTS[name]
    content = [{"type": "text", "text": "see"}, wire]
    request = asked(messages=[{"role": "user", "content": content}])
    (_, part) = request.messages[0].parts
    assert {name: getattr(part, name) for name in part.__struct_fields__ if name != "extra"} == {
        name: getattr(expected, name) for name in expected.__struct_fields__ if name != "extra"
    }
    assert type(part) is type(expected)
    body, _ = rendered(request)
    assert body["messages"][0]["content"] == content


@pytest.mark.parametrize(
    "wire",
    [
        {"type": "image"},
        {"type": "image", "source": {}},
        {"type": "image", "source": {"type": "url", "url": "nowhere"}},
        {"type": "sketch", "text": "a"},
        {"type": "input_text"},
        {"type": 7, "text": "a"},
        {"type": "file", "file": {"file_id": 7}},
        {"type": "image_url", "image_url": 7},
    ],
)
def test_a_part_of_no_shape_is_kept_as_it_is(wire: Any) -> None:
    request = asked(messages=[{"role": "user", "content": [wire]}])
    assert request.messages[0].parts == (Opaque(value=wire),)


CHOICES: dict[str, tuple[Any, ToolChoice]] = {
    "Responses' one": ({"type": "function", "name": "f"}, ToolChoice(mode="tool", name="f")),
    "Anthropic's any": ({"type": "any"}, ToolChoice(mode="required")),
    "Anthropic's auto": ({"type": "auto"}, ToolChoice(mode="auto")),
    "Anthropic's none": ({"type": "none"}, ToolChoice(mode="none")),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_of_anothers_shape_is_read_and_written_as_it_was(name: str) -> None:
    wire, expected = CHOICES[name]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    request = asked(tools=tools, tool_choice=wire)
    assert (request.tool_choice.mode, request.tool_choice.name) == (expected.mode, expected.name)
    body, _ = rendered(request)
    assert body["tool_choice"] == wire


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMS: dict[str, tuple[Any, Output]] = {
    "Together's and llama.cpp's": (
        {"type": "json_object", "schema": SCHEMA},
        Output(kind="json_schema", schema=SCHEMA),
    ),
    "LiteLLM's for Gemini": (
        {"type": "json_object", "response_schema": SCHEMA},
        Output(kind="json_schema", schema=SCHEMA),
    ),
    "Responses'": (
        {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True, "description": "d"},
        Output(kind="json_schema", name="n", schema=SCHEMA, strict=True, description="d"),
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_schema_beside_its_type_is_read_and_written_as_it_was(name: str) -> None:
    wire, expected = FORMS[name]
    request = asked(response_format=wire)
    output = request.output
    assert (output.kind, output.name, output.schema, output.strict, output.description) == (
        expected.kind,
        expected.name,
        expected.schema,
        expected.strict,
        expected.description,
    )
    body, _ = rendered(request)
    assert body["response_format"] == wire
