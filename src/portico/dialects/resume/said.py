"""What a stream has said so far: enough to ask another provider to go on, and to go on telling the caller.

Text is kept up to MOST characters; an answer beyond it is not gone on with.
"""

from typing import Literal

from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    AudioDelta,
    Ended,
    Failed,
    Finished,
    Part,
    PartEnded,
    PartStarted,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Used,
)
from portico.types import Usage

MOST = 1_000_000
"""Characters of an answer that are kept."""

State = Literal["whole", "text", "nothing", "never"]
"""How far an answer got.

`whole`: all of it was said, only the end of the stream is missing. `text`: some text, and nothing that cannot be gone
on from. `nothing`: no text yet, at most a thought: it can be asked for anew. `never`: a tool call has begun, there are
several answers, or something else is in it that nobody can go on with.
"""


class Spoken:
    """A part, as far as it was said. The text of a thought is not kept: nobody goes on with it."""

    __slots__ = ("ended", "part", "size", "texts")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.texts: list[str] = []
        self.size = 0
        self.ended = False

    @property
    def text(self) -> str:
        """All of its text."""
        if len(self.texts) > 1:
            self.texts = ["".join(self.texts)]
        return self.texts[0] if self.texts else ""


class Said:
    """Listens to the events of a stream, those of its one answer."""

    __slots__ = ("_never", "_size", "finished", "parts", "several", "started", "thought", "usage")

    def __init__(self) -> None:
        self.started = Started()
        self.parts: dict[int, Spoken] = {}
        self.finished: Finished | None = None
        self.usage: Usage | None = None
        self.thought = 0
        self._size = 0
        self._never = False
        self.several = False

    def __repr__(self) -> str:
        return f"<Said {self.state()}, {len(self.parts)} parts, {self._size} characters>"

    def hear(self, event: AnyEvent) -> None:
        """Take an event."""
        kind = type(event)
        if kind is Failed:
            return
        if event.choice:  # type: ignore[union-attr]  # all others have one
            self.several = True
            return
        if kind is TextDelta:
            spoken = self.parts.get(event.index)  # type: ignore[union-attr]  # kind says so
            if spoken is None:
                spoken = self.parts[event.index] = Spoken(Text(text=""))  # type: ignore[union-attr]  # kind says so
            self._more(spoken, event.text)  # type: ignore[union-attr]  # kind says so
            return
        match event:
            case Used():
                self.usage = event.usage
            case Started():
                self.started = event
            case Finished():
                self.finished = event
            case PartStarted():
                part = event.part
                spoken = self.parts[event.index] = Spoken(part)
                if type(part) is Text:
                    # A plan of tools to call is no answer.
                    self._never = self._never or bool(part.extra)
                    self._more(spoken, part.text)
                elif type(part) is not Thinking:
                    self._never = True
            case ThinkingDelta():
                if event.index not in self.parts:
                    self.parts[event.index] = Spoken(Thinking())
                self.thought += len(event.text)
            case PartEnded():
                spoken_part = self.parts.get(event.index)
                if spoken_part is not None:
                    spoken_part.ended = True
                    if type(event.part) is Text and not spoken_part.size:
                        self._more(spoken_part, event.part.text)
            case ArgumentsDelta() | AudioDelta():
                self._never = True
            case Ended():
                pass

    def _more(self, spoken: Spoken, text: str) -> None:
        self._size += len(text)
        spoken.size += len(text)
        if self._size <= MOST:
            spoken.texts.append(text)

    def state(self) -> State:
        """Return how far the answer got."""
        if self.several:
            return "never"
        if self.finished is not None:
            return "whole"
        if self._never or self._size > MOST:
            return "never"
        return "text" if self._size else "nothing"

    @property
    def text(self) -> str:
        """The text of the answer so far."""
        return "".join([spoken.text for spoken in self.parts.values() if type(spoken.part) is Text])

    @property
    def open(self) -> int | None:
        """The index of the part that is not ended, None for none; of several the last."""
        return next((index for index in reversed(self.parts) if not self.parts[index].ended), None)

    @property
    def next(self) -> int:
        """The index of a further part."""
        return max(self.parts, default=-1) + 1
