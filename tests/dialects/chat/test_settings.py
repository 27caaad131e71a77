"""Settings of foreign requests, written for a provider that speaks this dialect: everything it can say, as data."""

from typing import Any

import pytest
from tests.dialects.chat.given import foreign, own, rendered

from portico.dialects.chat import render_request
from portico.dialects.crossing import Notes, Target
from portico.errors import InvalidRequest
from portico.ir import Output, Reasoning, Tool, ToolChoice

LOOK = Tool(name="look", description="Looks.", parameters={"type": "object"})
WIRE_LOOK = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
}

# What of the body is to be, and what is lost on the way.
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "temperature": ({"temperature": 0.5}, {"temperature": 0.5}, []),
    "top_p": ({"top_p": 0.9}, {"top_p": 0.9}, []),
    "top_k": ({"top_k": 4}, {}, ["top_k"]),
    "min_p": ({"min_p": 0.1}, {"min_p": 0.1}, []),
    "frequency_penalty": ({"frequency_penalty": 0.3}, {"frequency_penalty": 0.3}, []),
    "presence_penalty": ({"presence_penalty": 0.3}, {"presence_penalty": 0.3}, []),
    "max_tokens": ({"max_tokens": 7}, {"max_tokens": 7}, []),
    "seed": ({"seed": 7}, {"seed": 7}, []),
    "n": ({"n": 2}, {"n": 2}, []),
    "one answer": ({"n": 1}, {}, []),
    "logprobs": ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, []),
    "top_logprobs alone": ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, []),
    "stop": ({"stop": ("a", "b")}, {"stop": ["a", "b"]}, []),
    "five stops": ({"stop": ("a", "b", "c", "d", "e")}, {"stop": ["a", "b", "c", "d"]}, ["stop_beyond"]),
    "user": ({"user": "u"}, {"user": "u"}, []),
    "metadata": ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}, []),
    "service_tier": ({"service_tier": "flex"}, {"service_tier": "flex"}, []),
    "verbosity": ({"verbosity": "low"}, {"verbosity": "low"}, []),
    "modalities": ({"modalities": ("text", "audio")}, {"modalities": ["text", "audio"]}, []),
    "prompt_cache_key": ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}, []),
    "safety": ({"safety": {"a": 1}}, {}, ["safety"]),
    "a stream asks for its usage": (
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        [],
    ),
    "fields of another dialect": ({"extra": {"thing": 1, "$how": 2}}, {}, ["field"]),
    "effort": ({"reasoning": Reasoning(effort="low")}, {"reasoning_effort": "low"}, []),
    "an effort beyond": ({"reasoning": Reasoning(effort="max")}, {"reasoning_effort": "high"}, []),
    "a small budget": ({"reasoning": Reasoning(enabled=True, budget=1024)}, {"reasoning_effort": "low"}, []),
    "a large budget": ({"reasoning": Reasoning(budget=32000)}, {"reasoning_effort": "high"}, []),
    "reasoning as it likes": ({"reasoning": Reasoning(enabled=True)}, {}, []),
    "no reasoning": ({"reasoning": Reasoning(enabled=False)}, {}, ["reasoning_off"]),
    "json": ({"output": Output(kind="json")}, {"response_format": {"type": "json_object"}}, []),
    "json by a schema": (
        {"output": Output(kind="json_schema", schema={"type": "object"}, name="my form", strict=True)},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "my_form", "schema": {"type": "object"}, "strict": True},
            }
        },
        [],
    ),
    "a schema without a name": (
        {"output": Output(kind="json_schema", schema={})},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}}}},
        [],
    ),
    "plain text": ({"output": Output(kind="text")}, {}, []),
    "tools": ({"tools": (LOOK,)}, {"tools": [WIRE_LOOK]}, []),
    "a strict tool without description": (
        {"tools": (Tool(name="t", description="", strict=True),)},
        {"tools": [{"type": "function", "function": {"name": "t", "strict": True}}]},
        [],
    ),
    "a custom tool": (
        {
            "tools": (
                Tool(
                    name="t",
                    kind="custom",
                    parameters={"type": "grammar", "syntax": "lark", "definition": "x"},
                ),
            )
        },
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "t",
                        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}},
                    },
                }
            ]
        },
        [],
    ),
    "parallel": (
        {"tools": (LOOK,), "parallel_tools": False},
        {"tools": [WIRE_LOOK], "parallel_tool_calls": False},
        [],
    ),
    "parallel without tools": ({"parallel_tools": False}, {}, []),
    "a choice without tools": ({"tool_choice": ToolChoice(mode="required")}, {}, []),
    "some tool": (
        {"tools": (LOOK,), "tool_choice": ToolChoice(mode="required")},
        {"tools": [WIRE_LOOK], "tool_choice": "required"},
        [],
    ),
    "no tool": (
        {"tools": (LOOK,), "tool_choice": ToolChoice(mode="none")},
        {"tools": [WIRE_LOOK], "tool_choice": "none"},
        [],
    ),
    "one tool": (
        {"tools": (LOOK,), "tool_choice": ToolChoice(mode="tool", name="look")},
        {"tools": [WIRE_LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}},
        [],
    ),
    "some of the tools": (
        {"tools": (LOOK,), "tool_choice": ToolChoice(mode="allowed", names=("look",), required=True)},
        {
            "tools": [WIRE_LOOK],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "look"}}],
                },
            },
        },
        [],
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_crosses(name: str) -> None:
    fields, expected, lost = FIELDS[name]
    body, dropped = rendered(foreign(**fields))
    assert body == {"model": "claude", "messages": [{"role": "user", "content": "hi"}]} | expected
    assert dropped == lost


QUIRKS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "max_completion_tokens": ("max_completion_tokens", {"max_tokens": 7}, {"max_completion_tokens": 7}),
    "random_seed": ("random_seed", {"seed": 7}, {"random_seed": 7}),
    "top_k": ("top_k", {"top_k": 7}, {"top_k": 7}),
    "usage_always": ("usage_always", {"stream": True}, {"stream": True}),
    "reasoning_object": (
        "reasoning_object",
        {"reasoning": Reasoning(budget=2000, show=False)},
        {"reasoning": {"max_tokens": 2000, "exclude": True}},
    ),
    "reasoning_object, off": (
        "reasoning_object",
        {"reasoning": Reasoning(enabled=False)},
        {"reasoning": {"enabled": False}},
    ),
    "thinking_type": (
        "thinking_type",
        {"reasoning": Reasoning(effort="high")},
        {"thinking": {"type": "enabled"}},
    ),
    "thinking_type, off": (
        "thinking_type",
        {"reasoning": Reasoning(enabled=False)},
        {"thinking": {"type": "disabled"}},
    ),
    "enable_thinking": (
        "enable_thinking",
        {"reasoning": Reasoning(budget=500)},
        {"enable_thinking": True, "thinking_budget": 500},
    ),
    "effort_none": ("effort_none", {"reasoning": Reasoning(enabled=False)}, {"reasoning_effort": "none"}),
    "tool_choice_any": (
        "tool_choice_any",
        {"tools": (LOOK,), "tool_choice": ToolChoice(mode="required")},
        {"tools": [WIRE_LOOK], "tool_choice": "any"},
    ),
    "web_search_options": (
        "web_search_options",
        {"tools": (Tool(name="web_search", kind="server"),)},
        {"web_search_options": {}},
    ),
}


@pytest.mark.parametrize("name", QUIRKS)
def test_a_quirk_changes_how_a_setting_is_said(name: str) -> None:
    quirk, fields, expected = QUIRKS[name]
    body, dropped = rendered(foreign(**fields), quirk)
    assert body == {"model": "claude", "messages": [{"role": "user", "content": "hi"}]} | expected
    assert dropped == []


def test_a_schema_goes_into_words_where_only_json_can_be_asked_for() -> None:
    body, _ = rendered(foreign(output=Output(kind="json_schema", schema={"type": "object"})), "json_object_only")
    assert body["response_format"] == {"type": "json_object"}
    assert '{"type":"object"}' in body["messages"][0]["content"]


def test_a_servers_tool_is_refused_where_there_is_none() -> None:
    with pytest.raises(InvalidRequest, match="web_search"):
        rendered(foreign(tools=(Tool(name="web_search", kind="server"),)))


def test_what_would_be_dropped_is_refused_where_that_is_asked_for() -> None:
    with pytest.raises(InvalidRequest) as raised:
        render_request(foreign(top_k=4), Target(model="m", dialect="chat"), Notes("chat", strict=True))
    assert raised.value.param == "top_k"


def test_a_request_of_this_dialect_keeps_fields_that_nobody_knows() -> None:
    body, _ = rendered(own(extra={"thing": {"a": [1]}, "$": {}}))
    assert body["thing"] == {"a": [1]}
    assert "$" not in body
