"""What is awaited where there is nothing to wait for: functions that return it cost less than coroutines."""

from collections.abc import Generator
from typing import Final, cast


class Ready:
    """What is done already."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<Ready>"

    def __await__(self) -> Generator[None, None, None]:
        return cast("Generator[None, None, None]", iter(()))  # it yields nothing: any iterator will do


READY: Final = Ready()
