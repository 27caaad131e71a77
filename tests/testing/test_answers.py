"""Answers by themselves: determinism, the rule of counting, and streams that add up to the whole."""

import json

import pytest

from portico.framing import eventstream
from portico.testing.ask import Ask, Request, Tool, answer
from portico.testing.controls import controls, pairs
from portico.testing.shapes import SHAPES
from portico.testing.words import MESSAGE, passage, slices, tokens

MESSAGES = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 400}
BODIES = {
    "chat": MESSAGES,
    "completions": {"prompt": "Hello", "max_tokens": 400},
    "responses": {"input": "Hello"},
    "messages": MESSAGES,
    "vertex_raw_stream": MESSAGES,
    "stream_generate_content": {"contents": [{"parts": [{"text": "Hello"}]}]},
    "converse_stream": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
    "invoke_stream": {**MESSAGES, "anthropic_version": "bedrock-2023-05-31"},
    "cohere_chat": {**MESSAGES, "model": "any"},
}
SAYINGS = ["tokens=1", "tokens=9", "tokens=9&reasoning=5", "tokens=200&chunk=7", "tokens=0", "cached=3&cache_write=1"]


def asked(operation: str, **more: object) -> Ask:
    body = json.dumps({**BODIES[operation], **more}).encode()
    return SHAPES[operation].read(Request("POST", "/", "alt=sse", [], body), "any")


@pytest.mark.parametrize("operation", BODIES)
@pytest.mark.parametrize("saying", SAYINGS)
def test_the_chunks_of_a_stream_bear_the_tokens_of_the_answer(operation, saying):
    ask = asked(operation)
    made = answer(ask, controls(pairs(saying)))
    shape = SHAPES[operation]
    assert shape.stream is not None
    pieces = shape.stream(ask, made)
    assert sum(piece.output for piece in pieces) == made.output == sum(choice.output for choice in made.choices)
    assert made.usage.total == made.input_total + made.output_total
    if operation != "completions":  # it shows no reasoning and hides none in its chunks
        assert sum(piece.reasoning for piece in pieces) == made.reasoned
    if operation != "cohere_chat":
        assert shape.whole(ask, made)


@pytest.mark.parametrize("operation", BODIES)
def test_the_same_request_gets_the_same_bytes_and_another_one_others(operation):
    shape = SHAPES[operation]
    assert shape.stream is not None
    say = controls({})
    ask, again = asked(operation), asked(operation)
    assert shape.whole(ask, answer(ask, say)) == shape.whole(again, answer(again, say))
    assert shape.stream(ask, answer(ask, say)) == shape.stream(again, answer(again, say))
    other = asked(operation)
    other.prompt = "Good evening"
    assert answer(other, say).choices[0].text != answer(ask, say).choices[0].text


@pytest.mark.parametrize("operation", ["converse_stream", "invoke_stream"])
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_binary_streams_have_the_right_checksums(operation, size):
    ask = asked(operation)
    stream = SHAPES[operation].stream
    assert stream is not None
    pieces = stream(ask, answer(ask, controls({})))
    data = b"".join(piece.data for piece in pieces)
    decoder = eventstream.Decoder()
    messages = [found for at in range(0, len(data), size) for found in decoder.feed(data[at : at + size])]
    assert len(messages) == len(pieces)
    assert decoder.pending == 0
    assert messages[0].headers()[":message-type"] == "event"


def test_a_token_is_four_characters_and_a_begun_one_counts():
    assert [tokens(text) for text in ("", "a", "abcd", "abcde", "áéíó")] == [0, 1, 1, 2, 1]
    assert asked("chat").input == MESSAGE + tokens("Hello")


@pytest.mark.parametrize("count", [1, 2, 9, 1000, 30_000])
@pytest.mark.parametrize("seed", [0, 1, 12345, 2**32 - 1])
def test_a_passage_is_as_long_as_was_asked(seed, count):
    text = passage(seed, count)
    assert (len(text), tokens(text)) == (4 * count, count)
    assert text[0].isupper()
    assert text[-1] == "."
    assert len(slices(text, 3)) == -(-count // 3)


@pytest.mark.parametrize("room", range(8))
def test_an_answer_never_exceeds_its_bound(room):
    tools = [Tool("a_tool", {"type": "object", "properties": {"city": {"type": "string"}}})]
    for think in ("no", "shown"):
        for calls in (0, 2):
            say = controls({"calls": str(calls)})
            made = answer(Ask(model="m", max_tokens=room, tools=tools, think=think), say)
            assert made.output_total <= room
            assert made.choices[0].finish == "length"


def test_text_and_echo_say_what_was_asked():
    assert (
        answer(Ask(model="m", prompt="[mock echo] Grüße, 世界 🌍"), controls({"echo": "1"})).choices[0].text
        == "Grüße, 世界 🌍"
    )
    assert answer(Ask(model="m"), controls({"text": "as told"})).choices[0].text == "as told"


@pytest.mark.parametrize("operation", BODIES)
def test_text_of_any_script_survives_every_dialect(operation):
    ask = asked(operation)
    text = 'Grüße, "世界" \\ 🌍\n'
    shape = SHAPES[operation]
    made = answer(ask, controls({"text": text}))
    whole = json.loads(shape.whole(ask, made))
    assert text in _strings(whole)
    assert shape.stream is not None
    assert sum(piece.output for piece in shape.stream(ask, made)) == tokens(text)


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _strings(each)]


def test_cached_tokens_are_part_of_the_input_and_never_more():
    made = answer(Ask(model="m", input=10), controls({"cached": "8", "cache_write": "8"}))
    assert (made.input, made.cached, made.cache_write, made.input_total) == (0, 8, 2, 10)
