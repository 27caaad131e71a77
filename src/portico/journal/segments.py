"""Where segments are and what they are called: `<owner>-<number>.seg` in the journal's directory.

A segment's number grows with each that its owner begins. `<owner>.reserve` is room kept for when the disk is full;
put to use, it becomes a segment.
"""

import os
import re
from typing import NamedTuple

_NAME = re.compile(r"([0-9a-zA-Z_]{1,32})-(\d{6,})\.seg")


class Segment(NamedTuple):
    """A segment in the directory. `name` tells it from every other, for good."""

    owner: str
    number: int
    name: str
    path: str


def name_of(owner: str, number: int) -> str:
    """Return the file name of a segment."""
    return f"{owner}-{number:06d}.seg"


def reserve_of(directory: str, owner: str) -> str:
    """Return where an owner's reserve is, while it is unused."""
    return os.path.join(directory, f"{owner}.reserve")  # noqa: PTH118  # as everything here: workers do without pathlib


def segments(directory: str, owner: str | None = None) -> list[Segment]:
    """Return the segments that there are, of one owner or of all, those of each owner in order."""
    found = []
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except FileNotFoundError:
        return []
    for name in names:
        shape = _NAME.fullmatch(name)
        if shape is not None and (owner is None or shape[1] == owner):
            found.append(Segment(shape[1], int(shape[2]), name, os.path.join(directory, name)))  # noqa: PTH118
    found.sort()
    return found


def discard_reserve(directory: str, owner: str) -> None:
    """Remove the unused reserve of an owner that is gone."""
    try:
        os.unlink(reserve_of(directory, owner))  # noqa: PTH108
    except FileNotFoundError:
        return
