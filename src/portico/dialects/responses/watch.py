"""OpenAI's responses (platform.openai.com/docs/api-reference/responses and …/responses-streaming, read 2026-11-20).

Usage: `input_tokens` holds cached and written ones, `output_tokens` holds reasoning. Built-in tools are billed by
the call: a search counts where its action is `search` (opening a page is not billed); file search and code
interpreter count as tool uses. xAI reports the calls of its tools itself, and its cost in ticks
(docs.x.ai/developers/cost-tracking); OpenRouter its cost in dollars.
"""

from typing import Final, NamedTuple

import msgspec

from portico.dialects import openai
from portico.dialects.observer import EventObserver, failure, told
from portico.dialects.responses.replied import Action, Event, Item, Plain, Reply
from portico.dialects.tokens import UNREADABLE, count, inner, table, tier
from portico.errors import PorticoError
from portico.framing import sse
from portico.types import Usage

# Counts beyond reason are looked at with care.
_MOST: Final = 2**52
_TOOLS: Final = (b"web_search_call", b"file_search_call", b"code_interpreter_call")


_reply: Final = msgspec.json.Decoder(Reply)
_plain: Final = msgspec.json.Decoder(Plain)
_event: Final = msgspec.json.Decoder(Event)
_items: Final = msgspec.json.Decoder(list[Item])
_action: Final = msgspec.json.Decoder(Action)


def read_usage(body: bytes) -> Usage | None:
    """Read a whole reply's usage, None where it reports none."""
    try:
        return _usage(_reply.decode(body))
    except UNREADABLE:
        return None


def _plain_usage(reply: Reply) -> Usage | None:
    """Read the commonest `usage` object, several times as fast; None for any other, which is read with care."""
    try:
        counts = _plain.decode(reply.usage)
    except UNREADABLE:
        return None
    cached, written = counts.input_tokens_details.cached_tokens, counts.input_tokens_details.cache_write_tokens
    reasoned = counts.output_tokens_details.reasoning_tokens
    plain = counts.input_tokens - cached - written
    shown = counts.output_tokens - reasoned
    if min(cached, written, reasoned, plain, shown) < 0:
        return None
    if counts.total_tokens != counts.input_tokens + counts.output_tokens or counts.total_tokens > _MOST:
        return None
    calls = _calls(reply.output)
    return Usage(
        input=plain,
        cache_read=cached,
        cache_write_5m=written,
        output=shown,
        reasoning=reasoned,
        searches=calls.searches,
        tool_uses=calls.others,
        file_searches=calls.in_files,
        code_sessions=calls.sessions,
        tier=tier(openai.served(reply.service_tier)),
    )


def _usage(reply: Reply) -> Usage | None:
    plain = _plain_usage(reply)
    if plain is not None:
        return plain
    values = table(reply.usage)
    if not values:
        return None
    found = openai.usage(values, openai.served(reply.service_tier))
    if found is None:
        return None
    theirs = inner(values, "server_side_tool_usage_details")
    if theirs:
        searches = count(theirs, "web_search_calls") + count(theirs, "x_search_calls")
        tool_uses = max(count(values, "num_server_side_tools_used") - searches, 0)
        calls = _Calls(searches, tool_uses)
    else:
        calls = _calls(reply.output)
    if calls.searches or calls.others:
        found = msgspec.structs.replace(
            found,
            searches=calls.searches or found.searches,
            tool_uses=calls.others,
            file_searches=calls.in_files,
            code_sessions=calls.sessions,
        )
    return found


class _Calls(NamedTuple):
    """Calls of built-in tools that are billed: searches, others, and of those the ones in files and the sessions."""

    searches: int = 0
    others: int = 0
    in_files: int = 0
    sessions: int = 0


_NO_CALLS: Final = _Calls()


def _calls(output: msgspec.Raw) -> _Calls:
    """Count the calls of built-in tools. A container of a code interpreter is one session, however often it is used."""
    encoded = bytes(output)
    if not any(name in encoded for name in _TOOLS):
        return _NO_CALLS
    searches = in_files = runs = 0
    containers = set()
    try:
        for item in _items.decode(output):
            if item.type == "web_search_call":
                kind = _action.decode(item.action).type if bytes(item.action) not in (b"", b"null") else "search"
                searches += kind == "search"
            elif item.type == "file_search_call":
                in_files += 1
            elif item.type == "code_interpreter_call":
                runs += 1
                containers.add(item.container_id)
    except UNREADABLE:
        return _NO_CALLS
    return _Calls(searches, in_files + runs, in_files, len(containers))


class ResponsesObserver(EventObserver):
    """Watches a stream that `response.completed`, `.incomplete` or `.failed` ends, with or without `event:` lines."""

    def inspect(self, run: bytes) -> bytes:
        """Look for the last event, which has the usage, and for errors."""
        if (
            b"response.completed" in run
            or b"response.incomplete" in run
            or b"response.failed" in run
            or told(run, b'"error"')
        ):
            for event in sse.split(run):
                data = sse.parse(event).data
                if data and data != b"[DONE]":
                    self._see(data)
        return run

    def _see(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
        except UNREADABLE:
            return
        reply = event.response
        if event.type in ("response.completed", "response.incomplete", "response.failed") and reply is not None:
            self._usage = _usage(reply) or self._usage
            if event.type == "response.failed":
                self.fail(failure(reply.error) or "the response failed")
            else:
                self.finished = self.failed is None
        elif event.type == "error" or (not event.type and failure(event.error)):
            self.fail(failure(event.error) or failure(event.message) or failure(event.code) or "the stream failed")


def stream_error(error: PorticoError) -> bytes:
    """Write an error as an event: the fields of the documented `error` event, and the object that the SDK raises at."""
    said = openai.error_object(error)
    event = {
        "type": "error",
        "sequence_number": 0,
        "code": said["code"],
        "message": said["message"],
        "param": said["param"],
        "error": said,
    }
    return sse.render(msgspec.json.encode(event), b"error")
