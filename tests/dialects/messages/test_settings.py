"""Settings and tools of another dialect's request, as each of Anthropic's models takes them; what is refused."""

from typing import Any

import pytest
from tests.dialects.messages.world import assistant, foreign, tool, user, written

from portico.dialects import emulate
from portico.errors import InvalidRequest
from portico.ir import (
    Audio,
    CacheMark,
    File,
    Output,
    Reasoning,
    Source,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
)

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
NEW, OLD, LATEST = "claude-sonnet-4-5", "claude-3-5-haiku-20241022", "claude-opus-4-7"
FUNCTION = Tool(name="f", description="d", parameters=SCHEMA)
SETTINGS: list[tuple[str, str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("max_tokens has a default", NEW, {}, {"max_tokens": 32_000}, []),
    ("an old model writes less", OLD, {}, {"max_tokens": 8192}, []),
    ("stop", NEW, {"stop": ("a", " ")}, {"stop_sequences": ["a"]}, ["stop_blank"]),
    (
        "user and tier",
        NEW,
        {"user": "u", "service_tier": "auto"},
        {"metadata": {"user_id": "u"}, "service_tier": "auto"},
        [],
    ),
    ("temperature is at most 1", NEW, {"temperature": 1.7}, {"temperature": 1.0}, ["temperature_above_1"]),
    ("one of two", NEW, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": None}, ["sampling"]),
    (
        "no sampling at all",
        LATEST,
        {"temperature": 0.5, "top_k": 5},
        {"temperature": None, "top_k": None},
        ["sampling"],
    ),
    ("top_k", OLD, {"top_k": 5, "top_p": 0.5, "temperature": 0.1}, {"top_k": 5, "top_p": 0.5, "temperature": 0.1}, []),
    (
        "what it has not",
        NEW,
        {"seed": 1, "logprobs": True, "frequency_penalty": 0.5, "logit_bias": {"1": 2}, "metadata": {"a": "b"}},
        {},
        ["logprobs", "logit_bias", "seed", "frequency_penalty", "metadata"],
    ),
    ("an unknown field", NEW, {"extra": {"store": True, "$hint": 1, "absent": None}}, {}, ["field"]),
    (
        "tools",
        NEW,
        {"tools": (FUNCTION, Tool(name="g", description="", cache=CacheMark())), "parallel_tools": False},
        {
            "tools": [
                {"name": "f", "description": "d", "input_schema": SCHEMA},
                {
                    "name": "g",
                    "input_schema": {"type": "object", "properties": {}},
                    "cache_control": {"type": "ephemeral"},
                },
            ],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        },
        [],
    ),
    (
        "a strict tool",
        NEW,
        {"tools": (Tool(name="f", parameters=SCHEMA, strict=True),), "tool_choice": ToolChoice(mode="tool", name="f")},
        {
            "tools": [
                {
                    "name": "f",
                    "strict": True,
                    "input_schema": {
                        "type": "object",
                        "properties": {"a": {"type": "integer", "description": "(minimum: 1)"}},
                        "required": ["a"],
                        "additionalProperties": False,
                    },
                }
            ],
            "tool_choice": {"type": "tool", "name": "f"},
        },
        [],
    ),
    (
        "a choice among some",
        NEW,
        {
            "tools": (FUNCTION, Tool(name="g")),
            "tool_choice": ToolChoice(mode="allowed", names=("f",), required=True),
        },
        {"tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}], "tool_choice": {"type": "any"}},
        [],
    ),
    ("no tools, no choice", NEW, {"tool_choice": ToolChoice(mode="none")}, {"tools": None, "tool_choice": None}, []),
    (
        "a search",
        NEW,
        {
            "tools": (
                Tool(
                    name="web_search",
                    kind="server",
                    extra={
                        "user_location": {"type": "approximate", "city": "Ulm", "region": None},
                        "filters": {"allowed_domains": ["x.org"]},
                    },
                ),
            )
        },
        {
            "tools": [
                {
                    "type": "web_search_20250305",
                    "name": "web_search",
                    "user_location": {"type": "approximate", "city": "Ulm"},
                    "allowed_domains": ["x.org"],
                }
            ]
        },
        [],
    ),
    (
        "effort as a budget, within max_tokens",
        NEW,
        {"reasoning": Reasoning(effort="high"), "max_tokens": 4000, "temperature": 0.2},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000, "temperature": None},
        ["sampling"],
    ),
    (
        "a budget of its own, with room to answer",
        NEW,
        {"reasoning": Reasoning(budget=50_000)},
        {"thinking": {"type": "enabled", "budget_tokens": 50_000}, "max_tokens": 54_096},
        [],
    ),
    (
        "an effort where the model weighs it",
        LATEST,
        {"reasoning": Reasoning(effort="minimal")},
        {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}},
        [],
    ),
    (
        "a budget where the model weighs it",
        LATEST,
        {"reasoning": Reasoning(budget=9000, show=False)},
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}},
        [],
    ),
    ("no thought", LATEST, {"reasoning": Reasoning(effort="none")}, {"thinking": None}, []),
    ("a model without thought", OLD, {"reasoning": Reasoning(effort="low")}, {"thinking": None}, ["thinking"]),
    (
        "too few tokens",
        NEW,
        {"reasoning": Reasoning(effort="low"), "max_tokens": 500},
        {"thinking": None},
        ["thinking"],
    ),
    (
        "a forced tool comes before thought",
        NEW,
        {"reasoning": Reasoning(effort="low"), "tools": (FUNCTION,), "tool_choice": ToolChoice(mode="required")},
        {"thinking": None, "tool_choice": {"type": "any"}},
        ["forced_tool_with_thinking"],
    ),
    (
        "a round of tools begun without thought goes on without",
        NEW,
        {
            "reasoning": Reasoning(effort="low"),
            "tools": (FUNCTION,),
            "messages": (user("q"), assistant(ToolCall(id="a", name="f")), tool(ToolResult(id="a"))),
        },
        {"thinking": None},
        ["thinking"],
    ),
    (
        "tools of the conversation are declared",
        NEW,
        {"messages": (user("q"), assistant(ToolCall(id="a", name="f")), tool(ToolResult(id="a")))},
        {
            "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "none"},
        },
        [],
    ),
    (
        "a schema where the model takes one",
        NEW,
        {"output": Output(kind="json_schema", schema=SCHEMA, name="n")},
        {
            "output_config": {
                "format": {
                    "type": "json_schema",
                    "schema": {
                        "type": "object",
                        "properties": {"a": {"type": "integer", "description": "(minimum: 1)"}},
                        "required": ["a"],
                        "additionalProperties": False,
                    },
                }
            }
        },
        [],
    ),
    (
        "a schema where it does not",
        OLD,
        {"output": Output(kind="json_schema", schema=SCHEMA)},
        {
            "tools": [
                {"name": emulate.ANSWER, "description": "Give the answer, in this form.", "input_schema": SCHEMA}
            ],
            "tool_choice": {"type": "tool", "name": emulate.ANSWER},
            "output_config": None,
        },
        [],
    ),
    (
        "documents beside the messages are shown, to be cited",
        NEW,
        {"documents": (File(source=Source(text="fact"), id="d"),)},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "fact"},
                            "title": "d",
                            "citations": {"enabled": True},
                        },
                        {"type": "text", "text": "hi"},
                    ],
                }
            ]
        },
        [],
    ),
    (
        "foreign thoughts stay away",
        NEW,
        {"messages": (user("q"), assistant(Thinking(text="hm", opaque="x", maker="responses"), "a"), user("b"))},
        {},
        ["thinking_history"],
    ),
]


@pytest.mark.parametrize(
    ("model", "fields", "wire", "lost"), [case[1:] for case in SETTINGS], ids=[case[0] for case in SETTINGS]
)
def test_settings_are_written_as_the_model_takes_them(
    model: str, fields: dict[str, Any], wire: dict[str, Any], lost: list[str]
) -> None:
    body, dropped = written("messages", foreign(**fields), model)
    assert {name: body.get(name) for name in wire} == wire
    assert dropped == lost


REFUSED = [
    ("n", {"n": 2}),
    ("sound", {"messages": (user(Audio(source=Source(data="AA==", media_type="audio/wav"))),)}),
    ("a film", {"messages": (user(Video(source=Source(url="https://x"))),)}),
    ("a file elsewhere", {"messages": (user(File(source=Source(file_id="f"))),)}),
    (
        "a file of another type",
        {"messages": (user(File(source=Source(data="AA==", media_type="application/msword"))),)},
    ),
    ("a server's tool", {"tools": (Tool(name="file_search", kind="server"),)}),
    ("what is kept elsewhere", {"extra": {"previous_response_id": "resp_1"}}),
    ("a spoken answer", {"modalities": ("text", "audio")}),
]


@pytest.mark.parametrize("fields", [case[1] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_would_change_the_meaning_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        written("messages", foreign(**fields), NEW)


def test_strict_refuses_what_would_be_dropped() -> None:
    with pytest.raises(InvalidRequest, match="a seed"):
        written("messages", foreign(seed=3), NEW, strict=True)
