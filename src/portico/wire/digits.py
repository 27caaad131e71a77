"""Numbers in heads, read digit by digit: compiled, that takes less than to find their end and to convert a slice."""

from typing import Final

CR: Final = 0x0D
MOST: Final = 9
"""Digits of a length that is believed."""


def number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that is written at a place, and where its digits end: at that place itself where there is none.

    One of more than `MOST` digits is none.
    """
    size, found, end = len(data), 0, at
    while end < size:
        digit = data[end] - 48
        if not 0 <= digit <= 9:
            break
        found = found * 10 + digit
        end += 1
        if end - at > MOST:
            return 0, at
    return found, end
