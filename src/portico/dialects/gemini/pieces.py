"""The arguments of a call that comes in pieces, each naming the place that it belongs to.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc (read 2026-11-20):
`partialArgs` holds a JSON path such as `$.place.lines[0]` and a value; the pieces of a string are joined.
"""

import re
from typing import Any

from portico.errors import BadUpstreamReply

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
_STEPS = 100
_LONGEST = 100_000


class Pieces:
    """Puts pieces together. `arguments` is the object that they have come to."""

    __slots__ = ("arguments",)

    def __init__(self) -> None:
        self.arguments: dict[str, Any] = {}

    def add(self, pieces: object, args: object) -> None:
        """Add pieces, or arguments that came whole. Raises BadUpstreamReply for a path that leads nowhere."""
        if isinstance(args, dict):
            self.arguments.update(args)
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                self._put(_steps(piece.get("jsonPath")), piece)

    def _put(self, steps: list[str | int], piece: dict[str, Any]) -> None:
        place: Any = self.arguments
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            value = _at(place, step)
            if following is None:
                _set(place, step, _joined(value, piece))
                return
            if not isinstance(value, dict if isinstance(following, str) else list):
                value = {} if isinstance(following, str) else []
                _set(place, step, value)
            place = value


def _joined(before: Any, piece: dict[str, Any]) -> Any:
    if "stringValue" in piece:
        return (before if isinstance(before, str) else "") + str(piece["stringValue"])
    if "numberValue" in piece:
        return piece["numberValue"]
    if "boolValue" in piece:
        return piece["boolValue"]
    return None if "nullValue" in piece else before


def _at(place: Any, step: str | int) -> Any:
    if isinstance(place, dict):
        return place.get(step)
    return place[step] if isinstance(step, int) and step < len(place) else None


def _set(place: Any, step: str | int, value: Any) -> None:
    if isinstance(place, dict):
        place[str(step)] = value
        return
    assert isinstance(step, int)
    place.extend([None] * (step + 1 - len(place)))
    place[step] = value


def _steps(path: object) -> list[str | int]:
    if not isinstance(path, str) or not path.startswith("$"):
        raise BadUpstreamReply(f"A piece of a tool call names no place: {path!r}")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) == _STEPS:
            raise BadUpstreamReply(f"A piece of a tool call names the odd place {path[:200]!r}")
        at = found.end()
        name, index, single, double = found.groups()
        if index is not None:
            if len(index) > 6 or int(index) > _LONGEST:
                raise BadUpstreamReply(f"A piece of a tool call names the odd place {path[:200]!r}")
            steps.append(int(index))
        else:
            steps.append(name if name is not None else single if single is not None else double)
    if not steps or isinstance(steps[0], int):
        raise BadUpstreamReply(f"A piece of a tool call names the odd place {path[:200]!r}")
    return steps
