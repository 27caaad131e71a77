"""Anthropic's Messages."""

from typing import TYPE_CHECKING

from portico.dialects.later import later
from portico.dialects.messages.watch import MessagesObserver, error_body, read_usage, stream_error, usage
from portico.dialects.operation import Operation
from portico.dialects.spoken import Spoken
from portico.errors import PorticoError

if TYPE_CHECKING:
    from portico.dialects.messages.errors import parse_error
    from portico.dialects.messages.reply import parse_reply, render_reply
    from portico.dialects.messages.request import parse_request, render_request
    from portico.dialects.messages.stream import Decoder, Encoder

__all__ = [
    "SPOKEN",
    "Decoder",
    "Encoder",
    "MessagesObserver",
    "error_body",
    "parse_error",
    "parse_reply",
    "parse_request",
    "read_usage",
    "render_reply",
    "render_request",
    "stream_error",
    "usage",
]


def _error(error: PorticoError, call: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    return SPOKEN.named(call), error_body(error, call)


SPOKEN = Spoken(
    title="Anthropic Messages",
    operations=(
        Operation(name="messages", dialect="messages", streams="body"),
        Operation(name="messages_count_tokens", dialect="messages"),
    ),
    routes={"/v1/messages": "messages", "/v1/messages/count_tokens": "messages_count_tokens"},
    whole="messages",
    streamed="messages",
    error=_error,
    stream_error=stream_error,
    served_by=("converse", "responses", "gemini", "chat", "cohere"),
    # An overload has a status of its own.
    statuses={529: 529, 503: 529},
    usage={"messages": read_usage},
    observers={"messages": MessagesObserver},
    id_header=b"request-id",
)

__getattr__ = later(__name__)
