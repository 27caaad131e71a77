"""A stream to a caller that can go on at another provider when its own dies.

It is a Translation, of the same dialect too, that listens to what it tells. When the stream dies, or reports an
error, nothing of that is told: `died` says what it was. `state` says how far the answer got; where it can be gone on
with, `Rest` is the request for the rest of it, and `go_on` takes its stream.

    answer = Answer(question, name, target, given)
    ... relay ...                     answer.died, or the connection's own end
    rest = answer.rest(name, target)  what to send; answer.go_on(rest, spent); then feed, flush, fail as before
"""

from collections.abc import Callable
from typing import Protocol, cast

import msgspec

from portico.dialects.crossing import Given, Target
from portico.dialects.estimating import text_tokens
from portico.dialects.resume.ask import Way, continued, marked, way
from portico.dialects.resume.joint import Joint, circles
from portico.dialects.resume.said import Said, State
from portico.dialects.resume.telling import Telling
from portico.dialects.translate import FrameEncoder, Question, Translation
from portico.errors import BadUpstreamReply, PorticoError
from portico.ir import AnyEvent, Ended, Failed, Finished, Frame, Used
from portico.types import Usage


class _Encoder(FrameEncoder, Protocol):
    """Writes a caller's stream, and can go on with what came in its own words."""

    def anew(self, frame: Frame, /) -> bytes:
        """Return what the events of a frame come to, whatever dialect they are of."""

    def take_over(self, said: Said, /) -> None:
        """Go on anew after frames of this dialect that said this much."""


class Rest(Translation):
    """The request for the rest of an answer, and the reader of its stream. Raises InvalidRequest as its base does."""

    __slots__ = ("asked", "heard", "joint")

    def __init__(self, question: Question, upstream: str, target: Target, given: Given, said: Said) -> None:
        text = said.text
        asked = question.request
        how: Way = "from"
        self.joint = Joint(text, asked=True, cut=True)
        if text.strip():
            how = way(asked, target)
            # Mistral says the prefix again, and DeepSeek does not.
            self.joint = Joint(text, asked=how in ("words", "prefix"), cut=how == "from")
            asked = continued(asked, text, how, text_tokens(text, target.model))
        self.asked = asked
        self.heard = Said()
        super().__init__(question.put(asked), upstream, target, given)
        self.body = marked(self.body, how)

    def frames(self, chunk: bytes) -> list[Frame]:
        """Read a chunk. Raises BadUpstreamReply."""
        return self._plainly(self._reader().feed(chunk))

    def last(self) -> list[Frame]:
        """Read what the end of the stream completes. Raises BadUpstreamReply."""
        return self._plainly(self._reader().flush())

    def whole(self, body: bytes) -> list[Frame]:
        """Read a reply that came whole. Raises BadUpstreamReply."""
        from portico.dialects.replayed import frames

        return self._plainly(frames(self._language.parse_reply(body)))

    def _plainly(self, frames: list[Frame]) -> list[Frame]:
        unwrapper = self._unwrapper
        return frames if unwrapper is None else [unwrapper.feed(frame) for frame in frames]


class Answer(Translation):
    """A translation of a stream that can be gone on with. `died` is what it failed of, told to nobody yet."""

    __slots__ = ("_going", "_rest", "_said", "_spent", "_target", "_telling", "died")

    def __init__(
        self, question: Question, upstream: str, target: Target, given: Given, *, strict: bool = False
    ) -> None:
        super().__init__(question, upstream, target, given, strict=strict)
        self._said = Said()
        self._target = target
        self._rest: Rest | None = None
        self._telling: Telling | None = None
        self._spent: Usage | None = None
        self._going = False
        self.died: PorticoError | None = None

    @property
    def said(self) -> Said:
        """What the caller was told so far."""
        return self._said

    def state(self) -> State:
        """Return how far the answer got."""
        state = self._said.state()
        request = self._question.request
        if (request.n or 1) > 1:
            return "never"
        if state == "text" and request.output is not None and request.output.kind != "text":
            return "never"  # nobody goes on in the middle of JSON
        if state == "text" and circles(self._said.text):
            return "never"
        return state

    def rest(self, upstream: str, target: Target) -> Rest:
        """Return the request for the rest of the answer, at a target. Raises InvalidRequest where it cannot be made."""
        return Rest(self._question, upstream, target, self._given, self._said)

    def go_on(self, rest: Rest, spent: Usage | None) -> None:
        """Take the stream that follows as the rest of the answer; `spent` is what was used before it."""
        encoder = cast(_Encoder, self._writer())
        if not self._going:
            self._going = True
            if self._question.operation.dialect == self.upstream.dialect:
                encoder.take_over(self._said)
        self._rest = rest
        self._telling = Telling(self._said, rest.joint)
        self._spent = spent
        self.died = None

    def end_whole(self) -> bytes:
        """Return what ends a stream all of whose answer was told."""
        encoder = cast(_Encoder, self._writer())
        self.finished = True
        dialect = self._question.operation.dialect
        if dialect != self.upstream.dialect or self._going:
            return encoder.finish()
        if dialect == "messages":
            return encoder.feed(Frame(dialect=dialect, events=(Ended(),)))
        if dialect == "chat":
            encoder.take_over(self._said)
        # What Bedrock would say after it are figures that nobody knows; the others end with their last event.
        return b"" if dialect == "converse" else encoder.finish()

    def relay(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return what takes a chunk and writes what goes on of it."""

        def consume(chunk: bytes) -> None:
            out = self.feed(chunk)
            if out:
                write(out)

        return consume

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk from the provider whose stream it is now, and return what goes on to the caller."""
        if (self.finished and not self._trails()) or self.failed is not None or self.died is not None:
            return b""
        rest = self._rest
        return self._tell((lambda: rest.frames(chunk)) if rest is not None else (lambda: self._reader().feed(chunk)))

    def flush(self) -> bytes:
        """Say that the stream was closed, and return what is still to go on."""
        if self.finished or self.failed is not None or self.died is not None:
            return b""
        rest = self._rest
        return self._tell(rest.last if rest is not None else self._reader().flush)

    def whole(self, body: bytes) -> bytes:
        """Take the rest of an answer that came as a whole reply, and return what goes on to the caller."""
        rest = self._rest
        assert rest is not None
        return self._tell(lambda: rest.whole(body))

    def _writer(self) -> FrameEncoder:
        if self._encoder is None and self._question.operation.dialect == self.upstream.dialect == "chat":
            asked = self._question.request
            if asked.include_usage is None and "usage_always" not in self._target.quirks:
                # Usage was asked for in its place: the caller is not to see it.
                self._question = self._question.put(msgspec.structs.replace(asked, include_usage=False))
        return super()._writer()

    def _tell(self, read: Callable[[], list[Frame]]) -> bytes:
        encoder = cast(_Encoder, self._encoder or self._writer())
        try:
            frames = read()
        except BadUpstreamReply as error:
            self.died = error
            return b""
        out: list[bytes] = []
        said, telling, rest = self._said, self._telling, self._rest
        for frame in frames:
            told = frame if self._unwrapper is None or rest is not None else self._unwrapper.feed(frame)
            events = told.events
            for event in events:
                if type(event) is Failed:
                    self.died = event.error
                    return b"".join(out)
                if rest is not None:
                    rest.heard.hear(event)
            if telling is not None:
                events = self._placed(telling.hear(events))
                if telling.astray:
                    self.died = BadUpstreamReply("the rest of the answer was another answer")
                    return b"".join(out)
                told = Frame(dialect=told.dialect, events=events)
            for event in events:
                said.hear(event)
                if type(event) is Ended:
                    self.finished = True
            written = encoder.feed(told) if telling is None else encoder.anew(told) if events else b""
            if written:
                out.append(written)
        self.usage = said.usage
        if self.finished and not self._trails():
            out.append(encoder.finish())
        return b"".join(out)

    def _trails(self) -> bool:
        """Return whether something may stand behind the end: Cohere's own streams have a last word."""
        return self._rest is None and self._question.operation.dialect == self.upstream.dialect == "cohere"

    def _placed(self, events: list[AnyEvent]) -> tuple[AnyEvent, ...]:
        """Put the usage of all attempts before the end."""
        if any(type(event) is Ended for event in events):
            assert self._rest is not None
            usage = added(self._spent, self._rest.heard.usage)
            if usage is not None:
                at = next((at for at, event in enumerate(events) if type(event) in (Finished, Ended)), len(events))
                events.insert(at, Used(usage=usage))
        return tuple(events)


def added(one: Usage | None, other: Usage | None) -> Usage | None:
    """Return what two attempts used together; tier and place are the later one's."""
    if one is None or other is None:
        return other if one is None else one
    found = {name: getattr(one, name) + getattr(other, name) for name in _COUNTS}
    cost = None
    if one.reported_cost is not None and other.reported_cost is not None:
        cost = one.reported_cost + other.reported_cost
    return msgspec.structs.replace(other, reported_cost=cost, **found)


_COUNTS = tuple(name for name in Usage.__struct_fields__ if name not in ("reported_cost", "tier", "geo"))
