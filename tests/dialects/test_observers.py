"""Streams of each dialect, written by hand: their ends, their errors, their usage, and what is hidden."""

import base64
import json
from typing import Any

import pytest
from tests.framing.recordings import SIZES, chunks

from portico.dialects import chat, messages
from portico.dialects.observer import EventObserver, Observer
from portico.dialects.operations import OPERATIONS
from portico.dialects.usage import observer
from portico.framing import eventstream, sse
from portico.types import Usage


def event(document: Any, name: bytes = b"") -> bytes:
    return sse.render(json.dumps(document, separators=(",", ":")).encode(), name)


def frame(kind: str, document: Any, **more: str) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return eventstream.encode(headers, json.dumps(document).encode())


def chunk(document: Any) -> bytes:
    return frame("chunk", {"bytes": base64.b64encode(json.dumps(document).encode()).decode(), "p": "abc"})


def words(text: str, finish: str | None = None, **more: Any) -> bytes:
    return event({"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more})


def watched(
    operation: str, body: bytes, size: int | None = None, *, hide_usage: bool = False
) -> tuple[Observer, bytes]:
    watch = observer(OPERATIONS[operation], hide_usage=hide_usage)
    out = b"".join(map(watch.feed, chunks(body, size))) + watch.flush()
    return watch, out


DONE = b"data: [DONE]\n\n"
COUNTS = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
THREE_TWO = Usage(input=3, output=2)
GEMINI = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
ANSWER = {
    "candidates": [{"content": {"parts": [{"text": 'a "[" ]}'}]}, "finishReason": "STOP"}],
    "usageMetadata": GEMINI,
}
BEGUN = {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 3}}
START = event(
    {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}, b"message_start"
)
DELTA = event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}}, b"message_delta")
STOP = event({"type": "message_stop"}, b"message_stop")
METADATA = frame("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}})
METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 2}}
RESPONSE = {"usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}}

FINISHED = {
    "messages: the last word has nothings": (
        "messages",
        START
        + event({"type": "message_delta", "usage": {"input_tokens": 0, "output_tokens": 2}}, b"message_delta")
        + STOP,
    ),
    "messages: the counts are written as strings": (
        "messages",
        START + event({"type": "message_delta", "usage": {"output_tokens": "2"}}, b"message_delta") + STOP,
    ),
    "chat: usage in a chunk of its own": (
        "chat",
        b": hello\n\n" + words("a") + words("", "stop") + event({"choices": [], "usage": COUNTS}) + DONE,
    ),
    "chat: usage with the last words": ("chat", words("a") + words("", "stop", usage=COUNTS) + DONE),
    "chat: usage with all words, the last counts": (
        "chat",
        words("a", usage={"prompt_tokens": 3, "completion_tokens": None}) + words("", "stop", usage=COUNTS) + DONE,
    ),
    "chat: noughts after counts": (
        "chat",
        words("", "stop", usage=COUNTS) + words("", usage={"total_tokens": 0}) + DONE,
    ),
    "chat: no [DONE]": ("chat", words("a") + words("", "stop", usage=COUNTS)),
    "chat: Groq's place": ("chat", words("", "stop", x_groq={"id": "r", "usage": COUNTS}) + DONE),
    "chat: lines ended by CR LF": (
        "chat",
        (words("a") + words("", "stop") + event({"choices": [], "usage": COUNTS}) + DONE).replace(b"\n", b"\r\n"),
    ),
    "chat: no blank line at the end": ("chat", (words("", "stop", usage=COUNTS) + DONE)[:-2]),
    "chat: spaces in the JSON": (
        "chat",
        b'data: {"choices": [{"finish_reason" : "stop"}], "usage" :\t{"prompt_tokens": 3, "completion_tokens": 2}}\n\n',
    ),
    "chat: words that look like marks": (
        "chat",
        words('"usage":{"prompt_tokens":9},"error":{"x":1}') + words("", "stop", usage=COUNTS) + DONE,
    ),
    "completions": (
        "completions",
        event({"choices": [{"text": "a", "finish_reason": "stop"}], "usage": COUNTS}) + DONE,
    ),
    "responses": (
        "responses",
        event({"type": "response.created", "response": {"usage": None, "error": None}}, b"response.created")
        + event({"type": "response.output_text.delta", "delta": "response.completed"})
        + event({"type": "response.completed", "response": RESPONSE}, b"response.completed"),
    ),
    "responses: cut by its limit, without names": (
        "responses",
        event({"type": "response.incomplete", "response": RESPONSE | {"error": None}}) + DONE,
    ),
    "messages": ("messages", START + event({"type": "ping"}, b"ping") + DELTA + STOP),
    "messages: words that look like the end": (
        "messages",
        START + event({"type": "content_block_delta", "delta": {"text": '"message_stop" "usage"'}}) + DELTA + STOP,
    ),
    "gemini": ("stream_generate_content", event(BEGUN) + event(ANSWER)),
    "gemini: the close is the end": (
        "stream_generate_content",
        event(BEGUN) + event({"usageMetadata": GEMINI}) + event({"usageMetadata": {"trafficType": "ON_DEMAND"}}),
    ),
    "gemini: an array": ("stream_generate_content", json.dumps([BEGUN, ANSWER], indent=2).encode()),
    "gemini: an array of another style": (
        "stream_generate_content",
        b" [" + json.dumps(BEGUN).encode() + b"\n,\r\n" + json.dumps(ANSWER).encode() + b"]\n",
    ),
    "converse": (
        "converse_stream",
        frame("messageStart", {"role": "assistant"})
        + frame("contentBlockDelta", {"delta": {"text": "metadata"}})
        + frame("messageStop", {"stopReason": "end_turn"})
        + METADATA,
    ),
    "invoke: Anthropic": (
        "invoke_stream",
        chunk({"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}})
        + chunk({"type": "message_delta", "usage": {"output_tokens": 2}})
        + chunk({"type": "message_stop"} | METRICS),
    ),
    "invoke: Nova": (
        "invoke_stream",
        chunk({"contentBlockDelta": {}})
        + chunk({"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2}}} | METRICS),
    ),
    "invoke: another maker": ("invoke_stream", chunk({"outputs": [{"text": "a"}]}) + chunk({"outputs": []} | METRICS)),
    "cohere": (
        "cohere_chat",
        event({"type": "content-delta", "delta": {"message": {}}}, b"content-delta")
        + event(
            {
                "type": "message-end",
                "delta": {
                    "finish_reason": "COMPLETE",
                    "error": None,
                    "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 2}, "tokens": {"input_tokens": 99}},
                },
            },
            b"message-end",
        )
        + DONE,
    ),
    "transcription": (
        "audio_transcriptions",
        event({"type": "transcript.text.delta", "delta": "x"})
        + event({"type": "transcript.text.done", "text": "x", "usage": RESPONSE["usage"]})
        + DONE,
    ),
    "speech": (
        "audio_speech",
        event({"type": "speech.audio.delta", "audio": "eA=="})
        + event({"type": "speech.audio.done", "usage": RESPONSE["usage"]}),
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FINISHED)
def test_a_stream_that_came_to_its_end_is_finished_and_accounted(name: str, size: int | None) -> None:
    operation, body = FINISHED[name]
    watch, out = watched(operation, body, size)
    assert out == body
    assert (watch.finished, watch.failed, watch.usage) == (True, None, THREE_TWO)


FAILED = {
    "chat": ("chat", words("a") + event({"error": {"message": "overloaded", "type": "server_error"}}) + DONE),
    "chat: named": ("chat", event({"error": {"message": "overloaded", "code": 3}}, b"error")),
    "chat: with a chunk": ("chat", words("", "error", error={"code": 502, "message": "overloaded"}) + DONE),
    "chat: a string": ("chat", event({"error": "overloaded"})),
    "responses: error": ("responses", event({"type": "error", "code": "x", "message": "overloaded"}, b"error")),
    "responses: error as an object": ("responses", event({"type": "error", "error": {"message": "overloaded"}})),
    "responses: without a type": ("responses", event({"error": {"message": "overloaded"}})),
    "responses: failed": (
        "responses",
        event({"type": "response.failed", "response": {"error": {"message": "overloaded"}, "usage": None}}),
    ),
    "messages": (
        "messages",
        START
        + event({"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}, b"error")
        + STOP,
    ),
    "gemini": ("stream_generate_content", event(BEGUN) + event({"error": {"code": 503, "message": "overloaded"}})),
    "gemini: an array": (
        "stream_generate_content",
        json.dumps([BEGUN, {"error": {"code": 503, "message": "overloaded"}}]).encode(),
    ),
    "converse": (
        "converse_stream",
        frame("messageStart", {})
        + eventstream.encode(
            {":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message":"overloaded"}'
        ),
    ),
    "converse: a message of the type error": (
        "converse_stream",
        eventstream.encode({":message-type": "error", ":error-code": "500", ":error-message": "overloaded"}, b""),
    ),
    "invoke": (
        "invoke_stream",
        eventstream.encode(
            {":message-type": "exception", ":exception-type": "modelStreamErrorException"}, b'{"message":"overloaded"}'
        ),
    ),
    "invoke: the maker's own": (
        "invoke_stream",
        chunk({"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}) + chunk(METRICS),
    ),
    "cohere": (
        "cohere_chat",
        event({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "overloaded"}}),
    ),
    "images": ("images_generations", event({"type": "error", "error": {"message": "overloaded"}}, b"error")),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FAILED)
def test_an_error_inside_a_stream_is_seen_and_the_stream_is_not_finished(name: str, size: int | None) -> None:
    operation, body = FAILED[name]
    watch, out = watched(operation, body, size)
    assert out == body
    assert not watch.finished
    assert watch.failed is not None
    assert "overloaded" in watch.failed


CUT = {
    "chat": ("chat", words("a") + words("b")),
    "chat: inside the last event": ("chat", words("a") + words("", "stop")[:-20]),
    "responses": ("responses", event({"type": "response.created", "response": {"usage": None}})),
    "messages": ("messages", START + DELTA),
    "gemini: nothing": ("stream_generate_content", b""),
    "gemini: an open array": ("stream_generate_content", b"[" + json.dumps(BEGUN).encode() + b"\n"),
    "converse: no metadata": ("converse_stream", frame("messageStop", {})),
    "converse: metadata alone": ("converse_stream", METADATA),
    "invoke": ("invoke_stream", chunk({"type": "message_stop"})),
    "cohere": ("cohere_chat", event({"type": "content-end"}) + DONE),
    "speech": ("audio_speech", event({"type": "speech.audio.delta"})),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CUT)
def test_a_stream_that_was_cut_is_not_finished(name: str, size: int | None) -> None:
    operation, body = CUT[name]
    watch, out = watched(operation, body, size)
    assert out == body
    assert not watch.finished
    assert watch.failed is None


HALVES = {
    "chat": words("a"),
    "completions": words("a"),
    "responses": event({"type": "response.created"}, b"response.created"),
    "messages": START,
    "stream_generate_content": event(BEGUN),
    "converse_stream": METADATA,
    "invoke_stream": chunk({"type": "message_start"}),
    "cohere_chat": event({"type": "content-delta"}, b"content-delta"),
    "audio_speech": event({"type": "speech.audio.delta"}),
}


@pytest.mark.parametrize("hide_usage", [False, True])
@pytest.mark.parametrize("operation", HALVES)
def test_only_whole_events_go_on_so_that_an_error_can_follow_at_any_time(operation: str, hide_usage: bool) -> None:
    whole = HALVES[operation]
    for size in SIZES:
        for cut in (1, len(whole) // 2, len(whole) - 1):
            watch = observer(OPERATIONS[operation], hide_usage=hide_usage)
            assert b"".join(map(watch.feed, chunks(whole + whole[:cut], size))) == whole
            assert watch.feed(whole[cut:] + whole) == whole + whole


def test_what_was_used_is_known_while_a_stream_runs() -> None:
    watch = observer(OPERATIONS["messages"], hide_usage=False)
    watch.feed(START)
    assert watch.usage == Usage(input=3, output=1)
    gemini = observer(OPERATIONS["stream_generate_content"], hide_usage=False)
    assert gemini.usage is None
    gemini.feed(event(BEGUN))
    assert gemini.usage == Usage(input=3)


def test_a_stream_s_cache_writes_are_kept_as_long_as_its_first_counts_said() -> None:
    start = {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 9}, "input_tokens": 1}
    body = event({"type": "message_start", "message": {"usage": start}})
    body += event({"type": "message_delta", "usage": {"cache_creation_input_tokens": 12, "output_tokens": 2}})
    watch, _ = watched("messages", body)
    assert watch.usage == Usage(input=1, cache_write_1h=12, output=2)


def test_searches_of_a_gemini_stream_are_counted_once() -> None:
    grounded = {"candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}], "usageMetadata": GEMINI}
    for body in (event(grounded) + event(grounded) + event(ANSWER), json.dumps([grounded, ANSWER]).encode()):
        watch, _ = watched("stream_generate_content", body)
        assert watch.usage == Usage(input=3, output=2, searches=2)


def test_images_of_a_stream_are_counted() -> None:
    done = {"type": "image_generation.completed", "b64_json": "eA==", "usage": {"input_tokens": 3, "output_tokens": 2}}
    watch, _ = watched(
        "images_generations", event({"type": "image_generation.partial_image"}) + event(done) + event(done)
    )
    assert watch.usage == Usage(input=3, output_image=2, images=2)


NULL = b',"usage":null'
HIDDEN = [
    (
        words("a") + words("", "stop") + event({"choices": [], "usage": COUNTS}) + DONE,
        words("a") + words("", "stop") + DONE,
    ),
    (words("a", usage=None) + words("", "stop", usage=None) + DONE, words("a") + words("", "stop") + DONE),
    (event({"choices": [], "usage": COUNTS}), b""),
    (b": note\n\n" + event({"choices": [], "usage": {"total_tokens": 0}}) + b"\n" + DONE, b": note\n\n\n" + DONE),
    (words("a", usage=COUNTS) + DONE, words("a", usage=COUNTS) + DONE),
    (event({"choices": [], "prompt_filter_results": []}), event({"choices": [], "prompt_filter_results": []})),
    (b'data: {"choices": [ ], "usage" : {"prompt_tokens": 3}}\n\n' + DONE, DONE),
    (words('a","usage":null,"'), words('a","usage":null,"')),
    (b'data: {"choices":[{"delta":{}}]', b'data: {"choices":[{"delta":{}}]'),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", range(len(HIDDEN)))
def test_usage_that_was_not_asked_for_is_taken_out(case: int, size: int | None) -> None:
    body, expected = HIDDEN[case]
    watch, out = watched("chat", body, size, hide_usage=True)
    assert out == expected
    assert (watch.usage is not None) is (b"_tokens" in body)


def test_whole_events_are_passed_on_as_the_same_object() -> None:
    for hide_usage in (False, True):
        watch = observer(OPERATIONS["chat"], hide_usage=hide_usage)
        for part in (words("a"), words("a") + words("b")):
            assert watch.feed(part) is part
    for operation in ("messages", "responses", "stream_generate_content", "converse_stream", "passthrough"):
        part = event({"type": "x", "usage": None})
        assert observer(OPERATIONS[operation], hide_usage=False).feed(part) is part


def test_an_operation_that_is_not_watched_is_finished_when_its_body_is() -> None:
    watch, out = watched("passthrough", b"anything", 3)
    assert (out, watch.finished, watch.usage) == (b"anything", True, None)


@pytest.mark.parametrize("hide_usage", [False, True])
@pytest.mark.parametrize("kind", [chat.ChatObserver, messages.MessagesObserver])
def test_an_event_without_end_is_a_failure_and_loses_no_byte(kind: type[EventObserver], hide_usage: bool) -> None:
    watch = kind(OPERATIONS["chat"], hide_usage)
    watch._splitter = sse.Splitter(limit=100)
    body = b"data: " + b"x" * 300 + b"\n\n" + DONE
    out = b"".join(map(watch.feed, chunks(body, 40))) + watch.flush()
    assert out == body
    assert not watch.finished
    assert watch.failed == "An event of the stream is longer than 100 bytes"


def test_a_damaged_event_stream_is_a_failure_and_loses_no_byte() -> None:
    body = METADATA[:-1] + bytes((METADATA[-1] ^ 1,)) + METADATA
    for size in SIZES:
        watch, out = watched("converse_stream", body, size)
        assert out == body
        assert (watch.finished, watch.usage) == (False, None)
        assert "checksum" in (watch.failed or "")
    watch, _ = watched("converse_stream", frame("messageStop", {}) + METADATA[:-3])
    assert watch.failed == "the stream ended inside a message"


JUNK = [
    b"data: {\n\n",
    b"data: []\n\n",
    b'data: {"usage":{}}\n\n',
    b'data: {"choices":3,"finish_reason":"a"}\n\n',
    b"\xff\n\n",
]
JUNK += [b'data: {"type":7,"error":1,"response":2,"message_stop":"message_stop"}\n\n', b"[1,2", b"\n\n\n", b"data\n\n"]


@pytest.mark.parametrize("operation", [name for name, each in OPERATIONS.items() if each.streams != "never"])
@pytest.mark.parametrize("junk", JUNK)
def test_no_bytes_make_an_observer_raise_or_change_them(operation: str, junk: bytes) -> None:
    for size in SIZES:
        assert watched(operation, junk * 3, size)[1] == junk * 3
