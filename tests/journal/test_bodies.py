"""Bodies are kept as they were: short ones as they are, long ones compressed, and all told apart by how they begin."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.journal.bodies import FRAME, SHORT, Damaged, compressor, parse_bodies, render_bodies

COMPRESS = compressor()
LIMIT = 100_000

some = st.none() | st.binary(max_size=200) | st.binary(max_size=20).map(FRAME.__add__)


@given(some, some)
def test_bodies_are_read_as_they_were_written(request: bytes | None, reply: bytes | None) -> None:
    found = parse_bodies(render_bodies(request, reply, LIMIT, COMPRESS))
    assert (found.request, found.reply) == (request, reply)
    assert (found.request_size, found.reply_size) == (len(request or b""), len(reply or b""))


@pytest.mark.parametrize("size", [SHORT - 1, SHORT, SHORT + 1, 10 * SHORT])
def test_what_is_long_is_compressed_and_what_is_short_is_not(size: int) -> None:
    body = b"a" * size
    kept = render_bodies(body, None, LIMIT, COMPRESS)
    assert parse_bodies(kept).request == body
    assert (len(kept) < size) == (size > SHORT)


@pytest.mark.parametrize("size", [0, 1, SHORT])
def test_what_is_longer_than_the_bound_is_cut_and_says_so(size: int) -> None:
    found = parse_bodies(render_bodies(b"b" * (size + 7), b"c", size, COMPRESS))
    assert (found.request, found.request_size, found.reply) == (b"b" * size, size + 7, b"c"[:size])


def test_bodies_that_were_all_compressed_are_read_too() -> None:
    asked, answered = COMPRESS(b"asked"), COMPRESS(b"answered")
    kept = bytearray(render_bodies(b"x" * len(asked), b"y" * len(answered), LIMIT, COMPRESS))
    kept[-len(asked + answered) :] = asked + answered
    kept[:4] = zlib.crc32(kept[4:]).to_bytes(4, "little")
    found = parse_bodies(bytes(kept))
    assert (found.request, found.reply) == (b"asked", b"answered")


@pytest.mark.parametrize("body", [FRAME + b"not a frame", FRAME])
def test_what_cannot_be_expanded_is_damaged(body: bytes) -> None:
    kept = bytearray(render_bodies(b"z" * len(body), None, LIMIT, COMPRESS))
    kept[-len(body) :] = body
    kept[:4] = zlib.crc32(kept[4:]).to_bytes(4, "little")
    with pytest.raises(Damaged):
        parse_bodies(bytes(kept))
