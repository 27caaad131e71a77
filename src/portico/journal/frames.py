"""How bytes stand in a segment: a header, then frames whose lengths and checksum say where the next one is. No I/O.

A frame is a marker, a checksum, the lengths of its entry and of its bodies, its kind, the entry, the bodies. The
checksum is over all of that but the bodies, which carry their own: who reads entries seeks past bodies unread.

The marker and the seed of the checksum are drawn by each writer. Where bytes in the middle are damaged, a reader looks
for the next marker with a checksum that holds; what a caller put into a body cannot pass for a frame there.
"""

import struct
import zlib
from typing import Final, NamedTuple

MAGIC: Final = b"PORTICOJ"
VERSION: Final = 1

HEADER: Final = struct.Struct("<8sH32s36s4sIQI")
"""Magic, version, owner, boot id, marker, seed, time in milliseconds since the epoch, checksum."""
FRAME: Final = struct.Struct("<4sIIIB")
"""Marker, checksum, length of the entry, length of the bodies, kind."""
_crc32: Final = zlib.crc32
_sum: Final = struct.Struct("<4sI").pack
_about: Final = struct.Struct("<IIB").pack

ENTRY_MAX: Final = 16 * 1024 * 1024
BODY_MAX: Final = 1024 * 1024 * 1024


class NotASegment(ValueError):
    """A file that does not begin as a segment of this version does."""


class Header(NamedTuple):
    """How a segment begins: whose it is, in which life of the machine it was written, and how its frames are told."""

    owner: str
    boot_id: str
    marker: bytes
    seed: int
    created_ms: int


def render_header(header: Header) -> bytes:
    """Return the bytes of a header."""
    data = HEADER.pack(
        MAGIC,
        VERSION,
        header.owner.encode("ascii"),
        header.boot_id.encode("ascii"),
        header.marker,
        header.seed,
        header.created_ms,
        0,
    )
    return data[:-4] + _crc32(data[:-4]).to_bytes(4, "little")


def parse_header(data: bytes) -> Header:
    """Read the bytes that a segment begins with. Raises NotASegment."""
    if len(data) < HEADER.size:
        raise NotASegment(f"{len(data)} bytes, where a segment's header has {HEADER.size}")
    magic, version, owner, boot_id, marker, seed, created, checksum = HEADER.unpack_from(data)
    if magic != MAGIC or checksum != _crc32(data[: HEADER.size - 4]):
        raise NotASegment("this is no segment of a journal, or its header is damaged")
    if version != VERSION:
        raise NotASegment(f"a segment of version {version}, where this Portico reads {VERSION}")
    return Header(owner.rstrip(b"\0").decode("ascii"), boot_id.rstrip(b"\0").decode("ascii"), marker, seed, created)


def render_frame(marker: bytes, seed: int, kind: int, entry: bytes, body: int) -> bytes:
    """Return a frame up to its bodies, which are `body` bytes and follow."""
    rest = _about(len(entry), body, kind) + entry
    return _sum(marker, _crc32(rest, seed)) + rest


class Head(NamedTuple):
    """The fixed part of a frame."""

    checksum: int
    entry: int
    body: int
    kind: int


def parse_head(marker: bytes, data: bytes) -> Head | None:
    """Read the fixed part of a frame; None where none stands here."""
    found, checksum, entry, body, kind = FRAME.unpack_from(data)
    if found != marker or entry > ENTRY_MAX or body > BODY_MAX:
        return None
    return Head(checksum, entry, body, kind)


def holds(seed: int, head: Head, entry: bytes) -> bool:
    """Say whether the checksum of a frame is right."""
    return _crc32(entry, _crc32(_about(head.entry, head.body, head.kind), seed)) == head.checksum
