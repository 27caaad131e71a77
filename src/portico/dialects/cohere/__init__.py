"""Cohere's v2 API."""

from typing import TYPE_CHECKING

from portico.dialects.cohere.watch import CohereObserver, error_body, read_usage, stream_error
from portico.dialects.later import later
from portico.dialects.operation import Operation
from portico.dialects.spoken import Spoken

if TYPE_CHECKING:
    from portico.dialects.cohere.errors import parse_error
    from portico.dialects.cohere.reply import parse_reply, render_reply
    from portico.dialects.cohere.request import parse_request, render_request
    from portico.dialects.cohere.stream import Decoder, Encoder

__all__ = [
    "SPOKEN",
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

SPOKEN = Spoken(
    title="Cohere v2 Chat",
    operations=(
        Operation(name="cohere_chat", dialect="cohere", streams="body"),
        Operation(name="cohere_embed", dialect="cohere"),
        Operation(name="cohere_rerank", dialect="cohere"),
        Operation(name="rerank", dialect="cohere"),
    ),
    routes={"/v2/chat": "cohere_chat", "/v2/embed": "cohere_embed", "/v2/rerank": "cohere_rerank"},
    whole="cohere_chat",
    streamed="cohere_chat",
    error=lambda error, call: ([], error_body(error, call)),
    stream_error=lambda error, _: stream_error(error),
    served_by=("messages", "chat", "responses", "gemini", "converse"),
    statuses={413: 400, 402: 429},
    usage=dict.fromkeys(("cohere_chat", "cohere_embed", "cohere_rerank", "rerank"), read_usage),
    observers={"cohere_chat": CohereObserver},
)

__getattr__ = later(__name__)
