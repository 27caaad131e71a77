"""Amazon Bedrock's Converse."""

from typing import TYPE_CHECKING

from portico.dialects.converse.watch import (
    ConverseObserver,
    MessageObserver,
    error_body,
    exception,
    read_usage,
    stream_error,
    usage,
)
from portico.dialects.later import later
from portico.dialects.operation import Operation
from portico.dialects.spoken import Spoken
from portico.errors import PorticoError

if TYPE_CHECKING:
    from portico.dialects.converse.errors import parse_error
    from portico.dialects.converse.reply import parse_reply, render_reply
    from portico.dialects.converse.request import parse_request, render_request
    from portico.dialects.converse.stream import Decoder, Encoder

__all__ = [
    "SPOKEN",
    "ConverseObserver",
    "Decoder",
    "Encoder",
    "MessageObserver",
    "error_body",
    "exception",
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
    """Name the exception in a header, where the AWS SDKs look for it."""
    return [(b"x-amzn-errortype", exception(error).encode()), *SPOKEN.named(call)], error_body(error)


SPOKEN = Spoken(
    title="Bedrock Converse",
    operations=(
        Operation(name="converse", dialect="converse", model_in="path"),
        Operation(name="converse_stream", dialect="converse", model_in="path", streams="path"),
        Operation(name="converse_count_tokens", dialect="converse", model_in="path"),
        Operation(name="invoke", dialect="converse", model_in="path"),
        Operation(name="invoke_stream", dialect="converse", model_in="path", streams="path"),
    ),
    whole="converse",
    streamed="converse_stream",
    model_in_body=False,
    error=_error,
    stream_error=lambda error, _: stream_error(error),
    served_by=("messages", "responses", "gemini", "chat", "cohere"),
    stream_type=b"application/vnd.amazon.eventstream",
    statuses={413: 400, 422: 400},
    usage={"converse": read_usage},
    observers={"converse_stream": ConverseObserver},
    id_header=b"x-amzn-requestid",
)

__getattr__ = later(__name__)
