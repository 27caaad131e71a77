"""OpenAI's chat completions, completions and embeddings, as OpenAI and the many that follow it speak them."""

# What reads and writes conversations is loaded when a call crosses; most pass, and a worker stays small without it.
from importlib import import_module
from typing import TYPE_CHECKING

from portico.dialects.chat.watch import ChatObserver, read_usage, stream_error

if TYPE_CHECKING:
    from portico.dialects.chat import completions
    from portico.dialects.chat.errors import parse_error
    from portico.dialects.chat.reply import parse_reply, render_reply
    from portico.dialects.chat.request import parse_request, render_request
    from portico.dialects.chat.stream import Decoder, Encoder

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

_LATER = {
    "completions": "completions",
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
