"""Structs that a call assigns to again and again, at the price of a class with slots."""

from typing import TypeVar

import msgspec

T = TypeVar("T", bound=type[msgspec.Struct])


def assigned(struct: T) -> T:
    """Let CPython store a struct's fields as it stores slots: in 4 ns instead of 18.

    The interpreter has a short way for classes whose assignment is `object`'s. A struct's own assigns the same, and
    besides tells the garbage collector of a struct that held only numbers and strings when it was made, and is now
    given something that may hold others. So this is for structs that hold such a thing from the start, or never.
    """
    # Afterwards: what a struct's class says while it is made is overruled by what makes it.
    struct.__setattr__ = object.__setattr__  # type: ignore[method-assign]
    struct.__delattr__ = object.__delattr__  # type: ignore[method-assign]
    return struct
