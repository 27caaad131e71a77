"""Google's two spellings of a field, camelCase and snake_case: read both, write each as it came.

An object that was spelled otherwise than in camelCase keeps, under `$snake`, the fields that were. Names that a caller
begins with `$` would be mistaken for such hints; no field of the API begins so, and they are left out.
"""

import re
from collections.abc import Iterable
from typing import Any

from portico.ir import Extra

Object = dict[str, Any]

_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]")


class Fields:
    """The names of an object's fields that we know, and how each is spelled with underscores."""

    __slots__ = ("names", "snake")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self.snake = {snake(name): name for name in self.names if snake(name) != name}


def snake(name: str) -> str:
    """Spell a camelCase name with underscores."""
    return _HUMP.sub(lambda hump: "_" + hump[0].lower(), name)


def opened(found: Object, fields: Fields) -> Object:
    """Return a copy whose known fields are all in camelCase."""
    if found.keys() <= fields.names:
        return found.copy()
    copy: Object = {}
    renamed: list[str] = []
    for name, value in found.items():
        known = fields.snake.get(name)
        if known is not None and known not in found:
            renamed.append(known)
            copy[known] = value
        elif name[:1] != "$":
            copy[name] = value
    if renamed:
        copy["$snake"] = renamed
    return copy


def closed(out: Object) -> Object:
    """Take the hints out of an object that is to be written, and spell its fields as they were."""
    hints = [name for name in out if name[:1] == "$"]
    if hints:
        for name in out.get("$snake", ()):
            if name in out:
                out[snake(name)] = out.pop(name)
        for name in hints:
            del out[name]
    return out


def without_hints(extra: Extra) -> Object:
    """Return the fields of an extra that stand on the wire."""
    return {name: value for name, value in extra.items() if name[:1] != "$"}
