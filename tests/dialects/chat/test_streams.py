"""Streams: the variants that providers write, read; and foreign events written as OpenAI's SDK accumulates them."""

import json
from typing import Any

import httpx2
import openai
import pytest
from tests.dialects.chat.given import chunk, decoded, documents, encoded, foreign, given, happened, own, parsed
from tests.framing.recordings import SIZES, chunks

from portico.dialects.chat import Decoder, Encoder, read_usage
from portico.dialects.seal import seal, seal_call
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
    Used,
)
from portico.types import Usage

STARTED = Started(id="chatcmpl-1", model="gpt-5", created=1)
ENDED = Ended()
USAGE = Usage(input=10, cache_read=2, output=5, reasoning=3)


def text(said: str, index: int = 0) -> TextDelta:
    return TextDelta(index=index, text=said)


def call(index: int, name: str, call_id: str) -> PartStarted:
    return PartStarted(index=index, part=ToolCall(id=call_id, name=name))


def tool(arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a delta with one tool call's piece."""
    inner = {name: fields.pop(name) for name in ("name",) if name in fields}
    if arguments is not None:
        inner["arguments"] = arguments
    return {"tool_calls": [fields | {"function": inner}]}


STOP = chunk(finish_reason="stop")
STOPPED = Finished(finish="stop", finish_raw="stop")
CALLED = chunk(finish_reason="tool_calls")
HAVING_CALLED = Finished(finish="tool_calls", finish_raw="tool_calls")
TEXT_PART = PartStarted(index=0, part=Text(text=""))

# Chunks, and what happens in them between the start and the end.
READ: dict[str, tuple[tuple[dict[str, Any], ...], list[AnyEvent]]] = {
    "text": (
        (chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk({"content": "b"}), STOP),
        [TEXT_PART, text("a"), text("b"), PartEnded(index=0), STOPPED],
    ),
    "text with its end": (
        (chunk({"content": "a"}, finish_reason="stop"),),
        [TEXT_PART, text("a"), PartEnded(index=0), STOPPED],
    ),
    "an empty delta": ((chunk({}), chunk({"content": None}), STOP), [STOPPED]),
    "a thought, then text": (
        (chunk({"reasoning_content": "h"}), chunk({"reasoning_content": "m"}), chunk({"content": "a"}), STOP),
        [
            PartStarted(index=0, part=Thinking(text="")),
            ThinkingDelta(index=0, text="h"),
            ThinkingDelta(index=0, text="m"),
            PartEnded(index=0),
            PartStarted(index=1, part=Text(text="")),
            text("a", 1),
            PartEnded(index=1),
            STOPPED,
        ],
    ),
    "a thought under two names": (
        (chunk({"reasoning_content": "h", "reasoning": "h"}), STOP),
        [
            PartStarted(index=0, part=Thinking(text="")),
            ThinkingDelta(index=0, text="h"),
            PartEnded(index=0),
            STOPPED,
        ],
    ),
    "a thought in details, sealed at its end": (
        (
            chunk({"reasoning": "h", "reasoning_details": [{"type": "reasoning.text", "text": "h", "index": 0}]}),
            chunk({"reasoning": "m", "reasoning_details": [{"type": "reasoning.text", "text": "m", "index": 0}]}),
            chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]}),
            STOP,
        ),
        [
            PartStarted(index=0, part=Thinking(text="", maker="chat")),
            ThinkingDelta(index=0, text="h"),
            ThinkingDelta(index=0, text="m"),
            ThinkingDelta(index=0, opaque='[{"type":"reasoning.text","text":"hm","index":0,"signature":"s"}]'),
            PartEnded(index=0),
            STOPPED,
        ],
    ),
    "Mistral's lists": (
        (
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]}),
            chunk({"content": [{"type": "text", "text": "a"}]}),
            chunk({"content": "b"}),
            STOP,
        ),
        [
            PartStarted(index=0, part=Thinking(text="")),
            ThinkingDelta(index=0, text="h"),
            PartEnded(index=0),
            PartStarted(index=1, part=Text(text="")),
            text("a", 1),
            text("b", 1),
            PartEnded(index=1),
            STOPPED,
        ],
    ),
    "parallel calls": (
        (
            chunk(tool("", index=0, id="c1", type="function", name="f")),
            chunk(tool('{"a":', index=0)),
            chunk(tool("1}", index=0)),
            chunk(tool("", index=1, id="c2", type="function", name="g")),
            chunk(tool("{}", index=1)),
            CALLED,
        ),
        [
            call(0, "f", "c1"),
            ArgumentsDelta(index=0, text='{"a":'),
            ArgumentsDelta(index=0, text="1}"),
            PartEnded(index=0),
            call(1, "g", "c2"),
            ArgumentsDelta(index=1, text="{}"),
            PartEnded(index=1),
            HAVING_CALLED,
        ],
    ),
    "calls whose arguments come in turns": (
        (
            chunk(tool("", index=0, id="c1", name="f")),
            chunk(tool("", index=1, id="c2", name="g")),
            chunk(tool("{}", index=0)),
            chunk(tool("{}", index=1)),
            CALLED,
        ),
        [
            call(0, "f", "c1"),
            call(1, "g", "c2"),
            ArgumentsDelta(index=0, text="{}"),
            ArgumentsDelta(index=1, text="{}"),
            PartEnded(index=0),
            PartEnded(index=1),
            HAVING_CALLED,
        ],
    ),
    "whole calls, all with the index 0, and stop": (
        (
            chunk(tool("{}", index=0, id="c1", name="f")),
            chunk(tool("{}", index=0, id="c2", name="g")),
            STOP,
        ),
        [
            call(0, "f", "c1"),
            ArgumentsDelta(index=0, text="{}"),
            PartEnded(index=0),
            call(1, "g", "c2"),
            ArgumentsDelta(index=1, text="{}"),
            PartEnded(index=1),
            Finished(finish="tool_calls", finish_raw="stop"),
        ],
    ),
    "calls without an index": (
        (chunk(tool("{", id="c1", name="f")), chunk(tool("}")), chunk(tool("{}", id="c2", name="g")), CALLED),
        [
            call(0, "f", "c1"),
            ArgumentsDelta(index=0, text="{"),
            ArgumentsDelta(index=0, text="}"),
            PartEnded(index=0),
            call(1, "g", "c2"),
            ArgumentsDelta(index=1, text="{}"),
            PartEnded(index=1),
            HAVING_CALLED,
        ],
    ),
    "a call that repeats its id and name": (
        (chunk(tool("{", index=0, id="c1", name="f")), chunk(tool("}", index=0, id="c1", name="f")), CALLED),
        [
            call(0, "f", "c1"),
            ArgumentsDelta(index=0, text="{"),
            ArgumentsDelta(index=0, text="}"),
            PartEnded(index=0),
            HAVING_CALLED,
        ],
    ),
    "the deprecated call": (
        (
            chunk({"function_call": {"name": "f", "arguments": ""}}),
            chunk({"function_call": {"arguments": "{}"}}),
            chunk(finish_reason="function_call"),
        ),
        [
            call(0, "f", ""),
            ArgumentsDelta(index=0, text="{}"),
            PartEnded(index=0),
            Finished(finish="tool_calls", finish_raw="function_call"),
        ],
    ),
    "a refusal": (
        (chunk({"refusal": "no"}), STOP),
        [PartStarted(index=0, part=Refusal(text="")), text("no"), PartEnded(index=0), STOPPED],
    ),
    "two answers": (
        (chunk({"content": "a"}), chunk({"content": "b"}, index=1), STOP, chunk(index=1, finish_reason="length")),
        [
            TEXT_PART,
            text("a"),
            PartStarted(choice=1, index=0, part=Text(text="")),
            TextDelta(choice=1, index=0, text="b"),
            PartEnded(index=0),
            STOPPED,
            PartEnded(choice=1, index=0),
            Finished(choice=1, finish="length", finish_raw="length"),
        ],
    ),
    "log probabilities": (
        (chunk({"content": "a"}, logprobs={"content": []}), STOP),
        [
            TEXT_PART,
            TextDelta(index=0, text="a", logprobs={"content": []}),
            PartEnded(index=0),
            STOPPED,
        ],
    ),
    "an image": (
        (
            chunk({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]}),
            STOP,
        ),
        [
            PartStarted(index=0, part=Image(source=Source(data="iVBO", media_type="image/png"))),
            PartEnded(index=0),
            STOPPED,
        ],
    ),
    "sound": (
        (chunk({"audio": {"id": "a1", "transcript": "x"}}), chunk({"audio": {"data": "UklG"}}), STOP),
        [
            PartStarted(index=0, part=Audio(source=Source(data=""), id="a1")),
            AudioDelta(index=0, transcript="x"),
            AudioDelta(index=0, data="UklG"),
            PartEnded(index=0),
            STOPPED,
        ],
    ),
    "an annotation": (
        (
            chunk({"content": "a"}),
            chunk({"annotations": [{"type": "url_citation", "url_citation": {"url": "https://x"}}]}),
            STOP,
        ),
        [
            TEXT_PART,
            text("a"),
            CitationDelta(index=0, citation=Citation(kind="url", url="https://x")),
            PartEnded(index=0),
            STOPPED,
        ],
    ),
    "an end without a reason": (
        (chunk({"content": "a"}),),
        [TEXT_PART, text("a"), PartEnded(index=0), Finished(finish="stop")],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_a_provider_streams_is_read(name: str) -> None:
    pieces, expected = READ[name]
    assert happened(*pieces) == [STARTED, *expected, ENDED]


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("size", SIZES)
def test_what_a_provider_streams_is_written_as_it_was(name: str, size: int | None) -> None:
    body = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in READ[name][0])
    body += b"data: [DONE]\n\n"
    encoder = Encoder(own(stream=True), given())
    out = b"".join(map(encoder.feed, decoded(chunks(body, size)))) + encoder.finish()
    assert documents(out) == documents(body)


def test_usage_is_read_wherever_it_comes() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    for last in ({"choices": [], "usage": usage}, {"choices": [], "x_groq": {"usage": usage}}):
        assert Used(usage=Usage(input=3, output=2)) in happened(chunk({"content": "a"}), STOP, last)


def test_a_stream_that_is_cut_has_no_end() -> None:
    assert ENDED not in happened(chunk({"content": "a"}), done=False)


def test_a_stream_without_its_last_word_has_ended_after_every_finish() -> None:
    assert happened(chunk({"content": "a"}), STOP, done=False)[-1] == ENDED


def test_an_error_in_the_stream_is_a_failure_and_no_end() -> None:
    events = happened(chunk({"content": "a"}), {"error": {"message": "too much", "code": 429}})
    failed = next(event for event in events if type(event) is Failed)
    assert "too much" in failed.error.message
    assert ENDED not in events


@pytest.mark.parametrize(
    "data", [b"nonsense", b"[1]", b'"x"', b"\xff", b"[" * 100_000], ids=lambda data: repr(data[:9])
)
def test_what_is_no_chunk_is_the_provider_s_fault(data: bytes) -> None:
    with pytest.raises(BadUpstreamReply):
        Decoder().feed(b"data: " + data + b"\n\n")


def test_a_comment_is_a_sign_of_life() -> None:
    frames = decoded([b": OPENROUTER PROCESSING\n\n"])
    assert frames == [Frame(dialect="chat", events=(Ping(),))]


def test_a_sign_of_life_is_a_chunk_without_words() -> None:
    """Never a comment, which azure-ai-openai for Java refuses; nothing before the stream begins, or after its end."""
    out = encoded(Ping(), Started(), text("a"), Ping(), text("b"), Finished(finish="stop"), Ping(), Ended())
    assert b": ping" not in out
    deltas = [document["choices"][0]["delta"] for document in documents(out)[:-1]]
    assert [delta.get("content") for delta in deltas] == ["a", None, "b", None]
    assert deltas[1] == {}


def test_a_changed_text_is_written_changed() -> None:
    frames = decoded([b"data: " + json.dumps(chunk({"content": "secret"})).encode() + b"\n\n"])
    events = tuple(text("***") if type(event) is TextDelta else event for event in frames[0].events)
    encoder = Encoder(own(stream=True), given())
    out = encoder.feed(Frame(dialect="chat", events=events, extra=frames[0].extra))
    assert documents(out)[0] == chunk({"content": "***"})
    cut = tuple(event for event in frames[0].events if type(event) is not TextDelta)
    assert b"secret" not in encoder.feed(Frame(dialect="chat", events=cut, extra=frames[0].extra))


def test_usage_that_the_caller_does_not_want_can_be_hidden() -> None:
    body = b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    frame = decoded([body])[0]
    assert Encoder(own(stream=True, include_usage=False), given()).feed(frame) == b""
    assert Encoder(own(stream=True), given()).feed(frame) == body


# Foreign events, as OpenAI's own SDK takes them


def accumulated(body: bytes) -> Any:
    """Return what the SDK makes of a stream."""
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    transport = httpx2.MockTransport(lambda request: answer)
    with (
        openai.OpenAI(api_key="k", base_url="http://x", http_client=httpx2.Client(transport=transport)) as client,
        client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        for _ in stream:
            pass
        return stream.get_final_completion()


CONVERSATION: list[AnyEvent] = [
    Started(id="msg_1", model="claude-x"),
    Ping(),
    PartStarted(index=0, part=Thinking(text="", maker="messages")),
    ThinkingDelta(index=0, text="hm"),
    ThinkingDelta(index=0, opaque="sig"),
    PartEnded(index=0),
    PartStarted(index=1, part=Text(text="")),
    text("He", 1),
    text("llo", 1),
    CitationDelta(index=1, citation=Citation(kind="url", url="https://x", title="X")),
    PartEnded(index=1),
    call(2, "f", "c1"),
    ArgumentsDelta(index=2, text='{"a":'),
    call(3, "g", "c2"),
    ArgumentsDelta(index=2, text="1}"),
    PartEnded(index=2),
    PartEnded(index=3),
    Used(usage=Usage(input=10)),
    Finished(finish="tool_calls", finish_raw="tool_use"),
    Used(usage=USAGE),
    ENDED,
]


def test_the_sdk_accumulates_a_foreign_stream() -> None:
    body = encoded(*CONVERSATION, request=own(stream=True, include_usage=True))
    reply = accumulated(body)
    message = reply.choices[0].message
    assert (reply.id, reply.model, message.content) == ("chatcmpl-1", "claude-x", "Hello")
    assert [(made.id, made.function.name, made.function.arguments) for made in message.tool_calls] == [
        ("c1", "f", '{"a":1}'),
        ("c2", "g", "{}"),
    ]
    assert reply.choices[0].finish_reason == "tool_calls"
    assert message.model_extra["reasoning_content"] == "hm"
    assert message.model_extra["reasoning_details"][0]["signature"] == seal(Thinking(opaque="sig", maker="messages"))
    assert message.annotations[0].url_citation.url == "https://x"
    assert reply.usage.total_tokens == USAGE.total
    assert reply.usage.completion_tokens_details.reasoning_tokens == 3


def test_an_assembled_foreign_thought_comes_back_as_it_was() -> None:
    message = accumulated(encoded(*CONVERSATION)).choices[0].message.model_dump()
    request = parsed({"messages": [{"role": "user", "content": "hi"}, message]})
    assert request.messages[1].parts[0] == Thinking(text="hm", opaque="sig", maker="messages")


def test_usage_comes_in_a_last_chunk_if_it_was_asked_for() -> None:
    asked = documents(encoded(*CONVERSATION, request=own(stream=True, include_usage=True)))
    assert asked[-1] == "[DONE]"
    assert asked[-2]["choices"] == []
    assert read_usage(json.dumps(asked[-2]).encode()) == USAGE
    assert all(piece["usage"] is None for piece in asked[:-2])
    unasked = documents(encoded(*CONVERSATION))
    assert all("usage" not in piece for piece in unasked[:-1])


WRITTEN: dict[str, tuple[tuple[AnyEvent, ...], list[dict[str, Any]]]] = {
    "text that is there at the start": (
        (PartStarted(index=0, part=Text(text="a")), PartEnded(index=0)),
        [{"content": "a"}],
    ),
    "a refusal": (
        (PartStarted(index=0, part=Refusal(text="")), text("no"), PartEnded(index=0)),
        [{"refusal": "no"}],
    ),
    "a redacted thought": (
        (
            PartStarted(index=0, part=Thinking(opaque="x", maker="messages", redacted=True)),
            PartEnded(index=0),
        ),
        [
            {
                "reasoning_details": [
                    {
                        "type": "reasoning.encrypted",
                        "data": seal(Thinking(opaque="x", maker="messages", redacted=True)),
                        "index": 0,
                    }
                ]
            }
        ],
    ),
    "a call that is whole at its end": (
        (
            call(0, "f", "c1"),
            PartEnded(index=0, part=ToolCall(id="c1", name="f", arguments='{"a":1}')),
        ),
        [
            {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
        ],
    ),
    "a signed call": (
        (PartStarted(index=0, part=ToolCall(id="c1", name="f", signature="s")),),
        [
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": seal_call(ToolCall(id="c1", name="f", signature="s")),
                        "type": "function",
                        "function": {"name": "f", "arguments": ""},
                    }
                ]
            }
        ],
    ),
    "a step of a server's tool": (
        (
            PartStarted(index=0, part=ToolCall(id="s1", name="web_search", kind="server")),
            ArgumentsDelta(index=0, text="{}"),
            PartEnded(index=0),
        ),
        [],
    ),
    "an image": (
        (PartStarted(index=0, part=Image(source=Source(data="iVBO"))), PartEnded(index=0)),
        [{"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]}],
    ),
    "sound": (
        (
            PartStarted(index=0, part=Audio(source=Source(data=""), id="a1")),
            AudioDelta(index=0, data="UklG", transcript="x"),
        ),
        [{"audio": {"id": "a1"}}, {"audio": {"data": "UklG", "transcript": "x"}}],
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_foreign_event_is_written(name: str) -> None:
    events, expected = WRITTEN[name]
    pieces = documents(encoded(Started(), TextDelta(index=9, text="-"), *events, Finished(finish="stop"), ENDED))
    assert [piece["choices"][0]["delta"] for piece in pieces[1:-2]] == expected


def test_several_answers_are_written_each_with_its_role_and_end() -> None:
    pieces = documents(
        encoded(
            TextDelta(index=0, text="a"),
            TextDelta(choice=1, index=0, text="b"),
            Finished(finish="stop"),
            Finished(choice=1, finish="length"),
        )
    )
    roles = [piece["choices"][0]["delta"].get("role") for piece in pieces[:2]]
    assert roles == ["assistant", "assistant"]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces[2:4]] == ["stop", "length"]


def test_a_stream_for_functions_has_function_calls() -> None:
    functions = [{"name": "f", "parameters": {"type": "object"}}]
    request = parsed({"messages": [{"role": "user", "content": "hi"}], "functions": functions})
    pieces = documents(
        encoded(
            call(0, "f", "c1"),
            ArgumentsDelta(index=0, text="{}"),
            PartEnded(index=0),
            Finished(finish="tool_calls"),
            request=request,
        )
    )
    deltas = [piece["choices"][0]["delta"].get("function_call") for piece in pieces[:-1]]
    assert deltas == [{"name": "f", "arguments": ""}, {"arguments": "{}"}, None]
    assert pieces[-2]["choices"][0]["finish_reason"] == "function_call"


def test_nothing_follows_a_failure() -> None:
    encoder = Encoder(own(stream=True), given())
    encoder.feed(Frame(dialect="messages", events=(Started(), TEXT_PART, text("a"))))
    error = documents(encoder.fail(UpstreamError("gone")))
    assert error[0]["error"]["message"] == "gone"
    assert encoder.feed(Frame(dialect="messages", events=(text("b"),))) == b""
    assert encoder.finish() == b""


def test_the_sdk_raises_at_a_failure() -> None:
    body = encoded(Started(), TEXT_PART, text("a"), Failed(error=UpstreamError("gone")))
    assert b"[DONE]" not in body
    with pytest.raises(openai.APIError, match="gone"):
        accumulated(body)


def test_a_failure_of_a_provider_of_this_dialect_ends_the_stream_too() -> None:
    frame = decoded([b'data: {"error":{"message":"gone"}}\n\n'])[0]
    encoder = Encoder(foreign(stream=True), given())
    assert documents(encoder.feed(frame)) == [{"error": {"message": "gone"}}]
    assert encoder.finish() == b""
