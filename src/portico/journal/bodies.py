"""What a call sent and got, as it stands behind its record: bounded in size, compressed, with a checksum of its own."""

import struct
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple

LEVEL: Final = -1
"""Negative levels of zstd take 3 to 6 µs for 14 KB; the next better one takes three times that."""

_HEAD: Final = struct.Struct("<IIqIq")
"""Checksum of the rest; of the request and of the reply: bytes here, and bytes that there were (-1 for not kept)."""
_crc32: Final = zlib.crc32
_SUM: Final = struct.Struct("<I").pack
_SIZES: Final = struct.Struct("<IqIq").pack

Compress = Callable[[bytes], bytes]


SHORT: Final = 2048
"""Bytes up to which a body is kept as it is: to compress it takes longer than to write it."""
FRAME: Final = b"\x28\xb5\x2f\xfd"
"""How a compressed body begins (RFC 8878, 3.1.1). One that begins so itself is compressed, whatever its length."""


class Damaged(ValueError):
    """Bodies that are not what was written."""


class Bodies(NamedTuple):
    """The bodies of a call; None for one that was not kept.

    One that was longer than the bound is cut: the `_size` is what it had.
    """

    request: bytes | None
    reply: bytes | None
    request_size: int
    reply_size: int


def compressor() -> Compress:
    """Return what compresses one body at a time. Loads the library: a journal without bodies does without it."""
    import zstandard

    return zstandard.ZstdCompressor(level=LEVEL).compress


def render_bodies(request: bytes | None, reply: bytes | None, limit: int, compress: Compress) -> bytes:
    """Return both bodies, of each no more than `limit` bytes."""
    if request is not None and reply is not None:  # as nearly always
        request_size, reply_size = len(request), len(reply)
        if (
            request_size <= SHORT
            and reply_size <= SHORT
            and limit >= SHORT
            and request[:4] != FRAME
            and reply[:4] != FRAME
        ):
            rest = b"".join((_SIZES(request_size, request_size, reply_size, reply_size), request, reply))
            return _SUM(_crc32(rest)) + rest
    asked, request_size = (b"", -1) if request is None else (request, len(request))
    answered, reply_size = (b"", -1) if reply is None else (reply, len(reply))
    if request_size > SHORT or request_size > limit or asked[:4] == FRAME:
        asked = _packed(asked, limit, compress)
    if reply_size > SHORT or reply_size > limit or answered[:4] == FRAME:
        answered = _packed(answered, limit, compress)
    rest = _SIZES(len(asked), request_size, len(answered), reply_size) + asked + answered
    return _SUM(_crc32(rest)) + rest


def _packed(body: bytes, limit: int, compress: Compress) -> bytes:
    if len(body) > limit:
        body = body[:limit]
    return body if len(body) <= SHORT and body[:4] != FRAME else compress(body)


def parse_bodies(data: bytes) -> Bodies:
    """Read what `render_bodies` wrote. Raises Damaged."""
    import zstandard

    if len(data) < _HEAD.size:
        raise Damaged("bodies cut short")
    checksum, asked, request_size, answered, reply_size = _HEAD.unpack_from(data)
    if _crc32(data[4:]) != checksum or _HEAD.size + asked + answered != len(data):
        raise Damaged("bodies whose checksum is wrong")
    decompress = zstandard.ZstdDecompressor().decompress

    def expand(kept: bytes) -> bytes:
        return decompress(kept) if kept[:4] == FRAME else kept

    middle = _HEAD.size + asked
    try:
        return Bodies(
            None if request_size < 0 else expand(data[_HEAD.size : middle]),
            None if reply_size < 0 else expand(data[middle:]),
            max(request_size, 0),
            max(reply_size, 0),
        )
    except zstandard.ZstdError as error:
        raise Damaged(f"bodies that cannot be expanded: {error}") from error
