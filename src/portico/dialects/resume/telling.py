"""The rest of an answer, as its caller is to hear it: another stream's events, fitted behind what was said.

Parts go on counting where the first stream stopped. Its open text grows by what is new; thoughts are told only where
no text was told yet, for they would stand behind it. The beginning, the usage and the end are told once.
"""

from collections.abc import Iterable

import msgspec

from portico.dialects.resume.joint import Joint
from portico.dialects.resume.said import Said
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    AudioDelta,
    Citation,
    CitationDelta,
    Ended,
    Failed,
    Finished,
    PartEnded,
    PartStarted,
    Ping,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Used,
)

_replace = msgspec.structs.replace
_Growing = TextDelta | ThinkingDelta | ArgumentsDelta | CitationDelta | AudioDelta


class Telling:
    """Fits a stream's events behind what was said; `joint` is where its text is joined."""

    def __init__(self, said: Said, joint: Joint) -> None:
        self._joint = joint
        self._before = len(said.text)
        self._resumes = bool(self._before)
        self._next = said.next
        self._text: int | None = None
        """The part that the text goes on in, while it is open."""
        self._length = 0
        """Characters that it had at the seam."""
        self._places: dict[int, int | None] = {}
        self._closing: int | None = None
        opened = said.open
        if opened is not None:
            if type(said.parts[opened].part) is Text:
                self._text = opened
                self._length = said.parts[opened].size
            else:
                self._closing = opened
        self._first: int | None = None
        """The other stream's own index of the text that is joined."""

    @property
    def astray(self) -> bool:
        """Whether the continuation is another answer, which cannot be joined."""
        return self._joint.astray

    def hear(self, events: Iterable[AnyEvent]) -> list[AnyEvent]:
        """Return what the events come to for the caller."""
        out: list[AnyEvent] = []
        for event in events:
            kind = type(event)
            if kind is Ping:
                out.append(event)
            elif isinstance(event, Started | Used | Failed) or event.choice:
                continue
            elif kind is Finished or kind is Ended:
                self._settle(out)
                out.append(event)
            elif isinstance(event, PartStarted):
                self._begin(event, out)
            elif isinstance(event, PartEnded):
                self._end(event, out)
            elif isinstance(event, _Growing):
                self._grow(event, out)
        return out

    def _begin(self, event: PartStarted, out: list[AnyEvent]) -> None:
        part = event.part
        if type(part) is Thinking and self._resumes:
            self._places[event.index] = None
            return
        if type(part) is Text and not self._joint.settled:
            self._first = event.index
            self._join(part.text, out)
            return
        if type(part) is Text and self._text is not None and not self._resumes and not self._places:
            # A text had begun, without a word in it.
            self._places[event.index] = self._text
            if part.text:
                out.append(TextDelta(index=self._text, text=part.text))
            return
        self._settle(out)
        self._close(out)
        place = self._places[event.index] = self._next
        self._next += 1
        out.append(_replace(event, index=place))

    def _join(self, text: str, out: list[AnyEvent]) -> None:
        """Take text that may be a repetition, and tell what of it is new."""
        was = self._joint.settled
        new = self._joint.feed(text) if text else ""
        if not was and self._joint.settled and not self._joint.astray:
            self._place(out)
        if new and self._first is not None and (place := self._places.get(self._first)) is not None:
            out.append(TextDelta(index=place, text=new))

    def _place(self, out: list[AnyEvent]) -> None:
        """Say where the joined text goes on: in the part that is open, or in a new one."""
        assert self._first is not None
        if self._text is None:
            self._close(out)
            self._text = self._next
            self._next += 1
            out.append(PartStarted(index=self._text, part=Text(text="")))
            self._length = 0
        self._places[self._first] = self._text

    def _settle(self, out: list[AnyEvent]) -> None:
        """Decide about what is still held back: nothing more of it will come."""
        if self._joint.settled:
            return
        rest = self._joint.end()
        if rest:
            if self._first is None:
                self._first = -1
            self._place(out)
            place = self._places[self._first]
            assert place is not None
            out.append(TextDelta(index=place, text=rest))

    def _close(self, out: list[AnyEvent]) -> None:
        """End what was open when the stream died."""
        if self._closing is not None:
            out.append(PartEnded(index=self._closing))
            self._closing = None
        if self._text is not None:
            out.append(PartEnded(index=self._text))
            self._text = None

    def _end(self, event: PartEnded, out: list[AnyEvent]) -> None:
        place = self._places.get(event.index)
        if place is None:
            # A repetition may end where its part does; what is new comes in the next one, or not at all.
            return
        if place == self._text:
            self._text = None
            event = _replace(event, part=None)
        out.append(_replace(event, index=place))

    def _grow(self, event: _Growing, out: list[AnyEvent]) -> None:
        index = event.index
        if type(event) is TextDelta and not self._joint.settled:
            if self._first is None or index not in self._places:
                self._first = index
            self._join(event.text, out)
            return
        if index not in self._places:
            # A part that was not announced.
            if type(event) is ThinkingDelta:
                self._begin(PartStarted(index=index, part=Thinking()), out)
            elif type(event) is TextDelta:
                self._begin(PartStarted(index=index, part=Text(text="")), out)
        place = self._places.get(index)
        if place is None:
            return
        if type(event) is CitationDelta and place == self._text and index == self._first:
            event = _replace(event, citation=self._moved(event.citation))
        out.append(_replace(event, index=place))

    def _moved(self, citation: Citation) -> Citation:
        """Move a citation's place in the continuation to its place in the joined text."""
        by = self._length - self._joint.taken
        start, end = citation.start, citation.end
        return _replace(
            citation,
            start=None if start is None else max(0, start + by),
            end=None if end is None else max(0, end + by),
        )
