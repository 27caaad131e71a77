"""OpenAI's images and audio: what their replies and streams report.

Source: platform.openai.com/docs/api-reference/images, …/audio and …/images-streaming (read 2026-11-20). Newer
models report tokens (`input_tokens` holds those of images or audio, `output_tokens` those of images); Whisper
reports seconds, in `usage` or as the `duration` of a verbose reply. Speech reports nothing but when it streams
events: its price is by the characters of the request. Images are counted as the reply has them.
"""

from decimal import Decimal

import msgspec

from portico.dialects import openai
from portico.dialects.observer import EventObserver, failure, told
from portico.dialects.tokens import NOTHING, UNREADABLE, inner, table
from portico.framing import sse
from portico.types import Usage

_SECONDS_LIMIT = 10**7


class _Reply(msgspec.Struct):
    usage: msgspec.Raw = NOTHING
    duration: msgspec.Raw = NOTHING
    data: list[msgspec.Raw] = []


class _Event(msgspec.Struct):
    type: str = ""
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


_reply = msgspec.json.Decoder(_Reply)
_event = msgspec.json.Decoder(_Event)
_duration = msgspec.json.Decoder(Decimal, strict=False)


def read_usage(body: bytes) -> Usage | None:
    """Read a whole reply's usage; None for sound, plain text and subtitles, which report none."""
    try:
        reply = _reply.decode(body)
    except UNREADABLE:
        return None
    return _usage(reply.usage, len(reply.data), _seconds(reply.duration))


def _usage(raw: msgspec.Raw, images: int = 0, seconds: float = 0.0) -> Usage | None:
    values = table(raw)
    found = openai.usage(values) or Usage()
    if images and found.output and not inner(values, "output_tokens_details"):
        # Older models report no details: what they put out is all image.
        found = msgspec.structs.replace(found, output=0, output_image=found.output)
    said = values.get("seconds")
    if isinstance(said, int | Decimal) and 0 < said < _SECONDS_LIMIT:
        seconds = float(said)
    found = msgspec.structs.replace(found, images=images, seconds=found.seconds or (0.0 if found.total else seconds))
    return found if found != Usage() else None


def _seconds(raw: msgspec.Raw) -> float:
    """Read a duration, which is a number or, in older replies, a string."""
    try:
        seconds = _duration.decode(raw)
    except UNREADABLE:
        return 0.0
    return float(seconds) if 0 < seconds < _SECONDS_LIMIT else 0.0


class MediaObserver(EventObserver):
    """Watches streamed images, transcripts and speech: a `….completed` or `….done` event is the end of each."""

    def inspect(self, run: bytes) -> bytes:
        """Look for usage, the ends and errors."""
        if b'.done"' in run or b'.completed"' in run or b"[DONE]" in run or told(run, b'"error"'):
            for event in sse.split(run):
                data = sse.parse(event).data
                if data.startswith(b"[DONE]"):
                    self.finished = self.failed is None
                elif data:
                    self._see(data)
        return run

    def _see(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
        except UNREADABLE:
            return
        error = failure(event.error)
        if error is not None:
            self.fail(error)
        elif event.type.endswith((".done", ".completed")):
            before = self._usage.images if self._usage is not None else 0
            found = _usage(event.usage, before + event.type.startswith("image_"))
            self._usage = found or self._usage
            self.finished = self.failed is None
