"""What another dialect's conversation is for Anthropic, and what Anthropic's is for another's client."""

import base64
import json
from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import settings
from tests.dialects.messages.world import (
    PDF,
    PNG,
    assistant,
    foreign,
    given,
    recorded,
    requests,
    shown,
    tool,
    user,
    written,
)
from tests.dialects.odd_cases import damages, outcome

from portico.dialects import emulate
from portico.dialects.crossing import Notes, Target
from portico.dialects.messages import Decoder, parse_error, parse_reply, parse_request, render_reply, render_request
from portico.dialects.seal import PREFIX
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import (
    CacheMark,
    Choice,
    Citation,
    File,
    Image,
    Message,
    Opaque,
    Refusal,
    Reply,
    Request,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from portico.types import Usage

NEW, LATEST = "claude-sonnet-4-5", "claude-opus-4-7"


def rendered(request: Request, model: str = NEW) -> tuple[Any, list[str]]:
    """Return the body that a request comes to, and what was lost."""
    return written("messages", request, model)


CONTENT = [
    ("text", (user("hi"),), [{"role": "user", "content": "hi"}]),
    (
        "image",
        (user("see", Image(source=Source(data=PNG, media_type="image/png")), Image(source=Source(url="https://x/y"))),),
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y"}},
                ],
            }
        ],
    ),
    (
        "documents of every kind",
        (
            user(
                File(source=Source(data=PDF, media_type="application/pdf"), name="a.pdf", cite=True),
                File(source=Source(url="https://x/y.pdf")),
                File(source=Source(text="plain"), context="c"),
                File(source=Source(data=base64.b64encode(b"a,b").decode(), media_type="text/csv")),
                File(source=Source(), parts=(Text(text="one"), Text(text="two"))),
                File(source=Source(), data={"k": "v"}, id="d1"),
            ),
        ),
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                        "title": "a.pdf",
                        "citations": {"enabled": True},
                    },
                    {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "plain"},
                        "context": "c",
                    },
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
                    {
                        "type": "document",
                        "source": {
                            "type": "content",
                            "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
                        },
                    },
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": '{"k":"v"}'},
                        "title": "d1",
                    },
                ],
            }
        ],
    ),
    (
        "blank text is not sent, and turns of one side are one",
        (user("a"), user("  ", "b"), assistant("", "c"), assistant("d "), user("e"), assistant("f  ")),
        [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d "}]},
            {"role": "user", "content": "e"},
            {"role": "assistant", "content": "f"},
        ],
    ),
    (
        "results go first, each call has one, ids are legal",
        (
            user("q"),
            assistant(ToolCall(id="a.1", name="f", arguments='{"x":1}'), ToolCall(id="b", name="g", arguments="bad")),
            user("meanwhile"),
            tool(ToolResult(id="a.1", data={"z": 1})),
            assistant("done"),
        ),
        [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "call_a_1_ec8d7113", "name": "f", "input": {"x": 1}},
                    {"type": "tool_use", "id": "b", "name": "g", "input": {"raw_arguments": "bad"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_a_1_ec8d7113", "content": '{"z":1}'},
                    {"type": "tool_result", "tool_use_id": "b", "content": "No result was given.", "is_error": True},
                    {"type": "text", "text": "meanwhile"},
                ],
            },
            {"role": "assistant", "content": "done"},
        ],
    ),
    (
        "a result whose call is gone is text",
        (user("q"), tool(ToolResult(id="x", name="f", parts=(Text(text="42"),)))),
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "q"},
                    {"type": "text", "text": "Result of the tool f:"},
                    {"type": "text", "text": "42"},
                ],
            }
        ],
    ),
    (
        "an image as a result, cached, in error",
        (
            user("q"),
            assistant(ToolCall(id="a", name="f", cache=CacheMark("1h"))),
            tool(
                ToolResult(
                    id="a",
                    parts=(Text(text="t"), Image(source=Source(data=PNG, media_type="image/png"))),
                    error=True,
                    cache=CacheMark(),
                )
            ),
        ),
        [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "tool_use",
                        "id": "a",
                        "name": "f",
                        "input": {},
                        "cache_control": {"type": "ephemeral", "ttl": "1h"},
                    }
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "a",
                        "content": [
                            {"type": "text", "text": "t"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                        ],
                        "is_error": True,
                        "cache_control": {"type": "ephemeral"},
                    }
                ],
            },
        ],
    ),
    (
        "an instruction midway keeps its place, and an answer cannot come first",
        (assistant("hello"), user("q"), Message(role="developer", parts=(Text(text="be brief"),)), user("go")),
        [
            {"role": "user", "content": "(The conversation begins.)"},
            {"role": "assistant", "content": "hello"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "q"},
                    {"type": "text", "text": "<system>\nbe brief\n</system>"},
                    {"type": "text", "text": "go"},
                ],
            },
        ],
    ),
    (
        "its own thoughts go back, and a refusal is text",
        (
            user("q"),
            assistant(
                Thinking(text="hm", opaque="sig", maker="messages"),
                Thinking(opaque="data", maker="messages", redacted=True),
                Refusal(text="no"),
            ),
        ),
        [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "data"},
                    {"type": "text", "text": "no"},
                ],
            },
        ],
    ),
]


@pytest.mark.parametrize(("messages", "wire"), [case[1:] for case in CONTENT], ids=[case[0] for case in CONTENT])
def test_messages_are_written_as_anthropic_takes_them(messages: tuple[Message, ...], wire: list[Any]) -> None:
    body, dropped = rendered(foreign(messages=messages))
    assert body["messages"] == wire
    assert dropped == []


@pytest.mark.parametrize(
    ("inner", "source"),
    [
        ({"url": "data:image/png;base64,iVBO"}, Source(data="iVBO", media_type="image/png")),
        ("https://x/i", Source(url="https://x/i")),
        ({"url": "data:image/svg+xml,a"}, Source(url="data:image/svg+xml,a")),
    ],
)
def test_an_image_as_chat_completions_has_it_is_read_and_written_as_it_was(inner: Any, source: Source) -> None:
    block = {"type": "image_url", "image_url": inner}
    body = {"model": NEW, "max_tokens": 9, "messages": [{"role": "user", "content": [block]}]}
    request = parse_request(json.dumps(body).encode(), model=NEW, stream=False)
    (part,) = request.messages[0].parts
    assert isinstance(part, Image)
    assert part.source == source
    assert rendered(request)[0]["messages"][0]["content"] == [block]


@pytest.mark.parametrize("inner", [None, 7, {}, {"url": 7}])
def test_an_image_without_an_address_is_kept_as_it_is(inner: Any) -> None:
    block = {"type": "image_url", "image_url": inner}
    body = {"model": NEW, "max_tokens": 9, "messages": [{"role": "user", "content": [block]}]}
    request = parse_request(json.dumps(body).encode(), model=NEW, stream=False)
    assert request.messages[0].parts == (Opaque(value=block),)


def test_leading_instructions_stand_apart() -> None:
    leading = Message(role="system", parts=(Text(text="one"),)), Message(role="developer", parts=(Text(text="two"),))
    body, _ = rendered(foreign(messages=(*leading, user("q"))))
    assert body["system"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    alone, _ = rendered(foreign(messages=leading[:1]))
    assert "system" not in alone
    assert alone["messages"] == [{"role": "user", "content": "one"}]


REPLY = Reply(
    dialect="chat",
    id="chatcmpl-1",
    model="gpt-5",
    choices=(
        Choice(
            parts=(
                Thinking(text="hm", opaque="enc", maker="responses", id="rs_1", summary=True),
                Thinking(text="bare"),
                Text(text=""),
                Text(text="see", citations=(Citation(kind="url", url="https://x", title="X", start=0, end=3),)),
                ToolCall(id="call_1", name="f", arguments='{"x":1}', signature="gemini-sig"),
            ),
            finish="tool_calls",
        ),
    ),
    usage=Usage(input=5, cache_read=2, cache_write_1h=1, output=7, reasoning=3, searches=1),
)


def test_a_foreign_reply_is_a_message_and_its_secrets_come_back_whole() -> None:
    body = json.loads(render_reply(REPLY, foreign(), given()))
    assert body["id"] == "msg_1"
    assert body["stop_reason"] == "tool_use"
    assert [block["type"] for block in body["content"]] == [
        "thinking",
        "thinking",
        "text",
        "redacted_thinking",
        "tool_use",
    ]
    assert body["usage"]["input_tokens"] == 5
    assert body["usage"]["output_tokens"] == 10
    assert body["usage"]["cache_creation"]["ephemeral_1h_input_tokens"] == 1
    assert body["usage"]["output_tokens_details"] == {"thinking_tokens": 3}
    sent = {"max_tokens": 1, "messages": [{"role": "assistant", "content": body["content"]}]}
    request = parse_request(json.dumps(sent).encode(), model="m", stream=False)
    thought, bare, _, call = request.messages[0].parts
    assert thought == REPLY.choices[0].parts[0]
    assert bare == Thinking(text="bare", maker="chat")
    assert call == REPLY.choices[0].parts[4]
    assert PREFIX.encode() not in render_request(request, Target(model="m", dialect="messages"), Notes("messages"))


def test_an_emulated_answer_is_text_again() -> None:
    call = ToolCall(id="a", name=emulate.ANSWER, arguments='{"a":1}')
    reply = Reply(dialect="messages", choices=(Choice(parts=(call,), finish="tool_calls", finish_raw="tool_use"),))
    assert emulate.unwrap(reply).choices[0] == Choice(parts=(Text(text='{"a":1}'),), finish="stop")
    value = ToolCall(id="a", name=emulate.VALUE, arguments='{"value": [1, 2]}')
    reply = Reply(dialect="messages", choices=(Choice(parts=(value,), finish="tool_calls"),))
    assert emulate.unwrap(reply).choices[0].parts == (Text(text="[1, 2]"),)


@settings(max_examples=120, deadline=None)
@generated(requests())
def test_a_generated_conversation_says_the_same_when_it_is_read_back(request: Request) -> None:
    body, _ = rendered(request, LATEST)
    again = parse_request(json.dumps(body).encode(), model=LATEST, stream=request.stream)
    assert shown(again.messages) == shown(request.messages)
    assert [part.text for part in again.system if isinstance(part, Text)] == [
        part.text for part in request.system if isinstance(part, Text)
    ]
    declared = [one.name for one in again.tools if one.name != emulate.ANSWER]
    assert declared == [one.name for one in request.tools] or not request.tools
    assert again.stop == request.stop
    roles = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in pairwise(roles))


def test_no_recorded_request_changed_raises_anything_but_ours() -> None:
    def pass_on(damaged: Any) -> None:
        request = parse_request(json.dumps(damaged).encode(), model="m", stream=False)
        render_request(request, Target(model="m", dialect="messages"), Notes("messages"))

    came: Counter[str] = Counter()
    for record in recorded("messages")[::12]:
        body = record["request"].get("body")
        for damaged in damages(body) if isinstance(body, dict) else ():
            came[outcome(partial(pass_on, damaged), InvalidRequest)] += 1
    assert min(came["taken"], came["refused"]) > 1000, came


def test_no_damaged_reply_raises_anything_but_ours() -> None:
    def read(stream: str) -> None:
        decoder = Decoder()
        decoder.feed(stream.encode())
        decoder.flush()

    def pass_on(damaged: Any) -> None:
        render_reply(parse_reply(json.dumps(damaged).encode()), foreign(), given())

    streamed, whole = Counter[str](), Counter[str]()
    for record in recorded("messages")[::12]:
        text = record["response"].get("body_text") or ""
        if record["streaming"]:
            for at in range(0, len(text), max(1, len(text) // 12)):
                streamed[outcome(partial(read, text[:at] + text[at + 3 :]), BadUpstreamReply)] += 1
        elif record["response"]["status"] == 200:
            for damaged in damages(json.loads(text)):
                whole[outcome(partial(pass_on, damaged), BadUpstreamReply)] += 1
    assert min(streamed["taken"], streamed["refused"]) > 50, streamed
    assert min(whole["taken"], whole["refused"]) > 1000, whole


@pytest.mark.parametrize(
    "body", [b"", b"[" * 5000, b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}", b"\xff", b"null", b'"x"', b"{}"]
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_request(body, model="m", stream=False)


def test_deep_data_is_refused_where_it_cannot_be_written() -> None:
    deep = b'{"max_tokens":1,"metadata":' + b'{"a":' * 800 + b"1" + b"}" * 800 + b',"messages":[]}'

    def below(frames: int) -> bytes:
        if frames:
            return below(frames - 1)
        request = parse_request(deep, model="m", stream=False)
        return render_request(request, Target(model="m", dialect="messages"), Notes("messages"))

    with pytest.raises(InvalidRequest, match=r"deeply|depth"):
        below(400)


def test_an_error_is_told_in_the_providers_words() -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"req_9"}'
    complaint = parse_error(429, [(b"retry-after", b"3")], body)
    assert complaint.message == "slow down"
    assert complaint.code == "rate_limit_error"
    assert complaint.request_id == "req_9"
    assert complaint.retry_after == 3
    assert parse_error(502, [], b"<html>bad</html>").message == "<html>bad</html>"
    dated = [(b"date", b"Fri, 20 Nov 2026 10:00:00 GMT"), (b"retry-after", b"Fri, 20 Nov 2026 10:00:09 GMT")]
    assert parse_error(503, dated, b"").retry_after == 9
