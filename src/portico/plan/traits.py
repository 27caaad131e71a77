"""What a scorer sees of a request: a few numbers of its form, in no language and with none of its words.

Only the end of what is said is looked at, so that a long conversation costs no more than a short one. The numbers are
kept on the record of a call (hundredths, whole), for a scorer to be trained by.
"""

from collections.abc import Sequence
from math import log2
from typing import Final

from portico.marks import holds
from portico.plan.facts import Facts

VERSION: Final = 1
"""Changes with what the numbers mean: a scorer of another version is not used."""
NAMES: Final[Sequence[str]] = (
    "bytes", "talk", "last", "messages", "answers", "tools", "results", "images", "schema", "reasoning", "limit",
    "digits", "marks", "lines", "fences",
)  # fmt: skip
"""Sizes are logarithms to base 2: of the request, what is said, its last words, the tools and the limit of the answer.

`messages`, `answers`, tool `results`, `lines` and `fences` (of code) count what the last 4 KB hold; `digits` and
`marks` are shares of the last words.
"""
WINDOW: Final = 4096
LAST: Final = 1024
_TALK: Final = ("messages", "contents", "input")
_TOOLS: Final = ("tools", "functions", "toolConfig")
_COUNTS: Final = tuple(round(100 * log2(1 + number)) for number in range(64))
_DIGITS: Final = b"0123456789"
_MARKS: Final = b"{}[]()<>=;+*/|&^%$#@~_`"


def traits_of(facts: Facts) -> tuple[int, ...]:
    """Return the traits of a call, in the order of `NAMES`."""
    members = facts.members or {}
    talk = next((memoryview(members[name]) for name in _TALK if name in members), memoryview(b""))
    window = bytes(talk[-WINDOW:])
    last = window[-LAST:]
    begun = window.rfind(b'"role"')
    last_words = len(window) - begun if begun >= 0 else len(talk)
    size = len(last) or 1
    return (
        _sized(len(facts.body)),
        _sized(len(talk)),
        _sized(last_words),
        _sized(window.count(b'"role"')),
        _sized(_count(window, b'"assistant"') + _count(window, b'"model"')),
        _sized(sum(len(memoryview(members[name])) for name in _TOOLS if name in members)),
        _sized(_count(window, b'"tool')),
        100 * facts.has_images,
        100 * facts.json_schema,
        100 * facts.reasoning,
        _sized(facts.max_tokens),
        100 * (len(last) - len(last.translate(None, _DIGITS))) // size,
        100 * (len(last) - len(last.translate(None, _MARKS))) // size,
        _sized(_count(last, b"\\n")),
        _sized(_count(window, b"```")),
    )


def _count(window: bytes, mark: bytes) -> int:
    # Most often there is none, and that is said in a third of the time (see `marks`).
    return window.count(mark) if holds(window, mark) else 0


def _sized(number: int) -> int:
    return _COUNTS[number] if number < len(_COUNTS) else round(100 * log2(1 + number))
