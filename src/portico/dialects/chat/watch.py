"""OpenAI's chat completions, completions and embeddings, as OpenAI and the many that follow it speak them.

Streams: chunks, then `data: [DONE]` (platform.openai.com/docs/api-reference/chat/streaming, read 2026-11-20). Usage
comes in a chunk of its own where it is asked for; others send it with the last choice, or with every chunk, the last
of which counts. Groq repeats it in `x_groq` (console.groq.com/docs/api-reference).
"""

from collections.abc import Callable
from typing import Final

import msgspec

from portico.dialects import openai
from portico.dialects.chat.replied import Choice, Common, Reply
from portico.dialects.observer import EventObserver, failure, told
from portico.dialects.operation import Operation
from portico.dialects.tokens import UNREADABLE, inner, table
from portico.errors import PorticoError
from portico.framing import sse
from portico.types import Usage

_common: Final = msgspec.json.Decoder(Common)
_reply: Final = msgspec.json.Decoder(Reply)
_choices: Final = msgspec.json.Decoder(list[Choice])


def read_usage(body: bytes) -> Usage | None:
    """Read a whole reply's usage, None where it reports none."""
    return read_answer(body)[0]


def read_answer(body: bytes) -> tuple[Usage | None, bool]:
    """Read a whole reply's usage, and return whether it is seen to be an answer: what most are."""
    try:
        common = _common.decode(body)
    except UNREADABLE:
        common = None
    if common is not None:
        tier = common.service_tier
        if tier is None or tier == "default":
            found = openai.counted(common.usage)
            if found is not None:
                return found, True
    try:
        reply = _reply.decode(body)
    except UNREADABLE:
        return None, False
    return _usage_of(reply), False


_ORDINARY: Final = (b"", b'"default"', b"null")


def _usage_of(reply: Reply) -> Usage | None:
    if bytes(reply.service_tier) in _ORDINARY and (found := openai.plain_usage(reply.usage)) is not None:
        return found
    values = table(reply.usage) or inner(table(reply.x_groq), "usage")
    if not values:
        return None
    return openai.usage(values, openai.served(reply.service_tier))


_NULL: Final = b',"usage":null'


class ChatObserver(EventObserver):
    """Watches a stream of chunks that `data: [DONE]` ends; some providers end it after the last finish reason.

    With `hide_usage`, for callers who did not ask for it: a chunk that has usage and no choices is removed, and so
    is `,"usage":null` in ordinary chunks, which OpenAI writes only where usage was asked for.
    """

    def __init__(self, operation: Operation, hide_usage: bool = False) -> None:
        super().__init__(operation, hide_usage)
        self._hides = hide_usage

    def relay(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return what takes a chunk; what nearly all are, whole events with nothing to look at, goes on in one step."""
        feed = self.feed
        held = self._splitter.held
        hides = self._hides

        def consume(chunk: bytes) -> None:
            # Written without spaces, as nearly all are, what must be looked at cannot hide from these; the rest is for
            # `feed`. Nothing tells sooner than `partition` that one of bytes is not in another: `in` raises and drops
            # an exception before it looks (CPython 3.11, _Py_bytes_contains).
            search = chunk.partition
            if (
                chunk[-3:] == b"}\n\n"
                and not search(b'"usage":{')[1]
                and not search(b'"finish_reason":"')[1]
                and not search(b'"error"')[1]
                and not search(b'": ')[1]
                and not search(b'" :')[1]
                and not held
                and not self._blind
            ):
                write(chunk.replace(_NULL, b"") if hides else chunk)
                return
            out = feed(chunk)
            if out:
                write(out)

        return consume

    def inspect(self, run: bytes) -> bytes:
        """Look for usage, errors, finish reasons and the end."""
        if self._hides and _NULL in run:
            run = run.replace(_NULL, b"")
        if told(run, b'"usage"') or told(run, b'"finish_reason"') or b"[DONE]" in run or told(run, b'"error"'):
            return self._see(run)
        return run

    def _see(self, run: bytes) -> bytes:
        kept = []
        for event in sse.split(run):
            data = sse.parse(event).data
            if data.startswith(b"[DONE]"):
                self.finished = self.failed is None
            elif data and self._chunk(data) and self._hides:
                continue
            kept.append(event)
        return b"".join(kept)

    def _chunk(self, data: bytes) -> bool:
        """Read a chunk; return whether it is there for its usage alone."""
        try:
            chunk = _reply.decode(data)
        except UNREADABLE:
            return False
        found = _usage_of(chunk)
        # Some send the counts first and noughts after them.
        if found is not None and (found.total or self._usage is None):
            self._usage = found
        error = failure(chunk.error)
        if error is not None:
            self.fail(error)
        elif self._stopped(chunk.choices):
            self.finished = self.failed is None
        choices = bytes(chunk.choices)
        return found is not None and choices.startswith(b"[") and not choices[1:-1].strip()

    def _stopped(self, choices: msgspec.Raw) -> bool:
        try:
            return any(bytes(choice.finish_reason) not in (b"", b"null", b'""') for choice in _choices.decode(choices))
        except UNREADABLE:
            return False


def stream_error(error: PorticoError) -> bytes:
    """Write an error as an event; OpenAI's SDK raises at a chunk that has `error`."""
    return sse.render(openai.error_body(error))
