"""Another dialect's stream, said in Gemini's grammar: elements that each hold what is new.

A call is said when it is whole, for Gemini's clients take no pieces; the finish reason and the usage come last.
"""

from typing import Any

import msgspec

from portico.dialects.crossing import Given
from portico.dialects.gemini.grounding import grounding, render_logprobs
from portico.dialects.gemini.reply import nothing_lost, reason_of, render_usage
from portico.dialects.gemini.spelling import Object
from portico.dialects.gemini.writing import render_part, sealed
from portico.dialects.resume.said import Said
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
    CitationDelta,
    Finished,
    Frame,
    Part,
    PartEnded,
    PartStarted,
    Refusal,
    Request,
    Source,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Used,
)
from portico.types import Usage


class Voice:
    """Says events of any dialect; what it says are elements still to be framed."""

    def __init__(self, request: Request, given: Given) -> None:
        self._request = request
        self._given = given
        self._head: Object = {}
        self._usage: Usage | None = None
        self._open: dict[tuple[int, int], _Begun] = {}
        self._finished: dict[int, Finished] = {}
        self._cited: dict[int, list[Part]] = {}
        self._logprobs: dict[int, list[Any]] = {}

    def hear(self, event: AnyEvent, frame: Frame, out: list[Object]) -> None:
        """Take an event of a frame, and append the elements that it comes to."""
        kind = type(event)
        if kind is TextDelta:
            self._say_text(event, out)  # type: ignore[arg-type]  # kind says so
        elif kind is Started:
            if not self._head:
                self._begin(event.model)  # type: ignore[union-attr]  # kind says so
        elif kind is Used:
            self._usage = event.usage  # type: ignore[union-attr]  # kind says so
        elif kind is Finished:
            self._finished[event.choice] = event  # type: ignore[union-attr,assignment]  # kind says so
        elif isinstance(event, PartStarted):
            self._start(event, frame, out)
        elif isinstance(event, PartEnded):
            begun = self._open.pop((event.choice, event.index), None)
            if begun is not None:
                self._close(event.choice, begun, event.part, out)
        elif isinstance(event, ThinkingDelta | ArgumentsDelta | AudioDelta | CitationDelta):
            self._more(event, frame, out)

    def take_over(self, said: Said) -> None:
        """Go on after elements of this dialect that said this much."""
        self._begin(said.started.model)
        if said.started.id:
            self._head["responseId"] = said.started.id
        frame = Frame(dialect="gemini")
        for index, spoken in said.parts.items():
            if not spoken.ended:
                begun = self._open[0, index] = _Begun(spoken.part, frame)
                begun.texts.append(spoken.text)

    def _begin(self, model: str) -> None:
        self._head = {
            "modelVersion": model or self._request.model,
            "responseId": self._given.new_id(""),
        }

    def _element(self, choice: int, parts: list[Object], **more: Any) -> Object:
        if not self._head:
            self._begin("")
        candidate: Object = {"content": {"parts": parts, "role": "model"}, "index": choice, **more}
        return {"candidates": [candidate], **self._head}

    def _say_text(self, event: TextDelta, out: list[Object]) -> None:
        begun = self._open.get((event.choice, event.index))
        if type(event.logprobs) is dict and isinstance(told := event.logprobs.get("content"), list):
            self._logprobs.setdefault(event.choice, []).extend(told)
        if event.text:
            if begun is not None:
                begun.texts.append(event.text)
            out.append(self._element(event.choice, [{"text": event.text}]))

    def _start(self, event: PartStarted, frame: Frame, out: list[Object]) -> None:
        part = event.part
        begun = self._open[event.choice, event.index] = _Begun(part, frame)
        if isinstance(part, Text | Refusal):
            if part.text:
                begun.texts.append(part.text)
                out.append(self._element(event.choice, [{"text": part.text}]))
            if isinstance(part, Text):
                begun.citations.extend(part.citations)
        elif isinstance(part, Thinking) and part.text:
            out.append(self._element(event.choice, [{"text": part.text, "thought": True}]))

    def _more(
        self, event: ThinkingDelta | ArgumentsDelta | AudioDelta | CitationDelta, frame: Frame, out: list[Object]
    ) -> None:
        begun = self._open.get((event.choice, event.index))
        if isinstance(event, ThinkingDelta):
            if event.opaque is not None:
                if begun is None:
                    begun = self._open[event.choice, event.index] = _Begun(Thinking(), frame)
                begun.opaque = (begun.opaque or "") + event.opaque
            if event.text:
                out.append(self._element(event.choice, [{"text": event.text, "thought": True}]))
        elif isinstance(event, ArgumentsDelta):
            if begun is not None:
                begun.texts.append(event.text)
        elif isinstance(event, CitationDelta):
            if begun is not None:
                begun.citations.append(event.citation)
        elif event.data or event.transcript:
            source = begun.part.source if begun is not None and isinstance(begun.part, Audio) else Source()
            parts: list[Object] = []
            if event.data:
                parts.append({"inlineData": {"mimeType": source.media_type or "audio/pcm", "data": event.data}})
            if event.transcript:
                parts.append({"text": event.transcript})
            out.append(self._element(event.choice, parts))

    def _close(self, choice: int, begun: "_Begun", whole: Part | None, out: list[Object]) -> None:
        part = begun.part
        if isinstance(part, Text):
            cited = [*begun.citations, *(whole.citations if isinstance(whole, Text) and not begun.citations else ())]
            text = "".join(begun.texts)
            self._cited.setdefault(choice, []).append(Text(text=text, citations=tuple(cited)))
            return
        if isinstance(part, Refusal):
            return
        if isinstance(part, Thinking):
            self._seal(choice, begun, part, whole, out)
            return
        if isinstance(part, ToolCall):
            arguments = "".join(begun.texts)
            if isinstance(whole, ToolCall):
                part = whole
            elif arguments:
                part = msgspec.structs.replace(part, arguments=arguments)
        elif isinstance(part, Audio) and not part.source.data:
            return
        elif whole is not None:
            part = whole
        written = render_part(part, False, True, nothing_lost)
        if written is not None:
            out.append(self._element(choice, [written]))

    def _seal(self, choice: int, begun: "_Begun", part: Thinking, whole: Part | None, out: list[Object]) -> None:
        """Write what seals a thought after its words, as a part of its own."""
        opaque = begun.opaque
        if isinstance(whole, Thinking):
            part = whole
            opaque = whole.opaque or opaque
        if opaque is None and not part.redacted:
            return
        maker = part.maker or begun.maker
        thought = msgspec.structs.replace(part, opaque=opaque, maker=maker, text="")
        signature = opaque if maker == "gemini" and opaque is not None else sealed(thought)
        out.append(self._element(choice, [{"text": "", "thought": True, "thoughtSignature": signature}]))

    def end(self, out: list[Object]) -> None:
        """Append the last element: what is still open, why it ended, what was used."""
        for (choice, _), begun in self._open.items():
            self._close(choice, begun, None, out)
        self._open.clear()
        if not self._head:
            self._begin("")
        candidates = []
        for choice, finished in self._finished.items():
            candidate: Object = {
                # Google's own client takes an element without parts for an invalid one.
                "content": {"parts": [{"text": ""}], "role": "model"},
                "finishReason": reason_of(finished.finish, None, False),
                "index": choice,
            }
            grounded = grounding(self._cited.get(choice, ()))
            if grounded is not None:
                candidate["groundingMetadata"] = grounded
            found = render_logprobs({"content": self._logprobs.get(choice)})
            if found is not None:
                candidate["logprobsResult"] = found
            candidates.append(candidate)
        element: Object = {"candidates": candidates, **self._head} if candidates else dict(self._head)
        if self._usage is not None:
            element["usageMetadata"] = render_usage(self._usage)
        out.append(element)


class _Begun:
    """A part of another dialect's stream that has begun."""

    __slots__ = ("citations", "maker", "opaque", "part", "texts")

    def __init__(self, part: Part, frame: Frame) -> None:
        self.part = part
        self.maker = frame.dialect
        self.opaque: str | None = part.opaque if isinstance(part, Thinking) else None
        self.texts: list[str] = []
        if isinstance(part, ToolCall) and part.arguments not in ("{}", ""):
            self.texts.append(part.arguments)
        self.citations = list(part.citations) if isinstance(part, Text) else []
