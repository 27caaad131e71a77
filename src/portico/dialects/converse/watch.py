"""Bedrock's converse (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, read 2026-11-20).

Usage (API_runtime_TokenUsage.html): `inputTokens`, `cacheReadInputTokens` and `cacheWriteInputTokens` are disjoint;
`cacheDetails` says how long what was written is kept; `outputTokens` holds reasoning.

Streams: AWS event stream messages; `messageStop`, then `metadata` with the usage, is the end. An error is a message
of the type `exception`.
"""

from typing import Final

import msgspec

from portico.compiled import mypyc_attr
from portico.dialects.converse.replied import Reply
from portico.dialects.observer import Observer, failure
from portico.dialects.operation import Operation
from portico.dialects.tokens import UNREADABLE, Table, count, first_count, inner, split, table, tier
from portico.errors import BadUpstreamReply, PorticoError
from portico.framing import eventstream
from portico.types import Usage

_reply: Final = msgspec.json.Decoder(Reply)


def read_usage(body: bytes) -> Usage | None:
    """Read a whole reply's usage, or that of a stream's `metadata`; None where there is none."""
    try:
        reply = _reply.decode(body)
    except UNREADABLE:
        return None
    values = table(reply.usage)
    return usage(values, table(reply.tier)) if values else None


def usage(values: Table, served: Table | None = None) -> Usage:
    """Split a `usage` object; Nova's own replies write the same with other names for the cache."""
    fresh = count(values, "inputTokens")
    read = first_count(values, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = first_count(values, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    details = values.get("cacheDetails")
    hour = sum(
        count(detail, "inputTokens")
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and detail.get("ttl") == "1h"
    )
    return split(
        total_in=fresh + read + written,
        total_out=count(values, "outputTokens"),
        cache_read=read,
        cache_write=written,
        cache_write_1h=hour,
        tier=tier(inner({"served": served}, "served").get("type")),
    )


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageObserver(Observer):
    """Watches AWS event stream messages; a dialect looks at each in `see`. Only whole messages go on."""

    def __init__(self, operation: Operation, hide_usage: bool = False) -> None:
        super().__init__(operation, hide_usage)
        self._decoder = eventstream.Decoder()
        self._held = bytearray()
        self._blind = False

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk and return the messages that are whole with it."""
        if self._blind:
            return chunk
        try:
            for message in self._decoder.feed(chunk):
                # A header's value is its text: one that is no event says `exception` or `error`.
                if b"exception" in message.encoded or b"error" in message.encoded:
                    self._failed(message)
                else:
                    self.see(message)
        except BadUpstreamReply as error:
            self._blind = True
            self.fail(error.message)
            return self._taken(chunk, 0)
        return self._taken(chunk, self._decoder.pending)

    def _taken(self, chunk: bytes, pending: int) -> bytes:
        """Return what has come and is not yet passed on, less the last `pending` bytes."""
        held = self._held
        if not held and not pending:
            return chunk
        held += chunk
        whole = len(held) - pending
        out = bytes(held[:whole])
        del held[:whole]
        return out

    def flush(self) -> bytes:
        """Note a message that was cut off."""
        if self._decoder.pending and not self._blind:
            self.fail("the stream ended inside a message")
        return self._taken(b"", 0)

    def see(self, message: eventstream.Message) -> None:
        """Look at one event."""
        raise NotImplementedError

    def _failed(self, message: eventstream.Message) -> None:
        headers = message.headers()
        if headers.get(":message-type") == "exception":
            self.fail(f"{headers.get(':exception-type')!s}: {failure(message.payload) or ''}")
        elif headers.get(":message-type") == "error":
            self.fail(f"{headers.get(':error-code')!s}: {headers.get(':error-message')!s}")
        else:
            self.see(message)


class ConverseObserver(MessageObserver):
    """Watches a conversation's stream."""

    _stopped = False

    def see(self, message: eventstream.Message) -> None:
        """Look for `messageStop` and for `metadata`."""
        if b"messageStop" in message.encoded:
            self._stopped = True
        elif b"metadata" in message.encoded:
            self._usage = read_usage(message.payload) or self._usage
            self.finished = self._stopped and self.failed is None


_EXCEPTIONS: Final = {
    401: "UnrecognizedClientException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
    529: "ServiceUnavailableException",
}
# The exceptions that a stream may carry are fewer.
_STREAMED: Final = {
    400: "validationException",
    429: "throttlingException",
    502: "modelStreamErrorException",
    503: "serviceUnavailableException",
    529: "serviceUnavailableException",
}


def exception(error: PorticoError) -> str:
    """Return the name of the exception that the AWS SDKs raise."""
    kind = "InternalServerException" if error.status >= 500 else "ValidationException"
    return _EXCEPTIONS.get(error.status, kind)


def error_body(error: PorticoError) -> bytes:
    """Write an error's body; its name is in the header `x-amzn-errortype`."""
    return msgspec.json.encode({"message": error.message})


def stream_error(error: PorticoError) -> bytes:
    """Write an error as an exception message."""
    kind = _STREAMED.get(error.status) or ("internalServerException" if error.status >= 500 else "validationException")
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return eventstream.encode(headers, error_body(error))
