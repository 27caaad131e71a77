"""Streams for a caller that speaks the Responses API: any dialect's events in its grammar.

The grammar, as OpenAI's own SDK asks for it: `response.created` first; an item is added before anything of it, its
content part before its text; every event has a `sequence_number`; what came in pieces is said again whole at the end
of its part, of its item and of the response. A message stays open while texts follow one another, or while one of its
texts does.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects import openai
from portico.dialects.crossing import Given
from portico.dialects.responses import client_tools
from portico.dialects.responses.citations import write_annotation
from portico.dialects.responses.content import Object, written
from portico.dialects.responses.output import (
    call_item,
    call_prefix,
    frame,
    image_item,
    message_item,
    outcome,
    reasoning_item,
    served_tier,
    server_item,
    server_prefix,
    signature_item,
    token_logprobs,
    write_usage,
)
from portico.dialects.resume.said import Said
from portico.errors import PorticoError
from portico.framing import sse
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
    Citation,
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
from portico.types import Dialect, Usage

_encode = msgspec.json.encode
_PING = b": ping\n\n"
_ENDS = frozenset(("response.completed", "response.incomplete", "response.failed", "error"))


class _Message:
    """A message item that is not yet done: its contents, and how many of them still grow."""

    def __init__(self, item_id: str, at: int) -> None:
        self.id = item_id
        self.at = at
        self.content: list[Object] = []
        self.open = 0


class _Piece:
    """A part of the answer on its way. `message` is where a text is, `at` the index of any other part's item."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.item_id = ""
        self.at = -1
        self.message: _Message | None = None
        self.content = 0
        self.text: list[str] = []
        self.annotations: list[Object] = []
        self.cited: list[Citation] = []
        self.logprobs: list[Any] = []
        self.opaque = ""
        self.head = b""
        self.ended = False


class Encoder:
    """Writes a stream. `finish` is for one that came to its proper end; nothing is written after a failure."""

    def __init__(self, request: Request, given: Given) -> None:
        self._request = request
        self._given = given
        self._response: Object | None = None
        self._echo: tuple[bytes, bytes] = (b"", b"")
        self._sequence = 0
        self._pieces: dict[int, _Piece] = {}
        self._message: _Message | None = None
        self._waiting: list[_Message] = []
        self._servers: dict[str, _Piece] = {}
        self._output: dict[int, Object] = {}
        self._items = 0
        self._calls: set[str] = set()
        self._maker: Dialect = "responses"
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._refused = False
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
        self._maker = frame.dialect
        out: list[bytes] = []
        if self._undone:
            for at, item in self._undone:
                self._done(at, item, out)
            self._undone = []
        events = frame.events
        if len(events) == 1 and type(event := events[0]) is TextDelta and not event.choice:
            # More of a text that is open, as nearly all frames are.
            piece = self._pieces.get(event.index)
            if piece is not None and piece.head and event.text and event.logprobs is None:
                piece.text.append(event.text)
                sequence = self._sequence
                self._sequence = sequence + 1
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
            self._response = frame(self._request, self._given)
        messages: dict[int, _Message] = {}
        for index, spoken in said.parts.items():
            item_id, at, content = self._told.get(index, ("", -1, 0))
            if at < 0 or at in self._output:
                continue
            if type(spoken.part) is Thinking:
                self._undone.append((at, {"id": item_id, "type": "reasoning", "summary": [], "status": "incomplete"}))
            elif type(spoken.part) is Text:
                message = messages.get(at)
                if message is None:
                    message = messages[at] = self._message = _Message(item_id, at)
                    self._waiting.append(message)
                piece = self._pieces[index] = _Piece(spoken.part)
                piece.message, piece.content, piece.text = message, content, [spoken.text]
                part: Object = {"type": "output_text", "text": spoken.text, "annotations": [], "logprobs": []}
                message.content += [part] * (content + 1 - len(message.content))
                piece.ended = spoken.ended
                if not spoken.ended:
                    message.open += 1
                    piece.head = _delta_head(b"response.output_text.delta", message, content)

    def fail(self, error: PorticoError) -> bytes:
        """Return the event that ends the stream with an error."""
        if self._over:
            return b""
        self._over = True
        said = openai.error_object(error)
        value = {
            "type": "error",
            "sequence_number": self._sequence,
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
        for piece in list(self._servers.values()):
            self._server_done(piece, None, out)
        self._close(out)
        self._over = True
        response = dict(response)
        response["output"] = [self._output[at] for at in sorted(self._output)]
        outcome(response, self._finish, refused=self._refused)
        if self._usage is not None:
            response["usage"] = write_usage(self._usage)
            tier = served_tier(self._usage.tier)
            if tier is not None:
                response["service_tier"] = tier
        self._say(f"response.{response['status']}", {"response": response}, out)
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
            self._sequence = sequence + 1
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
            self._items = max(self._items, at + 1)
            if kind == "response.output_item.done" and type(item) is dict:
                self._output[at] = item
        elif kind == "response.created" and type(response := value.get("response")) is dict:
            self._response = response
        for event in told.events:
            if type(event) is PartStarted and type(at) is int:
                name = value.get("item_id", item.get("id") if type(item) is dict else None)
                content = value.get("content_index")
                content = content if type(content) is int else 0
                self._told[event.index] = (name if type(name) is str else "", at, content)

    # Writing

    def _say(self, kind: str, members: Object, out: list[bytes]) -> None:
        value = {"type": kind, "sequence_number": self._sequence, **members}
        self._sequence += 1
        out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(value)))

    def _begin(self, out: list[bytes], event: Started | None = None) -> Object:
        """Begin the response where it has not begun; an answer's own id stays with its provider."""
        response = self._response
        if response is None:
            response = self._response = frame(self._request, self._given)
            if event is not None:
                if event.created:
                    response["created_at"] = event.created
                if event.model:
                    response["model"] = event.model
            self._say("response.created", {"response": response}, out)
            self._say("response.in_progress", {"response": response}, out)
        return response

    def _add(self, item: Object, out: list[bytes]) -> int:
        at = self._items
        self._items += 1
        self._say("response.output_item.added", {"output_index": at, "item": item}, out)
        return at

    def _done(self, at: int, item: Object, out: list[bytes]) -> None:
        self._output[at] = item
        self._say("response.output_item.done", {"output_index": at, "item": item}, out)

    # Events

    def _event(self, event: AnyEvent, out: list[bytes]) -> None:
        kind = type(event)
        if kind is TextDelta:
            assert isinstance(event, TextDelta)
            piece = self._worded(event.index, out)
            if event.text:
                self._text(piece, event.text, event.logprobs, out)
            return
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, event, out)

    def _started(self, event: Started, out: list[bytes]) -> None:
        self._begin(out, event)

    def _part_started(self, event: PartStarted, out: list[bytes]) -> None:
        self._start(event.index, event.part, out)

    def _start(self, index: int, part: Part, out: list[bytes]) -> _Piece:
        """Begin a part. Texts and thoughts are told of once there is something in them."""
        self._begin(out)
        if (before := self._pieces.get(index)) is not None:
            # A provider that begins a part twice has ended the first.
            self._end(before, None, out)
        piece = self._pieces[index] = _Piece(part)
        if isinstance(part, Text | Refusal):
            if part.text:
                self._text(piece, part.text, None, out)
            if isinstance(part, Text):
                for cited in part.citations:
                    self._cite(piece, cited, out)
        elif isinstance(part, Thinking):
            if part.text:
                self._thought(piece, part.text, out)
            if part.opaque:
                piece.opaque = part.opaque
        elif isinstance(part, Audio):
            if part.transcript:
                self._text(piece, part.transcript, None, out)
        elif isinstance(part, ToolCall):
            self._call(piece, part, out)
        elif isinstance(part, ToolResult):
            called = self._servers.get(part.id)
            if called is not None and called.ended and part.parts:
                self._server_done(called, part, out)
        elif isinstance(part, Image):
            self._image(piece, part, out)
        return piece

    def _arguments(self, event: ArgumentsDelta, out: list[bytes]) -> None:
        piece = self._pieces.get(event.index)
        if piece is None:
            piece = self._start(event.index, ToolCall(self._given.new_id("call_"), "", ""), out)
        if event.text and isinstance(piece.part, ToolCall):
            self._argue(piece, event.text, out)

    def _thinking(self, event: ThinkingDelta, out: list[bytes]) -> None:
        piece = self._pieces.get(event.index)
        if piece is None or piece.ended or not isinstance(piece.part, Thinking):
            piece = self._start(event.index, Thinking(), out)
        if event.text:
            self._thought(piece, event.text, out)
        if event.opaque:
            piece.opaque += event.opaque

    def _citation(self, event: CitationDelta, out: list[bytes]) -> None:
        piece = self._worded(event.index, out)
        self._cite(piece, event.citation, out)

    def _audio(self, event: AudioDelta, out: list[bytes]) -> None:
        piece = self._worded(event.index, out)
        if event.transcript:
            self._text(piece, event.transcript, None, out)

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

    # Texts

    def _worded(self, index: int, out: list[bytes]) -> _Piece:
        """Return the part that words are of: a new text where that is none, or has ended."""
        piece = self._pieces.get(index)
        if piece is None or piece.ended or not isinstance(piece.part, Text | Refusal | Audio):
            piece = self._start(index, Text(""), out)
        return piece

    def _open_text(self, piece: _Piece, out: list[bytes]) -> None:
        """Begin a text: in the message that is open, or in a new one."""
        message = self._message
        if message is None:
            message = self._message = _Message(self._given.new_id("msg_"), self._items)
            self._waiting.append(message)
            self._add(message_item(message.id, [], "in_progress"), out)
        message.open += 1
        piece.message = message
        piece.content = len(message.content)
        refusal = isinstance(piece.part, Refusal)
        if refusal:
            self._refused = True
            part: Object = {"type": "refusal", "refusal": ""}
        else:
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        message.content.append(part)
        place = {"item_id": message.id, "output_index": message.at, "content_index": piece.content}
        self._say("response.content_part.added", {**place, "part": part}, out)
        kind = b"response.refusal.delta" if refusal else b"response.output_text.delta"
        # The delta events of this text differ in their ends alone.
        piece.head = _delta_head(kind, message, piece.content)

    def _text(self, piece: _Piece, text: str, logprobs: Any, out: list[bytes]) -> None:
        if piece.message is None:
            self._open_text(piece, out)
        piece.text.append(text)
        tokens = b"[]"
        if logprobs is not None:
            found = token_logprobs(logprobs)
            piece.logprobs += found
            tokens = _encode(found)
        end = b'"logprobs":%b,' % tokens if type(piece.part) is not Refusal else b""
        out.append(b'%b%b"delta":%b,"sequence_number":%d}\n\n' % (piece.head, end, _encode(text), self._sequence))
        self._sequence += 1

    def _cite(self, piece: _Piece, citation: Citation, out: list[bytes]) -> None:
        if piece.message is None:
            self._open_text(piece, out)
        if citation.end is None:
            # It is about the whole of a text, which is not told yet.
            piece.cited.append(citation)
        else:
            self._annotate(piece, citation, out)

    def _annotate(self, piece: _Piece, citation: Citation, out: list[bytes]) -> None:
        message = piece.message
        assert message is not None
        annotation = write_annotation(citation, length=sum(map(len, piece.text)))
        value = {
            "item_id": message.id,
            "output_index": message.at,
            "content_index": piece.content,
            "annotation_index": len(piece.annotations),
            "annotation": annotation,
        }
        piece.annotations.append(annotation)
        self._say("response.output_text.annotation.added", value, out)

    def _text_done(self, piece: _Piece, out: list[bytes]) -> None:
        message = piece.message
        assert message is not None
        text = "".join(piece.text)
        for citation in piece.cited:
            self._annotate(piece, citation, out)
        piece.head = b""
        place = {"item_id": message.id, "output_index": message.at, "content_index": piece.content}
        if isinstance(piece.part, Refusal):
            part: Object = {"type": "refusal", "refusal": text}
            self._say("response.refusal.done", {**place, "refusal": text}, out)
        else:
            part = {
                "type": "output_text",
                "text": text,
                "annotations": piece.annotations,
                "logprobs": piece.logprobs,
            }
            self._say("response.output_text.done", {**place, "text": text, "logprobs": piece.logprobs}, out)
        message.content[piece.content] = part
        self._say("response.content_part.done", {**place, "part": part}, out)
        message.open -= 1
        if message is not self._message:
            self._close_waiting(out)

    def _turn(self, out: list[bytes]) -> None:
        """Another kind of item begins: texts to come are another message."""
        self._message = None
        self._close_waiting(out)

    def _close_waiting(self, out: list[bytes]) -> None:
        for message in [each for each in self._waiting if not each.open and each is not self._message]:
            self._waiting.remove(message)
            self._done(message.at, message_item(message.id, message.content), out)

    def _close(self, out: list[bytes]) -> None:
        self._turn(out)
        assert not self._waiting, "every text has ended"

    # Thoughts

    def _open_thought(self, piece: _Piece, out: list[bytes]) -> None:
        self._turn(out)
        piece.item_id = self._given.new_id("rs_")
        piece.at = self._add({"id": piece.item_id, "type": "reasoning", "summary": []}, out)

    def _thought(self, piece: _Piece, text: str, out: list[bytes]) -> None:
        if piece.at < 0:
            self._open_thought(piece, out)
        place = {"item_id": piece.item_id, "output_index": piece.at, "summary_index": 0}
        if not piece.text:
            part = {"type": "summary_text", "text": ""}
            self._say("response.reasoning_summary_part.added", {**place, "part": part}, out)
        piece.text.append(text)
        self._say("response.reasoning_summary_text.delta", {**place, "delta": text}, out)

    def _thought_done(self, piece: _Piece, thought: Thinking, out: list[bytes]) -> None:
        text = "".join(piece.text)
        if not text and not piece.opaque:
            return
        if piece.at < 0:
            self._open_thought(piece, out)
        if text:
            place = {"item_id": piece.item_id, "output_index": piece.at, "summary_index": 0}
            self._say("response.reasoning_summary_text.done", {**place, "text": text}, out)
            part = {"type": "summary_text", "text": text}
            self._say("response.reasoning_summary_part.done", {**place, "part": part}, out)
        whole = msgspec.structs.replace(thought, text=text, opaque=piece.opaque or None)
        self._done(piece.at, reasoning_item(whole, piece.item_id, self._maker), out)

    # Calls

    def _call(self, piece: _Piece, call: ToolCall, out: list[bytes]) -> None:
        self._turn(out)
        if not call.id or call.id in self._calls:
            # The SDK tells calls apart by their ids.
            call = piece.part = msgspec.structs.replace(call, id=self._given.new_id("call_"))
        self._calls.add(call.id)
        if call.signature is not None:
            item = signature_item(call, self._given)
            self._done(self._add({**item, "encrypted_content": None}, out), item, out)
        if call.kind == "server":
            piece.item_id = self._given.new_id(server_prefix(call))
            piece.at = self._add(server_item(call, piece.item_id, None, "", "in_progress"), out)
            self._servers[call.id] = piece
        elif call.server_type is None:
            piece.item_id = self._given.new_id(call_prefix(call))
            piece.at = self._add(call_item(call, piece.item_id, "", "in_progress"), out)
        if call.arguments and call.arguments != "{}":
            self._argue(piece, call.arguments, out)

    def _argue(self, piece: _Piece, text: str, out: list[bytes]) -> None:
        piece.text.append(text)
        call = piece.part
        assert isinstance(call, ToolCall)
        if call.kind == "server" or piece.at < 0:
            return
        kind = "custom_tool_call_input" if call.kind == "custom" else "function_call_arguments"
        self._say(f"response.{kind}.delta", {"item_id": piece.item_id, "output_index": piece.at, "delta": text}, out)

    def _known_done(self, piece: _Piece, call: ToolCall, out: list[bytes]) -> bool:
        """Tell of a call of a tool that the caller knows by an item of its own, and that is told whole.

        Returns False where it is none such after all: it is told as a function's.
        """
        arguments = "".join(piece.text)
        self._turn(out)
        item = client_tools.call_item(call, self._given.new_id(client_tools.item_prefix(call)), arguments)
        if item is not None:
            piece.at = self._add({**item, "status": "in_progress"}, out)
            self._done(piece.at, item, out)
            return True
        piece.item_id = self._given.new_id(call_prefix(call))
        piece.at = self._add(call_item(call, piece.item_id, "", "in_progress"), out)
        piece.text = []
        if arguments:
            self._argue(piece, arguments, out)
        return False

    def _call_done(self, piece: _Piece, call: ToolCall, out: list[bytes]) -> None:
        if piece.at < 0 and self._known_done(piece, call, out):
            return
        place = {"item_id": piece.item_id, "output_index": piece.at}
        if call.kind == "custom":
            text = "".join(piece.text)
            self._say("response.custom_tool_call_input.done", {**place, "input": text}, out)
        else:
            if not piece.text:
                self._argue(piece, "{}", out)
            text = "".join(piece.text)
            value = {**place, "name": call.name, "arguments": text}
            self._say("response.function_call_arguments.done", value, out)
        self._done(piece.at, call_item(call, piece.item_id, text), out)

    def _server_done(self, piece: _Piece, result: ToolResult | None, out: list[bytes]) -> None:
        call = piece.part
        assert isinstance(call, ToolCall)
        del self._servers[call.id]
        self._done(piece.at, server_item(call, piece.item_id, result, "".join(piece.text)), out)

    def _image(self, piece: _Piece, image: Image, out: list[bytes]) -> None:
        self._turn(out)
        item = image_item(image, self._given.new_id("ig_"))
        at = self._add({**item, "status": "in_progress", "result": None}, out)
        self._done(at, item, out)
        piece.at = at

    def _end(self, piece: _Piece, whole: Part | None, out: list[bytes]) -> None:
        """End a part; `whole` is all of it, where its dialect says so."""
        if piece.ended:
            return
        piece.ended = True
        part = piece.part
        if isinstance(part, Text | Refusal | Audio):
            if isinstance(whole, Text) and len(whole.citations) > len(piece.annotations):
                for cited in whole.citations[len(piece.annotations) :]:
                    self._cite(piece, cited, out)
            if piece.message is not None:
                self._text_done(piece, out)
        elif isinstance(part, Thinking):
            if isinstance(whole, Thinking) and whole.opaque and not piece.opaque:
                piece.opaque = whole.opaque
            self._thought_done(piece, whole if isinstance(whole, Thinking) else part, out)
        elif isinstance(part, ToolCall) and part.kind != "server":
            self._call_done(piece, part, out)
        elif isinstance(part, ToolResult):
            called = self._servers.get(part.id)
            if called is not None and called.ended:
                self._server_done(called, whole if isinstance(whole, ToolResult) else part, out)


def _delta_head(kind: bytes, message: _Message, content: int) -> bytes:
    return b'event: %b\ndata: {"type":"%b","item_id":%b,"output_index":%d,"content_index":%d,' % (
        kind,
        kind,
        _encode(message.id),
        message.at,
        content,
    )


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
