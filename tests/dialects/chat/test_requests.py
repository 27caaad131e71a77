"""Foreign requests, written for a provider that speaks this dialect: everything that it can say, as data."""

import json
from typing import Any

import pytest
from tests.dialects.chat.given import HELLO, foreign, own, parsed, rendered

from portico.dialects.chat import render_request
from portico.dialects.crossing import Notes, Target
from portico.dialects.seal import seal, seal_call
from portico.errors import InvalidRequest
from portico.ir import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Message,
    Opaque,
    Output,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
)

PNG = Source(data="iVBO", media_type="image/png")
CALL = ToolCall(id="c1", name="look", arguments='{"q":1}')
WIRE_CUSTOM = {
    "function": {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"input":"1+1"}'}},
    "custom": {"id": "c1", "type": "custom", "custom": {"name": "look", "input": "1+1"}},
}
WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q":1}'}}
LOOK = Tool(name="look", description="Looks.", parameters={"type": "object"})
WIRE_LOOK = {
    "type": "function",
    "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
}


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts)


def model(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


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


DOCUMENT = '<document title="a.txt">\nwords\n</document>'

CONVERSATIONS: dict[str, tuple[tuple[Message, ...], list[dict[str, Any]], list[str]]] = {
    "several texts": (
        (user(Text(text="a"), Text(text="b")),),
        [{"role": "user", "content": [text("a"), text("b")]}],
        [],
    ),
    "empty texts are left out": ((user(Text(text=""), Text(text="b")),), [{"role": "user", "content": "b"}], []),
    "a turn of nothing is left out": ((HELLO, model(Text(text=""))), [{"role": "user", "content": "hi"}], []),
    "a name": (
        (Message(role="user", name="ann", parts=(Text(text="a"),)),),
        [{"role": "user", "name": "ann", "content": "a"}],
        [],
    ),
    "a developer": (
        (Message(role="developer", parts=(Text(text="a"),)),),
        [{"role": "system", "content": "a"}],
        [],
    ),
    "images": (
        (user(Text(text="see"), Image(source=PNG, detail="low"), Image(source=Source(url="https://x/i"))),),
        [
            {
                "role": "user",
                "content": [
                    text("see"),
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://x/i"}},
                ],
            }
        ],
        [],
    ),
    "sound": (
        (user(Audio(source=Source(data="UklG", media_type="audio/mpeg"))),),
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}}]}],
        [],
    ),
    "a document of bytes": (
        (user(File(source=Source(data="JVBE", media_type="application/pdf"), name="a.pdf")),),
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file",
                        "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
                    }
                ],
            }
        ],
        [],
    ),
    "a document of text": (
        (user(File(source=Source(text="words"), name="a.txt"), Text(text="read")),),
        [{"role": "user", "content": [text(DOCUMENT), text("read")]}],
        [],
    ),
    "a document of text in base64": (
        (user(File(source=Source(data="d29yZHM=", media_type="text/plain"), name="a.txt")),),
        [{"role": "user", "content": DOCUMENT}],
        [],
    ),
    "a document of blocks": (
        (user(File(source=Source(), name="a.txt", parts=(Text(text="words"),))),),
        [{"role": "user", "content": DOCUMENT}],
        [],
    ),
    "a document of fields": (
        (user(File(source=Source(), id="d1", data={"k": "v"})),),
        [{"role": "user", "content": '<document id="d1">\nk: v\n</document>'}],
        [],
    ),
    "a cache mark": (
        (user(Text(text="a", cache=CacheMark())),),
        [{"role": "user", "content": "a"}],
        ["cache_mark"],
    ),
    "something opaque": ((user(Opaque(value=1), Text(text="a")),), [{"role": "user", "content": "a"}], ["opaque"]),
    "calls and results": (
        (
            HELLO,
            model(Text(text="wait"), CALL, ToolCall(id="c2", name="look")),
            user(
                ToolResult(id="c1", parts=(Text(text="one"),)),
                ToolResult(id="c2", data={"n": 2}),
                Text(text="go on"),
            ),
        ),
        [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "wait",
                "tool_calls": [
                    WIRE_CALL,
                    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": '{"n":2}'},
            {"role": "user", "content": "go on"},
        ],
        [],
    ),
    "a custom call": (
        (model(ToolCall(id="c1", name="look", arguments="1+1", kind="custom")),),
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [WIRE_CUSTOM["function"]],
            }
        ],
        [],
    ),
    "an image as a result": (
        (model(CALL), Message(role="tool", parts=(ToolResult(id="c1", parts=(Image(source=PNG),)),)), HELLO),
        [
            {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]},
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": "(what the tool returned besides follows in the next message)",
            },
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
                    text("hi"),
                ],
            },
        ],
        [],
    ),
    "an image that the model made": (
        (model(Text(text="here"), Image(source=PNG)),),
        [
            {"role": "assistant", "content": "here"},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}],
            },
        ],
        [],
    ),
    "a result without its call": (
        (user(ToolResult(id="c9", name="look", parts=(Text(text="one"),))),),
        [{"role": "user", "content": [text("[look]"), text("one")]}],
        [],
    ),
    "an empty result": (
        (model(CALL), user(ToolResult(id="c1"))),
        [
            {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": ""},
        ],
        [],
    ),
    "text after a call": (
        (model(Text(text="a"), CALL, Text(text="b")),),
        [{"role": "assistant", "content": [text("a"), text("b")], "tool_calls": [WIRE_CALL]}],
        ["part_order"],
    ),
    "a long id": (
        (
            model(ToolCall(id="x" * 64, name="look")),
            user(ToolResult(id="x" * 64, parts=(Text(text="one"),))),
        ),
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_b59d8a02d3175710c80ff725",
                        "type": "function",
                        "function": {"name": "look", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_b59d8a02d3175710c80ff725", "content": "one"},
        ],
        [],
    ),
    "thoughts": (
        (model(Thinking(text="hm", opaque="sig", maker="messages"), Text(text="a")),),
        [{"role": "assistant", "content": "a"}],
        ["thinking_history"],
    ),
    "a signed call": (
        (model(ToolCall(id="c1", name="look", arguments='{"q":1}', signature="sig")),),
        [{"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]}],
        ["thinking_history"],
    ),
    "a refusal": (
        (HELLO, model(Refusal(text="no"))),
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "refusal": "no"}],
        [],
    ),
    "citations": (
        (model(Text(text="a", citations=(Citation(kind="url", url="https://x"),))),),
        [{"role": "assistant", "content": "a"}],
        ["citations"],
    ),
    "a step of a server's tool": (
        (model(ToolCall(id="s1", name="web_search", kind="server"), ToolResult(id="s1", server=True), Text(text="a")),),
        [{"role": "assistant", "content": "a"}],
        ["server_tool_history"],
    ),
    "spoken words": (
        (model(Audio(source=Source(data="UklG"), transcript="hello")),),
        [{"role": "assistant", "content": "hello"}],
        [],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_crosses(name: str) -> None:
    messages, expected, lost = CONVERSATIONS[name]
    body, dropped = rendered(foreign(messages=messages))
    assert body["messages"] == expected
    assert dropped == lost


def test_a_custom_call_goes_as_it_is_to_those_who_have_such_tools() -> None:
    call = ToolCall(id="c1", name="look", arguments="1+1", kind="custom")
    body, _ = rendered(foreign(messages=(model(call),)), "custom_tools")
    assert body["messages"][0]["tool_calls"] == [WIRE_CUSTOM["custom"]]


def test_a_system_prompt_comes_first() -> None:
    body, _ = rendered(foreign(system=(Text(text="be kind"), Text(text="be brief"))))
    assert body["messages"][0] == {"role": "system", "content": [text("be kind"), text("be brief")]}


def test_documents_stand_before_what_is_asked() -> None:
    body, _ = rendered(foreign(documents=(File(source=Source(text="words"), name="a.txt"),)))
    assert body["messages"] == [{"role": "user", "content": [text(DOCUMENT), text("hi")]}]


CONVERSATION_QUIRKS: dict[str, tuple[str, Message, Any]] = {
    "developer_role": (
        "developer_role",
        Message(role="developer", parts=(Text(text="a"),)),
        {"role": "developer", "content": "a"},
    ),
    "cache_control": (
        "cache_control",
        user(Text(text="a", cache=CacheMark(ttl="1h"))),
        {"role": "user", "content": [text("a") | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
    ),
    "video_url": (
        "video_url",
        user(Video(source=Source(url="https://x/v"))),
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://x/v"}}]},
    ),
    "file_url": (
        "file_url",
        user(File(source=Source(url="https://x/f"), name="f")),
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "https://x/f", "filename": "f"}}]},
    ),
    "reasoning_content": (
        "reasoning_content",
        model(Thinking(text="hm"), Text(text="a")),
        {"role": "assistant", "reasoning_content": "hm", "content": "a"},
    ),
    "reasoning": (
        "reasoning",
        model(Thinking(text="hm"), Text(text="a")),
        {"role": "assistant", "reasoning": "hm", "content": "a"},
    ),
    "thought_signature": (
        "thought_signature",
        model(ToolCall(id="c1", name="look", arguments='{"q":1}', signature="sig")),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [WIRE_CALL | {"extra_content": {"google": {"thought_signature": "sig"}}}],
        },
    ),
    "tool_ids_of_nine": (
        "tool_ids_of_nine",
        model(CALL),
        {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL | {"id": "ba2593929"}]},
    ),
    "images": (
        "images",
        model(Text(text="a"), Image(source=PNG)),
        {
            "role": "assistant",
            "content": "a",
            "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}],
        },
    ),
}


@pytest.mark.parametrize("name", CONVERSATION_QUIRKS)
def test_a_quirk_changes_how_a_turn_is_said(name: str) -> None:
    quirk, message, expected = CONVERSATION_QUIRKS[name]
    body, dropped = rendered(foreign(messages=(message,)), quirk)
    assert body["messages"] == [expected]
    assert dropped == []


def test_details_go_back_to_a_provider_that_made_them_and_to_no_other() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "sig"}]
    thought = Thinking(text="hm", opaque=json.dumps(details), maker="chat")
    request = foreign(messages=(model(thought, Text(text="a")),))
    body, dropped = rendered(request, "reasoning_details", "reasoning")
    assert body["messages"][0] == {
        "role": "assistant",
        "reasoning": "hm",
        "reasoning_details": details,
        "content": "a",
    }
    assert dropped == []
    body, dropped = rendered(request)
    assert body["messages"][0] == {"role": "assistant", "content": "a"}
    assert dropped == ["thinking_history"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a server's tool": ({"tools": (Tool(name="web_search", kind="server"),)}, "web_search"),
    "a film": ({"messages": (user(Video(source=Source(url="https://x/v"))),)}, "film"),
    "a document by its address": ({"messages": (user(File(source=Source(url="https://x/f"))),)}, "address"),
    "a kept document": ({"messages": (user(File(source=Source(file_id="f1"))),)}, "f1"),
    "a kept image": ({"messages": (user(Image(source=Source(file_id="f1"))),)}, "file"),
    "sound by its address": ({"messages": (user(Audio(source=Source(url="https://x/a"))),)}, "sound"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_table_refuses_is_refused(name: str) -> None:
    fields, told = REFUSED[name]
    with pytest.raises(InvalidRequest, match=told):
        rendered(foreign(**fields))


def test_what_would_be_dropped_is_refused_where_that_is_asked_for() -> None:
    with pytest.raises(InvalidRequest) as raised:
        render_request(foreign(top_k=4), Target(model="m", dialect="chat"), Notes("chat", strict=True))
    assert raised.value.param == "top_k"


def test_sealed_thoughts_and_calls_are_known_again_and_go_to_no_other_maker() -> None:
    thought = Thinking(text="hm", opaque="sig", maker="messages")
    call = ToolCall(id="c1", name="look", arguments='{"q":1}', signature="sig")
    body = {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": seal(thought)}],
                "tool_calls": [WIRE_CALL | {"id": seal_call(call)}],
            },
            {"role": "tool", "tool_call_id": seal_call(call), "content": "one"},
        ]
    }
    request = parsed(body)
    assert request.messages[0].parts == (thought, call)
    assert request.messages[1].parts == (ToolResult(id="c1", parts=(Text(text="one"),)),)
    written, dropped = rendered(request)
    assert written["messages"][0] == {"role": "assistant", "content": None, "tool_calls": [WIRE_CALL]}
    assert written["messages"][1]["tool_call_id"] == "c1"
    assert dropped == ["thinking_history"]


def test_a_request_of_this_dialect_keeps_fields_that_nobody_knows() -> None:
    body, _ = rendered(own(extra={"thing": {"a": [1]}, "$": {}}))
    assert body["thing"] == {"a": [1]}
    assert "$" not in body
