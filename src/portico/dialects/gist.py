"""What an answer comes to, to be set beside another one: why it ended, how long its text is, which tools it calls."""

from typing import Any, NamedTuple

import msgspec

from portico.dialects.operations import Operation
from portico.dialects.translate import LANGUAGES
from portico.ir import (
    AnyEvent,
    ArgumentsDelta,
    Finished,
    PartEnded,
    PartStarted,
    Refusal,
    Text,
    TextDelta,
    ToolCall,
)


class Gist(NamedTuple):
    """An answer in short: of several the first. `calls` are names of tools and their arguments, in order.

    Arguments are what their JSON says, or their text where that is none.
    """

    finish: str | None
    characters: int
    calls: tuple[tuple[str, Any], ...]


def gist(operation: Operation, body: bytes, *, stream: bool) -> Gist:
    """Return the gist of a reply in the dialect of an operation. Raises BadUpstreamReply for what is none."""
    language = LANGUAGES[operation.dialect]
    if stream:
        decoder = language.Decoder()
        frames = [*decoder.feed(body), *decoder.flush()]
    else:
        from portico.dialects.replayed import frames as replayed

        frames = replayed(language.parse_reply(body))
    hearing = _Hearing()
    for frame in frames:
        for event in frame.events:
            hearing.hear(event)
    return Gist(hearing.finish, hearing.characters, tuple(hearing.calls()))


class _Hearing:
    """Adds up the events of an answer."""

    def __init__(self) -> None:
        self.finish: str | None = None
        self._texts: dict[int, int] = {}
        self._tools: dict[int, tuple[str, list[str]]] = {}

    @property
    def characters(self) -> int:
        return sum(self._texts.values())

    def calls(self) -> list[tuple[str, Any]]:
        return [(name, _read("".join(pieces) or "{}")) for _, (name, pieces) in sorted(self._tools.items())]

    def hear(self, event: AnyEvent) -> None:
        if getattr(event, "choice", 0):
            return
        match event:
            case TextDelta():
                self._texts[event.index] = self._texts.get(event.index, 0) + len(event.text)
            case PartStarted():
                self._begin(event)
            case ArgumentsDelta():
                self._tools.setdefault(event.index, ("", []))[1].append(event.text)
            case PartEnded():
                self._end(event)
            case Finished():
                self.finish = event.finish
            case _:
                pass  # usage, thoughts and signs of life are no part of it

    def _begin(self, event: PartStarted) -> None:
        part = event.part
        if isinstance(part, (Text, Refusal)):
            self._texts[event.index] = self._texts.get(event.index, 0) + len(part.text)
        elif isinstance(part, ToolCall):
            # Some dialects begin with all arguments, others with an empty object before the first piece of them.
            begun = part.arguments if part.arguments not in ("", "{}") else ""
            self._tools[event.index] = (part.name, [begun] if begun else [])

    def _end(self, event: PartEnded) -> None:
        """Take a part that is told whole at its end, where its pieces did not come."""
        part = event.part
        if isinstance(part, (Text, Refusal)) and not self._texts.get(event.index):
            self._texts[event.index] = len(part.text)
        elif isinstance(part, ToolCall) and not self._tools.get(event.index, ("", []))[1]:
            self._tools[event.index] = (part.name, [part.arguments])


def _read(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments
