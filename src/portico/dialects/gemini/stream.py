"""A stream of replies, both ways: server-sent events, or the elements of a JSON array.

Each element holds what has come since the last: parts of candidates. Texts and thoughts grow from element to element,
a call comes whole, or its arguments in pieces that each name the place they belong to. Nothing marks the end but a
finish reason and the close of the body, and some servers repeat the reason in every element: so the end is told when
the body has closed.
"""

from typing import Any

import msgspec

from portico.dialects.crossing import Given
from portico.dialects.gemini import watch
from portico.dialects.gemini.again import again
from portico.dialects.gemini.grounding import citations
from portico.dialects.gemini.part import Calls, parse_part
from portico.dialects.gemini.pieces import Pieces
from portico.dialects.gemini.reply import CANDIDATE, REPLY, blocked, created, finish_of, prefix, usage_of
from portico.dialects.gemini.spelling import Object, opened
from portico.dialects.gemini.voice import Voice
from portico.dialects.malformed import Malformed
from portico.dialects.observer import failure
from portico.dialects.resume.said import Said
from portico.dialects.tokens import UNREADABLE
from portico.errors import BadUpstreamReply, PorticoError, UpstreamError
from portico.framing import jsonarray, sse
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
from portico.types import Usage

_decode = msgspec.json.decode
_encode = msgspec.json.encode
_END = "$end"


class _Answer:
    """One candidate as far as it has come."""

    __slots__ = ("called", "cited", "count", "kind", "pieces", "reason", "texts")

    def __init__(self) -> None:
        self.count = 0  # of parts begun
        self.kind: type[Part] | None = None  # of the part that is open: Text or Thinking, or a call in pieces
        self.pieces: Pieces | None = None
        self.texts: dict[int, list[str]] = {}
        self.cited: set[tuple[object, ...]] = set()
        self.called = False
        self.reason: Any = None


class Decoder:
    """Reads a stream of either form. `feed` and `flush` raise nothing but BadUpstreamReply."""

    def __init__(self) -> None:
        self._events = sse.Splitter()
        self._array: jsonarray.Splitter | None = None
        self._begun = False
        self._started = False
        self._calls = Calls("call_")
        self._answers: dict[int, _Answer] = {}
        self._counts: Object = {}
        self._searches: Object = {}
        self._failed = False
        self._blocked: str | None = None

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take a chunk; the first byte that is no white space says whether this is an array."""
        if not self._begun and (first := chunk.lstrip()[:1]):
            self._begun = True
            if first == b"[":
                self._array = jsonarray.Splitter()
        if self._array is not None:
            return [self._frame(element) for element in self._array.feed(chunk)]
        frames = []
        for event in self._events.feed(chunk):
            data = sse.parse(event).data
            if data:
                frames.append(self._frame(data))
        return frames

    def flush(self) -> list[Frame]:
        """Say that the body has closed. A stream that gave no finish reason has not ended, it was cut."""
        frames = []
        rest = self._events.flush()
        if rest.strip():
            frames = self.feed(b"\n\n") if self._array is not None else self._last(rest)
        if self._failed or (self._array is not None and not self._array.closed):
            return frames
        events: list[AnyEvent] = []
        ended = self._blocked is not None
        for choice, answer in self._answers.items():
            self._close(choice, answer, events)
            finish, raw = finish_of(answer.reason, answer.called)
            if finish is not None:
                ended = True
                events.append(Finished(choice=choice, finish=finish, finish_raw=raw))
        if self._blocked is not None and not self._answers:
            events.append(Finished(finish="content_filter", finish_raw=self._blocked))
        usage = self._usage()
        if usage is not None:
            events.append(Used(usage=usage))
        if ended:
            events.append(Ended())
        if events:
            frames.append(Frame(dialect="gemini", events=tuple(events), extra={_END: True}))
        return frames

    def _last(self, rest: bytes) -> list[Frame]:
        """Read an event that no blank line ended; what is no whole one was cut."""
        data = sse.parse(rest).data
        try:
            _decode(data)
        except UNREADABLE:
            self._failed = True
            return []
        return [self._frame(data)]

    def _frame(self, data: bytes) -> Frame:
        try:
            found = _decode(data)
        except UNREADABLE as error:
            raise BadUpstreamReply(f"An event of the stream is not JSON that can be read: {error}") from error
        try:
            return self._told(found, data)
        except RecursionError as error:
            raise BadUpstreamReply("An event of the stream is nested too deeply") from error

    def _told(self, found: Any, data: bytes) -> Frame:
        if type(found) is not dict:
            raise BadUpstreamReply("An event of the stream is not an object")
        if found.get("error"):
            self._failed = True
            said = failure(_encode(found["error"])) or "The provider reported an error"
            return Frame(dialect="gemini", events=(Failed(error=UpstreamError(said)),), extra=opened(found, REPLY))
        if not found.keys() <= REPLY.names:
            found = opened(found, REPLY)
        events: list[AnyEvent] = []
        if not self._started:
            self._start(found, data, events)
        if type(found.get("usageMetadata")) is dict:
            self._counts = found
        candidates = found.get("candidates")
        if type(candidates) is list:
            found["candidates"] = None
            found["$candidates"] = [self._candidate(each, at, events) for at, each in enumerate(candidates)]
        self._blocked = self._blocked or blocked(found)
        return Frame(dialect="gemini", events=tuple(events), extra=found)

    def _start(self, found: Object, data: bytes, events: list[AnyEvent]) -> None:
        self._started = True
        self._calls = Calls(prefix(found, data))
        name, model = found.get("responseId"), found.get("modelVersion")
        events.append(
            Started(
                id=name if type(name) is str else "",
                model=model if type(model) is str else "",
                created=created(found.get("createTime")),
            )
        )
        usage = usage_of(found, None)
        if usage is not None:
            events.append(Used(usage=usage))

    def _usage(self) -> Usage | None:
        return usage_of(self._counts, [self._searches])

    def _candidate(self, found: Any, at: int, events: list[AnyEvent]) -> Object:
        if type(found) is not dict:
            raise BadUpstreamReply(f"candidates[{at}] of a stream's event is not an object")
        rest = found if found.keys() <= CANDIDATE.names else opened(found, CANDIDATE)
        index = rest.get("index")
        choice = index if type(index) is int else at
        answer = self._answers.get(choice)
        if answer is None:
            answer = self._answers[choice] = _Answer()
        content = rest.get("content")
        if type(content) is dict:
            parts = content.get("parts")
            if type(parts) is list:
                # A part at a time; what is left of each, and how it was written, stays for an encoder of our own.
                del content["parts"]
                try:
                    rest["$parts"] = [self._part(part, choice, answer, events) for part in parts]
                except Malformed as problem:
                    raise BadUpstreamReply(f"A part of a stream's event cannot be read: {problem}") from None
        if rest.get("finishReason") is not None:
            answer.reason = rest["finishReason"]
        if "groundingMetadata" in rest or "citationMetadata" in rest:
            self._cite(rest, choice, answer, events)
        return rest

    def _part(self, found: Any, choice: int, answer: _Answer, events: list[AnyEvent]) -> Object | None:
        """Tell of one part. Returns what is left of a text; None for what the events say whole."""
        if type(found) is dict:
            text = found.get("text")
            if type(text) is str and len(found) == (2 if type(found.get("thought")) is bool else 1):
                kind: type[Part] = Thinking if found.get("thought") is True else Text
                return self._grow(kind, text, found, choice, answer, events)
            call = found.get("functionCall")
            if type(call) is dict and (answer.pieces is not None or call.get("willContinue") or "partialArgs" in call):
                return self._piece(call, found, choice, answer, events)
        part = parse_part(found, self._calls)
        if isinstance(part, Thinking | Text) and not (
            isinstance(part, Thinking) and part.maker not in (None, "gemini")
        ):
            self._text(part, choice, answer, events)
            return {"$text": True, **part.extra, **_marks(part, found)}
        self._close(choice, answer, events)
        index = answer.count
        answer.count += 1
        if isinstance(part, ToolCall):
            answer.called = answer.called or part.kind == "function"
            begun = msgspec.structs.replace(part, arguments="{}")
            events.append(PartStarted(choice=choice, index=index, part=begun))
            events.append(ArgumentsDelta(choice=choice, index=index, text=part.arguments))
        else:
            events.append(PartStarted(choice=choice, index=index, part=part))
        events.append(PartEnded(choice=choice, index=index))
        return None

    def _grow(
        self, kind: type[Part], text: str, found: Object, choice: int, answer: _Answer, events: list[AnyEvent]
    ) -> Object:
        """The path of nearly every event: more of a text or a thought, and nothing beside it."""
        if not text:
            return {"$whole": found}
        if answer.kind is not kind:
            self._open(Text(text="") if kind is Text else Thinking(summary=True), choice, answer, events)
        index = answer.count - 1
        if kind is Text:
            answer.texts[index].append(text)
            events.append(TextDelta(choice=choice, index=index, text=text))
        else:
            events.append(ThinkingDelta(choice=choice, index=index, text=text))
        del found["text"]
        found["$text"] = True
        return found

    def _open(self, part: Part, choice: int, answer: _Answer, events: list[AnyEvent]) -> None:
        self._close(choice, answer, events)
        events.append(PartStarted(choice=choice, index=answer.count, part=part))
        if isinstance(part, Text):
            answer.texts[answer.count] = []
        answer.kind = type(part)
        answer.count += 1

    def _text(self, part: Text | Thinking, choice: int, answer: _Answer, events: list[AnyEvent]) -> None:
        """More of a text or a thought, with something beside it: a signature, which ends a thought."""
        if isinstance(part, Text):
            if answer.kind is not Text:
                self._open(Text(text="", signature=part.signature), choice, answer, events)
            index = answer.count - 1
            answer.texts[index].append(part.text)
            events.append(TextDelta(choice=choice, index=index, text=part.text))
            return
        if answer.kind is not Thinking:
            self._open(Thinking(maker=part.maker, summary=part.summary), choice, answer, events)
        index = answer.count - 1
        events.append(ThinkingDelta(choice=choice, index=index, text=part.text, opaque=part.opaque))
        if part.opaque is not None:
            self._close(choice, answer, events)

    def _close(self, choice: int, answer: _Answer, events: list[AnyEvent]) -> None:
        if answer.kind is not None:
            if answer.pieces is not None:
                # Its end did not come: what there is of it.
                self._pieced(answer.pieces, choice, answer, events)
            events.append(PartEnded(choice=choice, index=answer.count - 1))
            answer.kind = None

    def _piece(self, call: Object, found: Object, choice: int, answer: _Answer, events: list[AnyEvent]) -> Object:
        """Take a piece of a call: its name first, then its arguments, until one does not say that more will come."""
        name = call.get("name")
        if answer.pieces is None or (type(name) is str and name):
            self._close(choice, answer, events)
            if type(name) is not str or not name:
                raise Malformed("functionCall.name", "a tool's name")
            signature = found.get("thoughtSignature")
            begun = ToolCall(
                id=self._calls.called(call.get("id"), name),
                name=name,
                signature=signature if type(signature) is str else None,
                extra={"$pieces": True},
            )
            self._open(begun, choice, answer, events)
            answer.called = True
            answer.pieces = Pieces()
        answer.pieces.add(call.get("partialArgs"), call.get("args"))
        if not call.get("willContinue"):
            self._close(choice, answer, events)
        return {"$whole": found}

    def _pieced(self, pieces: Pieces, choice: int, answer: _Answer, events: list[AnyEvent]) -> None:
        text = _encode(pieces.arguments).decode()
        events.append(ArgumentsDelta(choice=choice, index=answer.count - 1, text=text))
        answer.pieces = None

    def _cite(self, rest: Object, choice: int, answer: _Answer, events: list[AnyEvent]) -> None:
        grounded = rest.get("groundingMetadata")
        if type(grounded) is dict and grounded.get("webSearchQueries"):
            self._searches = rest
        if "citationMetadata" not in rest and not (type(grounded) is dict and grounded.get("groundingSupports")):
            return
        texts = {index: "".join(texts) for index, texts in answer.texts.items()}
        for index, found in citations(rest, texts).items():
            for citation in found:
                key = (index, citation.url, citation.title, citation.document_id, citation.start, citation.end)
                if key not in answer.cited:
                    answer.cited.add(key)
                    events.append(CitationDelta(choice=choice, index=index, citation=citation))


def _marks(part: Text | Thinking, found: Object) -> Object:
    """Return what of a text is no field of its `extra`: that it is a thought, and its signature."""
    marks: Object = {}
    signature = part.signature if isinstance(part, Text) else part.opaque
    if signature is not None:
        marks["thoughtSignature"] = signature
    if isinstance(part, Thinking) and found.get("thought") is True:
        marks["thought"] = True
    return marks


class Encoder:
    """Writes a stream for a caller who speaks Gemini: events, or the elements of an array where `array` is true.

    Of our own dialect each frame is one element. Of another, an element is written for each event that says
    something: a call when it is whole, for Gemini's clients take no pieces; the finish reason and the usage at the end.
    """

    def __init__(self, request: Request, given: Given, *, array: bool = False) -> None:
        self._request = request
        self._given = given
        self._array = array
        self._elements = 0
        self._over = False
        self._voice: Voice | None = None

    def feed(self, frame: Frame) -> bytes:
        """Return what a frame comes to."""
        if self._over:
            return b""
        if frame.dialect == "gemini":
            return b"" if _END in frame.extra else self._written([again(frame)])
        return self.anew(frame)

    def anew(self, frame: Frame) -> bytes:
        """Return what the events of a frame come to, whatever dialect they are of."""
        if self._over:
            return b""
        if self._voice is None:
            self._voice = Voice(self._request, self._given)
        said: list[Object] = []
        for event in frame.events:
            if isinstance(event, Failed):
                return self._written(said) + self.fail(event.error)
            self._voice.hear(event, frame, said)
        return self._written(said)

    def take_over(self, said: Said) -> None:
        """Go on anew after frames of this dialect that said this much."""
        self._voice = Voice(self._request, self._given)
        self._voice.take_over(said)

    def fail(self, error: PorticoError) -> bytes:
        """Return the error that ends the stream; nothing where it is over."""
        if self._over:
            return b""
        self._over = True
        if not self._array:
            return watch.stream_error(error, self._given.request_id)
        lead = b",\r\n" if self._elements else b"["
        return lead + watch.error_body(error, self._given.request_id) + b"]"

    def finish(self) -> bytes:
        """Return what ends the stream properly: the last element, where the frames were another dialect's."""
        if self._over:
            return b""
        out: list[bytes] = []
        if self._voice is not None:
            said: list[Object] = []
            self._voice.end(said)
            out.append(self._written(said))
        self._over = True
        if self._array:
            out.append(b"]" if self._elements else b"[]")
        return b"".join(out)

    def _written(self, elements: list[Object]) -> bytes:
        out = []
        for element in elements:
            try:
                data = _encode(element)
            except RecursionError as error:
                raise BadUpstreamReply("An event of the stream is nested too deeply") from error
            if self._array:
                self._elements += 1
                out.append((b",\r\n" if self._elements > 1 else b"[") + data)
            else:
                out.append(b"data: %b\r\n\r\n" % data)
        return b"".join(out)
