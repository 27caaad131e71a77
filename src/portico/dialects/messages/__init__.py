"""Anthropic's Messages."""

from portico.dialects.messages.errors import parse_error
from portico.dialects.messages.reply import parse_reply, render_reply
from portico.dialects.messages.request import parse_request, render_request
from portico.dialects.messages.stream import Decoder, Encoder
from portico.dialects.messages.watch import MessagesObserver, error_body, read_usage, stream_error, usage

__all__ = [
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
