"""Durations and sizes as people write them: `30s`, `500ms`, `1h30m`, `64KB`, `1GiB`."""

import math
import re
from decimal import Decimal
from typing import Final

_SECONDS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES: Final = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

NUMBER: Final = r"[0-9]{1,18}(?:\.[0-9]{1,9})?"
DURATION: Final = rf"(?:{NUMBER}(?:ms|[smhd]))+"
SIZE: Final = rf"{NUMBER} ?(?:[bB]|[kKmMgGtT](?:i?[bB])?)"

_duration = re.compile(rf"{DURATION}\Z", re.ASCII)
_part = re.compile(rf"({NUMBER})(ms|[smhd])", re.ASCII)
_size = re.compile(rf"({NUMBER}) ?([bB]|[kKmMgGtT])(?:i?[bB])?\Z", re.ASCII)
_plain = re.compile(rf"{NUMBER}\Z", re.ASCII)

LARGEST_SIZE: Final = 1 << 59
LONGEST_DURATION: Final = 366 * 100 * 86_400.0


def duration(text: str) -> float:
    """Return the seconds that `text` says: a number is seconds, `1h30m` a sum, larger units first.

    Raises ValueError, whose message says how a duration is written.
    """
    if _plain.match(text):
        total = float(text)
    elif _duration.match(text):
        parts = _part.findall(text)
        sizes = [_SECONDS[unit] for _, unit in parts]
        if sizes != sorted(set(sizes), reverse=True):
            raise ValueError("each unit may stand once, larger ones first, as in `1h30m`")
        total = math.fsum(float(number) * size for (number, _), size in zip(parts, sizes, strict=True))
    else:
        raise ValueError("a duration is a number of seconds, or a number with a unit: `500ms`, `30s`, `2m`, `1h`, `1d`")
    if total > LONGEST_DURATION:
        raise ValueError("a duration is at most a hundred years")
    return total


def size(text: str) -> int:
    """Return the bytes that `text` says; a kilobyte is 1024 bytes, whether written `KB` or `KiB`.

    Raises ValueError, whose message says how a size is written.
    """
    if _plain.match(text):
        total = Decimal(text)
    elif match := _size.match(text):
        total = Decimal(match[1]) * _BYTES[match[2].lower()]
    else:
        raise ValueError("a size is a number of bytes, or a number with a unit: `64KB`, `64MB`, `1GiB`")
    if total != int(total):
        raise ValueError("a size is a whole number of bytes")
    if total > LARGEST_SIZE:
        raise ValueError(f"a size is at most {LARGEST_SIZE} bytes")
    return int(total)


def render_duration(seconds: float) -> str:
    """Write seconds shortly and exactly, in the largest unit that divides them."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    if (thousandths := round(seconds * 1000)) and thousandths / 1000 == seconds:
        return f"{thousandths}ms"
    return f"{seconds:.15g}s" if seconds else "0s"


def render_size(count: int) -> str:
    """Write bytes shortly and exactly, in the largest unit that divides them."""
    for unit, factor in (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return f"{count}B"
