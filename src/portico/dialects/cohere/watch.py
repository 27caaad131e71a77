"""Cohere's v2 chat, embed and rerank, and the rerank of those that follow it.

Usage (docs.cohere.com/reference/chat and …/rerank, read 2026-11-20): `billed_units` is what is charged, `tokens`
what the model processed, Cohere's own instructions included. Billed units are counted; cached tokens are part of
`tokens` and have no price of their own. Rerank is billed by search units; Jina, Voyage and OpenRouter bill tokens.

Streams: events, `message-end` with the usage is the last of them.
"""

from typing import Final

import msgspec

from portico.dialects import openai
from portico.dialects.cohere.replied import Delta, Event, Reply
from portico.dialects.observer import EventObserver, failure, told
from portico.dialects.tokens import UNREADABLE, Table, count, inner, split, table
from portico.errors import PorticoError
from portico.framing import sse
from portico.types import Usage

_reply: Final = msgspec.json.Decoder(Reply)
_event: Final = msgspec.json.Decoder(Event)
_delta: Final = msgspec.json.Decoder(Delta)


def read_usage(body: bytes) -> Usage | None:
    """Read a whole reply's usage, None where it reports none: chat's in `usage`, the others' in `meta`."""
    try:
        reply = _reply.decode(body)
    except UNREADABLE:
        return None
    values = table(reply.usage)
    if "billed_units" in values or "tokens" in values:
        return usage(values)
    return usage(table(reply.meta)) or openai.usage(values)


def usage(values: Table) -> Usage | None:
    """Split what is billed; None where nothing is."""
    billed = inner(values, "billed_units", "tokens")
    seen = inner(values, "tokens")
    pictures = count(billed, "image_tokens")
    found = split(
        # Embedding bills images beside the text, chat within it.
        total_in=count(billed, "input_tokens") + pictures,
        total_out=count(billed, "output_tokens"),
        input_image=pictures or count(seen, "image_tokens"),
        reasoning=count(seen, "reasoning_tokens"),
        searches=count(billed, "search_units"),
    )
    if images := count(billed, "images"):
        found = msgspec.structs.replace(found, images=images)
    return found if found != Usage() else None


class CohereObserver(EventObserver):
    """Watches a chat's stream."""

    def inspect(self, run: bytes) -> bytes:
        """Look for the end and for errors."""
        if b"message-end" in run or told(run, b'"error"'):
            for event in sse.split(run):
                data = sse.parse(event).data
                if data and not data.startswith(b"[DONE]"):
                    self._see(data)
        return run

    def _see(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
            if event.type != "message-end":
                return
            delta = _delta.decode(event.delta)
        except UNREADABLE:
            return
        self._usage = usage(table(delta.usage)) or self._usage
        error = failure(delta.error)
        if error is None and (delta.finish_reason or "").startswith("ERROR"):
            error = "the stream failed"
        if error is not None:
            self.fail(error)
        else:
            self.finished = self.failed is None


def error_body(error: PorticoError, request_id: str) -> bytes:
    """Write an error as Cohere does (docs.cohere.com/reference/errors, read 2026-11-20)."""
    body = {"message": error.message}
    if request_id:
        body["id"] = request_id
    return msgspec.json.encode(body)


def stream_error(error: PorticoError) -> bytes:
    """Write an error as the last event of a stream: its only place there."""
    delta = {"finish_reason": "ERROR", "error": error.message}
    return sse.render(msgspec.json.encode({"type": "message-end", "delta": delta}), b"message-end")
