"""Streams of other APIs, put together by OpenAI's own SDK; streams of imitators; streams that fail or break off."""

from typing import Any

import msgspec
import openai
import pytest
from tests.dialects.responses.world import (
    ASKED,
    accumulated,
    client,
    encoded,
    events,
    frames,
    given,
    recorded,
    stream_of,
)
from tests.framing.recordings import SIZES, body_of

from portico.dialects.responses import Encoder
from portico.errors import BadUpstreamReply, UpstreamError
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
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

USED = Usage(input=3, output=4, reasoning=2)
BEGIN: list[AnyEvent] = [Started(id="msg_theirs", model="claude", created=5)]
END: list[AnyEvent] = [Used(usage=USED), Finished(finish="stop"), Ended()]


def said(index: int, *texts: str) -> list[AnyEvent]:
    return [
        PartStarted(index=index, part=Text("")),
        *(TextDelta(index=index, text=text) for text in texts),
        PartEnded(index=index),
    ]


def called(index: int, call: ToolCall, *texts: str) -> list[AnyEvent]:
    return [
        PartStarted(index=index, part=call),
        *(ArgumentsDelta(index=index, text=text) for text in texts),
        PartEnded(index=index),
    ]


def listed(*happened: AnyEvent) -> list[Frame]:
    return [Frame(dialect="messages", events=(event,)) for event in happened]


def shapes(body: bytes) -> list[dict[str, Any]]:
    """Return the output that the SDK put together, without ids."""
    output = []
    for item in accumulated(body).output:
        value = item.model_dump(exclude_none=True, exclude={"id", "parsed_arguments"})
        output.append(value)
    return output


def message(*contents: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "status": "completed", "content": list(contents)}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": [], **more}


def call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


ONE, TWO = ToolCall("t1", "f", ""), ToolCall("t2", "g")
STREAMS: dict[str, tuple[list[AnyEvent], list[dict[str, Any]]]] = {
    "a text": (said(0, "He", "llo"), [message(text("Hello"))]),
    "nothing": ([], []),
    "a text of nothing": (said(0, ""), []),
    "texts that follow one another are one message": (
        [*said(0, "a"), *said(1, "b")],
        [message(text("a"), text("b"))],
    ),
    "texts with a call between them are two": (
        [*said(0, "a"), *called(1, ONE, "{", "}"), *said(2, "b")],
        [message(text("a")), call("t1", "f", "{}"), message(text("b"))],
    ),
    "calls without arguments have an empty object": (
        [*called(0, ONE), *called(1, TWO)],
        [call("t1", "f", "{}"), call("t2", "g", "{}")],
    ),
    "parallel calls whose arguments come by turns": (
        [
            PartStarted(index=0, part=ONE),
            PartStarted(index=1, part=TWO),
            ArgumentsDelta(index=0, text='{"a":'),
            ArgumentsDelta(index=1, text='{"b":'),
            ArgumentsDelta(index=0, text="1}"),
            ArgumentsDelta(index=1, text="2}"),
            PartEnded(index=1),
            PartEnded(index=0),
        ],
        [call("t1", "f", '{"a":1}'), call("t2", "g", '{"b":2}')],
    ),
    "a text that goes on while a call is made": (
        [
            PartStarted(index=0, part=Text("")),
            TextDelta(index=0, text="a"),
            PartStarted(index=1, part=ONE),
            ArgumentsDelta(index=1, text="{}"),
            TextDelta(index=0, text="b"),
            PartEnded(index=1),
            PartEnded(index=0),
        ],
        [message(text("ab")), call("t1", "f", "{}")],
    ),
    "parts that nobody ended": (
        [PartStarted(index=0, part=Text("")), TextDelta(index=0, text="a"), PartStarted(index=1, part=ONE)],
        [message(text("a")), call("t1", "f", "{}")],
    ),
    "a call that comes whole": (
        [PartStarted(index=0, part=ToolCall("t1", "f", '{"a":1}')), PartEnded(index=0)],
        [call("t1", "f", '{"a":1}')],
    ),
    "a custom call": (
        called(0, ToolCall("t1", "sh", "", "custom"), "l", "s"),
        [{"type": "custom_tool_call", "status": "completed", "call_id": "t1", "name": "sh", "input": "ls"}],
    ),
    "a refusal": (
        [PartStarted(index=0, part=Refusal("")), TextDelta(index=0, text="No."), PartEnded(index=0)],
        [message({"type": "refusal", "refusal": "No."})],
    ),
    "a citation": (
        [
            PartStarted(index=0, part=Text("")),
            TextDelta(index=0, text="It rains"),
            CitationDelta(index=0, citation=Citation(kind="url", url="https://x", title="X", start=0, end=8)),
            PartEnded(index=0),
        ],
        [
            message(
                text(
                    "It rains",
                    annotations=[
                        {
                            "type": "url_citation",
                            "url": "https://x",
                            "title": "X",
                            "start_index": 0,
                            "end_index": 8,
                        }
                    ],
                )
            )
        ],
    ),
    "what was spoken": (
        [PartStarted(index=0, part=Audio(Source(data=""))), AudioDelta(index=0, transcript="Hi"), PartEnded(index=0)],
        [message(text("Hi"))],
    ),
    "an image": (
        [PartStarted(index=0, part=Image(Source(data="AAAA", media_type="image/png"))), PartEnded(index=0)],
        [{"type": "image_generation_call", "status": "completed", "output_format": "png", "result": "AAAA"}],
    ),
    "a search that the provider made": (
        [
            *called(0, ToolCall("s1", "web_search", "", "server", "web_search"), '{"query":', '"rain"}'),
            PartStarted(index=1, part=ToolResult("s1", server=True)),
            PartEnded(index=1),
            *said(2, "It rains"),
        ],
        [
            {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "rain"}},
            message(text("It rains")),
        ],
    ),
    "code that the provider ran": (
        [
            *called(0, ToolCall("s1", "code_execution", "", "server", "code_execution"), '{"code":"1+1"}'),
            PartStarted(index=1, part=ToolResult("s1", parts=(Text("2"),), server=True)),
            PartEnded(index=1),
        ],
        [
            {
                "type": "code_interpreter_call",
                "status": "completed",
                "code": "1+1",
                "container_id": "",
                "outputs": [{"type": "logs", "logs": "2"}],
            }
        ],
    ),
    "deltas that nothing announced": (
        [TextDelta(index=0, text="a"), ArgumentsDelta(index=1, text="{}")],
        [message(text("a")), call("call_3", "", "{}")],
    ),
}


@pytest.mark.parametrize(("happened", "output"), STREAMS.values(), ids=STREAMS.keys())
def test_the_sdk_puts_a_stream_together(happened: list[AnyEvent], output: list[dict[str, Any]]) -> None:
    assert shapes(encoded(listed(*BEGIN, *happened, *END))) == output


@pytest.mark.parametrize(("happened", "output"), STREAMS.values(), ids=STREAMS.keys())
def test_what_the_decoder_reads_of_it_is_the_same(happened: list[AnyEvent], output: list[dict[str, Any]]) -> None:
    body = encoded(listed(*BEGIN, *happened, *END))
    for size in SIZES:
        again = frames(body, size)
        encoder = Encoder(ASKED, given())
        assert events(b"".join(encoder.feed(frame) for frame in again)) == events(body)
        texts = [event.text for frame in again for event in frame.events if isinstance(event, TextDelta)]
        assert texts == [event.text for event in happened if isinstance(event, TextDelta) and event.text] or [
            event.transcript for event in happened if isinstance(event, AudioDelta)
        ]


def test_events_are_counted_and_say_again_what_they_belong_to() -> None:
    happened = [*BEGIN, *said(0, "a"), *called(1, ONE, "{}"), *END]
    told = events(encoded(listed(*happened)))
    assert [name for name, _ in told] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [value["sequence_number"] for _, value in told] == list(range(len(told)))
    assert all(name == value["type"] for name, value in told)
    added = {value["output_index"]: value["item"]["id"] for name, value in told if name.endswith("item.added")}
    for _, value in told:
        if "item_id" in value:
            assert value["item_id"] == added[value["output_index"]]
    call_added = [v["item"] for n, v in told if n.endswith("item.added") and v["item"]["type"] == "function_call"]
    assert call_added[0]["arguments"] == ""


def test_the_response_ends_with_its_usage_and_all_of_its_output() -> None:
    final = accumulated(encoded(listed(*BEGIN, *said(0, "Hello"), *END)))
    assert final.output_text == "Hello"
    assert final.id.startswith("resp_")
    assert (final.model, final.created_at) == ("claude", 5)
    assert final.usage is not None
    assert (final.usage.input_tokens, final.usage.output_tokens) == (3, 6)
    assert final.usage.output_tokens_details.reasoning_tokens == 2


def test_a_thought_is_a_summary_that_is_sealed_for_its_maker() -> None:
    happened = [
        PartStarted(index=0, part=Thinking()),
        ThinkingDelta(index=0, text="so "),
        ThinkingDelta(index=0, text="it is"),
        ThinkingDelta(index=0, opaque="sig"),
        PartEnded(index=0),
        PartStarted(index=1, part=Thinking(opaque="gone", redacted=True)),
        PartEnded(index=1),
        *called(2, ToolCall("t1", "f", "", signature="signed"), "{}"),
    ]
    body = encoded(listed(*BEGIN, *happened, *END))
    final = accumulated(body)
    assert [item.type for item in final.output] == ["reasoning", "reasoning", "reasoning", "function_call"]
    assert final.output[0].summary[0].text == "so it is"
    parts = [
        event.part for frame in frames(body) for event in frame.events if isinstance(event, PartEnded) and event.part
    ]
    assert [part for part in parts if isinstance(part, Thinking)] == [
        Thinking("so it is", "sig", "messages"),
        Thinking("", "gone", "messages", redacted=True),
    ]


def test_log_probabilities_go_with_their_text() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    happened = [
        PartStarted(index=0, part=Text("")),
        TextDelta(index=0, text="a", logprobs={"content": [token]}),
        PartEnded(index=0),
    ]
    body = encoded(listed(*BEGIN, *happened, *END))
    assert accumulated(body).output[0].content[0].logprobs[0].logprob == -0.5
    deltas = [event for frame in frames(body) for event in frame.events if isinstance(event, TextDelta)]
    assert deltas[0].logprobs == {"content": [token]}


def test_other_answers_are_left_out() -> None:
    other = [msgspec.structs.replace(event, choice=1) for event in said(0, "no")]
    assert accumulated(encoded(listed(*BEGIN, *said(0, "yes"), *other, *END))).output_text == "yes"


@pytest.mark.parametrize(
    ("finish", "last"), [("length", "incomplete"), ("content_filter", "incomplete"), ("error", "failed")]
)
def test_a_stream_ends_as_the_answer_did(finish: Any, last: str) -> None:
    told = events(encoded(listed(*BEGIN, *said(0, "a"), Finished(finish=finish), Ended())))
    assert told[-1][0] == f"response.{last}"
    assert told[-1][1]["response"]["status"] == last
    assert told[-1][1]["response"]["output"][0]["content"][0]["text"] == "a"


def test_pings_are_kept() -> None:
    assert Encoder(ASKED, given()).feed(listed(Ping())[0]) == b": ping\n\n"


def test_a_failure_raises_in_the_sdk_and_ends_the_stream() -> None:
    encoder = Encoder(ASKED, given())
    body = b"".join(encoder.feed(frame) for frame in listed(*BEGIN, *said(0, "a")))
    body += encoder.fail(UpstreamError("It fell over"))
    assert encoder.finish() == encoder.fail(UpstreamError("again")) == b""
    assert encoder.feed(listed(*said(1, "b"))[0]) == b""
    told = events(body)
    assert [value["sequence_number"] for _, value in told] == list(range(len(told)))
    with pytest.raises(openai.APIError, match="It fell over"):
        accumulated(body)


def test_a_failure_in_the_stream_is_passed_on_once() -> None:
    encoder = Encoder(ASKED, given())
    error = UpstreamError("It fell over")
    told = events(encoder.feed(Frame(dialect="chat", events=(Failed(error=error),))) + encoder.fail(error))
    assert [name for name, _ in told] == ["error"]


# Imitators

ITEM = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
CALLED = {"type": "function_call", "id": "i", "call_id": "c", "name": "f", "arguments": "{}"}
COMPLETED = {"type": "response.completed", "response": {"status": "completed", "output": [ITEM, CALLED]}}
PLACE = {"item_id": "m", "output_index": 0, "content_index": 0}
IMITATIONS: dict[str, list[dict[str, Any]]] = {
    "nothing but the end": [COMPLETED],
    "items that come whole": [
        {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
        {"type": "response.output_item.done", "output_index": 1, "item": CALLED},
        COMPLETED,
    ],
    "items without their indexes": [
        {"type": "response.output_item.done", "item": ITEM},
        {"type": "response.output_item.done", "item": CALLED},
        COMPLETED,
    ],
    "deltas without an item": [
        {"type": "response.output_text.delta", **PLACE, "delta": "Hel"},
        {"type": "response.output_text.delta", **PLACE, "delta": "lo"},
        {"type": "response.output_item.added", "output_index": 1, "item": {**CALLED, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "item_id": "i", "output_index": 1, "delta": "{}"},
        COMPLETED,
    ],
    "a text that comes at its end": [
        {"type": "response.output_item.added", "output_index": 0, "item": {**ITEM, "content": []}},
        {"type": "response.output_text.done", **PLACE, "text": "Hello"},
        {"type": "response.output_item.added", "output_index": 1, "item": CALLED},
        {"type": "response.function_call_arguments.done", "item_id": "i", "output_index": 1, "arguments": "{}"},
        COMPLETED,
    ],
    "the rest of a text at the end of its part": [
        {"type": "response.output_text.delta", **PLACE, "delta": "Hel"},
        {"type": "response.content_part.done", **PLACE, "part": ITEM["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
        {"type": "response.output_item.done", "output_index": 1, "item": CALLED},
        COMPLETED,
    ],
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("told", IMITATIONS.values(), ids=IMITATIONS.keys())
def test_an_imitation_is_read_whole(told: list[dict[str, Any]], size: int | None) -> None:
    happened = [event for frame in frames(stream_of(*told), size) for event in frame.events]
    assert isinstance(happened[0], Started)
    assert "".join(event.text for event in happened if isinstance(event, TextDelta)) == "Hello"
    assert "".join(event.text for event in happened if isinstance(event, ArgumentsDelta)) == "{}"
    assert happened[-2:] == [Finished(finish="tool_calls", finish_raw="completed"), Ended()]
    started = [event.index for event in happened if isinstance(event, PartStarted)]
    assert started == sorted(event.index for event in happened if isinstance(event, PartEnded)) == [0, 1]


@pytest.mark.parametrize("told", IMITATIONS.values(), ids=IMITATIONS.keys())
def test_an_imitation_is_put_together_by_the_sdk_once_it_went_through(told: list[dict[str, Any]]) -> None:
    foreign = [Frame(dialect="chat", events=frame.events) for frame in frames(stream_of(*told))]
    assert shapes(encoded(foreign)) == [message(text("Hello")), call("c", "f", "{}")]


def test_a_stream_that_breaks_off_has_no_end() -> None:
    for record in recorded(streaming=True)[:40]:
        body = body_of(record)
        at = max(body.rfind(b"event: response.completed"), body.rfind(b"event: response.incomplete"))
        if at < 0:
            continue
        for cut in (at, at + 30, at + 200):
            happened = [event for frame in frames(body[:cut]) for event in frame.events]
            assert not any(isinstance(event, Ended | Finished) for event in happened), record["id"]


def test_the_last_event_counts_without_a_blank_line() -> None:
    body = stream_of(COMPLETED).rstrip(b"\n")
    assert any(isinstance(event, Ended) for frame in frames(body) for event in frame.events)


@pytest.mark.parametrize(
    "told",
    [
        {"type": "error", "code": "server_error", "message": "It fell over"},
        {"type": "error", "error": {"type": "server_error", "message": "It fell over"}},
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": "It fell over"}}},
        {"type": "response.completed", "response": {"status": "failed", "error": {"message": "It fell over"}}},
        {"error": {"message": "It fell over"}},
    ],
)
def test_an_error_in_the_stream_is_a_failure(told: dict[str, Any]) -> None:
    happened = [event for frame in frames(stream_of(told)) for event in frame.events]
    failed = [event for event in happened if isinstance(event, Failed)]
    assert len(failed) == 1
    assert "It fell over" in failed[0].error.message
    assert not any(isinstance(event, Ended) for event in happened)


def test_what_is_no_json_is_a_bad_reply() -> None:
    with pytest.raises(BadUpstreamReply):
        frames(b"data: {\n\n")


def test_the_sdk_reads_recorded_streams_that_went_through_as_foreign_ones() -> None:
    """Every recorded stream, stripped of all that only its own dialect knows, is put together to the same words."""
    tried = 0
    for record in recorded(streaming=True):
        listed_frames = frames(body_of(record))
        happened = [event for frame in listed_frames for event in frame.events]
        finished = [event.finish for event in happened if isinstance(event, Finished)]
        if not finished or finished[0] not in ("stop", "tool_calls") or len(body_of(record)) > 60_000:
            continue
        foreign = [Frame(dialect="chat", events=frame.events) for frame in listed_frames]
        final = accumulated(encoded(foreign))
        texts = "".join(event.text for event in happened if isinstance(event, TextDelta))
        found = "".join(
            getattr(content, "text", None) or getattr(content, "refusal", "")
            for item in final.output
            if item.type == "message"
            for content in item.content
        )
        assert found == texts, record["id"]
        thoughts = "".join(event.text for event in happened if isinstance(event, ThinkingDelta))
        assert "".join(s.text for item in final.output if item.type == "reasoning" for s in item.summary) == thoughts
        calls = [
            event.part
            for event in happened
            if isinstance(event, PartEnded) and isinstance(event.part, ToolCall) and event.part.kind == "function"
        ]
        assert [(c.id, c.name, c.arguments or "{}") for c in calls] == [
            (item.call_id, item.name, item.arguments) for item in final.output if item.type == "function_call"
        ]
        tried += 1
    assert tried > 100


def test_the_plain_stream_of_the_sdk_reads_every_event() -> None:
    body = encoded(listed(*BEGIN, *said(0, "Hello"), *called(1, ONE, "{}"), *END))
    with client(body, "text/event-stream") as sdk:
        kinds = [event.type for event in sdk.responses.create(model="m", input="x", stream=True)]
    assert kinds == [name for name, _ in events(body)]
