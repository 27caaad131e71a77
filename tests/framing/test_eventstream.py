"""The AWS event stream, held against botocore's reader, in any chunks."""

import struct
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st
from tests.framing.recordings import SIZES, body_of, chunks, load

from portico.errors import BadUpstreamReply
from portico.framing.eventstream import HEADERS_LIMIT, Decoder, Message, encode

EVENT = encode({":message-type": "event", ":event-type": "chunk"}, b'{"bytes":"e30="}')


def decode(body: bytes, size: int | None) -> list[Message]:
    decoder = Decoder()
    messages = [message for chunk in chunks(body, size) for message in decoder.feed(chunk)]
    assert decoder.pending == 0
    return messages


def oracle(body: bytes) -> list[tuple[dict[str, Any], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    return [(event.headers, event.payload) for event in buffer]


@pytest.mark.parametrize("size", SIZES)
def test_recorded_streams_are_read_as_botocore_reads_them(size: int | None) -> None:
    streams = [r for r in load() if "eventstream" in (r["response"]["headers"] or {}).get("content-type", "")]
    assert len(streams) > 100
    for record in streams:
        body = body_of(record)
        found = [(message.headers(), message.payload) for message in decode(body, size)]
        assert found == oracle(body), record["id"]


names = st.text(st.characters(min_codepoint=33, max_codepoint=1000), min_size=1, max_size=20)
header_values = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40) | st.text(max_size=20)


@given(st.dictionaries(names, header_values, max_size=5), st.binary(max_size=300), st.sampled_from(SIZES))
def test_what_is_encoded_decodes_here_and_in_botocore(
    headers: dict[str, Any], payload: bytes, size: int | None
) -> None:
    body = encode(headers, payload)
    found = decode(body * 2, size)
    assert [(m.headers(), m.payload) for m in found] == [(headers, payload)] * 2 == oracle(body * 2)


def test_every_header_type_is_read() -> None:
    raw = (
        b"\x01a\x00\x01b\x01\x01c\x02\xff\x01d\x03\xff\xfe\x01e\x04\x00\x00\x00\x05\x01f\x05"
        + struct.pack("!q", -6)
        + b"\x01g\x06\x00\x02hi\x01h\x07\x00\x02ho\x01i\x08"
        + struct.pack("!q", 1_700_000_000_000)
        + b"\x01j\x09"
        + bytes(range(16))
    )
    assert Message(raw, b"").headers() == {
        "a": True,
        "b": False,
        "c": -1,
        "d": -2,
        "e": 5,
        "f": -6,
        "g": b"hi",
        "h": "ho",
        "i": 1_700_000_000_000,
        "j": bytes(range(16)),
    }


def with_prelude(total: int, headers: int) -> bytes:
    prelude = struct.pack("!II", total, headers)
    return prelude + struct.pack("!I", crc32(prelude))


BROKEN = {
    "a flipped bit in the payload": EVENT[:-8] + bytes((EVENT[-8] ^ 1,)) + EVENT[-7:],
    "a flipped bit in the prelude": bytes((EVENT[0] ^ 1,)) + EVENT[1:],
    "a length below the least": with_prelude(12, 0),
    "headers longer than the message": with_prelude(40, 30),
    "headers over their bound": with_prelude(HEADERS_LIMIT + 17, HEADERS_LIMIT + 1),
    "a payload over its bound": with_prelude(2**31, 0),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_message_is_refused(name: str, size: int | None) -> None:
    with pytest.raises(BadUpstreamReply):
        decode(EVENT + BROKEN[name], size)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x01a\x63",
        b"\x05ab",
        b"\x01a\x07\x00\x09hi",
        b"\x01a\x00\x01a\x00",
        b"\x01\xff\x00",
        b"\x01a\x04\x00",
        b"\x01a",
    ],
)
def test_malformed_headers_are_refused(raw: bytes) -> None:
    with pytest.raises(BadUpstreamReply):
        Message(raw, b"").headers()


def test_a_cut_stream_shows_in_what_is_pending() -> None:
    decoder = Decoder()
    assert decoder.feed(EVENT[:-1]) == []
    assert decoder.pending == len(EVENT) - 1
