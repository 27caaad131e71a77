"""OpenAI's Responses: requests, replies, streams and errors, read and written."""

from portico.dialects.responses.errors import parse_error
from portico.dialects.responses.reply import parse_reply, render_reply
from portico.dialects.responses.request import leave, parse_request, render_request
from portico.dialects.responses.stream import Decoder, Encoder
from portico.dialects.responses.watch import ResponsesObserver, read_usage, stream_error

__all__ = [
    "Decoder",
    "Encoder",
    "ResponsesObserver",
    "leave",
    "parse_error",
    "parse_reply",
    "parse_request",
    "read_usage",
    "render_reply",
    "render_request",
    "stream_error",
]
