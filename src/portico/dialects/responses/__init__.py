"""OpenAI's Responses: requests, replies, streams and errors, read and written."""

# What reads and writes conversations is loaded when a call crosses; most pass, and a worker stays small without it.
from importlib import import_module
from typing import TYPE_CHECKING

from portico.dialects import openai
from portico.dialects.operation import Operation
from portico.dialects.responses.watch import ResponsesObserver, read_usage, stream_error
from portico.dialects.spoken import Spoken

if TYPE_CHECKING:
    from portico.dialects.responses.errors import parse_error
    from portico.dialects.responses.reply import parse_reply, render_reply
    from portico.dialects.responses.request import leave, parse_request, render_request
    from portico.dialects.responses.stream import Decoder, Encoder

__all__ = [
    "SPOKEN",
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

SPOKEN = Spoken(
    title="OpenAI Responses",
    operations=(
        Operation(name="responses", dialect="responses", streams="body"),
        Operation(name="responses_input_tokens", dialect="responses"),
    ),
    whole="responses",
    streamed="responses",
    error=lambda error, _: ([], openai.error_body(error)),
    stream_error=lambda error, _: stream_error(error),
    served_by=("chat", "messages", "gemini", "converse", "cohere"),
    usage={"responses": read_usage},
    observers={"responses": ResponsesObserver},
)

_LATER = {
    "parse_error": "errors",
    "parse_reply": "reply",
    "render_reply": "reply",
    "leave": "request",
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
