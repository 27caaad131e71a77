"""Decoders that leave out what only their own dialect knows tell the same events as those that keep it."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.dialects.test_recorded import replies
from tests.framing.recordings import SIZES, body_of, chunks, recorded_chunks

from portico.dialects import chat, messages, responses
from portico.dialects.registry import PACKAGES
from portico.dialects.stand_ins import CONVERSATIONS
from portico.dialects.usage import read_usage
from portico.errors import BadUpstreamReply
from portico.ir import AnyEvent, Failed, Reply

DECODERS: dict[str, Any] = {"chat": chat.Decoder, "messages": messages.Decoder, "responses": responses.Decoder}
LONG = 10_000


def streams(name: str, size: int | None) -> Iterator[list[bytes]]:
    for operation, record in replies(streaming=True):
        body = body_of(record)
        if operation.name == name and (size is None or len(body) <= LONG):
            yield list(recorded_chunks(record) if size is None else chunks(body, size))


def told(decoder: Any, cut: list[bytes]) -> list[AnyEvent]:
    frames = [frame for chunk in cut for frame in decoder.feed(chunk)] + decoder.flush()
    return [event for frame in frames for event in frame.events]


def comparable(events: list[AnyEvent]) -> list[Any]:
    return [str(event.error) if isinstance(event, Failed) else event for event in events]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DECODERS)
def test_what_is_left_out_is_no_event(name: str, size: int | None) -> None:
    seen = 0
    for cut in streams(name, size):
        brief, whole = told(DECODERS[name](own=False), cut), told(DECODERS[name](), cut)
        assert comparable(brief) == comparable(whole)
        seen += 1
    assert seen > 40


ODD: dict[str, tuple[str, bytes]] = {
    "a call without an index": ("chat", b'"tool_calls":[{"function":{"arguments":"1"}}]'),
    "two calls at once": (
        "chat",
        b'"tool_calls":[{"index":0,"function":{"arguments":"1"}},{"index":1,"function":{"arguments":"2"}}]',
    ),
    "text and a thought": ("chat", b'"content":"a","reasoning_content":"b"'),
    "a thought after text": ("chat", b'"reasoning_content":"b"'),
    "an unknown member": ("chat", b'"content":"a","b":1'),
    "text beside a refusal": ("chat", b'"content":"a","refusal":"b"'),
    "nothing": ("chat", b'"content":"","tool_calls":[]'),
    "a text that is none": ("chat", b'"content":7'),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_delta_is_told_the_same(case: str) -> None:
    name, delta = ODD[case]
    first = b'data: {"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":"x"}}]}\n\n'
    cut = [first, b'data: {"id":"a","choices":[{"index":0,"delta":{%b}}]}\n\n' % delta, b"data: [DONE]\n\n"]
    assert comparable(told(DECODERS[name](own=False), cut)) == comparable(told(DECODERS[name](), cut))


def bare(reply: Reply) -> Reply:
    """Return a reply without what only its own dialect knows."""
    choices = []
    for choice in reply.choices:
        parts = tuple(msgspec.structs.replace(part, extra={}) for part in choice.parts)
        choices.append(msgspec.structs.replace(choice, parts=parts, extra={}))
    return msgspec.structs.replace(reply, choices=tuple(choices), extra={})


def test_a_brief_reply_says_what_the_whole_one_says() -> None:
    brief = whole = 0
    for operation, record in replies(streaming=False):
        if operation.name != "chat":
            continue
        whole += 1
        heard = chat.hear(body_of(record))
        found = chat.brief_reply(heard, body_of(record)) if heard is not None else None
        if found is not None:
            brief += 1
            assert found == bare(chat.parse_reply(body_of(record))), record["id"]
    assert brief > whole / 2 > 500


def test_a_reply_that_is_read_to_be_translated_has_the_usage_that_calls_are_billed_by() -> None:
    seen = 0
    for operation, record in replies(streaming=False):
        if operation.dialect in PACKAGES and operation.name in CONVERSATIONS:
            body = body_of(record)
            try:
                reply = PACKAGES[operation.dialect].parse_reply(body)
            except BadUpstreamReply:
                continue
            assert reply.usage == read_usage(operation, body), record["id"]
            seen += 1
    assert seen > 2500
