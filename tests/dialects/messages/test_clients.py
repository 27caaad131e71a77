"""Anthropic's own client takes what is written for its callers, whole and streamed, whatever dialect it came from."""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from tests.dialects.messages.world import PNG, foreign, frames, given, spoken, text_part

from portico.dialects import emulate
from portico.dialects.messages import Decoder, Encoder, render_reply
from portico.dialects.seal import unseal
from portico.errors import UpstreamError
from portico.framing import sse
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Choice,
    Citation,
    CitationDelta,
    Ended,
    Failed,
    Finished,
    Frame,
    Image,
    PartEnded,
    PartStarted,
    Ping,
    Refusal,
    Reply,
    Source,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    Used,
)
from portico.types import Usage


def said(stream: list[Frame]) -> bytes:
    """Return the bytes that a stream comes to for a caller of Messages."""
    encoder = Encoder(foreign("messages"), given())
    return b"".join(encoder.feed(frame) for frame in stream) + encoder.finish()


def client(body: bytes, kind: str) -> anthropic.Anthropic:
    """Return the SDK's client, answered with this body."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, content=body)

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", http_client=transport, max_retries=0)


ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}]}


def heard(stream: list[Frame]) -> Any:
    """Return the message that the SDK puts together."""
    with client(said(stream), "text/event-stream") as sdk, sdk.messages.stream(**ASKED) as got:
        return got.get_final_message()


def test_text_thought_and_parallel_calls_arrive() -> None:
    events: list[AnyEvent] = [
        PartStarted(index=0, part=Thinking()),
        ThinkingDelta(index=0, text="h"),
        ThinkingDelta(index=0, text="m"),
        PartEnded(index=0),
        *text_part(1, "a", "", "b"),
        PartStarted(index=2, part=ToolCall(id="call_1", name="f")),
        PartStarted(index=3, part=ToolCall(id="call_2", name="g", arguments="")),
        ArgumentsDelta(index=2, text='{"x"'),
        ArgumentsDelta(index=3, text='{"y":2}'),
        ArgumentsDelta(index=2, text=":1}"),
        PartEnded(index=2),
        PartEnded(index=3),
    ]
    message = heard(spoken(*events))
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[0].thinking == "hm"
    assert unseal(message.content[0].signature, "hm") == Thinking(text="hm", maker="chat")
    assert message.content[1].text == "ab"
    assert [(block.name, block.input) for block in message.content[2:]] == [("f", {"x": 1}), ("g", {"y": 2})]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (7, 3)
    assert message.usage.output_tokens == 6
    assert message.model == "gpt-5"


def test_a_stream_that_ends_no_part_still_closes_every_block() -> None:
    events: list[AnyEvent] = [
        PartStarted(index=0, part=Text(text="")),
        TextDelta(index=0, text="a"),
        PartStarted(index=1, part=ToolCall(id="c", name="f", arguments='{"x":1}')),
    ]
    message = heard(spoken(*events))
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert message.content[1].input == {"x": 1}


def test_an_empty_part_is_no_block() -> None:
    assert heard(spoken(*text_part(0, ""), *text_part(1, "b"))).content[0].text == "b"


def test_citations_refusals_results_and_images_arrive() -> None:
    events: list[AnyEvent] = [
        PartStarted(index=0, part=Text(text="")),
        TextDelta(index=0, text="see"),
        CitationDelta(index=0, citation=Citation(kind="url", url="https://x", title="X")),
        CitationDelta(index=0, citation=Citation(kind="document", document_id="d1", cited="c", start=0, end=2)),
        PartEnded(index=0),
        PartStarted(index=1, part=Refusal(text="no")),
        PartEnded(index=1),
        PartStarted(index=2, part=ToolCall(id="s", name="x", kind="server", server_type="code_execution")),
        ArgumentsDelta(index=2, text='{"code":"1"}'),
        PartEnded(index=2),
        PartStarted(index=3, part=ToolResult(id="s", name="code_execution", server=True, data={"output": "1"})),
        PartEnded(index=3),
        PartStarted(index=4, part=Image(source=Source(data=PNG, media_type="image/png"))),
        PartEnded(index=4),
    ]
    message = heard(spoken(*events))
    assert [block.type for block in message.content] == [
        "text",
        "text",
        "server_tool_use",
        "code_execution_tool_result",
        "image",
    ]
    assert [one.type for one in message.content[0].citations] == ["web_search_result_location", "char_location"]
    assert message.content[3].content.stdout == "1"


def test_a_custom_tools_text_stands_in_an_object() -> None:
    events: list[AnyEvent] = [
        PartStarted(index=0, part=ToolCall(id="c", name="patch", arguments="", kind="custom")),
        ArgumentsDelta(index=0, text='say "hi"'),
        ArgumentsDelta(index=0, text="\n"),
        PartEnded(index=0),
    ]
    assert heard(spoken(*events)).content[0].input == {"input": 'say "hi"\n'}


def test_other_choices_and_early_pings_are_left_out() -> None:
    events: list[AnyEvent] = [
        PartStarted(index=0, part=Text(text=""), choice=1),
        TextDelta(index=0, text="other", choice=1),
        *text_part(0, "mine"),
    ]
    message = heard([*frames(Ping()), *spoken(*events)])
    assert [block.text for block in message.content] == ["mine"]


def test_an_emulated_answer_streams_as_text() -> None:
    events: list[AnyEvent] = [
        Started(id="x", model="m"),
        PartStarted(index=0, part=ToolCall(id="c", name=emulate.VALUE, arguments="")),
        *(ArgumentsDelta(index=0, text=piece) for piece in ('{"va', 'lue": [{"b":', " 1}", "]", " }")),
        PartEnded(index=0),
        Finished(finish="tool_calls", finish_raw="tool_use"),
        Ended(),
    ]
    unwrapper = emulate.Unwrapper()
    message = heard([unwrapper.feed(frame) for frame in frames(*events, dialect="converse")])
    assert message.content[0].text == '[{"b": 1}]'
    assert message.stop_reason == "end_turn"


def test_a_failure_is_an_error_of_the_client_and_nothing_follows() -> None:
    encoder = Encoder(foreign("messages"), given())
    started = [*frames(Started(model="m"), *text_part(0, "a"))]
    body = b"".join(encoder.feed(frame) for frame in started)
    body += encoder.feed(frames(Failed(error=UpstreamError("it broke")))[0])
    assert encoder.feed(frames(*text_part(1, "late"))[0]) == b""
    assert encoder.finish() == b""
    assert encoder.fail(UpstreamError("again")) == b""
    sdk = client(body, "text/event-stream")
    with sdk, pytest.raises(anthropic.APIStatusError, match="it broke"), sdk.messages.stream(**ASKED) as got:
        got.get_final_message()


def test_a_whole_reply_is_a_message_of_the_sdk() -> None:
    reply = Reply(
        dialect="gemini",
        model="gemini-3",
        choices=(
            Choice(parts=(Text(text="hi"), ToolCall(id="c", name="f", arguments='{"a":1}')), finish="tool_calls"),
        ),
        usage=Usage(input=1, output=2),
    )
    body = render_reply(reply, foreign("messages"), given())
    with client(body, "application/json") as sdk:
        message = sdk.messages.create(**ASKED)
    assert message.content[0].type == "text"
    assert message.content[1].type == "tool_use"
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens == 2


def test_a_stream_of_its_own_tells_all_that_happens() -> None:
    stream = b"".join(
        sse.render(json.dumps(value).encode(), value["type"].encode())
        for value in (
            {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 4}}},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            },
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "s"}},
            {"type": "ping"},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        )
    )
    decoder = Decoder()
    told = [event for frame in decoder.feed(stream) for event in frame.events]
    assert told == [
        Started(id="msg_1", model="c"),
        Used(usage=Usage(input=4)),
        PartStarted(index=0, part=ToolCall(id="t", name="f", arguments="")),
        ArgumentsDelta(index=0, text="{}"),
        PartEnded(index=0),
        PartStarted(index=1, part=Thinking()),
        ThinkingDelta(index=1, opaque="s"),
        Ping(),
        Finished(finish="tool_calls", finish_raw="tool_use"),
        Used(usage=Usage(input=4, output=5)),
        Ended(),
    ]
