"""What a stream had brought when it was cut is counted, in every dialect."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.framing.recordings import SIZES, body_of, chunks, load
from tests.replay.calls import APIS

from portico.dialects.operations import OPERATIONS, Operation
from portico.dialects.passed import CLIPPED, CONVERSATIONS, FIRST, GAPS, LONGEST, Passed, interrupted, produced
from portico.dialects.usage import observer
from portico.framing import eventstream
from portico.types import Usage

TEXT = "The quick brown fox jumps over the lazy dog. "
ASKED = json.dumps({"model": "m", "messages": [{"role": "user", "content": TEXT * 10}], "max_tokens": 100}).encode()


def sse(*events: object) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def messages(kind: str, payload: object) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return eventstream.encode(headers, json.dumps(payload).encode())


def said(text: str) -> dict[str, bytes]:
    """Say a text as an event of each operation that streams."""
    return {
        "chat": sse({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]}),
        "completions": sse({"choices": [{"index": 0, "text": text}]}),
        "responses": sse({"type": "response.output_text.delta", "delta": text, "item_id": "i"}),
        "messages": sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        "stream_generate_content": sse({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}}]}),
        "converse_stream": messages("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}),
        "cohere_chat": sse({"type": "content-delta", "delta": {"message": {"content": {"text": text}}}}),
    }


THOUGHTS = {
    "chat": sse({"choices": [{"delta": {"reasoning_content": TEXT}}]}),
    "responses": sse({"type": "response.reasoning_summary_text.delta", "delta": TEXT}),
    "messages": sse({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": TEXT}}),
    "stream_generate_content": sse({"candidates": [{"content": {"parts": [{"text": TEXT, "thought": True}]}}]}),
    "converse_stream": messages("contentBlockDelta", {"delta": {"reasoningContent": {"text": TEXT}}}),
}
ARGUMENTS = {
    "chat": sse({"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": TEXT}}]}}]}),
    "responses": sse({"type": "response.function_call_arguments.delta", "delta": TEXT}),
    "messages": sse({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": TEXT}}),
    "stream_generate_content": sse({"candidates": [{"content": {"parts": [{"functionCall": {"args": {"x": TEXT}}}]}}]}),
    "converse_stream": messages("contentBlockDelta", {"delta": {"toolUse": {"input": TEXT}}}),
    "cohere_chat": sse(
        {"type": "tool-call-delta", "delta": {"message": {"tool_calls": {"function": {"arguments": TEXT}}}}}
    ),
}


def passed(body: bytes, size: int | None = None) -> Passed:
    noted = Passed()
    out: list[bytes] = []
    put = noted.through(out.append)
    for chunk in chunks(body, size):
        put(chunk)
    assert b"".join(out) == body
    assert noted.size == len(body)
    return noted


def tokens(operation: str, body: bytes, size: int | None = None) -> tuple[int, int]:
    found = produced(OPERATIONS[operation], passed(body, size), "gpt-x")
    assert found.whole
    return found.shown, found.thought


WORDS = tokens("chat", said(TEXT)["chat"])[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("operation", said(""))
def test_text_is_counted_as_shown(operation: str, size: int | None) -> None:
    shown, thought = tokens(operation, said(TEXT)[operation] * 3, size)
    assert shown == pytest.approx(3 * WORDS, abs=2)
    assert thought == 0


@pytest.mark.parametrize("operation", THOUGHTS)
def test_a_thought_that_is_told_is_counted_as_reasoning(operation: str) -> None:
    assert tokens(operation, THOUGHTS[operation]) == (0, WORDS)


@pytest.mark.parametrize("operation", ARGUMENTS)
def test_arguments_of_tools_are_output(operation: str) -> None:
    shown, thought = tokens(operation, ARGUMENTS[operation])
    assert WORDS <= shown <= WORDS + 25  # what stands around a call is output too
    assert thought == 0


def test_what_responses_says_again_at_the_end_of_a_part_is_counted_once() -> None:
    again = sse(
        {"type": "response.output_text.done", "text": TEXT},
        {"type": "response.output_item.done", "item": {"content": [{"type": "output_text", "text": TEXT}]}},
    )
    assert tokens("responses", said(TEXT)["responses"] + again)[0] == WORDS


def test_the_elements_of_an_array_are_counted_as_events_are() -> None:
    element = json.dumps({"candidates": [{"content": {"parts": [{"text": TEXT}]}}]}).encode()
    shown, thought = tokens("stream_generate_content", b"[" + element + b",\r\n" + element)
    assert shown == pytest.approx(2 * WORDS, abs=2)
    assert thought == 0


@pytest.mark.parametrize("operation", said(""))
def test_beyond_the_first_bytes_what_passed_counts_by_its_size(operation: str) -> None:
    event = said(TEXT)[operation]
    count = 32 * FIRST // len(event)
    found = produced(OPERATIONS[operation], passed(event * count, 1_000), "gpt-x")
    assert not found.whole
    assert found.shown == pytest.approx(count * WORDS, rel=0.05)


@pytest.mark.parametrize(("event", "most"), [(b"data: {}\n\n", FIRST), (b"x" * 10, LONGEST)])
def test_of_a_long_stream_only_its_beginning_and_some_pieces_are_kept(event: bytes, most: int) -> None:
    noted = passed(event * 20_000, 3 * CLIPPED)
    assert most <= len(noted.first) < most + 3 * CLIPPED
    assert [len(piece) for piece in noted.later] == [CLIPPED] * len(GAPS)


@pytest.mark.parametrize("size", [700, 1_000, 4_000])
def test_a_long_event_at_the_beginning_is_no_answer(size: int) -> None:
    """Responses begins with all that was asked for, tools included."""
    begins = sse({"type": "response.created", "response": {"tools": [TEXT * 400]}})
    event = said(TEXT)["responses"]
    count = 32 * FIRST // len(event)
    found = produced(OPERATIONS["responses"], passed(begins + event * count, size), "gpt-x")
    assert found.shown == pytest.approx((count + len(begins) / len(event)) * WORDS, rel=0.2)


@pytest.mark.parametrize("operation", said(""))
def test_of_a_stream_that_changes_its_pace_the_rest_counts_by_pieces_of_the_rest(operation: str) -> None:
    """It begins with much text in each event, and goes on with little."""
    begins = said(TEXT * 20)[operation]
    event = said(TEXT)[operation]
    count = 32 * FIRST // len(event)
    noted = Passed()
    put = noted.through(lambda _: None)
    for chunk in [begins] * 3 + [event] * count:
        put(chunk)
    found = produced(OPERATIONS[operation], noted, "gpt-x")
    assert found.shown == pytest.approx((60 + count) * WORDS, rel=0.1)


@pytest.mark.parametrize("operation", said(""))
def test_a_stream_that_was_cut_is_charged_for_what_passed(operation: str) -> None:
    found = interrupted(OPERATIONS[operation], passed(said(TEXT)[operation] * 3), None, ASKED, "gpt-x")
    assert found is not None
    usage, _ = found
    assert usage.output == pytest.approx(3 * WORDS, abs=2)
    assert usage.input > 0


def test_what_the_provider_said_of_the_input_stands() -> None:
    early = Usage(input=500, cache_read=40, output=1)
    found = interrupted(OPERATIONS["messages"], passed(said(TEXT)["messages"]), early, ASKED, "claude-x")
    assert found is not None
    usage, basis = found
    assert (usage.input, usage.cache_read, basis) == (500, 40, "counted")
    assert usage.output >= WORDS


def test_what_the_provider_said_of_the_output_stands_where_it_is_more() -> None:
    early = Usage(input=500, output=300, reasoning=200)
    assert interrupted(OPERATIONS["chat"], passed(said(TEXT)["chat"]), early, ASKED, "m") == (early, "counted")


def test_a_request_that_cannot_be_read_is_estimated_by_its_size() -> None:
    found = interrupted(OPERATIONS["chat"], passed(said(TEXT)["chat"]), None, b"x" * 400, "m")
    assert found is not None
    assert (found[0].input, found[1]) == (100, "estimated")


def test_sound_is_not_counted() -> None:
    assert interrupted(OPERATIONS["audio_speech"], passed(b"\0" * 100), None, ASKED, "m") is None


@given(st.binary(max_size=400), st.sampled_from(sorted(CONVERSATIONS)))
def test_no_bytes_break_it(body: bytes, name: str) -> None:
    found = interrupted(OPERATIONS[name], passed(body), None, body, "m")
    assert found is not None
    assert found[0].input >= 1
    assert found[0].output >= 0


@given(st.sampled_from(sorted(said(""))), st.integers(min_value=0))
def test_what_is_cut_earlier_never_counts_more(operation: str, cut: int) -> None:
    body = said(TEXT)[operation] * 12
    at = cut % len(body)
    one = OPERATIONS[operation]
    assert produced(one, passed(body[:at]), "gpt-x").shown <= produced(one, passed(body), "gpt-x").shown


def streams() -> Iterator[tuple[Operation, bytes, str, Usage]]:
    """Recorded streams of plain text that were told whole, and what their provider said of them."""
    for record in load():
        name = APIS.get(record["api"])
        if not record["streaming"] or name not in CONVERSATIONS or record["response"]["status"] != 200:
            continue
        operation, body = OPERATIONS[name], body_of(record)
        watch = observer(operation, hide_usage=False)
        watch.feed(body)
        watch.flush()
        usage = watch.usage
        if usage is not None and watch.finished and usage.output > 40 and not usage.reasoning and not usage.searches:
            yield (
                operation,
                body,
                str((record["request"].get("body") or {}).get("model") or record["request"]["path"]),
                usage,
            )


def test_counted_streams_come_near_to_what_their_providers_said() -> None:
    errors = []
    for operation, body, model, usage in streams():
        found = produced(operation, passed(body), model)
        errors.append(abs(found.shown + found.thought - usage.output_total) / usage.output_total)
    errors.sort()
    assert len(errors) > 300
    assert errors[len(errors) // 2] < 0.15
    assert errors[len(errors) * 9 // 10] < 0.5
