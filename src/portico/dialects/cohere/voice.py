"""Another dialect's stream, said in Cohere's grammar: one content or call after the other, each begun and ended.

Clients take the arguments that come as those of the call that began last. So what comes for another part waits until
the one that is open has ended; a content begins with its first words, so that none is empty.
"""

from typing import Any

import msgspec

from portico.dialects.cohere.content import Object, render_citation
from portico.dialects.cohere.reply import reason_of, render_content, render_logprobs, render_usage
from portico.dialects.crossing import Given
from portico.dialects.resume.said import Said
from portico.dialects.seal import seal, seal_call
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
    Citation,
    CitationDelta,
    Finished,
    Part,
    PartEnded,
    PartStarted,
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
from portico.types import Dialect, Usage

_encode = msgspec.json.encode


class _Begun:
    """A part that has begun: where its content stands, and what came for it while another was open."""

    __slots__ = ("cited", "opaque", "part", "place", "texts", "waiting")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.place = -1
        self.opaque: str | None = part.opaque if isinstance(part, Thinking) else None
        self.texts: list[str] = []
        self.cited: list[Citation] = []
        self.waiting: list[AnyEvent] = []


class Voice:
    """Says events of another dialect, of several answers those of the first."""

    def __init__(self, request: Request, given: Given, maker: Dialect) -> None:
        self._request = request
        self._given = given
        self._maker: Dialect = maker
        self._id = ""
        self._parts: dict[int, _Begun] = {}
        self._current: int | None = None
        self._contents = 0
        self._calls = 0
        self._citations = 0
        self._finished: Finished | None = None
        self._usage: Usage | None = None

    def hear(self, event: AnyEvent, out: list[bytes]) -> None:
        """Take an event, and append what it comes to."""
        if getattr(event, "choice", 0):
            return
        if isinstance(event, Started):
            self._begin(out)
        elif isinstance(event, Finished):
            self._finished = event
        elif isinstance(event, Used):
            self._usage = event.usage
        elif isinstance(event, PartStarted):
            self._begin(out)
            self._parts[event.index] = _Begun(event.part)
            self._go_on(out)
        elif isinstance(event, TextDelta | ThinkingDelta | ArgumentsDelta | CitationDelta | AudioDelta | PartEnded):
            part = self._parts.get(event.index)
            if part is None:
                return
            if event.index != self._current:
                part.waiting.append(event)
            else:
                self._one(part, event, out)
                self._go_on(out)

    def take_over(self, said: Said, contents: int, citations: int) -> None:
        """Go on after events of this dialect that said this much; of contents and citations, so many began."""
        self._id = said.started.id or self._given.new_id("")
        self._contents = contents
        self._citations = citations
        opened = said.open
        if opened is not None:
            begun = self._parts[opened] = _Begun(said.parts[opened].part)
            begun.texts.append(said.parts[opened].text)
            begun.place = contents - 1
            self._current = opened

    def end(self, out: list[bytes]) -> None:
        """Append the end: what is still open, why it ended, what was used."""
        self._begin(out)
        while self._current is not None:
            self._close(self._parts[self._current], None, out)
            self._go_on(out)
        finish = self._finished.finish if self._finished is not None else None
        delta: Object = {"finish_reason": reason_of(finish)}
        if self._usage is not None:
            delta["usage"] = render_usage(self._usage)
        out.append(_event("message-end", {"id": self._id, "delta": delta}))
        out.append(b"data: [DONE]\n\n")

    def _begin(self, out: list[bytes]) -> None:
        if self._id:
            return
        self._id = self._given.new_id("")
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        out.append(_event("message-start", {"id": self._id, "delta": {"message": message}}))

    def _one(self, part: _Begun, event: AnyEvent, out: list[bytes]) -> None:
        if isinstance(event, TextDelta):
            self._say(part, event.text, out, event.logprobs)
        elif isinstance(event, ThinkingDelta):
            if event.opaque is not None:
                part.opaque = (part.opaque or "") + event.opaque
            self._think(part, event.text, out)
        elif isinstance(event, ArgumentsDelta):
            self._argue(part, event.text, out)
        elif isinstance(event, CitationDelta):
            self._cite(part, event.citation, out)
        elif isinstance(event, AudioDelta):
            self._say(part, event.transcript, out)
        elif isinstance(event, PartEnded):
            self._close(part, event.part, out)

    def _opening(self, begun: _Begun, out: list[bytes]) -> None:
        """Say of a part what is known at its beginning."""
        part = begun.part
        if isinstance(part, ToolCall):
            if part.kind == "server":
                return
            begun.place = self._calls
            self._calls += 1
            call: Object = {
                "id": part.id,
                "type": "function",
                "function": {"name": part.name, "arguments": '{"input":"' if part.kind == "custom" else ""},
            }
            if part.signature is not None:
                call["signature"] = seal_call(part)
            value = {"index": begun.place, "delta": {"message": {"tool_calls": call}}}
            out.append(_event("tool-call-start", value))
            if part.arguments != "{}":
                self._argue(begun, part.arguments, out)
        elif isinstance(part, Text | Refusal):
            self._say(begun, part.text, out)
            for citation in part.citations if isinstance(part, Text) else ():
                self._cite(begun, citation, out)
        elif isinstance(part, Thinking):
            self._think(begun, part.text, out)
        elif isinstance(part, Audio):
            self._say(begun, part.transcript or "", out)
        else:
            for content in render_content(part, False, self._maker):
                self._whole(content, out)

    def _whole(self, content: Object, out: list[bytes]) -> None:
        place = self._contents
        self._contents += 1
        if content["type"] == "text":
            start: Object = {"type": "text", "text": ""}
            out.append(_event("content-start", _content(place, start)))
            out.append(_event("content-delta", _content(place, {"text": content["text"]})))
        else:
            out.append(_event("content-start", _content(place, content)))
        out.append(_event("content-end", {"index": place}))

    def _place(self, begun: _Begun, kind: str, out: list[bytes]) -> None:
        if begun.place < 0:
            begun.place = self._contents
            self._contents += 1
            out.append(_event("content-start", _content(begun.place, {"type": kind, kind: ""})))

    def _say(self, begun: _Begun, text: str, out: list[bytes], told: Any = None) -> None:
        if not text:
            return
        self._place(begun, "text", out)
        begun.texts.append(text)
        value = _content(begun.place, {"text": text})
        found = render_logprobs(told) if told is not None else None
        if found:
            words = "".join(str(each["text"]) for each in found)  # a provider may say anything
            value["logprobs"] = {"text": words, "token_ids": [], "logprobs": [each["logprobs"][0] for each in found]}
        out.append(_event("content-delta", value))

    def _think(self, begun: _Begun, text: str, out: list[bytes]) -> None:
        if text:
            self._place(begun, "thinking", out)
            out.append(_event("content-delta", _content(begun.place, {"thinking": text})))

    def _argue(self, begun: _Begun, text: str, out: list[bytes]) -> None:
        if not text or begun.place < 0:
            return
        if isinstance(begun.part, ToolCall) and begun.part.kind == "custom":
            text = _encode(text).decode()[1:-1]
        begun.texts.append(text)
        self._arguments(begun.place, text, out)

    def _arguments(self, place: int, text: str, out: list[bytes]) -> None:
        value = {"index": place, "delta": {"message": {"tool_calls": {"function": {"arguments": text}}}}}
        out.append(_event("tool-call-delta", value))

    def _cite(self, begun: _Begun, citation: Citation, out: list[bytes]) -> None:
        if citation.end is None:
            # It is about the whole of a text, which is not told yet.
            begun.cited.append(citation)
        else:
            self._told(begun, citation, out)

    def _told(self, begun: _Begun, citation: Citation, out: list[bytes]) -> None:
        if begun.place < 0:
            return
        written = render_citation(citation, "".join(begun.texts), begun.place)
        index = self._citations
        self._citations += 1
        out.append(_event("citation-start", {"index": index, "delta": {"message": {"citations": written}}}))
        out.append(_event("citation-end", {"index": index}))

    def _close(self, begun: _Begun, whole: Part | None, out: list[bytes]) -> None:
        part = begun.part
        if isinstance(part, ToolCall):
            self._end_call(begun, part, whole, out)
        else:
            if isinstance(part, Thinking):
                self._seal(begun, part, whole, out)
            for citation in begun.cited:
                self._told(begun, citation, out)
            if begun.place >= 0:
                out.append(_event("content-end", {"index": begun.place}))
        assert self._current is not None, "a part that is closed was open"
        del self._parts[self._current]
        self._current = None

    def _go_on(self, out: list[bytes]) -> None:
        """Open the part that began next, say what came for it meanwhile, and so on while such parts have ended."""
        while self._current is None and self._parts:
            self._current = next(iter(self._parts))
            part = self._parts[self._current]
            self._opening(part, out)
            waiting, part.waiting = part.waiting, []
            for event in waiting:
                self._one(part, event, out)

    def _end_call(self, begun: _Begun, part: ToolCall, whole: Part | None, out: list[bytes]) -> None:
        if begun.place < 0:
            return
        if part.kind == "custom":
            self._arguments(begun.place, '"}', out)
        elif not begun.texts:
            self._arguments(begun.place, whole.arguments if isinstance(whole, ToolCall) else "{}", out)
        out.append(_event("tool-call-end", {"index": begun.place}))

    def _seal(self, begun: _Begun, part: Thinking, whole: Part | None, out: list[bytes]) -> None:
        """Say what seals a thought, beside no words."""
        opaque = begun.opaque
        if isinstance(whole, Thinking):
            part, opaque = whole, whole.opaque or opaque
        if opaque is None and not part.redacted:
            return
        self._place(begun, "thinking", out)
        sealed = seal(msgspec.structs.replace(part, opaque=opaque), self._maker)
        out.append(_event("content-delta", _content(begun.place, {"thinking": "", "signature": sealed})))


def _content(place: int, content: Object) -> Object:
    return {"index": place, "delta": {"message": {"content": content}}}


def _event(kind: str, value: Object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **value}))
