"""OpenAI's chat completions, completions and embeddings, as OpenAI and the many that follow it speak them."""

from portico.dialects.chat import completions
from portico.dialects.chat.errors import parse_error
from portico.dialects.chat.reply import parse_reply, render_reply
from portico.dialects.chat.request import parse_request, render_request
from portico.dialects.chat.stream import Decoder, Encoder
from portico.dialects.chat.watch import ChatObserver, read_usage, stream_error

__all__ = [
    "ChatObserver",
    "Decoder",
    "Encoder",
    "completions",
    "parse_error",
    "parse_reply",
    "parse_request",
    "read_usage",
    "render_reply",
    "render_request",
    "stream_error",
]
