"""Anthropic's messages (docs.anthropic.com/en/api/messages and …/messages-streaming, read 2026-11-20).

Usage: `input_tokens`, `cache_read_input_tokens` and `cache_creation_input_tokens` are disjoint; `cache_creation`
says how long what was written is kept; `output_tokens` holds thinking. `iterations` repeats the message's own
sampling, and adds what compaction and advisors sampled besides, which the top level leaves out
(docs.anthropic.com/en/build-with-claude/compaction): these are added, at the prices of the model that was asked.

Streams: `message_start` has the usage so far, `message_delta` the fields that changed, `message_stop` is the end.
"""

from typing import Final

import msgspec

from portico.dialects.messages.replied import Event, Reply
from portico.dialects.observer import EventObserver, failure, told
from portico.dialects.operation import Operation
from portico.dialects.tokens import UNREADABLE, Table, count, inner, split, table, tier
from portico.errors import PorticoError
from portico.framing import sse
from portico.types import Usage

_reply: Final = msgspec.json.Decoder(Reply)
_event: Final = msgspec.json.Decoder(Event)


def read_usage(body: bytes) -> Usage | None:
    """Read a whole reply's usage, None where it reports none."""
    try:
        reply = _reply.decode(body)
    except UNREADABLE:
        return None
    values = table(reply.usage)
    return usage(values) if values else None


def usage(values: Table) -> Usage:
    """Split a `usage` object."""
    fresh = count(values, "input_tokens")
    read = count(values, "cache_read_input_tokens")
    written, hour = _written(values)
    out = count(values, "output_tokens")
    iterations = values.get("iterations")
    for extra in iterations if isinstance(iterations, list) else ():
        if isinstance(extra, dict) and extra.get("type") != "message":
            more, more_hour = _written(extra)
            fresh += count(extra, "input_tokens")
            read += count(extra, "cache_read_input_tokens")
            written += more
            hour += more_hour
            out += count(extra, "output_tokens")
    tools = inner(values, "server_tool_use")
    searches = count(tools, "web_search_requests")
    return split(
        total_in=fresh + read + written,
        total_out=out,
        cache_read=read,
        cache_write=written,
        cache_write_1h=hour,
        reasoning=count(inner(values, "output_tokens_details"), "thinking_tokens"),
        searches=searches,
        tool_uses=sum(count(tools, name) for name in tools) - searches,
        # Fast mode is priced as a tier of its own, and goes before the service tier.
        tier="fast" if values.get("speed") == "fast" else tier(values.get("service_tier")),
        geo=_geo(values.get("inference_geo")),
    )


def _geo(said: object) -> str | None:
    """Return where a call was served, where that is a place that has a price of its own."""
    return said.lower() if isinstance(said, str) and said not in ("", "global", "not_available") else None


def _written(values: Table) -> tuple[int, int]:
    """Return the tokens written to the cache, and those of them that are kept for an hour.

    A stream's last counts come without the split of its first: what was written later is kept as what was first.
    """
    parts = inner(values, "cache_creation")
    five, hour = count(parts, "ephemeral_5m_input_tokens"), count(parts, "ephemeral_1h_input_tokens")
    written = count(values, "cache_creation_input_tokens") or five + hour
    return written, written if hour and not five else min(hour, written)


def add(seen: Table, found: Table) -> None:
    """Put later counts of a stream in the place of earlier ones. What was read of the input stays read.

    Some servers fill their last word up with noughts. It alone knows the output: what the first word says of it is a
    guess.
    """
    for name, value in found.items():
        if value or (value == 0 and (not seen.get(name) or name == "output_tokens")):
            seen[name] = value


class MessagesObserver(EventObserver):
    """Watches a stream that `message_stop` ends."""

    def __init__(self, operation: Operation, hide_usage: bool = False) -> None:
        super().__init__(operation, hide_usage)
        self._values: Table = {}

    def inspect(self, run: bytes) -> bytes:
        """Look for usage, the end and errors."""
        if told(run, b'"usage"') or b'"message_stop"' in run or told(run, b'"error"'):
            for event in sse.split(run):
                data = sse.parse(event).data
                if data:
                    self._see(data)
        return run

    def _see(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
        except UNREADABLE:
            return
        if event.type == "message_stop":
            self.finished = self.failed is None
        elif event.type == "error":
            self.fail(failure(event.error) or "the stream failed")
        elif event.type in ("message_start", "message_delta"):
            found = inner(table(event.message), "usage") or table(event.usage)
            if found:
                add(self._values, found)
                self._usage = usage(self._values)


_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_body(error: PorticoError, request_id: str) -> bytes:
    """Write an error as Anthropic does (docs.anthropic.com/en/api/errors, read 2026-11-20)."""
    kind = _TYPES.get(error.status) or ("api_error" if error.status >= 500 else "invalid_request_error")
    body: dict[str, object] = {"type": "error", "error": {"type": kind, "message": error.message}}
    if request_id:
        body["request_id"] = request_id
    return msgspec.json.encode(body)


def stream_error(error: PorticoError, request_id: str) -> bytes:
    """Write an error as the `error` event of a stream."""
    return sse.render(error_body(error, request_id), b"error")
