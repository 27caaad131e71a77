"""Amazon Bedrock's Converse."""

# What reads and writes conversations is loaded when a call crosses; most pass, and a worker stays small without it.
from importlib import import_module
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

if TYPE_CHECKING:
    from portico.dialects.converse.errors import parse_error
    from portico.dialects.converse.reply import parse_reply, render_reply
    from portico.dialects.converse.request import parse_request, render_request
    from portico.dialects.converse.stream import Decoder, Encoder

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

_LATER = {
    "parse_error": "errors",
    "parse_reply": "reply",
    "render_reply": "reply",
    "parse_request": "request",
    "render_request": "request",
    "Decoder": "stream",
    "Encoder": "stream",
}


def __getattr__(name: str) -> object:
    """Load what a name stands for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LATER[name]}")
    found: object = module if name == _LATER[name] else getattr(module, name)
    globals()[name] = found
    return found
