"""What callers of this dialect write, read into the conversation that all dialects share."""

from typing import Any

import pytest
from tests.dialects.chat.given import own, parsed, rendered

from portico.dialects import client_tools
from portico.dialects.chat import parse_request
from portico.errors import InvalidRequest
from portico.ir import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Opaque,
    Output,
    Part,
    Reasoning,
    Refusal,
    Request,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
)

HELLO = [{"role": "user", "content": "hi"}]
PNG = Source(data="iVBO", media_type="image/png")


def asked(**fields: Any) -> Request:
    return parsed({"messages": HELLO} | fields)


def plain(node: Any) -> Any:
    """Return a node without what only this dialect knows of it."""
    if isinstance(node, tuple):
        return tuple(map(plain, node))
    if not hasattr(node, "extra"):
        return node
    return type(node)(**{name: plain(getattr(node, name)) for name in node.__struct_fields__ if name != "extra"})


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "max_completion_tokens": ({"max_completion_tokens": 5}, {"max_tokens": 5}),
    "both limits": ({"max_completion_tokens": 5, "max_tokens": 6}, {"max_tokens": 6}),
    "random_seed": ({"random_seed": 5}, {"seed": 5}),
    "a seed that was a float": ({"seed": 5.0}, {"seed": 5}),
    "safety_identifier": ({"safety_identifier": "u"}, {"user": "u"}),
    "one stop": ({"stop": "x"}, {"stop": ("x",)}),
    "stops": ({"stop": ["x", "y"]}, {"stop": ("x", "y")}),
    "usage": ({"stream_options": {"include_usage": True}}, {"include_usage": True}),
    "parallel": ({"parallel_tool_calls": False}, {"parallel_tools": False}),
    "modalities": ({"modalities": ["text", "audio"]}, {"modalities": ("text", "audio")}),
    "an effort": ({"reasoning_effort": "low"}, {"reasoning": Reasoning(effort="low")}),
    "no effort": ({"reasoning_effort": "none"}, {"reasoning": Reasoning(effort="none", enabled=False)}),
    "OpenRouter's reasoning": (
        {"reasoning": {"max_tokens": 9, "exclude": True}},
        {"reasoning": Reasoning(budget=9, show=False)},
    ),
    "Z.ai's thinking": ({"thinking": {"type": "disabled"}}, {"reasoning": Reasoning(enabled=False)}),
    "thinking with an effort": (
        {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        {"reasoning": Reasoning(enabled=True, effort="high")},
    ),
    "LiteLLM's word for no effort": (
        {"reasoning_effort": "disable"},
        {"reasoning": Reasoning(effort="disable", enabled=False)},
    ),
    "thinking as Claude sees fit": ({"thinking": {"type": "adaptive"}}, {"reasoning": Reasoning(enabled=True)}),
    "Gemini's thinking": (
        {"extra_body": {"google": {"thinking_config": {"thinking_budget": 800, "include_thoughts": True}}}},
        {"reasoning": Reasoning(enabled=True, budget=800, show=True)},
    ),
    "Gemini's thinking by a level": (
        {"google": {"thinkingConfig": {"thinkingLevel": "LOW"}}},
        {"reasoning": Reasoning(effort="low")},
    ),
    "Gemini's thinking as it sees fit": (
        {"google": {"thinking_config": {"thinking_budget": -1}}},
        {"reasoning": Reasoning(enabled=True)},
    ),
    "Google's other settings": ({"google": {"cached_content": "c"}}, {"reasoning": None}),
    "Google's safety": (
        {"safety_settings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]},
        {"safety": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]},
    ),
    "Qwen's thinking": (
        {"enable_thinking": True, "thinking_budget": 9},
        {"reasoning": Reasoning(enabled=True, budget=9)},
    ),
    "json": ({"response_format": {"type": "json_object"}}, {"output": Output(kind="json")}),
    "json by a schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}}},
        {"output": Output(kind="json_schema", name="a", schema={}, strict=True)},
    ),
    "a tool": (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"tools": (Tool(name="f", parameters={}),)},
    ),
    "a tool without a type, marked": (
        {"tools": [{"function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]},
        {"tools": (Tool(name="f", cache=CacheMark()),)},
    ),
    "a custom tool": (
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "f",
                        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}},
                    },
                }
            ]
        },
        {
            "tools": (
                Tool(
                    name="f",
                    kind="custom",
                    parameters={"type": "grammar", "syntax": "lark", "definition": "x"},
                ),
            )
        },
    ),
    "a tool as Responses has it": (
        {"tools": [{"type": "function", "name": "f", "description": "d", "parameters": {}, "strict": True}]},
        {"tools": (Tool(name="f", description="d", parameters={}, strict=True),)},
    ),
    "a tool as Anthropic has it": (
        {"tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}]},
        {"tools": (Tool(name="f", parameters={"type": "object"}, cache=CacheMark()),)},
    ),
    "a tool as Anthropic has it, with its type": (
        {"tools": [{"type": "custom", "name": "f", "description": "d", "input_schema": {"type": "object"}}]},
        {"tools": (Tool(name="f", description="d", parameters={"type": "object"}),)},
    ),
    "a search as Google has it": (
        {"tools": [{"google_search_retrieval": {}}, {"type": "google_search"}]},
        {"tools": (Tool(name="web_search", kind="server"),) * 2},
    ),
    "Anthropic's computer as LiteLLM has it": (
        {"tools": [{"type": "computer_20250124", "function": {"name": "screen", "parameters": {"display_number": 1}}}]},
        {"tools": (Tool(name="computer", kind="server"),)},
    ),
    "a server's tool": (
        {"tools": [{"type": "openrouter:web_search", "parameters": {"max_uses": 1}}]},
        {"tools": (Tool(name="web_search", kind="server"),)},
    ),
    "a search": (
        {"web_search_options": {"search_context_size": "low"}},
        {"tools": (Tool(name="web_search", kind="server"),)},
    ),
    "usage as OpenRouter is asked for it": ({"usage": {"include": True}}, {"include_usage": True}),
    "functions": (
        {"functions": [{"name": "f", "parameters": {}}], "function_call": {"name": "f"}},
        {"tools": (Tool(name="f", parameters={}),), "tool_choice": ToolChoice(mode="tool", name="f")},
    ),
    "some tool": ({"tool_choice": "required"}, {"tool_choice": ToolChoice(mode="required")}),
    "any tool": ({"tool_choice": "any"}, {"tool_choice": ToolChoice(mode="required")}),
    "one tool": (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": ToolChoice(mode="tool", name="f")},
    ),
    "one tool, as Anthropic says it": (
        {"tool_choice": {"type": "tool", "name": "f"}},
        {"tool_choice": ToolChoice(mode="tool", name="f")},
    ),
    "some of the tools": (
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            }
        },
        {"tool_choice": ToolChoice(mode="allowed", names=("f",))},
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_is_read_and_written_as_it_was(name: str) -> None:
    fields, expected = FIELDS[name]
    request = asked(**fields)
    for attribute, value in expected.items():
        assert plain(getattr(request, attribute)) == value
    body, _ = rendered(request)
    assert body == {"model": "gpt-5", "messages": HELLO} | fields


def test_a_computer_in_a_functions_shape_is_told_elsewhere_by_its_own_settings() -> None:
    size = {"display_width_px": 800, "display_height_px": 600}
    request = asked(tools=[{"type": "computer_20250124", "function": {"name": "screen", "parameters": size}}])
    found = client_tools.asked(request, "gemini")
    assert found is not None
    (tool,) = found[0].tools
    assert (tool.name, tool.kind) == ("screen", "function")
    assert tool.description is not None
    assert "800 pixels wide and 600 high" in tool.description


PARTS: dict[str, tuple[Any, Part]] = {
    "text": ({"type": "text", "text": "a"}, Text(text="a")),
    "a mark": (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        Text(text="a", cache=CacheMark(ttl="1h")),
    ),
    "an image": (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
        Image(source=PNG, detail="low"),
    ),
    "an image by its address alone": (
        {"type": "image_url", "image_url": "https://x/i"},
        Image(source=Source(url="https://x/i")),
    ),
    "an image with parameters": (
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml;charset=utf-8;base64,AA=="}},
        Image(source=Source(url="data:image/svg+xml;charset=utf-8;base64,AA==")),
    ),
    "sound": (
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}},
        Audio(source=Source(data="UklG", media_type="audio/mpeg")),
    ),
    "a film": (
        {"type": "video_url", "video_url": {"url": "https://x/v"}},
        Video(source=Source(url="https://x/v")),
    ),
    "a file": (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
        File(source=Source(data="JVBE", media_type="application/pdf"), name="a.pdf"),
    ),
    "a kept file": ({"type": "file", "file": {"file_id": "f1"}}, File(source=Source(file_id="f1"))),
    "a file by its address": (
        {"type": "file", "file": {"file_data": "https://x/f"}},
        File(source=Source(url="https://x/f")),
    ),
    "Mistral's document": (
        {"type": "document_url", "document_url": "https://x/f", "document_name": "f"},
        File(source=Source(url="https://x/f"), name="f"),
    ),
    "a refusal": ({"type": "refusal", "refusal": "no"}, Refusal(text="no")),
    "Mistral's thought": (
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        Thinking(text="hm"),
    ),
    "Anthropic's thought": (
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        Thinking(text="hm", opaque="s", maker="chat"),
    ),
    "a bare string": ("a", Text(text="a")),
    "something else": ({"type": "hologram", "x": 1}, Opaque(value={"type": "hologram", "x": 1})),
    "text that is none": ({"type": "text", "text": 1}, Opaque(value={"type": "text", "text": 1})),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_part_is_read_and_written_as_it_was(name: str, role: str) -> None:
    value, expected = PARTS[name]
    messages = [{"role": role, "content": [value]}]
    request = asked(messages=messages)
    assert plain(request.messages[0].parts) == (expected,)
    assert rendered(request)[0]["messages"] == messages


WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

MESSAGES: dict[str, tuple[dict[str, Any], tuple[Part, ...]]] = {
    "an empty text": ({"role": "user", "content": ""}, ()),
    "nothing": ({"role": "assistant", "content": None}, ()),
    "an empty list": ({"role": "assistant", "content": []}, ()),
    "no content": ({"role": "assistant", "tool_calls": [WIRE_CALL]}, (ToolCall(id="c1", name="f"),)),
    "a mark on a message": (
        {"role": "system", "content": "a", "cache_control": {"type": "ephemeral"}},
        (Text(text="a", cache=CacheMark()),),
    ),
    "a name": ({"role": "user", "name": "ann", "content": "a"}, (Text(text="a"),)),
    "a result": (
        {"role": "tool", "tool_call_id": "c1", "name": "f", "content": [{"type": "text", "text": "a"}]},
        (ToolResult(id="c1", name="f", parts=(Text(text="a"),)),),
    ),
    "a result without an id": ({"role": "tool", "content": "a"}, (ToolResult(id="", parts=(Text(text="a"),)),)),
    "a thought": (
        {"role": "assistant", "content": "a", "reasoning_content": "hm"},
        (Thinking(text="hm"), Text(text="a")),
    ),
    "a refusal": ({"role": "assistant", "content": None, "refusal": "no"}, (Refusal(text="no"),)),
    "what was said before": (
        {"role": "assistant", "content": None, "audio": {"id": "a1"}},
        (Audio(source=Source(), id="a1"),),
    ),
    "an annotated text": (
        {
            "role": "assistant",
            "content": "a",
            "annotations": [{"type": "url_citation", "url_citation": {"url": "https://x", "other": 1}}],
        },
        (Text(text="a", citations=(Citation(kind="url", url="https://x"),)),),
    ),
    "a prefix": ({"role": "assistant", "content": "a", "prefix": True}, (Text(text="a"),)),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_read_and_written_as_it_was(name: str) -> None:
    message, expected = MESSAGES[name]
    request = asked(messages=[message])
    assert plain(request.messages[0].parts) == expected
    assert request.messages[0].name == (message.get("name") if message["role"] != "tool" else None)
    assert rendered(request)[0]["messages"] == [message]


def test_a_function_s_answer_belongs_to_the_call_before_it() -> None:
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ]
    request = asked(messages=messages)
    call, result = (message.parts[0] for message in request.messages)
    assert plain(call) == ToolCall(id="call_0", name="f")
    assert plain(result) == ToolResult(id="call_0", name="f", parts=(Text(text="1"),))
    assert rendered(request)[0]["messages"] == messages


def test_what_says_nothing_is_written_again_and_is_no_field_of_its_own() -> None:
    fields = {"stream": False, "stop": [], "tools": [], "tool_choice": None, "temperature": None, "thing": None}
    request = asked(**fields)
    assert request.extra.keys() == {"$"}
    assert rendered(request)[0] == {"model": "gpt-5", "messages": HELLO} | fields


REFUSED: dict[str, tuple[bytes, str | None]] = {
    "nothing": (b"", None),
    "a list": (b"[]", None),
    "no UTF-8": (b'{"messages":["\xff"]}', None),
    "too deep": (b'{"messages":' + b"[" * 100_000, None),
    "no messages": (b"{}", "messages"),
    "messages that are none": (b'{"messages":"hi"}', "messages"),
    "a message that is none": (b'{"messages":[1]}', "messages[0]"),
    "no role": (b'{"messages":[{"content":"a"}]}', "messages[0].role"),
    "a role of another": (b'{"messages":[{"role":"model","content":"a"}]}', "messages[0].role"),
    "a content that is none": (b'{"messages":[{"role":"user","content":1}]}', "messages[0].content"),
    "calls that are none": (
        b'{"messages":[{"role":"assistant","tool_calls":{"a":1}}]}',
        "messages[0].tool_calls",
    ),
    "a call without a name": (
        b'{"messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]}',
        "messages[0].tool_calls[0].function.name",
    ),
    "tools that are none": (b'{"messages":[],"tools":1}', "tools"),
    "a tool that is none": (b'{"messages":[],"tools":[1]}', "tools[0]"),
    "a tool without a name": (b'{"messages":[],"tools":[{"type":"function","function":{}}]}', "tools[0].function.name"),
    "a temperature in words": (b'{"messages":[],"temperature":"hot"}', "temperature"),
    "a temperature that is true": (b'{"messages":[],"temperature":true}', "temperature"),
    "half a token": (b'{"messages":[],"max_tokens":1.5}', "max_tokens"),
    "a stop of numbers": (b'{"messages":[],"stop":[1]}', "stop"),
    "options that are none": (b'{"messages":[],"stream_options":1}', "stream_options"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_its_field(name: str) -> None:
    body, param = REFUSED[name]
    with pytest.raises(InvalidRequest) as raised:
        parse_request(body, model="m", stream=False)
    assert raised.value.param == param


def test_the_target_s_model_is_written_and_a_stream_is_asked_for() -> None:
    body, _ = rendered(own(stream=True, include_usage=True))
    assert (body["model"], body["stream"], body["stream_options"]) == ("gpt-5", True, {"include_usage": True})


def test_usage_is_asked_for_of_a_stream_whose_options_are_null() -> None:
    body, _ = rendered(own(stream=True, include_usage=True, extra={"stream_options": None}))
    assert body["stream_options"] == {"include_usage": True}
