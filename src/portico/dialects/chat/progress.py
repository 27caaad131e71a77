"""How far an answer of a stream has come: its parts, its tool calls, the details of its thought."""

import msgspec

from portico.dialects.chat.hints import Table

_decoder = msgspec.json.Decoder()


class Call:
    """A tool call that is under way: its part, its id, and its arguments so far."""

    __slots__ = ("arguments", "ended", "id", "part")

    def __init__(self, part: int, call_id: str) -> None:
        self.part = part
        self.id = call_id
        self.arguments: list[str] = []
        self.ended = False

    def whole(self) -> bool:
        """Say whether the arguments are a whole JSON value: then the next call may begin and this one has ended."""
        try:
            _decoder.decode("".join(self.arguments))
        except (msgspec.MsgspecError, RecursionError):
            return False
        return True


class Answer:
    """One choice: the parts it has so far. Of texts and thoughts one is open at a time; calls may overlap."""

    __slots__ = ("calls", "details", "finished", "index", "kind", "last", "open", "parts")

    def __init__(self, index: int) -> None:
        self.index = index
        self.parts = 0
        self.open = -1
        self.kind = ""
        self.calls: dict[int, Call] = {}
        self.last: Call | None = None
        self.details: list[Table] = []
        self.finished = False


def gather(details: list[Table], item: Table) -> None:
    """Add a detail's delta to the details so far: text goes on where kind and index are the same."""
    last = details[-1] if details else None
    if last is None or last.get("type") != item.get("type") or last.get("index") != item.get("index"):
        details.append(item.copy())
        return
    for name, value in item.items():
        if name in ("text", "summary", "data") and type(value) is str and type(last.get(name)) is str:
            last[name] += value
        elif value is not None:
            last[name] = value
