"""What is put directly says what the conversation comes to: the same body, the same reply, the same usage."""

import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dialects.crossing import pairs
from tests.dialects.mutation.flaws import flawed_json
from tests.framing.recordings import body_of

from portico.dialects import chat, direct, responses
from portico.dialects.chat.answers import FINISH
from portico.dialects.crossing import Notes, Target
from portico.dialects.direct.to_chat import CARE
from portico.dialects.request import peek
from portico.dialects.translate import LANGUAGES
from portico.errors import PorticoError
from portico.ir import Request
from portico.providers.row import QUIRKS
from portico.types import Dialect

CALLERS: tuple[Dialect, ...] = ("messages", "responses")
EVERY_CALLER = pytest.mark.parametrize("caller", CALLERS)
PLAIN = Target(model="gpt-4.1", dialect="chat")
SHORT = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def with_care(caller: Dialect, body: bytes, target: Target) -> tuple[Request, bytes]:
    """Return a request as a conversation, and the body that it comes to, of which nothing is lost."""
    request = LANGUAGES[caller].parse_request(body, model="m", stream=False)
    notes = Notes("chat", strict=True)
    if caller == "responses":
        responses.leave(request, notes)
    return request, chat.render_request(request, target, notes)


def fits(caller: Dialect, body: bytes, target: Target = PLAIN, replies: tuple[bytes, ...] = ()) -> int | None:
    """Hold what is said directly against the conversation; return how many replies were, None where nothing is."""
    put = direct.put(caller, body, None, target)
    if put is None:
        return None
    sent, asked = put
    request, expected = with_care(caller, body, target)
    assert written(sent) == written(expected)
    told = 0
    for reply in replies:
        heard = chat.hear(reply)
        found = asked.told(heard, reply, "m", pairs.given()) if heard is not None else None
        if found is not None:
            told += 1
            careful = chat.parse_reply(reply)
            assert written(found[0]) == written(LANGUAGES[caller].render_reply(careful, request, pairs.given()))
            assert found[1] == careful.usage
    return told


def written(body: bytes) -> Any:
    """Return JSON as it compares: 1 is not 1.0 there."""
    return json.loads(body, parse_float=lambda text: ("float", text))


# Recorded calls


@cache
def asked(caller: Dialect) -> tuple[bytes, ...]:
    return tuple(json.dumps(each["request"]["body"]).encode() for each in pairs.requests(caller))


@cache
def answered() -> tuple[bytes, ...]:
    return tuple(body_of(each) for each in pairs.replies("chat"))


@EVERY_CALLER
def test_recorded_requests_come_to_the_same(caller: Dialect) -> None:
    held = [fits(caller, body) is not None for body in asked(caller)]
    assert sum(held) > {"messages": 50, "responses": 50}[caller]


@EVERY_CALLER
def test_recorded_replies_come_to_the_same(caller: Dialect) -> None:
    assert (fits(caller, json.dumps(FULL[caller]).encode(), replies=answered()) or 0) > 200
    assert (fits(caller, json.dumps(pairs.PLAIN[caller]).encode(), replies=answered()) or 0) > 200


@EVERY_CALLER
def test_replies_with_flaws_come_to_the_same(caller: Dialect) -> None:
    rng = random.Random(7)
    body = json.dumps(FULL[caller]).encode()
    flawed = (flawed_json(rng, json.loads(rng.choice(answered()))) for _ in range(1500))
    assert sum(fits(caller, body, replies=(reply,)) or 0 for reply in flawed if readable(reply)) > 50


@EVERY_CALLER
def test_requests_with_flaws_come_to_the_same(caller: Dialect) -> None:
    rng = random.Random(11)
    assert sum(fits(caller, body) is not None for body in flawed_requests(rng, caller, 3000)) > 100


def flawed_requests(rng: random.Random, caller: Dialect, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield flawed_json(rng, FULL[caller] if rng.random() < 0.5 else json.loads(rng.choice(asked(caller))))


def readable(reply: bytes) -> bool:
    try:
        return bool(chat.parse_reply(reply))
    except PorticoError:
        return False


# Generated ones

texts = st.text(max_size=6)
odd = st.sampled_from([None, True, False, 0, "", [], {}, [None], 2**64, {"type": "text", "text": "x"}])
numbers = st.one_of(st.integers(-3, 300), st.floats(-2, 2), st.just(2**63), odd)
flags = st.one_of(st.booleans(), odd)
strings = st.one_of(texts, odd)


def fields(known: dict[str, st.SearchStrategy[Any]], others: dict[str, st.SearchStrategy[Any]]) -> Any:
    return st.fixed_dictionaries(known, optional=others)


def parts(kind: st.SearchStrategy[str], **others: st.SearchStrategy[Any]) -> Any:
    return st.lists(fields({"type": kind, "text": strings}, others), max_size=3)


marks = st.just({"type": "ephemeral"})
blocks = st.one_of(texts, parts(st.just("text")), parts(st.just("text"), cache_control=marks, citations=odd), odd)
pieces = st.sampled_from(["input_text", "output_text", "text"])
contents = st.one_of(texts, parts(pieces), parts(pieces, annotations=odd, logprobs=odd), odd)
roles = st.sampled_from(["user", "user", "assistant", "system", "developer", "tool"])
ROOM: dict[Dialect, Any] = {
    "messages": fields(
        {"messages": st.lists(fields({"role": roles, "content": blocks}, {"name": odd}), max_size=3)},
        {
            "model": strings,
            "system": blocks,
            "max_tokens": numbers,
            "temperature": numbers,
            "top_p": numbers,
            "stop_sequences": st.one_of(st.lists(texts, max_size=6), odd),
            "metadata": st.one_of(fields({}, {"user_id": strings, "more": odd}), odd),
            "stream": flags,
            "top_k": numbers,
            "service_tier": strings,
        },
    ),
    "responses": fields(
        {
            "input": st.one_of(
                texts,
                st.lists(
                    fields(
                        {"role": roles, "content": contents},
                        {
                            "type": st.sampled_from(["message", None, "x"]),
                            "id": strings,
                            "status": strings,
                            "more": odd,
                        },
                    ),
                    max_size=4,
                ),
                odd,
            )
        },
        {
            "model": strings,
            "instructions": strings,
            "max_output_tokens": numbers,
            "temperature": numbers,
            "top_p": numbers,
            "user": strings,
            "store": flags,
            "stream": flags,
            "metadata": odd,
            "background": flags,
        },
    ),
}


targets = st.sets(st.sampled_from(sorted(QUIRKS))).map(
    lambda quirks: Target(model="t", dialect="chat", quirks=frozenset(quirks))
)


@EVERY_CALLER
@SHORT
@given(data=st.data())
def test_generated_requests_come_to_the_same(caller: Dialect, data: st.DataObject) -> None:
    fits(caller, json.dumps({"model": "m"} | data.draw(ROOM[caller])).encode(), data.draw(targets))


@pytest.mark.prove
@pytest.mark.timeout(1800)
@EVERY_CALLER
@LONG
@given(data=st.data())
def test_generated_requests_for_long(caller: Dialect, data: st.DataObject) -> None:
    fits(caller, json.dumps({"model": "m"} | data.draw(ROOM[caller])).encode(), data.draw(targets))


@pytest.mark.prove
@pytest.mark.timeout(1800)
@EVERY_CALLER
def test_flaws_for_long(caller: Dialect) -> None:
    rng = random.Random()
    for body in flawed_requests(rng, caller, 50_000):
        fits(caller, body)


# What these requests are, and are not

FULL: dict[Dialect, dict[str, Any]] = {
    "messages": {
        "model": "m",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "Yes?"}]},
            {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]},
        ],
        "max_tokens": 100,
        "temperature": 0.5,
        "top_p": 1,
        "stop_sequences": ["\n\nHuman:", "END"],
        "metadata": {"user_id": "u-1"},
        "stream": False,
    },
    "responses": {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "developer", "content": "In French."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Oui?", "annotations": [], "logprobs": []}],
            },
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        ],
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 1,
        "user": "u-1",
        "store": False,
        "stream": False,
    },
}


@EVERY_CALLER
@pytest.mark.parametrize("quirk", QUIRKS)
def test_a_quirk_is_heeded_or_asks_for_care(caller: Dialect, quirk: str) -> None:
    target = Target(model="t", dialect="chat", quirks=frozenset((quirk,)))
    assert (fits(caller, json.dumps(FULL[caller]).encode(), target) is not None) is (quirk not in CARE)


@EVERY_CALLER
def test_another_dialect_asks_for_care(caller: Dialect) -> None:
    body = json.dumps(FULL[caller]).encode()
    assert direct.put(caller, body, None, Target(model="t", dialect="gemini")) is None
    assert direct.put("chat", body, None, PLAIN) is None


@EVERY_CALLER
def test_what_is_known_of_a_body_spares_reading_it(caller: Dialect) -> None:
    operation = pairs.operation(caller, stream=False)
    body = json.dumps(FULL[caller]).encode()
    assert direct.put(caller, body, peek(operation, body, b"application/json").members, PLAIN) is not None
    more = json.dumps(FULL[caller] | {"tools": []}).encode()
    assert direct.put(caller, more, peek(operation, more, b"application/json").members, PLAIN) is None


MORE_THAN_WORDS: dict[Dialect, list[dict[str, Any]]] = {
    "messages": [
        {"tools": [{"name": "look", "input_schema": {}}]},
        {"top_k": 5},
        {"thinking": {"type": "disabled"}},
        {"stop_sequences": ["a", "b", "c", "d", "e"]},
        {"metadata": {"user_id": "u", "more": 1}},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": []}]},
        {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        {"max_tokens": True},
    ],
    "responses": [
        {"tools": []},
        {"previous_response_id": "resp_1"},
        {"background": True},
        {"reasoning": {"effort": "low"}},
        {"input": []},
        {"input": [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}]},
    ],
}


@pytest.mark.parametrize(("caller", "more"), [(caller, more) for caller in CALLERS for more in MORE_THAN_WORDS[caller]])
def test_what_is_more_than_words_asks_for_care(caller: Dialect, more: dict[str, Any]) -> None:
    assert direct.put(caller, json.dumps(FULL[caller] | more).encode(), None, PLAIN) is None


ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
    },
}
CHOICE = ANSWER["choices"][0]
TOLD: dict[str, dict[str, Any]] = {
    "as it is": {},
    "without a model, an id or a time": {"model": "", "id": "", "created": None},
    "of the ordinary tier": {"service_tier": "default"},
    "of another tier": {"service_tier": "flex"},
    "of a tier that OpenAI does not have": {"service_tier": "on_demand"},
    "whose usage has more": {"usage": ANSWER["usage"] | {"cost": 0.1, "prompt_cache_hit_tokens": 3}},
    "with no words": {"choices": [CHOICE | {"message": {"role": "assistant", "content": None}}]},
}


@EVERY_CALLER
@pytest.mark.parametrize("more", TOLD.values(), ids=TOLD)
def test_an_answer_in_words_is_told_directly(caller: Dialect, more: dict[str, Any]) -> None:
    reply = json.dumps(ANSWER | more).encode()
    for body in (FULL[caller], pairs.PLAIN[caller]):
        assert fits(caller, json.dumps(body).encode(), replies=(reply,)) == 1


@pytest.mark.parametrize("reason", sorted(FINISH))
@EVERY_CALLER
def test_an_answer_ends_for_the_reason_that_the_conversation_has(caller: Dialect, reason: str) -> None:
    reply = json.dumps(ANSWER | {"choices": [CHOICE | {"finish_reason": reason}]}).encode()
    assert fits(caller, json.dumps(FULL[caller]).encode(), replies=(reply,)) == 1


MORE: dict[str, dict[str, Any]] = {
    "two": {"choices": [CHOICE, CHOICE | {"index": 1}]},
    "another than the first": {"choices": [CHOICE | {"index": 1}]},
    "none": {"choices": []},
    "a call": {
        "choices": [
            CHOICE
            | {
                "message": {
                    "role": "assistant",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
            }
        ]
    },
    "of an unknown end": {"choices": [CHOICE | {"finish_reason": "tired"}]},
    "without usage": {"usage": None},
}


@EVERY_CALLER
@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_an_answer_with_more_than_words_asks_for_care(caller: Dialect, more: dict[str, Any]) -> None:
    reply = json.dumps(ANSWER | more).encode()
    assert chat.hear(reply) is not None
    assert fits(caller, json.dumps(FULL[caller]).encode(), replies=(reply,)) == 0
