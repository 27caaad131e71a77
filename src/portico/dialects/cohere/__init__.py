"""Cohere's v2 API."""

from portico.dialects.cohere.errors import parse_error
from portico.dialects.cohere.reply import parse_reply, render_reply
from portico.dialects.cohere.request import parse_request, render_request
from portico.dialects.cohere.stream import Decoder, Encoder
from portico.dialects.cohere.watch import CohereObserver, error_body, read_usage, stream_error

__all__ = [
    "CohereObserver",
    "Decoder",
    "Encoder",
    "error_body",
    "parse_error",
    "parse_reply",
    "parse_request",
    "read_usage",
    "render_reply",
    "render_request",
    "stream_error",
]
