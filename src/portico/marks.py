"""Whether a mark stands in bytes, said as soon as CPython can say it."""

from typing import Final


def holds(data: bytes, mark: bytes) -> bool:
    """Return whether a mark is in bytes, where it most often is not.

    `partition` takes less time than `in`, which raises and drops an exception before it looks (CPython 3.11,
    _Py_bytes_contains), and copies nothing where there is no mark.
    """
    return bool(data.partition(mark)[1])


BACKSLASH: Final = 0x5C
"""With `in`, one byte is looked for as fast as memory is read. Where there is none, nothing is escaped."""
