"""What a scorer sees of a request: a few numbers of its form, in no language and with none of its words.

Nothing is decoded: what is known of the top level is used, and the rest is counted in bytes. Only the end of what is
said is looked at, so that a long conversation costs little more than a short one. The numbers are kept on the record of
a call (hundredths, whole), for a scorer to be trained by.
"""

from collections.abc import Sequence
from math import log2
from typing import Final, TypeGuard

from portico.plan.facts import Facts, limit_of

VERSION: Final = 2
"""Changes with what the numbers mean, and their count with it: neither a scorer nor a record of another version is
used."""
NAMES: Final[Sequence[str]] = (
    "bytes", "talk", "last", "messages", "tools", "results", "images", "schema", "reasoning", "limit",
    "digits", "marks", "escapes", "ticks",
)  # fmt: skip
"""Sizes are logarithms to base 2: of the request, what is said, its last message, the tools, the limit of the answer.

`messages` and tool `results` count what the last 4 KB hold, `escapes` (ends of lines, for the most part) and `ticks`
(back quotes) a sample of the last message, of which `digits` and `marks` (those of code) are shares.
"""
WINDOW: Final = 4096
SAMPLE: Final = 512
"""Bytes of the last message that are looked at, evenly spread."""
_TOOLS: Final = ("tools", "functions", "toolConfig")
_RARE: Final = frozenset((
    *_TOOLS, "response_format", "text", "output_config", "output_format", "generationConfig", "reasoning_effort",
    "reasoning", "thinking",
))  # fmt: skip
"""Members without which there are no tools, no schema and no reasoning; most calls have none of them."""
_COUNTS: Final = tuple(round(100 * log2(1 + number)) for number in range(WINDOW // 5))
_SIZES: Final = tuple(round(100 * log2(1 + (number << 5))) for number in range(2048))
_SMALL: Final = len(_SIZES) << 5
_MARKS: Final = b"{}[]()<>=;+*/|&^%$#@~_"
_DIGIT, _ESCAPE, _TICK = b"0", b"\\", b"`"
_OTHERS: Final = bytes(byte for byte in range(256) if not bytes((byte,)).isdigit() and byte not in _MARKS + b"\\`")
_ALIKE: Final = bytes.maketrans(b"0123456789", _DIGIT * 10)


def traits_of(facts: Facts) -> tuple[int, ...]:
    """Return the traits of a call, in the order of `NAMES`."""
    members = facts.members or {}
    talk = members.get("messages") or members.get("contents") or members.get("input") or b""
    said = len(talk)
    # What precedes the last message, then the message: found from the end, in half the time of counting from the front.
    parts = (memoryview(talk)[-WINDOW:].tobytes() if said > WINDOW else bytes(talk)).rsplit(b'"role"')
    words = parts[-1]
    last = len(words)
    tools = results = schema = reasoning = 0
    if not _RARE.isdisjoint(members):
        tools = sum(len(members[name]) for name in _TOOLS if name in members)
        results = sum(part.count(b'"tool') for part in parts) if tools else 0
        schema, reasoning = 100 * facts.json_schema, 100 * facts.reasoning
    sample = words[:: last // SAMPLE + 1]
    # Most calls have no picture, and this much says so of all but Gemini's.
    images = 100 if (facts.body.rpartition(b"image")[1] or "contents" in members) and facts.has_images else 0
    # One pass leaves what counts, digits all as one; the shares are then of a few bytes.
    form = sample.translate(_ALIKE, _OTHERS)
    digits, escapes, ticks = form.count(_DIGIT), form.count(_ESCAPE), form.count(_TICK)
    share = len(sample) or 1
    size, limit = len(facts.body), limit_of(members)
    return (
        _SIZES[size >> 5] if size < _SMALL else _sized(size),
        _SIZES[said >> 5] if said < _SMALL else _sized(said),
        _SIZES[last >> 5],
        _COUNTS[len(parts) - 1],
        _SIZES[tools >> 5] if tools < _SMALL else _sized(tools),
        _COUNTS[results],
        images,
        schema,
        reasoning,
        _SIZES[limit >> 5] if limit < _SMALL else _sized(limit),
        100 * digits // share,
        100 * (len(form) - digits - escapes - ticks) // share,
        _COUNTS[escapes],
        _COUNTS[ticks],
    )


def usable(traits: tuple[int, ...] | None) -> TypeGuard[tuple[int, ...]]:
    """Return whether traits, of a record, are those of this version."""
    return traits is not None and len(traits) == len(NAMES)


def _sized(number: int) -> int:
    return round(100 * log2(1 + number))
