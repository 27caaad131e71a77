"""Another dialect's stream, said block after block: for the dialects whose streams open, fill and close one at a time.

One block is open at a time. What comes for another part meanwhile waits until that block ends; a block opens with its
first content, so that none is empty. What the provider says of the end and of the usage is held until the stream ends.
How an event is written is each dialect's own: it fills in the methods of `Voice`.
"""

from portico.dialects.crossing import Given
from portico.dialects.resume.said import Said
from portico.errors import PorticoError
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Audio,
    AudioDelta,
    Citation,
    CitationDelta,
    Ended,
    Failed,
    File,
    Finished,
    Frame,
    Image,
    Opaque,
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
    Video,
)
from portico.types import Dialect, Usage


class Item:
    """A part that has begun. `block` is its block's index, -1 while none is open; `opaque` what seals a thought.

    `head` is how an event that adds text to its block begins, where a dialect keeps that.
    """

    __slots__ = ("block", "ended", "head", "opaque", "part", "waiting")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.block = -1
        self.head = b""
        self.opaque: str | None = part.opaque if type(part) is Thinking else None
        self.waiting: list[AnyEvent] = []
        self.ended = False


class Voice:
    """Says frames of any dialect. `over` is true once the stream has ended or failed."""

    def __init__(self, request: Request, given: Given) -> None:
        self.request = request
        self.given = given
        self.over = False
        self.begun = False
        self.maker: Dialect = request.dialect
        self.model = ""
        self.usage: Usage | None = None
        self.finished: Finished | None = None
        self.blocks = 0
        self.out: list[bytes] = []
        self._items: dict[int, Item] = {}
        self._current: int | None = None

    # What a dialect writes, each into `out`

    def begin(self) -> None:
        """Open the message."""
        raise NotImplementedError

    def text(self, item: Item, text: str) -> None:
        """Say text, opening its block first where none is."""
        raise NotImplementedError

    def thought(self, item: Item, text: str) -> None:
        """Say a thought, opening its block first where none is."""
        raise NotImplementedError

    def sealed(self, item: Item) -> None:
        """Say what seals a thought that has ended, if anything."""
        raise NotImplementedError

    def call(self, item: Item, call: ToolCall) -> None:
        """Open a tool call."""
        raise NotImplementedError

    def arguments(self, item: Item, text: str) -> None:
        """Say more of a call's arguments."""
        raise NotImplementedError

    def cite(self, item: Item, citation: Citation) -> None:
        """Say a citation of the text."""
        raise NotImplementedError

    def stop(self, item: Item) -> None:
        """Close the item's block."""
        raise NotImplementedError

    def whole(self, part: Part) -> None:
        """Say a part that does not come in pieces."""
        raise NotImplementedError

    def end(self) -> None:
        """Say how the stream ended, and what was used."""
        raise NotImplementedError

    def ping(self) -> None:
        """Give a sign of life, where the dialect has one."""

    def error(self, error: PorticoError) -> bytes:
        """Return the event that tells of an error."""
        raise NotImplementedError

    # The order

    def feed(self, frame: Frame) -> bytes:
        """Return what a frame comes to, which may be nothing."""
        if self.over:
            return b""
        self.maker = frame.dialect
        events = frame.events
        if len(events) == 1 and type(event := events[0]) is TextDelta and event.index == self._current:
            # More of the text that is open, as nearly all frames are.
            item = self._items[event.index]
            if event.text and not event.choice:
                self.text(item, event.text)
            return self._said()
        for event in events:
            self._hear(event)
        return self._said()

    def anew(self, frame: Frame) -> bytes:
        """Return what the events of a frame come to, whatever dialect they are of."""
        return Voice.feed(self, frame)

    def take_over(self, said: Said) -> None:
        """Go on anew after frames of this dialect that said this much: its parts are the blocks that were told."""
        self.begun = True
        self.model = said.started.model
        self.usage = said.usage
        self.blocks = said.next
        for index, spoken in said.parts.items():
            if not spoken.ended:
                item = self._items[index] = Item(spoken.part)
                item.block = index
                self._current = index

    def finish(self) -> bytes:
        """Return what ends the stream properly; nothing where it has ended."""
        if self.over:
            return b""
        self._end()
        return self._said()

    def fail(self, error: PorticoError) -> bytes:
        """Return the event that ends the stream with an error; nothing where it has ended."""
        if self.over:
            return b""
        self.over = True
        return self.error(error)

    def _said(self) -> bytes:
        out = self.out
        if not out:
            return b""
        said = b"".join(out) if len(out) > 1 else out[0]
        out.clear()
        return said

    def _hear(self, event: AnyEvent) -> None:
        if self.over:
            return
        match event:
            case Failed():
                self.out.append(self.fail(event.error))
            case _ if event.choice:
                return
            case Used():
                self.usage = event.usage
            case Finished():
                self.finished = event
            case Ended():
                self._end()
            case Started():
                self.model = self.model or event.model
                self._begin()
            case Ping():
                if self.begun:
                    self.ping()
            case _:
                self._begin()
                self._part(event)

    def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            self.begin()

    def _part(
        self,
        event: PartStarted | PartEnded | TextDelta | ThinkingDelta | ArgumentsDelta | CitationDelta | AudioDelta,
    ) -> None:
        index = event.index
        if type(event) is PartStarted:
            self._items[index] = Item(event.part)
            if self._current is None:
                self._current = index
                self._opening(self._items[index])
            return
        item = self._items.get(index)
        if item is None:
            # A part that was not announced: a text or a thought can be told by its first delta.
            if isinstance(event, PartEnded | ArgumentsDelta):
                return
            item = self._items[index] = Item(Thinking() if type(event) is ThinkingDelta else Text(text=""))
            if self._current is None:
                self._current = index
        if item.ended:
            return
        if index != self._current:
            item.waiting.append(event)
            return
        if self._fill(item, event):
            self._current = None
            self._next()

    def _fill(self, item: Item, event: AnyEvent) -> bool:
        """Say what one event adds to the current part; returns whether that ended it."""
        match event:
            case TextDelta():
                if event.text:
                    self.text(item, event.text)
            case ArgumentsDelta():
                if event.text:
                    self.arguments(item, event.text)
            case ThinkingDelta():
                if event.opaque is not None:
                    item.opaque = (item.opaque or "") + event.opaque
                if event.text:
                    self.thought(item, event.text)
            case CitationDelta():
                self.cite(item, event.citation)
            case AudioDelta():
                if event.transcript:
                    self.text(item, event.transcript)
            case PartEnded():
                self._close(item, event.part)
                return True
            case _:
                raise AssertionError(f"{event!r} is no event of a part")
        return False

    def _next(self) -> None:
        """Go on with the parts that waited, in the order in which they began."""
        while self._current is None:
            found = next((index for index, item in self._items.items() if not item.ended), None)
            if found is None:
                return
            self._current = found
            item = self._items[found]
            self._opening(item)
            waiting, item.waiting = item.waiting, []
            for event in waiting:
                if self._fill(item, event):
                    self._current = None

    def _opening(self, item: Item) -> None:
        """Say of the current part what is known at its beginning."""
        match item.part:
            case ToolCall() as call:
                self.call(item, call)
            case Text(text=text, citations=citations):
                if text:
                    self.text(item, text)
                for citation in citations:
                    self.cite(item, citation)
            case Refusal(text=text):
                if text:
                    self.text(item, text)
            case Thinking(text=text):
                if text:
                    self.thought(item, text)
            case Audio(transcript=transcript):
                if transcript:
                    self.text(item, transcript)
            case ToolResult() | Image() | File() | Video() | Opaque():
                pass  # said when it is whole

    def _close(self, item: Item, whole: Part | None) -> None:
        item.ended = True
        part = item.part
        match part:
            case Thinking():
                if type(whole) is Thinking and whole.opaque is not None and item.opaque is None:
                    item.opaque = whole.opaque
                if type(whole) is Thinking and item.block < 0 and whole.text:
                    self.thought(item, whole.text)
                self.sealed(item)
            case Text() | Refusal():
                if item.block < 0 and isinstance(whole, Text | Refusal) and whole.text:
                    self.text(item, whole.text)
            case ToolResult() | Image() | File() | Video() | Opaque():
                self.whole(whole if whole is not None else part)
            case ToolCall() | Audio():
                pass
        if item.block >= 0:
            self.stop(item)

    def _end(self) -> None:
        self._begin()
        while self._current is not None:
            self._close(self._items[self._current], None)
            self._current = None
            self._next()
        self.end()
        self.over = True
