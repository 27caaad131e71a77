"""Model names with `*`: which one a caller's name matches, and what its targets become."""

import re
from collections.abc import Iterable

import msgspec


class Patterns:
    """Names with `*`, tried longest first (of equally long ones the first given). Names without `*` are left out."""

    def __init__(self, names: Iterable[str]) -> None:
        starred = [name for name in dict.fromkeys(names) if "*" in name]
        self._compiled = [_Pattern(name, _split(name)) for name in sorted(starred, key=len, reverse=True)]

    def find(self, name: str) -> "Match | None":
        """Return the pattern that `name` falls under, with what each `*` stood for; None where there is none."""
        for pattern in self._compiled:
            if (captures := _captures(pattern.parts, name)) is not None:
                return Match(pattern.name, captures)
        return None


def matches(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern in which each `*` stands for any run of characters."""
    return pattern == name if "*" not in pattern else _captures(_split(pattern), name) is not None


class Match(msgspec.Struct, frozen=True):
    """A pattern that matched, and what each of its `*` stood for, from left to right."""

    pattern: str
    captures: tuple[str, ...]

    def fill(self, target: str) -> str:
        """Return `target` with its `*`s replaced in order; one without `*` is returned as it is."""
        parts = target.split("*")
        if len(parts) - 1 > len(self.captures):
            raise ValueError(f"{target!r} has more `*` than {self.pattern!r}")
        filled = parts[0]
        for capture, part in zip(self.captures, parts[1:], strict=False):
            filled += capture + part
        return filled


class _Pattern(msgspec.Struct, frozen=True):
    name: str
    parts: tuple[str, ...]


def _split(name: str) -> tuple[str, ...]:
    # Two stars beside each other match what one does; the parser of the configuration refuses them.
    return tuple(re.split(r"\*", name))


def _captures(parts: tuple[str, ...], name: str) -> tuple[str, ...] | None:
    """Match literal parts in order, each `*` as short as can be, the last up to the end: linear, no back-tracking."""
    first, last = parts[0], parts[-1]
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return None
    position, end = len(first), len(name) - len(last)
    found: list[str] = []
    for part in parts[1:-1]:
        index = name.find(part, position, end)
        if index < 0:
            return None
        found.append(name[position:index])
        position = index + len(part)
    found.append(name[position:end])
    return tuple(found)
