"""Google's Gemini."""

from portico.dialects.gemini.errors import parse_error
from portico.dialects.gemini.reply import parse_reply, render_reply
from portico.dialects.gemini.request import parse_request, render_request
from portico.dialects.gemini.stream import Decoder, Encoder
from portico.dialects.gemini.watch import GeminiObserver, error_body, read_usage, stream_error

__all__ = [
    "Decoder",
    "Encoder",
    "GeminiObserver",
    "error_body",
    "parse_error",
    "parse_reply",
    "parse_request",
    "read_usage",
    "render_reply",
    "render_request",
    "stream_error",
]
