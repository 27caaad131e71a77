"""Odd cases, and what becomes of them: documents with a value of another type, taken or refused by our own errors."""

from collections.abc import Callable
from typing import Any, Literal


def damages(value: Any) -> list[Any]:
    """Return copies of a document, each with one value replaced by one of another type."""
    found: list[Any] = []

    def walk(node: Any, rebuild: Any, depth: int) -> None:
        found.extend(rebuild(odd) for odd in (None, 7, "x", [], {}, [1], {"type": 3}))
        if depth > 6 or len(found) > 400:
            return
        if isinstance(node, dict):
            for key in list(node):
                walk(node[key], lambda new, key=key: rebuild({**node, key: new}), depth + 1)
        elif isinstance(node, list):
            for at, one in enumerate(node[:3]):
                walk(one, lambda new, at=at: rebuild([*node[:at], new, *node[at + 1 :]]), depth + 1)

    walk(value, lambda new: new, 0)
    return found


def outcome(attempt: Callable[[], object], *ours: type[Exception]) -> Literal["taken", "refused"]:
    """Return whether an attempt raised one of `ours`; any other error goes on."""
    try:
        attempt()
    except ours:
        return "refused"
    return "taken"
