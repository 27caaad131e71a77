"""Streams for a caller that speaks the Responses API: any dialect's events in its grammar.

The grammar, as OpenAI's own SDK asks for it: `response.created` first; an item is added before anything of it, its
content part before its text; every event has a `sequence_number`; what came in pieces is said again whole at the end
of its part, of its item and of the response.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects import openai
from portico.dialects.crossing import Given
from portico.dialects.responses.content import Object, written
from portico.dialects.responses.item_writer import ItemWriter, OpenMessage, Piece, delta_head
from portico.dialects.responses.output import frame, outcome, write_usage
from portico.dialects.resume.said import Said
from portico.errors import PorticoError
from portico.framing import sse
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
    CitationDelta,
    Failed,
    Finish,
    Finished,
    Frame,
    Image,
    Part,
    PartEnded,
    PartStarted,
    Ping,
    Refusal,
    Request,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    Used,
)
from portico.types import Usage

_encode = msgspec.json.encode
_PING = b": ping\n\n"
_ENDS = frozenset(("response.completed", "response.incomplete", "response.failed", "error"))


class Encoder(ItemWriter):
    """Writes a stream. `finish` is for one that came to its proper end; nothing is written after a failure."""

    def __init__(self, request: Request, given: Given) -> None:
        super().__init__(given)
        self._request = request
        self._response: Object | None = None
        self._pieces: dict[int, Piece] = {}
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._over = False
        self._told: dict[int, tuple[str, int, int]] = {}
        self._undone: list[tuple[int, Object]] = []

    def feed(self, frame: Frame) -> bytes:
        """Return what a frame comes to: one event where it is of this dialect, else none or several."""
        if frame.dialect == "responses":
            return self._own(frame)
        return self.anew(frame)

    def anew(self, frame: Frame) -> bytes:
        """Return what the events of a frame come to, whatever dialect they are of."""
        if self._over:
            return b""
        self.maker = frame.dialect
        out: list[bytes] = []
        if self._undone:
            for at, item in self._undone:
                self.done(at, item, out)
            self._undone = []
        events = frame.events
        if len(events) == 1 and type(event := events[0]) is TextDelta and not event.choice:
            # More of a text that is open, as nearly all frames are.
            piece = self._pieces.get(event.index)
            if piece is not None and piece.head and event.text and event.logprobs is None:
                piece.text.append(event.text)
                sequence = self.sequence
                self.sequence = sequence + 1
                return b'%b%b"delta":%b,"sequence_number":%d}\n\n' % (
                    piece.head,
                    b"" if type(piece.part) is Refusal else b'"logprobs":[],',
                    _encode(event.text),
                    sequence,
                )
        for event in events:
            if type(event) is Failed:
                return b"".join(out) + self.fail(event.error)
            if event.choice == 0:  # type: ignore[union-attr]  # all but Failed have one
                self._event(event, out)
        return b"".join(out)

    def take_over(self, said: Said) -> None:
        """Go on anew after frames of this dialect that said this much; a thought that was open is done as it is."""
        if self._response is None:
            self._response = frame(self._request, self.given)
        messages: dict[int, OpenMessage] = {}
        for index, spoken in said.parts.items():
            item_id, at, content = self._told.get(index, ("", -1, 0))
            if at < 0 or at in self.output:
                continue
            if type(spoken.part) is Thinking:
                self._undone.append((at, {"id": item_id, "type": "reasoning", "summary": [], "status": "incomplete"}))
            elif type(spoken.part) is Text:
                message = messages.get(at)
                if message is None:
                    message = messages[at] = self.message = OpenMessage(item_id, at)
                    self.waiting.append(message)
                piece = self._pieces[index] = Piece(spoken.part)
                piece.message, piece.content, piece.text = message, content, [spoken.text]
                part: Object = {"type": "output_text", "text": spoken.text, "annotations": [], "logprobs": []}
                message.content += [part] * (content + 1 - len(message.content))
                piece.ended = spoken.ended
                if not spoken.ended:
                    message.open += 1
                    piece.head = delta_head(b"response.output_text.delta", message, content)

    def fail(self, error: PorticoError) -> bytes:
        """Return the event that ends the stream with an error."""
        if self._over:
            return b""
        self._over = True
        said = openai.error_object(error)
        value = {
            "type": "error",
            "sequence_number": self.sequence,
            "code": said["code"],
            "message": said["message"],
            "param": said["param"],
            "error": said,
        }
        return sse.render(_encode(value), b"error")

    def finish(self) -> bytes:
        """Return what ends the stream properly."""
        if self._over:
            return b""
        out: list[bytes] = []
        response = self._begin(out)
        for piece in list(self._pieces.values()):
            self._end(piece, None, out)
        for piece in list(self.servers.values()):
            self.server_done(piece, None, out)
        self.close(out)
        self._over = True
        response = dict(response)
        response["output"] = [self.output[at] for at in sorted(self.output)]
        outcome(response, self._finish, refused=self.refused)
        if self._usage is not None:
            response["usage"] = write_usage(self._usage)
            tier = openai.served_tier(self._usage.tier)
            if tier is not None:
                response["service_tier"] = tier
        self.say(f"response.{response['status']}", {"response": response}, out)
        return b"".join(out)

    def _own(self, frame: Frame) -> bytes:
        extra = frame.extra
        if "$comment" in extra:
            return _PING
        if extra.get("$done") is True:
            return b"data: [DONE]\n\n"
        value = written(extra)
        kind = value.get("type")
        if type(kind) is not str:
            kind = ""
        spoken = kind.endswith(".delta")
        for event in frame.events:
            if isinstance(event, TextDelta | ThinkingDelta | ArgumentsDelta) and spoken and "delta" not in value:
                value["delta"] = event.text
        sequence = value.get("sequence_number")
        if type(sequence) is int:
            self.sequence = sequence + 1
        if not spoken or (frame.events and type(frame.events[0]) is PartStarted):
            self._note(kind, value, frame)
        if kind in _ENDS:
            self._over = True
        name = extra.get("$name", kind)
        if "$nameless" in extra or type(name) is not str:
            name = ""
        return sse.render(_encode(value), name.encode("utf-8", "replace"))

    def _note(self, kind: str, value: Object, told: Frame) -> None:
        """Note where things are, for the case that this has to go on anew."""
        at, item = value.get("output_index"), value.get("item")
        if type(at) is int:
            self.items = max(self.items, at + 1)
            if kind == "response.output_item.done" and type(item) is dict:
                self.output[at] = item
        elif kind == "response.created" and type(response := value.get("response")) is dict:
            self._response = response
        for event in told.events:
            if type(event) is PartStarted and type(at) is int:
                name = value.get("item_id", item.get("id") if type(item) is dict else None)
                content = value.get("content_index")
                content = content if type(content) is int else 0
                self._told[event.index] = (name if type(name) is str else "", at, content)

    # Events

    def _begin(self, out: list[bytes], event: Started | None = None) -> Object:
        """Begin the response where it has not begun; an answer's own id stays with its provider."""
        response = self._response
        if response is None:
            response = self._response = frame(self._request, self.given)
            if event is not None:
                if event.created:
                    response["created_at"] = event.created
                if event.model:
                    response["model"] = event.model
            self.say("response.created", {"response": response}, out)
            self.say("response.in_progress", {"response": response}, out)
        return response

    def _event(self, event: AnyEvent, out: list[bytes]) -> None:
        kind = type(event)
        if kind is TextDelta:
            assert isinstance(event, TextDelta)
            piece = self._worded(event.index, out)
            if event.text:
                self.text(piece, event.text, event.logprobs, out)
            return
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, event, out)

    def _started(self, event: Started, out: list[bytes]) -> None:
        self._begin(out, event)

    def _part_started(self, event: PartStarted, out: list[bytes]) -> None:
        self._start(event.index, event.part, out)

    def _start(self, index: int, part: Part, out: list[bytes]) -> Piece:
        """Begin a part. Texts and thoughts are told of once there is something in them."""
        self._begin(out)
        if (before := self._pieces.get(index)) is not None:
            # A provider that begins a part twice has ended the first.
            self._end(before, None, out)
        piece = self._pieces[index] = Piece(part)
        if isinstance(part, Text | Refusal):
            if part.text:
                self.text(piece, part.text, None, out)
            if isinstance(part, Text):
                for cited in part.citations:
                    self.cite(piece, cited, out)
        elif isinstance(part, Thinking):
            if part.text:
                self.thought(piece, part.text, out)
            if part.opaque:
                piece.opaque = part.opaque
        elif isinstance(part, Audio):
            if part.transcript:
                self.text(piece, part.transcript, None, out)
        elif isinstance(part, ToolCall):
            self.call(piece, part, out)
        elif isinstance(part, ToolResult):
            called = self.servers.get(part.id)
            if called is not None and called.ended and part.parts:
                self.server_done(called, part, out)
        elif isinstance(part, Image):
            self.image(piece, part, out)
        return piece

    def _arguments(self, event: ArgumentsDelta, out: list[bytes]) -> None:
        piece = self._pieces.get(event.index)
        if piece is None:
            piece = self._start(event.index, ToolCall(self.given.new_id("call_"), "", ""), out)
        if event.text and isinstance(piece.part, ToolCall):
            self.argue(piece, event.text, out)

    def _thinking(self, event: ThinkingDelta, out: list[bytes]) -> None:
        piece = self._pieces.get(event.index)
        if piece is None or piece.ended or not isinstance(piece.part, Thinking):
            piece = self._start(event.index, Thinking(), out)
        if event.text:
            self.thought(piece, event.text, out)
        if event.opaque:
            piece.opaque += event.opaque

    def _citation(self, event: CitationDelta, out: list[bytes]) -> None:
        piece = self._worded(event.index, out)
        self.cite(piece, event.citation, out)

    def _audio(self, event: AudioDelta, out: list[bytes]) -> None:
        piece = self._worded(event.index, out)
        if event.transcript:
            self.text(piece, event.transcript, None, out)

    def _part_ended(self, event: PartEnded, out: list[bytes]) -> None:
        piece = self._pieces.get(event.index)
        if piece is not None:
            self._end(piece, event.part, out)

    def _used(self, event: Used, out: list[bytes]) -> None:
        self._usage = event.usage

    def _finished(self, event: Finished, out: list[bytes]) -> None:
        self._finish = event.finish

    def _ping(self, event: Ping, out: list[bytes]) -> None:
        out.append(_PING)

    def _worded(self, index: int, out: list[bytes]) -> Piece:
        """Return the part that words are of: a new text where that is none, or has ended."""
        piece = self._pieces.get(index)
        if piece is None or piece.ended or not isinstance(piece.part, Text | Refusal | Audio):
            piece = self._start(index, Text(""), out)
        return piece

    def _end(self, piece: Piece, whole: Part | None, out: list[bytes]) -> None:
        """End a part; `whole` is all of it, where its dialect says so."""
        if piece.ended:
            return
        piece.ended = True
        part = piece.part
        if isinstance(part, Text | Refusal | Audio):
            if isinstance(whole, Text) and len(whole.citations) > len(piece.annotations):
                for cited in whole.citations[len(piece.annotations) :]:
                    self.cite(piece, cited, out)
            if piece.message is not None:
                self.text_done(piece, out)
        elif isinstance(part, Thinking):
            if isinstance(whole, Thinking) and whole.opaque and not piece.opaque:
                piece.opaque = whole.opaque
            self.thought_done(piece, whole if isinstance(whole, Thinking) else part, out)
        elif isinstance(part, ToolCall) and part.kind != "server":
            self.call_done(piece, part, out)
        elif isinstance(part, ToolResult):
            called = self.servers.get(part.id)
            if called is not None and called.ended:
                self.server_done(called, whole if isinstance(whole, ToolResult) else part, out)


_HANDLERS: dict[type, Callable[[Encoder, Any, list[bytes]], None]] = {
    Started: Encoder._started,
    PartStarted: Encoder._part_started,
    ArgumentsDelta: Encoder._arguments,
    ThinkingDelta: Encoder._thinking,
    CitationDelta: Encoder._citation,
    AudioDelta: Encoder._audio,
    PartEnded: Encoder._part_ended,
    Used: Encoder._used,
    Finished: Encoder._finished,
    Ping: Encoder._ping,
}
