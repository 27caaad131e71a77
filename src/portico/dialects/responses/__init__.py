"""OpenAI's Responses: requests, replies, streams and errors, read and written."""

from typing import TYPE_CHECKING

from portico.dialects import openai
from portico.dialects.later import later
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
        Operation(name="responses_compact", dialect="responses"),
    ),
    whole="responses",
    streamed="responses",
    error=lambda error, _: ([], openai.error_body(error)),
    stream_error=lambda error, _: stream_error(error),
    served_by=("chat", "messages", "gemini", "converse", "cohere"),
    usage={"responses": read_usage, "responses_compact": read_usage},
    observers={"responses": ResponsesObserver},
)

__getattr__ = later(__name__, {"leave": "request"})
