"""What another dialect's conversation comes to in a request of this one. A case is data."""

from typing import Any

import msgspec
import pytest
from tests.dialects.responses.world import parsed, rendered

from portico.dialects.crossing import Notes
from portico.dialects.responses import leave
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

PDF = Source(data="JVBERi0", media_type="application/pdf")
CALL = ToolCall("toolu_1", "look", '{"at":1}')
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def asked(*messages: Message, **more: Any) -> Request:
    return Request(dialect="messages", model="smart", messages=messages, **more)


def user(*parts: Part) -> Message:
    return Message("user", parts)


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


ITEMS: dict[str, tuple[tuple[Message, ...], list[Any]]] = {
    "a text alone is a string": ((user(Text("hi")),), [{"role": "user", "content": "hi"}]),
    "empty texts and empty messages are left out": (
        (user(Text("")), assistant(Text("")), user(Text("hi"), Text(""))),
        [{"role": "user", "content": "hi"}],
    ),
    "parts keep their order": (
        (user(Text("a"), Image(Source(url="https://x/i.png"), "low"), Text("b")),),
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "a"},
                    {"type": "input_image", "image_url": "https://x/i.png", "detail": "low"},
                    {"type": "input_text", "text": "b"},
                ],
            }
        ],
    ),
    "an image's data is a data URL": (
        (user(Image(Source(data="AAAA", media_type="image/webp"))),),
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/webp;base64,AAAA"}]}],
    ),
    "a document's data has a name": (
        (user(File(PDF)),),
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "input_file",
                        "file_data": "data:application/pdf;base64,JVBERi0",
                        "filename": "document.pdf",
                    }
                ],
            }
        ],
    ),
    "a document's address has none": (
        (user(File(Source(url="https://x/d.pdf"), "d.pdf")),),
        [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x/d.pdf"}]}],
    ),
    "a document of text is text": (
        (user(File(Source(text="Once"), "Tale", "From a book")),),
        [{"role": "user", "content": "Tale\nFrom a book\nOnce"}],
    ),
    "instructions in the middle stay there": (
        (user(Text("a")), Message("system", (Text("b"),)), Message("developer", (Text("c"),))),
        [
            {"role": "user", "content": "a"},
            {"role": "system", "content": "b"},
            {"role": "developer", "content": "c"},
        ],
    ),
    "calls and their results are items, before the text that follows": (
        (
            assistant(Text("I look"), CALL, ToolCall("toolu_2", "look", "")),
            user(
                ToolResult("toolu_1", parts=(Text("one"),)),
                ToolResult("toolu_2", data={"n": 2}),
                Text("go on"),
            ),
        ),
        [
            {"role": "assistant", "content": "I look"},
            {"type": "function_call", "call_id": "toolu_1", "name": "look", "arguments": '{"at":1}'},
            {"type": "function_call", "call_id": "toolu_2", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "toolu_1", "output": "one"},
            {"type": "function_call_output", "call_id": "toolu_2", "output": '{"n":2}'},
            {"role": "user", "content": "go on"},
        ],
    ),
    "a result has images and documents": (
        (
            assistant(CALL),
            Message(
                "tool",
                (
                    ToolResult(
                        "toolu_1",
                        parts=(Text("see"), Image(Source(url="https://x/i.png")), File(PDF, "a.pdf")),
                    ),
                ),
            ),
        ),
        [
            {"type": "function_call", "call_id": "toolu_1", "name": "look", "arguments": '{"at":1}'},
            {
                "type": "function_call_output",
                "call_id": "toolu_1",
                "output": [
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": "https://x/i.png"},
                    {
                        "type": "input_file",
                        "file_data": "data:application/pdf;base64,JVBERi0",
                        "filename": "a.pdf",
                    },
                ],
            },
        ],
    ),
    "an empty result is an empty string": (
        (assistant(CALL), Message("tool", (ToolResult("toolu_1"),))),
        [
            {"type": "function_call", "call_id": "toolu_1", "name": "look", "arguments": '{"at":1}'},
            {"type": "function_call_output", "call_id": "toolu_1", "output": ""},
        ],
    ),
    "a result without its call is the user's text": (
        (Message("tool", (ToolResult("gone", "look", (Text("one"),)),)),),
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Result of look (gone):"},
                    {"type": "input_text", "text": "one"},
                ],
            }
        ],
    ),
    "a custom tool's call and result": (
        (
            assistant(ToolCall("c1", "shell", "ls -l", "custom")),
            Message("tool", (ToolResult("c1", parts=(Text("a b"),)),)),
        ),
        [
            {"type": "custom_tool_call", "call_id": "c1", "name": "shell", "input": "ls -l"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "a b"},
        ],
    ),
    "a refusal": (
        (assistant(Refusal("No.")),),
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
    ),
    "a citation of an address": (
        (assistant(Text("It rains", (Citation(kind="url", url="https://x", title="X", start=0, end=8),))),),
        [
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "output_text",
                        "text": "It rains",
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url": "https://x",
                                "title": "X",
                                "start_index": 0,
                                "end_index": 8,
                            }
                        ],
                    }
                ],
            }
        ],
    ),
    "what this API's provider sealed goes back to it": (
        (assistant(Thinking("so", "gAAA", "responses", id="rs_1", summary=True), CALL),),
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "so"}],
                "encrypted_content": "gAAA",
            },
            {"type": "function_call", "call_id": "toolu_1", "name": "look", "arguments": '{"at":1}'},
        ],
    ),
    "an image that a model made is shown by the user": (
        (assistant(Text("Here"), Image(Source(data="AAAA", media_type="image/png"))),),
        [
            {"role": "assistant", "content": "Here"},
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]},
        ],
    ),
}


@pytest.mark.parametrize(("messages", "items"), ITEMS.values(), ids=ITEMS.keys())
def test_a_conversation_becomes_items(messages: tuple[Message, ...], items: list[Any]) -> None:
    said = rendered(asked(*messages))
    assert said["input"] == items
    assert said["dropped"] == []


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "instructions": ({"system": (Text("a"), Text(""), Text("b"))}, {"instructions": "a\n\nb"}),
    "tokens": ({"max_tokens": 500}, {"max_output_tokens": 500}),
    "fewer tokens than the API takes": ({"max_tokens": 1}, {"max_output_tokens": 16}),
    "sampling": ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
    "log probabilities": (
        {"logprobs": True, "top_logprobs": 3},
        {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
    ),
    "a function is not strict unless it says so": (
        {"tools": (Tool("look", "", SCHEMA), Tool("go", "Goes", strict=True))},
        {
            "tools": [
                {"type": "function", "name": "look", "parameters": SCHEMA, "strict": False},
                {
                    "type": "function",
                    "name": "go",
                    "description": "Goes",
                    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
                    "strict": True,
                },
            ]
        },
    ),
    "a custom tool": (
        {"tools": (Tool("sh", "Runs", {"type": "text"}, kind="custom"),), "tool_choice": ToolChoice("tool", "sh")},
        {
            "tools": [{"type": "custom", "name": "sh", "description": "Runs", "format": {"type": "text"}}],
            "tool_choice": {"type": "custom", "name": "sh"},
        },
    ),
    "a search of the web": (
        {
            "tools": (
                Tool(
                    "web_search",
                    kind="server",
                    extra={"allowed_domains": ["x.org"], "user_location": {"type": "approximate", "city": "Bonn"}},
                ),
            )
        },
        {
            "tools": [
                {
                    "type": "web_search",
                    "filters": {"allowed_domains": ["x.org"]},
                    "user_location": {"type": "approximate", "city": "Bonn"},
                }
            ]
        },
    ),
    "code": (
        {"tools": (Tool("code_execution", kind="server"),)},
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
    ),
    "a forced tool, one at a time": (
        {"tools": (Tool("look"),), "tool_choice": ToolChoice("tool", "look"), "parallel_tools": False},
        {"tool_choice": {"type": "function", "name": "look"}, "parallel_tool_calls": False},
    ),
    "some tools": (
        {"tools": (Tool("look"),), "tool_choice": ToolChoice("allowed", names=("look",), required=True)},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "look"}],
            }
        },
    ),
    "any tool": ({"tools": (Tool("look"),), "tool_choice": ToolChoice("required")}, {"tool_choice": "required"}),
    "a choice without tools is left out": ({"tool_choice": ToolChoice("auto")}, {"tool_choice": None}),
    "a schema": (
        {"output": Output("json_schema", SCHEMA, "my answer", strict=True), "verbosity": "low"},
        {
            "text": {
                "format": {"type": "json_schema", "name": "my_answer", "schema": SCHEMA, "strict": True},
                "verbosity": "low",
            }
        },
    ),
    "a schema without a name": (
        {"output": Output("json_schema", SCHEMA)},
        {"text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}}},
    ),
    "json": ({"output": Output("json")}, {"text": {"format": {"type": "json_object"}}}),
    "effort": (
        {"reasoning": Reasoning(effort="high", show=False)},
        {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]},
    ),
    "a budget, shown": (
        {"reasoning": Reasoning(enabled=True, budget=4000)},
        {"reasoning": {"effort": "medium", "summary": "auto"}},
    ),
    "no thinking": ({"reasoning": Reasoning(enabled=False)}, {"reasoning": {"effort": "none"}, "include": None}),
    "nothing is stored": ({}, {"store": False}),
    "who asks": (
        {"user": "u1", "metadata": {"a": "b"}, "prompt_cache_key": "k", "service_tier": "standard_only"},
        {"user": "u1", "metadata": {"a": "b"}, "prompt_cache_key": "k", "service_tier": "default"},
    ),
    "documents": (
        {"documents": (File(Source(), id="d1", data={"text": "Once"}),)},
        {"input": [{"role": "user", "content": 'd1\n{"text":"Once"}'}, {"role": "user", "content": "hi"}]},
    ),
    "images": ({"modalities": ("text", "image")}, {"tools": [{"type": "image_generation"}]}),
    "a stream": ({"stream": True, "include_usage": True}, {"stream": True, "stream_options": None}),
}


@pytest.mark.parametrize(("fields", "expected"), FIELDS.values(), ids=FIELDS.keys())
def test_a_field_becomes_its_own(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    said = rendered(asked(user(Text("hi")), **fields))
    assert {name: said.get(name) for name in expected} == expected
    assert said["dropped"] == []


DROPPED: dict[str, tuple[dict[str, Any], str]] = {
    "stop": ({"stop": ("\n",)}, "stop"),
    "seed": ({"seed": 1}, "seed"),
    "top_k": ({"top_k": 1}, "top_k"),
    "min_p": ({"min_p": 0.1}, "min_p"),
    "frequency_penalty": ({"frequency_penalty": 1.0}, "frequency_penalty"),
    "presence_penalty": ({"presence_penalty": 1.0}, "presence_penalty"),
    "repetition_penalty": ({"repetition_penalty": 1.5}, "repetition_penalty"),
    "logit_bias": ({"logit_bias": {"1": 1}}, "logit_bias"),
    "safety": ({"safety": [{"category": "x"}]}, "safety"),
    "a field of its own": ({"extra": {"container": "c"}}, "field"),
    "a mark": ({"messages": (user(Text("hi", cache=CacheMark())),)}, "cache_mark"),
    "another's thought": ({"messages": (assistant(Thinking("so", "sig", "messages")),)}, "thinking_history"),
    "an unsealed thought": ({"messages": (assistant(Thinking("so")),)}, "thinking_history"),
    "a call's signature": (
        {"messages": (assistant(msgspec.structs.replace(CALL, signature="s")),)},
        "thinking_history",
    ),
    "another's own part": ({"messages": (user(Opaque({"type": "x"})),)}, "opaque"),
    "a step of another's tool": (
        {"messages": (assistant(ToolCall("s", "web_search", "{}", "server")),)},
        "server_tool_history",
    ),
    "a failed tool": (
        {"messages": (assistant(CALL), user(ToolResult("toolu_1", error=True)))},
        "tool_error",
    ),
    "a citation of a document": (
        {"messages": (assistant(Text("It rains", (Citation(kind="page", document=0),))),)},
        "citations",
    ),
}


@pytest.mark.parametrize(("fields", "name"), DROPPED.values(), ids=DROPPED.keys())
def test_what_cannot_be_said_is_dropped_and_named(fields: dict[str, Any], name: str) -> None:
    request = msgspec.structs.replace(asked(user(Text("hi"))), **fields)
    assert rendered(request)["dropped"] == [name]
    with pytest.raises(InvalidRequest):
        rendered(request, strict=True)


REFUSED: dict[str, dict[str, Any]] = {
    "several answers": {"n": 2},
    "a spoken answer": {"modalities": ("text", "audio")},
    "a tool of another provider": {"tools": (Tool("url_context", kind="server"),)},
    "sound": {"messages": (user(Audio(Source(data="AAAA", media_type="audio/wav"))),)},
    "a film": {"messages": (user(Video(Source(url="https://x/v.mp4"))),)},
    "a file kept elsewhere": {"messages": (user(File(Source(file_id="file_1"))),)},
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED.keys())
def test_what_matters_too_much_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        rendered(msgspec.structs.replace(asked(user(Text("hi"))), **fields))


def test_a_long_id_of_a_call_is_shortened_alike_for_its_result() -> None:
    call = ToolCall("x" * 100, "look", "{}")
    first, second = rendered(asked(assistant(call), user(ToolResult(call.id, parts=(Text("a"),)))))["input"]
    assert first["call_id"] == second["call_id"]
    assert len(first["call_id"]) <= 64


def test_a_sealed_thought_of_another_maker_is_known_again() -> None:
    thought = Thinking("so it is", "sig", "messages", redacted=False)
    request = parsed(
        {
            "input": [
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "so it is"}],
                    "encrypted_content": seal(thought),
                },
                {"role": "assistant", "content": "Yes"},
            ]
        }
    )
    assert request.messages[0].parts[0] == thought
    assert [item.get("type") for item in rendered(request)["input"]] == [None], "its own provider never sees it"


def test_the_signature_of_a_call_is_known_again() -> None:
    call = ToolCall("c1", "look", "{}", signature="sig")
    request = parsed(
        {
            "input": [
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal_call(call)},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "x"},
            ]
        }
    )
    assert request.messages[0].parts == (call,)
    assert request.messages[1].parts == (ToolResult("c1", "look", (Text("x"),)),)


def test_items_of_one_turn_are_one_message() -> None:
    request = parsed(
        {
            "input": [
                {"role": "user", "content": "hi"},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "1"}]},
                {"type": "function_call_output", "call_id": "c2", "output": "2"},
            ]
        }
    )
    assert [(message.role, [type(part) for part in message.parts]) for message in request.messages] == [
        ("user", [Text]),
        ("assistant", [Thinking, Text, ToolCall, ToolCall]),
        ("tool", [ToolResult]),
        ("tool", [ToolResult]),
    ]


WRONG: dict[str, tuple[Any, str | None]] = {
    "no object": ([], None),
    "input": ({"input": 1}, "input"),
    "an item": ({"input": [1]}, "input[0]"),
    "a role": ({"input": [{"content": "x"}]}, "input[0].role"),
    "a content": ({"input": [{"role": "user", "content": 1}]}, "input[0].content"),
    "a part": ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
    "a text": (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": 1}]}]},
        "input[0].content[0].text",
    ),
    "a call": ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
    "an output": ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
    "tools": ({"tools": {}}, "tools"),
    "a tool": ({"tools": [{"type": "function"}]}, "tools[0].name"),
    "a choice": ({"tool_choice": "any"}, "tool_choice"),
    "a temperature": ({"temperature": "hot"}, "temperature"),
    "a form": ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    "an effort": ({"reasoning": {"effort": 1}}, "reasoning.effort"),
}


def test_a_choice_as_chat_completions_has_it_is_that_of_the_tool_it_names() -> None:
    choice = {"type": "function", "function": {"name": "look"}}
    request = parsed({"input": "hi", "tools": [{"type": "function", "name": "look"}], "tool_choice": choice})
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.name) == ("tool", "look")
    assert rendered(request)["tool_choice"] == choice


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
            (Source(data="iVBO", media_type="image/png"), "low"),
        ),
        ({"type": "image_url", "image_url": "https://x/i"}, (Source(url="https://x/i"), None)),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            (Source(data="JVBE", media_type="application/pdf"), "a.pdf"),
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, (Source(file_id="file-1"), None)),
    ],
)
def test_what_is_written_as_in_chat_completions_is_read_and_written_as_it_was(
    wire: dict[str, Any], expected: tuple[Source, str | None]
) -> None:
    request = parsed({"input": [{"role": "user", "content": [wire]}]})
    (part,) = request.messages[0].parts
    assert isinstance(part, Image | File)
    assert (part.source, part.detail if isinstance(part, Image) else part.name) == expected
    assert rendered(request)["input"] == [{"role": "user", "content": [wire]}]


@pytest.mark.parametrize(
    "wire", [{"type": "image_url"}, {"type": "image_url", "image_url": {}}, {"type": "file", "file": {}}]
)
def test_what_is_of_neither_shape_is_kept_as_it_is(wire: dict[str, Any]) -> None:
    request = parsed({"input": [{"role": "user", "content": [wire]}]})
    assert request.messages[0].parts == (Opaque(wire),)


@pytest.mark.parametrize(("body", "param"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_told_where(body: Any, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(body)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
        {"prompt": {"id": "pmpt_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_stored_context_is_refused_elsewhere(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="stored"):
        leave(parsed({"input": "hi", **fields}), Notes("chat"))


def test_a_wish_to_store_is_no_stored_context() -> None:
    notes = Notes("chat")
    leave(parsed({"input": "hi", "store": True, "background": False, "previous_response_id": None}), notes)
    assert notes.dropped == []


def test_what_another_dialect_would_not_miss_stays_out_of_its_sight() -> None:
    body = {
        "input": [],
        "store": True,
        "stream": False,
        "stream_options": {"include_obfuscation": False},
        "include": ["reasoning.encrypted_content"],
        "truncation": "disabled",
        "background": False,
        "safety_identifier": "u1",
        "tools": [],
        "text": {},
    }
    request = parsed(body)
    assert [name for name in request.extra if not name.startswith("$")] == []
    assert request.user == "u1"
    said = rendered(request)
    assert {name: said.get(name) for name in body} == body


def test_what_it_would_miss_is_in_its_sight() -> None:
    body = {"input": "hi", "truncation": "auto", "include": ["file_search_call.results"], "max_tool_calls": 3}
    assert parsed(body).extra == {name: value for name, value in body.items() if name != "input"}


@pytest.mark.parametrize("name", ["$silent", "$named", "$item", "$message"])
def test_a_member_with_a_name_of_ours_means_nothing(name: str) -> None:
    body = {
        name: 1,
        "input": [{"role": "assistant", "content": [{"type": "output_text", "text": "a", name: 1}], name: 1}],
    }
    assert rendered(parsed(body))["input"] == [{"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}]
