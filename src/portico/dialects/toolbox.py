"""The tools of an agent, read and written once: they come again, byte for byte, with every turn of it.

A `Toolbox` is the tools of a request as a dialect read them, and what providers were told of them. The last few are
kept by the bytes that they were read from. What they hold is shared by calls, and read-only like all of a request.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from portico.dialects.crossing import Notes
from portico.dialects.tokens import UNREADABLE
from portico.errors import InvalidRequest
from portico.ir import Tool

Members = Mapping[str, msgspec.Raw]
Made = TypeVar("Made")

LEAST = 512
MOST = 128 * 1024
"""Bytes of tools that are worth keeping, and that may be."""
KEPT = 512 * 1024
"""Bytes of all tools that are kept. What is read of them takes some ten times as much memory."""
_TOLD = 8
_MEMBERS = 64

_members: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


class Toolbox(tuple[Tool, ...]):
    """Tools that were read from bytes that may come again; `beside` is what else a dialect read there.

    `aliased` has what they are called at providers of other dialects, where that is not what they are called here,
    `made` what else was made of them (`made_of`).
    """

    beside: Any
    aliased: dict[str, tuple[Mapping[str, str], "Toolbox"] | None]
    made: dict[Hashable, Any]
    told: dict[Hashable, tuple[dict[str, Any], tuple[str, ...]]]

    def __new__(cls, tools: Iterable[Tool], beside: Any = None) -> "Toolbox":
        """Begin with nothing told."""
        box = super().__new__(cls, tools)
        box.beside = beside
        box.told = {}
        box.aliased = {}
        box.made = {}
        return box


class Shelf:
    """The toolboxes that were used last, by dialect and bytes; `limit` bounds the bytes of all."""

    def __init__(self, limit: int = KEPT) -> None:
        self._boxes: dict[tuple[str, bytes], Toolbox] = {}
        self._limit = limit
        self._size = 0

    def __len__(self) -> int:
        return len(self._boxes)

    def find(self, key: tuple[str, bytes]) -> Toolbox | None:
        """Return what was kept, and count it as the last used."""
        box = self._boxes.pop(key, None)
        if box is not None:
            self._boxes[key] = box
        return box

    def keep(self, key: tuple[str, bytes], box: Toolbox) -> None:
        """Keep a box, and let those go that were not used for longest."""
        self._boxes[key] = box
        self._size += len(key[1])
        while self._size > self._limit:
            oldest = next(iter(self._boxes))
            del self._boxes[oldest]
            self._size -= len(oldest[1])


_shelf = Shelf()


def opened(body: bytes, members: Members | None, member: str = "tools") -> Any:
    """Decode a body; the member that holds tools stays as it was written where it may come again, to be taken to `box`.

    `members` are those of the body where someone has read them. Raises what decoding raises.
    """
    if members is None:
        if len(body) < LEAST or member.encode() not in body:
            return _decode(body)
        members = _members.decode(body)
    elif len(members) > _MEMBERS:
        return _decode(body)
    found: dict[str, Any] = {name: _decode(raw) for name, raw in members.items() if name != member}
    tools = members.get(member)
    if tools is not None:
        found[member] = tools if LEAST <= memoryview(tools).nbytes <= MOST else _decode(tools)
    return found


def box(dialect: str, raw: msgspec.Raw, read: Callable[[Any], Toolbox]) -> Toolbox:
    """Return what `read` makes of tools that `opened` left as they were: the same box for the same bytes.

    Raises InvalidRequest where they are not JSON, and what `read` raises.
    """
    key = (dialect, bytes(raw))
    known = _shelf.find(key)
    if known is None:
        try:
            listed = _decode(raw)
        except UNREADABLE as error:
            raise InvalidRequest(f"the tools are not JSON that can be read: {error}") from error
        known = read(listed)
        _shelf.keep(key, known)
    return known


def made_of(tools: tuple[Tool, ...], key: Hashable, make: Callable[[], Made]) -> Made:
    """Return what `make` makes of tools: of a box, what it made before. It must follow from the tools and `key`."""
    if type(tools) is not Toolbox:
        return make()
    found = tools.made.get(key, tools)
    if found is tools:
        if len(tools.made) >= _TOLD:
            tools.made.clear()
        found = tools.made[key] = make()
    return cast(Made, found)


def note_fields(tool: Tool, notes: Notes) -> None:
    """Note what a dialect knows of a function beyond what others do, as it is written in another."""
    left = [name for name, value in tool.extra.items() if name[:1] != "$" and name != "type" and value not in _IDLE]
    if left:
        notes.lost("tool_field", f"{tool.name}: {', '.join(left)}")


_IDLE: tuple[Any, ...] = (None, False, [], {})


def told(
    tools: tuple[Tool, ...], whom: Hashable, notes: Notes, write: Callable[[Notes], dict[str, Any]]
) -> dict[str, Any]:
    """Return the members that `write` makes of tools: of a box, as they were encoded when the same were told before.

    What `write` makes must follow from the tools and from `whom` alone. The members are read-only.
    """
    if type(tools) is not Toolbox or notes.strict:
        return write(notes)
    known = tools.told.get(whom)
    if known is None:
        heard = Notes(notes.dialect)
        made = {name: msgspec.Raw(_encode(value)) for name, value in write(heard).items()}
        if len(tools.told) >= _TOLD:
            tools.told.clear()
        known = tools.told[whom] = (made, tuple(heard.dropped))
    for name in known[1]:
        notes.lost(name)
    return known[0]
