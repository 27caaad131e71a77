"""Google's Gemini."""

from typing import TYPE_CHECKING

from portico.dialects.gemini.watch import GeminiObserver, error_body, read_predicted, read_usage, stream_error
from portico.dialects.later import later
from portico.dialects.operation import Operation
from portico.dialects.spoken import Spoken

if TYPE_CHECKING:
    from portico.dialects.gemini.errors import parse_error
    from portico.dialects.gemini.reply import parse_reply, render_reply
    from portico.dialects.gemini.request import parse_request, render_request
    from portico.dialects.gemini.stream import Decoder, Encoder

__all__ = [
    "SPOKEN",
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

SPOKEN = Spoken(
    title="Gemini generateContent",
    operations=(
        Operation(name="generate_content", dialect="gemini", model_in="path"),
        Operation(name="stream_generate_content", dialect="gemini", model_in="path", streams="path"),
        Operation(name="gemini_count_tokens", dialect="gemini", model_in="path"),
        Operation(name="embed_content", dialect="gemini", model_in="path"),
        Operation(name="batch_embed_contents", dialect="gemini", model_in="path"),
        Operation(name="predict", dialect="gemini", model_in="path"),
    ),
    whole="generate_content",
    streamed="stream_generate_content",
    model_in_body=False,
    error=lambda error, call: ([], error_body(error, call)),
    stream_error=stream_error,
    served_by=("messages", "responses", "chat", "converse", "cohere"),
    usage={
        **dict.fromkeys(("generate_content", "embed_content", "batch_embed_contents"), read_usage),
        "predict": read_predicted,
    },
    observers={"stream_generate_content": GeminiObserver},
)

__getattr__ = later(__name__)
