"""Amazon's own client takes what is written for its callers, whole and streamed, whatever dialect it came from."""

import io
import json
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import EventStreamError
from tests.dialects.messages.world import PNG, foreign, frames, given, spoken, text_part

from portico.dialects.converse import Decoder, Encoder, render_reply
from portico.dialects.seal import unseal
from portico.errors import UpstreamError
from portico.framing import eventstream
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

ASKED: dict[str, Any] = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "q"}]}]}


class Raw(io.BytesIO):
    """A body as the SDK's transport gives it."""

    def stream(self, amount: int = 64, **_: Any) -> Any:
        while piece := self.read(amount):
            yield piece


def client(body: bytes, kind: str) -> Any:
    """Return the SDK's client, answered with this body."""
    sdk = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"max_attempts": 0}),
    )
    answer = AWSResponse("http://127.0.0.1", 200, {"content-type": kind}, Raw(body))
    sdk.meta.events.register("before-send.*", lambda **_: answer)
    return sdk


def said(stream: list[Frame]) -> bytes:
    """Return the bytes that a stream comes to for a caller of Converse."""
    encoder = Encoder(foreign("converse"), given())
    return b"".join(encoder.feed(frame) for frame in stream) + encoder.finish()


def heard(stream: list[Frame]) -> list[tuple[str, Any]]:
    """Return the events that the SDK reads."""
    reply = client(said(stream), "application/vnd.amazon.eventstream").converse_stream(**ASKED)
    return [next(iter(event.items())) for event in reply["stream"]]


def test_text_thought_and_parallel_calls_arrive() -> None:
    events: list[AnyEvent] = [
        PartStarted(index=0, part=Thinking()),
        ThinkingDelta(index=0, text="hm"),
        PartEnded(index=0),
        *text_part(1, "a", "", "b"),
        PartStarted(index=2, part=ToolCall(id="call_1", name="f")),
        PartStarted(index=3, part=ToolCall(id="call.2", name="g", arguments="")),
        ArgumentsDelta(index=2, text='{"x"'),
        ArgumentsDelta(index=3, text='{"y":2}'),
        ArgumentsDelta(index=2, text=":1}"),
        PartEnded(index=2),
        PartEnded(index=3),
    ]
    told = heard(spoken(*events))
    assert told[0] == ("messageStart", {"role": "assistant"})
    starts = [value["start"] for name, value in told if name == "contentBlockStart"]
    assert [start["toolUse"]["name"] for start in starts] == ["f", "g"]
    deltas = [(value["contentBlockIndex"], value["delta"]) for name, value in told if name == "contentBlockDelta"]
    assert deltas[0] == (0, {"reasoningContent": {"text": "hm"}})
    signature = deltas[1][1]["reasoningContent"]["signature"]
    assert unseal(signature, "hm") == Thinking(text="hm", maker="chat")
    assert deltas[2:4] == [(1, {"text": "a"}), (1, {"text": "b"})]
    inputs = {2: "", 3: ""}
    for index, delta in deltas[4:]:
        inputs[index] += delta["toolUse"]["input"]
    assert {index: json.loads(text) for index, text in inputs.items()} == {2: {"x": 1}, 3: {"y": 2}}
    assert [value["contentBlockIndex"] for name, value in told if name == "contentBlockStop"] == [0, 1, 2, 3]
    assert told[-2] == ("messageStop", {"stopReason": "end_turn"})
    usage = told[-1][1]["usage"]
    assert usage == {
        "inputTokens": 7,
        "outputTokens": 6,
        "totalTokens": 16,
        "cacheReadInputTokens": 3,
        "cacheWriteInputTokens": 0,
    }


def test_citations_results_and_images_arrive() -> None:
    events: list[AnyEvent] = [
        PartStarted(index=0, part=Text(text="")),
        TextDelta(index=0, text="see"),
        CitationDelta(index=0, citation=Citation(kind="url", url="https://x", title="X", cited="c")),
        PartEnded(index=0),
        PartStarted(index=1, part=ToolCall(id="s", name="x", kind="server", server_type="code_execution")),
        PartEnded(index=1),
        PartStarted(index=2, part=ToolResult(id="s", name="code_execution", server=True, data={"output": "1"})),
        PartEnded(index=2),
        PartStarted(index=3, part=Image(source=Source(data=PNG, media_type="image/png"))),
        PartEnded(index=3),
    ]
    told = heard(spoken(*events))
    assert all(value["start"] for name, value in told if name == "contentBlockStart")
    deltas = [value["delta"] for name, value in told if name == "contentBlockDelta"]
    assert deltas[1]["citation"]["location"] == {"web": {"url": "https://x"}}
    assert deltas[2]["toolResult"] == [{"json": {"output": "1"}}]
    assert deltas[3]["image"]["source"]["bytes"].startswith(b"\x89PNG")


def test_a_failure_is_an_error_of_the_client_and_nothing_follows() -> None:
    encoder = Encoder(foreign("converse"), given())
    body = b"".join(encoder.feed(frame) for frame in frames(Started(), *text_part(0, "a")))
    body += encoder.feed(frames(Failed(error=UpstreamError("it broke")))[0])
    assert encoder.finish() == b""
    reply = client(body, "application/vnd.amazon.eventstream").converse_stream(**ASKED)
    with pytest.raises(EventStreamError, match="it broke"):
        list(reply["stream"])


def test_a_whole_reply_is_one_of_the_sdk() -> None:
    parts = (Thinking(text="hm"), Text(text="hi"), ToolCall(id="c", name="f", arguments='{"a":1}', signature="s"))
    reply = Reply(
        dialect="gemini",
        model="gemini-3",
        choices=(Choice(parts=parts, finish="tool_calls"),),
        usage=Usage(input=1, output=2),
    )
    got = client(render_reply(reply, foreign("converse"), given()), "application/json").converse(**ASKED)
    content = got["output"]["message"]["content"]
    assert content[0]["reasoningContent"]["reasoningText"]["text"] == "hm"
    assert content[1] == {"text": "hi"}
    assert content[2]["reasoningContent"]["redactedContent"].startswith(b"portico:call:")
    assert content[3]["toolUse"] == {"toolUseId": "c", "name": "f", "input": {"a": 1}}
    assert got["stopReason"] == "tool_use"
    assert got["usage"]["totalTokens"] == 3


def message(name: str, value: Any) -> bytes:
    """Return one event as Bedrock frames it."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return eventstream.encode(headers, json.dumps(value).encode())


def test_a_stream_of_its_own_tells_all_that_happens() -> None:
    use = {"toolUseId": "t", "name": "f"}
    result = {"toolUseId": "s", "type": "nova_grounding_result", "status": "success"}
    stream = b"".join(
        (
            message("messageStart", {"role": "assistant"}),
            message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}}),
            message("contentBlockStop", {"contentBlockIndex": 0}),
            message("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": use}}),
            message("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{}"}}}),
            message("contentBlockStop", {"contentBlockIndex": 1}),
            message("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolResult": result}}),
            message("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolResult": [{"text": "found"}]}}),
            message("contentBlockStop", {"contentBlockIndex": 2}),
            message("messageStop", {"stopReason": "tool_use"}),
            message("metadata", {"usage": {"inputTokens": 4, "outputTokens": 5, "totalTokens": 9}}),
        )
    )
    told = [event for frame in Decoder().feed(stream) for event in frame.events]
    found = told.pop(7)
    assert told == [
        Started(),
        PartStarted(index=0, part=Text(text="")),
        TextDelta(index=0, text="a"),
        PartEnded(index=0),
        PartStarted(index=1, part=ToolCall(id="t", name="f", arguments="")),
        ArgumentsDelta(index=1, text="{}"),
        PartEnded(index=1),
        PartEnded(index=2, part=found.part),  # type: ignore[union-attr]  # the part that was taken out
        Finished(finish="tool_calls", finish_raw="tool_use"),
        Used(usage=Usage(input=4, output=5)),
        Ended(),
    ]
    assert isinstance(found, PartStarted)
    assert isinstance(found.part, ToolResult)
    assert found.part.name == "web_search"
    assert found.part.parts == (Text(text="found"),)
