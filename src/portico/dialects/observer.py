"""Watch a stream go by: what it used, whether it came to its proper end, whether it failed on the way.

An observer passes bytes on as they came. To be cheap it looks for a few marks in each run of whole events, and
decodes only the events of a run that holds one.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from portico.compiled import mypyc_attr
from portico.dialects.operation import Operation
from portico.dialects.tokens import UNREADABLE, table
from portico.errors import BadUpstreamReply
from portico.framing import sse
from portico.types import Usage

_NULLS: Final = (b":null", b": null")
_text: Final = msgspec.json.Decoder(str)


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Sees nothing and passes everything on; each dialect's observer sees more.

    `finished` is true once the stream's proper end was seen; `failed` is the text of the error that the stream
    reported, or why it cannot be read. `feed` and `flush` do not raise.
    """

    def __init__(self, operation: Operation, hide_usage: bool = False) -> None:
        self.operation = operation
        self._usage: Usage | None = None
        self.finished = False
        self.failed: str | None = None

    @property
    def usage(self) -> Usage | None:
        """What was used, as far as the stream has said."""
        return self._usage

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk from the provider and return what goes on to the caller, usually the same object."""
        return chunk

    def relay(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return what takes a chunk and writes what goes on of it; for streams of many."""
        feed = self.feed

        def consume(chunk: bytes) -> None:
            out = feed(chunk)
            if out:
                write(out)

        return consume

    def flush(self) -> bytes:
        """Say that the stream has closed as it should, by its framing; return what is still to go on.

        It is not for a stream that was cut: what is held then is a part that nobody can read.
        """
        self.finished = self.failed is None
        return b""

    def fail(self, error: str) -> None:
        """Note the first error; a stream that failed is not finished."""
        if self.failed is None:
            self.failed = error
        self.finished = False


@mypyc_attr(allow_interpreted_subclasses=True)
class EventObserver(Observer):
    """Watches server-sent events. A dialect says in `inspect` which runs of events it decodes, and what it sees.

    Only whole events go on. So a stream that breaks inside one can still say so: an error written behind half an
    event would be part of it, and lost.
    """

    def __init__(self, operation: Operation, hide_usage: bool = False) -> None:
        super().__init__(operation, hide_usage)
        self._splitter = sse.Splitter()
        self._blind = False

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk and return the events that are whole with it; nobody reads a part of one."""
        if self._blind:
            return chunk
        try:
            run = self._splitter.complete(chunk)
        except BadUpstreamReply as error:
            self._blind = True
            self.fail(error.message)
            return self._splitter.flush()
        return self.inspect(run) if run else run

    def flush(self) -> bytes:
        """Look at an event that no blank line ended."""
        rest = self._splitter.flush()
        return self.inspect(rest) if rest else rest

    def inspect(self, run: bytes) -> bytes:
        """Look at a run of whole events and return what goes on of it."""
        raise NotImplementedError


def told(run: bytes, key: bytes) -> bool:
    """Return whether a quoted key stands in a run with another value than null. Spelled oddly, null counts as told."""
    at = run.find(key)
    while at >= 0:
        at += len(key)
        if not run.startswith(_NULLS, at):
            return True
        at = run.find(key, at)
    return False


def failure(raw: msgspec.Raw | bytes) -> str | None:
    """Return the text of an error that a stream reports: its message, its type or code; None for null and nothing."""
    encoded = bytes(raw)
    if encoded in (b"", b"null", b"false", b'""', b"{}"):
        return None
    found = table(encoded)
    words = [str(found[name]) for name in ("type", "code", "status", "message") if found.get(name)]
    if words:
        return ": ".join(words)
    try:
        return _text.decode(encoded)
    except UNREADABLE:
        return encoded[:200].decode("utf-8", "replace")
