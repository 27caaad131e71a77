"""OpenAI's chat completions, completions and embeddings, as OpenAI and the many that follow it speak them."""

from typing import TYPE_CHECKING

from portico.dialects import media, openai
from portico.dialects.chat.watch import ChatObserver, read_answer, read_usage, stream_error
from portico.dialects.later import later
from portico.dialects.operation import Operation
from portico.dialects.spoken import Spoken

if TYPE_CHECKING:
    from portico.dialects.chat import completions
    from portico.dialects.chat.brief import brief_reply, hear
    from portico.dialects.chat.errors import parse_error
    from portico.dialects.chat.reply import parse_reply, render_reply
    from portico.dialects.chat.request import parse_request, render_request
    from portico.dialects.chat.stream import Decoder, Encoder

__all__ = [
    "SPOKEN",
    "ChatObserver",
    "Decoder",
    "Encoder",
    "brief_reply",
    "completions",
    "hear",
    "parse_error",
    "parse_reply",
    "parse_request",
    "read_usage",
    "render_reply",
    "render_request",
    "stream_error",
]

SPOKEN = Spoken(
    title="OpenAI Chat Completions",
    operations=(
        Operation(name="chat", dialect="chat", streams="body", usage_on_request=True),
        Operation(name="completions", dialect="chat", streams="body", usage_on_request=True),
        Operation(name="embeddings", dialect="chat"),
        Operation(name="moderations", dialect="chat"),
        Operation(name="images_generations", dialect="chat", streams="body"),
        Operation(name="images_edits", dialect="chat", body="multipart", streams="body", upload=True),
        Operation(name="images_variations", dialect="chat", body="multipart", upload=True),
        Operation(name="audio_speech", dialect="chat", streams="body"),
        Operation(name="audio_transcriptions", dialect="chat", body="multipart", streams="body", upload=True),
        Operation(name="audio_translations", dialect="chat", body="multipart", upload=True),
    ),
    whole="chat",
    streamed="chat",
    error=lambda error, _: ([], openai.error_body(error)),
    stream_error=lambda error, _: stream_error(error),
    served_by=("responses", "messages", "gemini", "converse", "cohere"),
    usage={
        **dict.fromkeys(("chat", "completions", "embeddings", "moderations"), read_usage),
        **dict.fromkeys(("images_generations", "images_edits", "images_variations"), media.read_usage),
        **dict.fromkeys(("audio_transcriptions", "audio_translations"), media.read_usage),
    },
    answers={"chat": read_answer},
    observers={
        **dict.fromkeys(("chat", "completions"), ChatObserver),
        **dict.fromkeys(("images_generations", "images_edits"), media.MediaObserver),
        **dict.fromkeys(("audio_speech", "audio_transcriptions"), media.MediaObserver),
    },
)

__getattr__ = later(__name__, {"brief_reply": "brief", "hear": "brief", "completions": "completions"})
