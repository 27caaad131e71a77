"""Server-sent events: cut a byte stream into events, read one, write one.

The grammar is the HTML standard's (section 9.2.6, "Interpreting an event stream", read 2026-11-20): lines end
in LF, CRLF or CR, a blank line ends an event. Cutting keeps every byte: the events joined, and what `flush`
returns, are the stream again. Nothing is decoded until `parse` is called for an event.
"""

import re
from typing import Final, NamedTuple

from portico.errors import BadUpstreamReply

EVENT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes that one event may have by default: an image in base64 is an event of tens of megabytes."""

BOM: Final = b"\xef\xbb\xbf"
_WHOLE: Final = (b"\n\n", b"\r\n\r\n")
# Two line ends in a row. CR LF is one line end, so "\n\r\n" and "\r\r\n" take the LF along.
_BLANK: Final = re.compile(rb"\n\n|[\n\r]\r\n?")


class Event(NamedTuple):
    """One event: its name (`b""` where it has none) and its data, several `data:` lines joined by LF."""

    name: bytes
    data: bytes


class Splitter:
    """Holds what is not yet a whole event. `limit` bounds, in bytes, what it holds."""

    __slots__ = ("_limit", "held")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self.held = bytearray()  # the beginning of an event
        self._limit = limit

    def complete(self, chunk: bytes) -> bytes:
        """Return the whole events that have come so far as one run of bytes, `b""` when there is none.

        A chunk of whole events is returned itself, not a copy. Raises BadUpstreamReply when an event grows
        over the limit; `flush` then returns what is held, the chunk included.
        """
        held = self.held
        if not held:
            if chunk.endswith(_WHOLE):
                return chunk
            end = _last_end(chunk, 0)
            if end == len(chunk):
                return chunk
            held += chunk[end:] if end else chunk
            run = chunk[:end]
        else:
            # A blank line may have begun in the last byte that is held.
            start = len(held) - 1
            held += chunk
            end = _last_end(held, start)
            run = bytes(held[:end])
            del held[:end]
        if len(held) > self._limit:
            raise BadUpstreamReply(f"An event of the stream is longer than {self._limit} bytes")
        return run

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that this chunk completes, each with the blank line that ends it.

        Raises BadUpstreamReply as `complete` does.
        """
        run = self.complete(chunk)
        return split(run) if run else []

    def flush(self) -> bytes:
        """Return what is held, which no blank line ended, and forget it."""
        rest = bytes(self.held)
        self.held.clear()
        return rest


def split(run: bytes) -> list[bytes]:
    """Cut a run of whole events into events. Blank lines in excess open the next event, or stand alone at the end."""
    if b"\r" not in run:
        end = run.find(b"\n\n") + 2
        if end == len(run):
            return [run]
        return _cut(run, b"\n\n")
    if b"\n\n" not in run and b"\r\r" not in run:
        return _cut(run, b"\n\r")
    events = []
    start = 0
    for blank in _BLANK.finditer(run):
        end = blank.end()
        events.append(run[start:end])
        start = end
    if start < len(run):
        events.append(run[start:])
    return events


def parse(event: bytes) -> Event:
    """Read an event's name and data. Comments, `id`, `retry` and unknown fields say nothing here."""
    name = b""
    data: list[bytes] = []
    for line in event.removeprefix(BOM).splitlines():
        if line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[7:] if line[6:7] == b" " else line[6:]
        elif line == b"data":
            data.append(b"")
    return Event(name, data[0] if len(data) == 1 else b"\n".join(data))


def render(data: bytes, name: bytes = b"") -> bytes:
    """Write one event. Line ends inside the data become `data:` lines of their own."""
    head = b"event: " + name + b"\n" if name else b""
    return head + b"".join(b"data: " + line + b"\n" for line in data.splitlines() or [b""]) + b"\n"


def _last_end(data: bytes | bytearray, start: int) -> int:
    """Return where the last blank line at or after `start` ends, 0 when there is none."""
    end = data.rfind(b"\n\n", start) + 2
    if b"\r" in data:
        end = max(end, data.rfind(b"\n\r", start) + 2, data.rfind(b"\r\r", start) + 2)
        if end > 1 and data[end - 1] == 13 and data[end : end + 1] == b"\n":
            end += 1
    return end if end > 1 else 0


def _cut(run: bytes, blank: bytes) -> list[bytes]:
    """Cut after each `blank`, and after the LF of a CR LF that the blank line ends in."""
    events = []
    start = 0
    found = run.find(blank)
    while found >= 0:
        end = found + 2
        if run.startswith(b"\r\n", end - 1):
            end += 1
        events.append(run[start:end])
        start = end
        found = run.find(blank, start)
    if start < len(run):
        events.append(run[start:])
    return events
