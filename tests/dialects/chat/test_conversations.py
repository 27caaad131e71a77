"""Foreign conversations, written for a provider that speaks this dialect: every part that a turn can have, as data."""

import json
from typing import Any

import pytest
from tests.dialects.chat.given import HELLO, foreign, parsed, rendered

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
    Part,
    Refusal,
    Source,
    Text,
    Thinking,
    ToolCall,
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


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts)


def model(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


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
