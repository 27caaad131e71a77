"""Cohere's own client takes what is written for its caller, whole and streamed, whatever dialect it came from."""

import json
from typing import Any

import cohere
import httpx
import pytest
from tests.dialects.cohere.given import encoded, events_of, foreign, given

from portico.dialects.cohere import Encoder, parse_request, render_reply
from portico.errors import UpstreamError
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Choice,
    Citation,
    CitationDelta,
    Ended,
    Finished,
    Frame,
    PartEnded,
    PartStarted,
    Reply,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)
from portico.types import Usage

USAGE = Usage(input=10, cache_read=5, output=7, reasoning=3)
CITATION = Citation(kind="document", document=0, title="T", start=1, end=3)


def client(body: bytes, seen: list[Any] | None = None, kind: str = "application/json") -> cohere.ClientV2:
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(json.loads(request.content))
        return httpx.Response(200, content=body, headers={"content-type": kind})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return cohere.ClientV2(api_key="k", base_url="http://gateway", httpx_client=http)


def frames(*events: AnyEvent) -> list[Frame]:
    return [Frame(dialect="messages", events=(event,)) for event in events]


STREAM = frames(
    Started(id="msg_1", model="claude"),
    PartStarted(index=0, part=Thinking()),
    ThinkingDelta(index=0, text="Let me "),
    ThinkingDelta(index=0, text="see."),
    ThinkingDelta(index=0, opaque="seal"),
    PartEnded(index=0),
    PartStarted(index=1, part=Text(text="")),
    TextDelta(index=1, text="Hé"),
    TextDelta(index=1, text="llo"),
    CitationDelta(index=1, citation=CITATION),
    PartEnded(index=1),
    PartStarted(index=2, part=ToolCall(id="toolu_1", name="f")),
    PartStarted(index=3, part=ToolCall(id="toolu_2", name="g")),
    ArgumentsDelta(index=2, text='{"x"'),
    ArgumentsDelta(index=3, text="{}"),
    PartEnded(index=3),
    ArgumentsDelta(index=2, text=":1}"),
    PartEnded(index=2),
    PartStarted(index=4, part=Text(text="")),
    PartEnded(index=4),
    Finished(finish="tool_calls"),
    Used(usage=USAGE),
    Ended(),
)


def test_a_whole_reply_is_taken():
    parts = (
        Thinking(text="Let me see.", opaque="seal", maker="messages"),
        Text(text="Héllo", citations=(CITATION,)),
        ToolCall(id="toolu_1", name="f", arguments='{"x":1}'),
    )
    reply = Reply(dialect="messages", id="msg_1", choices=(Choice(parts=parts, finish="tool_calls"),), usage=USAGE)
    response = client(render_reply(reply, foreign(), given())).chat(model="m", messages=[])
    assert response.id != "msg_1"
    content = response.message.content
    assert content is not None
    assert [(each.type, getattr(each, each.type)) for each in content] == [
        ("thinking", "Let me see."),
        ("text", "Héllo"),
    ]
    calls = response.message.tool_calls
    assert calls is not None
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [("toolu_1", "f", '{"x":1}')]
    citations = response.message.citations
    assert citations is not None
    assert (citations[0].text, citations[0].content_index, citations[0].sources[0].id) == ("él", 1, "doc:0")
    assert response.finish_reason == "TOOL_CALL"
    assert response.usage is not None
    assert (response.usage.billed_units.input_tokens, response.usage.tokens.output_tokens) == (15, 10)
    assert response.usage.cached_tokens == 5


def test_a_stream_is_taken():
    events = list(client(encoded(STREAM), kind="text/event-stream").chat_stream(model="m", messages=[]))
    kinds = [event.type for event in events]
    assert kinds[0] == "message-start"
    assert kinds[-1] == "message-end"
    texts, thoughts = "", ""
    calls: list[list[str]] = []
    for event in events:
        if event.type == "content-delta":
            texts += event.delta.message.content.text or ""
            thoughts += event.delta.message.content.thinking or ""
        elif event.type == "tool-call-start":
            call = event.delta.message.tool_calls
            calls.append([call.id, call.function.name, call.function.arguments])
        elif event.type == "tool-call-delta":
            calls[-1][2] += event.delta.message.tool_calls.function.arguments
        elif event.type == "citation-start":
            assert event.delta.message.citations.text == "él"
    assert (texts, thoughts) == ("Héllo", "Let me see.")
    assert calls == [["toolu_1", "f", '{"x":1}'], ["toolu_2", "g", "{}"]]
    assert "citation-start" in kinds
    assert kinds.count("content-start") == kinds.count("content-end") == 2
    assert kinds.count("tool-call-start") == kinds.count("tool-call-end") == 2
    assert events[-1].delta.finish_reason == "TOOL_CALL"
    assert events[-1].delta.usage.billed_units.output_tokens == 10


def test_what_is_open_when_the_stream_ends_is_ended():
    body = encoded(frames(Started(), *(PartStarted(index=n, part=ToolCall(id=str(n), name="f")) for n in range(600))))
    kinds = [event["type"] for event in events_of(body)[:-1]]
    assert kinds.count("tool-call-start") == kinds.count("tool-call-end") == 600
    assert kinds[-1] == "message-end"


def test_what_was_sealed_survives_the_client():
    seen: list[Any] = []
    parts = (
        Thinking(text="hm", opaque="seal", maker="messages"),
        Text(text="so"),
        ToolCall(id="a", name="f", signature="c2ln"),
    )
    reply = Reply(dialect="gemini", choices=(Choice(parts=parts, finish="tool_calls"),))
    talk = client(render_reply(reply, foreign(), given()), seen)
    response = talk.chat(model="m", messages=[])
    talk.chat(model="m", messages=[response.message, {"role": "tool", "tool_call_id": "a", "content": "1"}])
    request = parse_request(json.dumps(seen[1]).encode(), model="m", stream=False)
    assert request.messages[0].parts == parts


def test_a_stream_that_fails_is_not_ended():
    encoder = Encoder(foreign(), given())
    body = b"".join(encoder.feed(frame) for frame in STREAM[:9]) + encoder.fail(UpstreamError("gone"))
    assert encoder.finish() == b""
    assert encoder.feed(STREAM[9]) == b""
    events = list(client(body, kind="text/event-stream").chat_stream(model="m", messages=[]))
    assert (events[-1].type, events[-1].delta.finish_reason, events[-1].delta.error) == ("message-end", "ERROR", "gone")


@pytest.mark.parametrize("finish", [("length", "MAX_TOKENS"), ("stop_sequence", "STOP_SEQUENCE"), ("stop", "COMPLETE")])
def test_a_finish_reason_is_said(finish):
    ours, theirs = finish
    reply = Reply(dialect="chat", choices=(Choice(parts=(Text(text="x"),), finish=ours),))
    assert client(render_reply(reply, foreign(), given())).chat(model="m", messages=[]).finish_reason == theirs


def test_what_the_client_sends_is_understood():
    seen: list[Any] = []
    reply = Reply(dialect="chat", choices=(Choice(parts=(Text(text="x"),), finish="stop"),))
    client(render_reply(reply, foreign(), given()), seen).chat(
        model="m",
        messages=[
            cohere.SystemChatMessageV2(content="be brief"),
            cohere.UserChatMessageV2(content=[cohere.TextContent(text="hi")]),
        ],
        documents=["a", cohere.Document(id="d", data={"text": "b"})],
        thinking=cohere.Thinking(type="enabled", token_budget=7),
        tool_choice="REQUIRED",
        k=3,
        p=0.5,
    )
    request = parse_request(json.dumps(seen[0]).encode(), model="m", stream=False)
    assert [message.role for message in request.messages] == ["system", "user"]
    assert [document.source.text for document in request.documents] == ["a", "b"]
    assert request.reasoning is not None
    assert (request.reasoning.budget, request.top_k, request.top_p) == (7, 3, 0.5)
    assert request.tool_choice is not None
    assert request.tool_choice.mode == "required"
