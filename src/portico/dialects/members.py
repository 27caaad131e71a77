"""What the objects of a request's JSON are read as: their members by name, each value kept as it is written."""

import msgspec

Members = dict[str, msgspec.Raw]


class CountedName(str):
    """A member's name that is told of when it is read: a `str` that is not one, so that msgspec asks what makes it."""

    __slots__ = ()
