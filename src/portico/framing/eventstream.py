"""The AWS event stream: binary messages with typed headers and two checksums.

A message is: total length and headers length (4 bytes each, big-endian), CRC-32 of these 8 bytes, headers,
payload, CRC-32 of all before it. Source: "Amazon event stream encoding" in the AWS SDK developer material and
the Smithy specification "Event Stream Encoding" (smithy.io, read 2026-11-20).
"""

import struct
from collections.abc import Mapping
from typing import Final
from zlib import crc32

from portico.errors import BadUpstreamReply

MESSAGE_LIMIT: Final = 24 * 1024 * 1024
"""Bytes of payload that one message may have: the specification's bound."""
HEADERS_LIMIT: Final = 128 * 1024
"""Bytes of headers that one message may have: the specification's bound."""

Value = bool | int | bytes | str
"""A header's value. Timestamps are integers (milliseconds since 1970), UUIDs their 16 bytes."""

_PRELUDE: Final = struct.Struct("!III")
_WORD: Final = struct.Struct("!I")
_HALF: Final = struct.Struct("!H")
_INT: Final = struct.Struct("!i")
_LONG: Final = struct.Struct("!q")
_OVERHEAD: Final = 16
_NUMBERS: Final = {2: struct.Struct("!b"), 3: struct.Struct("!h"), 4: _INT, 5: _LONG, 8: _LONG}


class Message:
    """One message: its headers still encoded, and its payload."""

    __slots__ = ("encoded", "payload")

    def __init__(self, encoded: bytes, payload: bytes) -> None:
        self.encoded: Final = encoded
        self.payload: Final = payload

    def __repr__(self) -> str:
        return f"<Message of {len(self.payload)} bytes>"

    def headers(self) -> dict[str, Value]:
        """Decode the headers. Raises BadUpstreamReply when they are malformed or name one twice."""
        try:
            return _headers(self.encoded)
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise BadUpstreamReply(f"The headers of an event stream message are malformed: {error}") from error


class Decoder:
    """Takes bytes in any pieces and gives the messages in them. `limit` bounds the payload of one, in bytes."""

    __slots__ = ("_held", "_limit")

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        self._held = bytearray()
        self._limit = limit

    @property
    def pending(self) -> int:
        """Bytes held of a message that is not whole; not 0 at the end of a stream means it was cut."""
        return len(self._held)

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that this chunk completes.

        Raises BadUpstreamReply for a wrong checksum or a length out of bounds; the stream cannot be read on then.
        """
        held = self._held
        if held:
            held += chunk
            if len(held) < _PRELUDE.size or len(held) < _WORD.unpack_from(held)[0]:
                if len(held) >= _PRELUDE.size:
                    self._lengths(held, 0)
                return []
            chunk = bytes(held)
            held.clear()
        messages = []
        view = memoryview(chunk)
        at = 0
        size = len(chunk)
        while size - at >= _PRELUDE.size:
            total, headers = self._lengths(view, at)
            end = at + total
            if end > size:
                break
            if crc32(view[at : end - 4]) != _WORD.unpack_from(view, end - 4)[0]:
                raise BadUpstreamReply("A message of the event stream has a wrong checksum")
            middle = at + _PRELUDE.size + headers
            messages.append(Message(chunk[at + _PRELUDE.size : middle], chunk[middle : end - 4]))
            at = end
        if at < size:
            held += view[at:]
        return messages

    def _lengths(self, data: bytearray | memoryview, at: int) -> tuple[int, int]:
        total, headers, checksum = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + 8]) != checksum:
            raise BadUpstreamReply("A message of the event stream has a wrong checksum in its prelude")
        if headers > HEADERS_LIMIT or not 0 <= total - headers - _OVERHEAD <= self._limit:
            raise BadUpstreamReply(
                f"A message of the event stream says it has {total} bytes, {headers} of them headers"
            )
        return total, headers


def encode(headers: Mapping[str, Value], payload: bytes) -> bytes:
    """Write one message. Integers are written as 32-bit ones where they fit, else as 64-bit ones."""
    encoded = b"".join(_encode_header(name, value) for name, value in headers.items())
    lengths = struct.pack("!II", _OVERHEAD + len(encoded) + len(payload), len(encoded))
    message = b"".join((lengths, _WORD.pack(crc32(lengths)), encoded, payload))
    return message + _WORD.pack(crc32(message))


def _encode_header(name: str, value: Value) -> bytes:
    raw = name.encode()
    head = bytes((len(raw),)) + raw
    if isinstance(value, bool):
        return head + (b"\x00" if value else b"\x01")
    if isinstance(value, int):
        small = -(2**31) <= value < 2**31
        return head + (b"\x04" + _INT.pack(value) if small else b"\x05" + _LONG.pack(value))
    kind, data = (b"\x07", value.encode()) if isinstance(value, str) else (b"\x06", value)
    return head + kind + _HALF.pack(len(data)) + data


def _headers(data: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    at = 0
    while at < len(data):
        start = at + 1
        at = start + data[at]
        name = data[start:at].decode()
        kind = data[at]
        at += 1
        value: Value
        if kind <= 1:
            value = kind == 0
        elif kind in _NUMBERS:
            number = _NUMBERS[kind]
            value = number.unpack_from(data, at)[0]
            at += number.size
        elif kind in (6, 7):
            size = _HALF.unpack_from(data, at)[0]
            at += 2 + size
            raw = data[at - size : at]
            value = raw.decode() if kind == 7 else raw
        elif kind == 9:
            at += 16
            value = data[at - 16 : at]
        else:
            raise BadUpstreamReply(f"A header of an event stream message has the unknown type {kind}")
        if at > len(data):
            raise BadUpstreamReply("A header of an event stream message is cut short")
        if name in headers:
            raise BadUpstreamReply(f"A message of the event stream has the header {name!r} twice")
        headers[name] = value
    return headers
