"""A chat's stream, both ways (docs.cohere.com/v2/docs/streaming, read 2026-11-20).

Contents, a tool plan, calls and citations each begin, grow and end in events of their own; `message-end` has the
reason and the usage and is the proper end, `[DONE]` may follow it. A thought and a text can share an index.
"""

from typing import Any

import msgspec

from portico.dialects.cohere import watch
from portico.dialects.cohere.content import PLAN, Object, parse_citation
from portico.dialects.cohere.reply import finish_of, logprobs, usage_of
from portico.dialects.cohere.voice import Voice
from portico.dialects.crossing import Given
from portico.dialects.resume.said import Said
from portico.dialects.tokens import UNREADABLE
from portico.errors import BadUpstreamReply, PorticoError, UpstreamError
from portico.framing import sse
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    CitationDelta,
    Ended,
    Failed,
    Finished,
    Frame,
    Part,
    PartEnded,
    PartStarted,
    Request,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)

_decode = msgspec.json.decode
_encode = msgspec.json.encode
_DONE = b"[DONE]"


class Decoder:
    """Reads a stream. `feed` and `flush` raise nothing but BadUpstreamReply."""

    def __init__(self) -> None:
        self._events = sse.Splitter()
        self._count = 0  # of parts begun
        self._kind: type[Part] | None = None  # of the content or plan that is open
        self._plan = False
        self._empty = False
        self._places: dict[int, int] = {}  # of contents' indices, the part of their text
        self._text = 0

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take a chunk and return the frames that it completes."""
        frames = []
        for event in self._events.feed(chunk):
            data = sse.parse(event).data
            if data:
                frames.append(self._frame(data))
        return frames

    def flush(self) -> list[Frame]:
        """Say that the body has closed: an event that no blank line ended is read if it is whole, else it was cut."""
        data = sse.parse(self._events.flush()).data
        if not data:
            return []
        try:
            return [self._frame(data)]
        except BadUpstreamReply:
            return []

    def _frame(self, data: bytes) -> Frame:
        if data == _DONE:
            return Frame(dialect="cohere", extra={"$done": True})
        try:
            found = _decode(data)
        except UNREADABLE as error:
            raise BadUpstreamReply(f"An event of the stream is not JSON that can be read: {error}") from error
        try:
            return self._told(found)
        except RecursionError as error:
            raise BadUpstreamReply("An event of the stream is nested too deeply") from error

    def _told(self, found: Any) -> Frame:
        if type(found) is not dict:
            raise BadUpstreamReply("An event of the stream is not an object")
        events: list[AnyEvent] = []
        kind = found.get("type")
        if kind == "content-delta":
            self._content(found, events)
        elif kind == "tool-plan-delta":
            self._planned(found, events)
        elif kind == "tool-call-delta":
            self._arguments(found, events)
        elif type(kind) is str and kind in _READERS:
            _READERS[kind](self, found, events)
        elif kind is None and type(found.get("message")) is str:
            # An error that is told outside the grammar.
            events.append(Failed(error=UpstreamError(found["message"])))
        return Frame(dialect="cohere", events=tuple(events), extra=found)

    def _start(self, found: Object, events: list[AnyEvent]) -> None:
        name = found.get("id")
        events.append(Started(id=name if type(name) is str else ""))

    def _open(self, part: Part, events: list[AnyEvent]) -> None:
        self._close(events)
        events.append(PartStarted(index=self._count, part=part))
        self._kind = type(part)
        self._count += 1

    def _close(self, events: list[AnyEvent]) -> None:
        if self._kind is not None:
            if self._kind is ToolCall and self._empty:
                events.append(ArgumentsDelta(index=self._count - 1, text="{}"))
            events.append(PartEnded(index=self._count - 1))
            self._kind = None
            self._plan = False

    def _content(self, found: Object, events: list[AnyEvent]) -> None:
        """Take more of a content; which it is, a text or a thought, its own field says."""
        content = _inner(found, "content")
        for name, kind in (("thinking", Thinking), ("text", Text)):
            text = content.get(name)
            if type(text) is str:
                del content[name]
                content["$" + name] = True
                if self._kind is not kind or self._plan:
                    if not text:
                        content["$empty"] = True
                        continue
                    self._begin(kind, found, events)
                self._more(kind, text, found, events)

    def _begin(self, kind: type[Part], found: Object, events: list[AnyEvent]) -> None:
        self._open(Text(text="") if kind is Text else Thinking(), events)
        if kind is Text:
            self._text = self._count - 1
            index = found.get("index")
            if type(index) is int:
                self._places[index] = self._text

    def _more(self, kind: type[Part], text: str, found: Object, events: list[AnyEvent]) -> None:
        at = self._count - 1
        if kind is Text:
            told = found.get("logprobs")
            events.append(TextDelta(index=at, text=text, logprobs=logprobs([told]) if told else None))
            return
        events.append(ThinkingDelta(index=at, text=text))

    def _content_start(self, found: Object, events: list[AnyEvent]) -> None:
        content = _inner(found, "content")
        self._close(events)
        if content.get("type") not in ("text", "thinking"):
            return
        self._begin(Thinking if content["type"] == "thinking" else Text, found, events)
        if any(content.get(name) for name in ("text", "thinking")):
            self._content(found, events)

    def _ended(self, found: Object, events: list[AnyEvent]) -> None:
        self._close(events)

    def _planned(self, found: Object, events: list[AnyEvent]) -> None:
        message = _message(found)
        plan = message.get("tool_plan")
        if type(plan) is not str:
            return
        del message["tool_plan"]
        message["$plan"] = True
        if not self._plan:
            self._open(Text(text="", extra={PLAN: True}), events)
            self._plan = True
        events.append(TextDelta(index=self._count - 1, text=plan))

    def _call_start(self, found: Object, events: list[AnyEvent]) -> None:
        call = _inner(found, "tool_calls")
        function = call.get("function")
        function = function if type(function) is dict else {}
        name, identity = function.get("name"), call.get("id")
        if type(name) is not str or not name:
            raise BadUpstreamReply("A tool call of the stream has no name")
        self._open(ToolCall(id=identity if type(identity) is str else "", name=name), events)
        self._empty = True
        arguments = function.get("arguments")
        if type(arguments) is str and arguments:
            self._empty = False
            events.append(ArgumentsDelta(index=self._count - 1, text=arguments))

    def _arguments(self, found: Object, events: list[AnyEvent]) -> None:
        call = _inner(found, "tool_calls")
        function = call.get("function")
        if type(function) is not dict or type(text := function.get("arguments")) is not str:
            return
        if self._kind is not ToolCall:
            raise BadUpstreamReply("The stream goes on with a tool call that did not begin")
        del function["arguments"]
        function["$arguments"] = True
        if text:
            self._empty = False
        events.append(ArgumentsDelta(index=self._count - 1, text=text))

    def _cited(self, found: Object, events: list[AnyEvent]) -> None:
        told = _message(found).get("citations")
        for each in told if type(told) is list else [told]:
            if type(each) is not dict or each.get("type") == "THINKING_CONTENT" or not self._count:
                continue
            place = each.get("content_index")
            at = self._places.get(place, self._text) if type(place) is int else self._text
            events.extend(CitationDelta(index=at, citation=citation) for citation in parse_citation(each))

    def _end(self, found: Object, events: list[AnyEvent]) -> None:
        self._close(events)
        delta = found.get("delta")
        delta = delta if type(delta) is dict else {}
        finish, raw = finish_of(delta.get("finish_reason"))
        usage = usage_of(delta.get("usage"))
        error = delta.get("error")
        if error or finish == "error":
            events.append(Failed(error=UpstreamError(error if type(error) is str else f"The stream ended in {raw}")))
            return
        events.append(Finished(finish=finish or "other", finish_raw=raw))
        if usage is not None:
            events.append(Used(usage=usage))
        events.append(Ended())


_READERS = {
    "message-start": Decoder._start,
    "content-start": Decoder._content_start,
    "content-end": Decoder._ended,
    "tool-call-start": Decoder._call_start,
    "tool-call-end": Decoder._ended,
    "citation-start": Decoder._cited,
    "message-end": Decoder._end,
}


def _message(found: Object) -> Object:
    delta = found.get("delta")
    message = delta.get("message") if type(delta) is dict else None
    return message if type(message) is dict else {}


def _inner(found: Object, name: str) -> Object:
    inner = _message(found).get(name)
    return inner if type(inner) is dict else {}


class Encoder:
    """Writes a stream for a caller who speaks Cohere. Of our own dialect each frame is one event."""

    def __init__(self, request: Request, given: Given) -> None:
        self._request = request
        self._given = given
        self._voice: Voice | None = None
        self._contents = 0
        self._citations = 0
        self._over = False

    def take_over(self, said: Said) -> None:
        """Go on anew after frames of this dialect that said this much."""
        self._voice = Voice(self._request, self._given, "cohere")
        self._voice.take_over(said, self._contents, self._citations)

    def feed(self, frame: Frame) -> bytes:
        """Return what a frame comes to."""
        if self._over:
            return b""
        if frame.dialect == "cohere":
            kind = frame.extra.get("type")
            if kind == "content-start":
                self._contents += 1
            elif kind == "citation-start":
                self._citations += 1
            try:
                return _again(frame)
            except RecursionError as error:
                raise BadUpstreamReply("An event of the stream is nested too deeply") from error
        return self.anew(frame)

    def anew(self, frame: Frame) -> bytes:
        """Return what the events of a frame come to, whatever dialect they are of."""
        if self._over:
            return b""
        if self._voice is None:
            self._voice = Voice(self._request, self._given, frame.dialect)
        out: list[bytes] = []
        for event in frame.events:
            if isinstance(event, Failed):
                return b"".join(out) + self.fail(event.error)
            self._voice.hear(event, out)
        return b"".join(out)

    def fail(self, error: PorticoError) -> bytes:
        """Return the event that ends the stream with an error; nothing where it is over."""
        if self._over:
            return b""
        self._over = True
        return watch.stream_error(error)

    def finish(self) -> bytes:
        """Return what ends the stream properly, where the frames were another dialect's."""
        if self._over:
            return b""
        self._over = True
        out: list[bytes] = []
        if self._voice is not None:
            self._voice.end(out)
        return b"".join(out)


def _again(frame: Frame) -> bytes:
    """Write a frame of our own as the event that it was, with what its events say now."""
    found = frame.extra
    if "$done" in found:
        return b"data: [DONE]\n\n"
    kind = found.get("type")
    if type(kind) is not str:
        return b"data: %b\n\n" % _encode(found)
    if kind in _TEXTS:
        rewritten = _said(found, frame.events)
        if rewritten is None:
            return b""
        found = rewritten
    return b"event: %b\ndata: %b\n\n" % (kind.encode("utf-8", "replace"), _encode(found))


_TEXTS = frozenset(("content-start", "content-delta", "tool-plan-delta", "tool-call-delta"))


def _said(found: Object, events: tuple[AnyEvent, ...]) -> Object | None:
    """Put the texts of events back where they stood; None where they are gone."""
    message = _message(found)
    if "$plan" in message:
        text = _first(events, TextDelta)
        kept = {name: value for name, value in message.items() if name != "$plan"}
        return None if text is None else _with(found, {**kept, "tool_plan": text})
    content = message.get("content")
    if type(content) is dict:
        kept = {name: value for name, value in content.items() if name[:1] != "$"}
        for name, event in (("thinking", ThinkingDelta), ("text", TextDelta)):
            if "$" + name in content:
                text = _first(events, event)
                if text is None:
                    if "$empty" not in content:
                        return None
                    text = ""
                kept[name] = text
        return _with(found, {**message, "content": kept})
    call = message.get("tool_calls")
    if type(call) is dict and type(function := call.get("function")) is dict and "$arguments" in function:
        text = _first(events, ArgumentsDelta)
        kept = {name: value for name, value in function.items() if name[:1] != "$"}
        if text is None:
            return None
        return _with(found, {**message, "tool_calls": {**call, "function": {**kept, "arguments": text}}})
    return found


def _first(
    events: tuple[AnyEvent, ...], kind: type[TextDelta] | type[ThinkingDelta] | type[ArgumentsDelta]
) -> str | None:
    for event in events:
        if isinstance(event, kind):
            return event.text
    return None


def _with(found: Object, message: Object) -> Object:
    return {**found, "delta": {**found["delta"], "message": message}}
