"""Writes the stream of a chat completion for a caller, from the frames of any provider.

A frame of this dialect is written as the one chunk that it was, with what its events hold put back in; one whose
events were taken out or added to is written anew, as a foreign one is. Foreign frames become chunks in OpenAI's own
manner (platform.openai.com/docs/api-reference/chat/streaming, read 2026-11-20): a delta each, the reason why an answer
ended in a chunk of its own, usage in a last chunk without choices if the caller asked for it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects.chat.answers import render_finish
from portico.dialects.chat.beside import render_citation
from portico.dialects.chat.decoder import TEXT_ALONE
from portico.dialects.chat.hints import HINTS, Table
from portico.dialects.chat.parts import render_images
from portico.dialects.chat.reply import asked_by_functions
from portico.dialects.chat.thoughts import DETAILS, render_details
from portico.dialects.chat.usage import render_usage
from portico.dialects.chat.watch import stream_error
from portico.dialects.crossing import Given
from portico.dialects.resume.said import Said
from portico.dialects.seal import seal_call
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
    Finished,
    Frame,
    Image,
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
    Used,
)
from portico.types import Usage

_encode = msgspec.json.encode
_DONE = b"data: [DONE]\n\n"


class _Part:
    """A part that is under way: what it began as, the wire's index of a call, what has been told of it."""

    __slots__ = ("begun", "cited", "opaque", "part", "text", "told", "wire")

    def __init__(self, part: Any, wire: int, begun: int = 0) -> None:
        self.part = part
        self.wire = wire
        self.begun = begun
        self.cited: list[Citation] = []
        self.told = False
        self.text: list[str] = []
        self.opaque: str | None = None


class Encoder:
    """Turns frames into the bytes of a stream. After `fail` nothing more is written."""

    def __init__(self, request: Request, given: Given) -> None:
        self._request = request
        self._given = given
        self._legacy = asked_by_functions(request)
        self._usage_asked = request.include_usage is True
        self._usage: Usage | None = None
        self._parts: dict[tuple[int, int], _Part] = {}
        self._calls: dict[int, int] = {}
        self._spoken: set[int] = set()
        self._finished: set[int] = set()
        # How much of an answer's text was told, where there may be citations, which say where they stand in it.
        self._told: dict[int, int] | None = {} if any(tool.kind == "server" for tool in request.tools) else None
        self._head = b""
        self._tail = b',"usage":null}\n\n' if self._usage_asked else b"}\n\n"
        self._foreign = False
        self._silent = False
        self._failed = False
        self._told_failure = False

    def feed(self, frame: Frame) -> bytes:
        """Write a frame; nothing where this dialect has no word for it."""
        if self._failed:
            return b""
        if frame.dialect == "chat" and frame.extra:
            written = self._as_it_was(frame)
            if written is not None:
                return written
        return self.anew(frame)

    def anew(self, frame: Frame) -> bytes:
        """Write what the events of a frame come to, whatever dialect they are of."""
        if self._failed:
            return b""
        events = frame.events
        if len(events) == 1:
            return self._event(events[0])
        return b"".join([self._event(event) for event in events])

    def take_over(self, said: Said) -> None:
        """Go on anew after frames of this dialect that said this much."""
        started = said.started
        self._foreign = True
        self._silent = False
        self._head = b""
        self._open_as(started.id or self._given.new_id("chatcmpl-"), started)
        if said.parts:
            self._spoken.add(0)
        for index, spoken in said.parts.items():
            if not spoken.ended:
                self._parts[0, index] = _Part(spoken.part, -1)
        if said.finished is not None:
            self._finished.add(0)

    def fail(self, error: PorticoError) -> bytes:
        """Write an error, which ends the stream."""
        if self._failed or self._told_failure:
            return b""
        self._failed = True
        return stream_error(error)

    def finish(self) -> bytes:
        """Write what ends a stream properly; nothing after a failure."""
        if self._failed or self._told_failure:
            return b""
        self._failed = True
        if self._silent:
            return b""
        if not self._foreign:
            return _DONE
        out = b""
        for choice in sorted(self._spoken - self._finished):
            out += self._ending(choice, render_finish(None))
        if self._usage_asked and self._usage is not None:
            out += self._opening() + b'],"usage":' + _encode(render_usage(self._usage)) + b"}\n\n"
        return out + _DONE

    # Frames of this dialect

    def _as_it_was(self, frame: Frame) -> bytes | None:
        """Write the chunk that a frame was; None where its events are no longer those that its hints speak of."""
        extra = frame.extra
        hints: Table | None = extra.get(HINTS)
        if hints is None:
            chunk = extra
        else:
            if "done" in hints:
                return b""
            if "silent" in hints:
                self._silent = True
                return b""
            chunk = extra.copy()
            del chunk[HINTS]
            events = frame.events
            if hints is TEXT_ALONE and len(events) == 1 and type(event := events[0]) is TextDelta:
                choice = chunk["choices"][0].copy()
                choice["delta"] = choice["delta"] | {"content": event.text}
                chunk["choices"] = (choice,)
                return b"data: " + _encode(chunk) + b"\n\n"
            for place, field, path in hints["slots"]:
                value = getattr(events[place], field, None) if place < len(events) else None
                if value is None:
                    return None
                _put(chunk, path, value)
        if self._request.include_usage is False and not chunk.get("choices", True) and "usage" in chunk:
            return b""
        if not self._told_failure:
            self._told_failure = any(type(event) is Failed for event in frame.events)
        if hints is not None and "name" in hints:
            return sse.render(_encode(chunk), hints["name"].encode())
        return b"data: " + _encode(chunk) + b"\n\n"

    # Foreign frames

    def _event(self, event: AnyEvent) -> bytes:
        self._foreign = True
        written = _WRITERS.get(type(event))
        return written(self, event) if written is not None else b""

    def _opening(self) -> bytes:
        """Return how every chunk begins, as far as its choices."""
        if not self._head:
            self._started(Started())
        return self._head

    def _started(self, event: Started) -> bytes:
        if not self._head:
            self._open_as(self._given.new_id("chatcmpl-"), event)
        return b""

    def _open_as(self, name: str, event: Started) -> None:
        head = _encode(
            {
                "id": name,
                "object": "chat.completion.chunk",
                "created": event.created if event.created is not None else self._given.created,
                "model": event.model or self._request.model,
            }
        )
        self._head = b"data: " + head[:-1] + b',"choices":['

    def _delta(self, choice: int, delta: Table, logprobs: Any = None) -> bytes:
        if choice not in self._spoken:
            self._spoken.add(choice)
            delta = {"role": "assistant", "content": None, "refusal": None} | delta
        body = _encode({"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": None})
        return (self._head or self._opening()) + body + b"]" + self._tail

    def _ending(self, choice: int, reason: str) -> bytes:
        self._finished.add(choice)
        body = _encode({"index": choice, "delta": {}, "logprobs": None, "finish_reason": reason})
        return self._opening() + body + b"]" + self._tail

    def _part_started(self, event: PartStarted) -> bytes:
        part = event.part
        known = _Part(part, -1)
        self._parts[event.choice, event.index] = known
        if self._told is not None:
            known.begun = self._told.get(event.choice, 0)
        if type(part) is ToolCall:
            if part.kind == "server":
                return b""
            known.wire = self._calls.get(event.choice, 0)
            self._calls[event.choice] = known.wire + 1
            call_id = seal_call(part) if part.signature is not None else part.id
            if self._legacy:
                return self._delta(event.choice, {"function_call": {"name": part.name, "arguments": ""}})
            inner = {"name": part.name, _arguments(part): ""}
            call = {"index": known.wire, "id": call_id, "type": _kind(part), _kind(part): inner}
            return self._delta(event.choice, {"tool_calls": [call]})
        if type(part) is Text:
            if self._told is not None and part.text:
                self._told[event.choice] = known.begun + len(part.text)
            out = self._delta(event.choice, {"content": part.text}) if part.text else b""
            return out + b"".join([self._citation(event.choice, known, citation) for citation in part.citations])
        if type(part) is Refusal and part.text:
            return self._delta(event.choice, {"refusal": part.text})
        if type(part) is Thinking:
            known.opaque = part.opaque
            if part.text:
                known.text.append(part.text)
                return self._delta(event.choice, {"reasoning_content": part.text})
            return b""
        if type(part) is Image:
            return self._image(event.choice, known, part)
        if type(part) is Audio:
            sound = {"id": part.id or self._given.new_id("audio_")}
            if part.source.data:
                sound["data"] = part.source.data
            if part.transcript:
                sound["transcript"] = part.transcript
            return self._delta(event.choice, {"audio": sound})
        return b""

    def _text(self, event: TextDelta) -> bytes:
        choice = event.choice
        known = self._parts.get((choice, event.index))
        if self._told is not None:
            self._told[choice] = self._told.get(choice, 0) + len(event.text)
        name = "refusal" if known is not None and type(known.part) is Refusal else "content"
        if event.logprobs is None and name == "content" and choice in self._spoken:
            return b'%b{"index":%d,"delta":{"content":%b},"logprobs":null,"finish_reason":null}]%b' % (
                self._head,
                choice,
                _encode(event.text),
                self._tail,
            )
        return self._delta(choice, {name: event.text}, event.logprobs)

    def _thinking(self, event: ThinkingDelta) -> bytes:
        known = self._parts.get((event.choice, event.index))
        if known is not None:
            if event.opaque is not None:
                known.opaque = (known.opaque or "") + event.opaque
            if event.text:
                known.text.append(event.text)
        return self._delta(event.choice, {"reasoning_content": event.text}) if event.text else b""

    def _written_arguments(self, event: ArgumentsDelta) -> bytes:
        known = self._parts.get((event.choice, event.index))
        if known is None or known.wire < 0 or not event.text:
            return b""
        known.told = True
        return self._arguments_delta(event.choice, known, event.text)

    def _arguments_delta(self, choice: int, known: _Part, text: str) -> bytes:
        if self._legacy:
            return self._delta(choice, {"function_call": {"arguments": text}})
        call = {"index": known.wire, _kind(known.part): {_arguments(known.part): text}}
        return self._delta(choice, {"tool_calls": [call]})

    def _cited(self, event: CitationDelta) -> bytes:
        return self._citation(event.choice, self._parts.get((event.choice, event.index)), event.citation)

    def _citation(self, choice: int, known: _Part | None, citation: Citation) -> bytes:
        if known is not None and self._told is not None:
            if citation.end is None:
                # It is about the whole of a part, which is not told yet.
                known.cited.append(citation)
                return b""
            start, end = known.begun + (citation.start or 0), known.begun + citation.end
            citation = msgspec.structs.replace(citation, start=start, end=end)
        written = render_citation(citation, False)
        return self._delta(choice, {"annotations": [written]}) if written is not None else b""

    def _audio(self, event: AudioDelta) -> bytes:
        sound = {name: value for name, value in (("data", event.data), ("transcript", event.transcript)) if value}
        return self._delta(event.choice, {"audio": sound}) if sound else b""

    def _image(self, choice: int, known: _Part, image: Image) -> bytes:
        written = render_images([image])
        if not written:
            return b""
        known.told = True
        return self._delta(choice, {"images": written})

    def _part_ended(self, event: PartEnded) -> bytes:
        known = self._parts.pop((event.choice, event.index), None)
        if known is None:
            return b""
        part = event.part if event.part is not None else known.part
        if known.cited and self._told is not None:
            end = self._told.get(event.choice, 0) - known.begun
            placed = [msgspec.structs.replace(citation, end=end) for citation in known.cited]
            return b"".join([self._citation(event.choice, known, citation) for citation in placed])
        if type(part) is ToolCall and known.wire >= 0 and not known.told:
            if part.kind == "custom" and not part.arguments:
                return b""
            return self._arguments_delta(event.choice, known, part.arguments or "{}")
        if type(part) is Image and not known.told:
            return self._image(event.choice, known, part)
        if type(part) is Thinking:
            opaque = known.opaque if known.opaque is not None else part.opaque
            if opaque is None:
                return b""
            thought = msgspec.structs.replace(part, opaque=opaque, text="")
            details = render_details([thought])
            if details and details[0].get("type") == "reasoning.encrypted" and known.text and not part.redacted:
                # The text went before; this seals it.
                details[0] = {"type": "reasoning.text", "text": "".join(known.text), "signature": details[0]["data"]}
            return self._delta(event.choice, {DETAILS: details}) if details else b""
        return b""

    def _used(self, event: Used) -> bytes:
        self._usage = event.usage
        return b""

    def _ended_choice(self, event: Finished) -> bytes:
        if event.choice in self._finished:
            return b""
        out = b"" if event.choice in self._spoken else self._delta(event.choice, {"content": ""})
        return out + self._ending(event.choice, render_finish(event.finish, legacy=self._legacy))

    def _broken(self, event: Failed) -> bytes:
        return self.fail(event.error)

    def _ping(self, event: Ping) -> bytes:
        # A chunk without words: some clients of this API take the comments of server-sent events for faults.
        return self._delta(0, {}) if self._head and 0 not in self._finished else b""


def _kind(part: ToolCall) -> str:
    return "custom" if part.kind == "custom" else "function"


def _arguments(part: ToolCall) -> str:
    return "input" if part.kind == "custom" else "arguments"


def _put(chunk: Table, path: tuple[str | int, ...], value: Any) -> None:
    """Set a value deep in a chunk, whose insides belong to others: what is on the way there is copied."""
    node: Any = chunk
    for step in path[:-1]:
        inner = node[step].copy()
        node[step] = inner
        node = inner
    node[path[-1]] = value


_WRITERS: dict[type, Callable[[Encoder, Any], bytes]] = {
    Started: Encoder._started,
    PartStarted: Encoder._part_started,
    TextDelta: Encoder._text,
    ThinkingDelta: Encoder._thinking,
    ArgumentsDelta: Encoder._written_arguments,
    CitationDelta: Encoder._cited,
    AudioDelta: Encoder._audio,
    PartEnded: Encoder._part_ended,
    Used: Encoder._used,
    Finished: Encoder._ended_choice,
    Failed: Encoder._broken,
    Ping: Encoder._ping,
}
