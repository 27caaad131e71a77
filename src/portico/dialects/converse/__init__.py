"""Amazon Bedrock's Converse."""

from portico.dialects.converse.errors import parse_error
from portico.dialects.converse.reply import parse_reply, render_reply
from portico.dialects.converse.request import parse_request, render_request
from portico.dialects.converse.stream import Decoder, Encoder
from portico.dialects.converse.watch import (
    ConverseObserver,
    MessageObserver,
    error_body,
    exception,
    read_usage,
    stream_error,
    usage,
)

__all__ = [
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
