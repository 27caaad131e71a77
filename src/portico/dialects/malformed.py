"""What a field of a request or a reply must be and is not: raised where it is read, told where the reading began."""

from typing import Any


class Malformed(Exception):
    """A field is not what its API says it is: `where` it stands, and what it must be."""

    def __init__(self, where: str, wanted: str) -> None:
        super().__init__(f"{where} must be {wanted}")
        self.where = where
        self.wanted = wanted

    def within(self, outer: str) -> "Malformed":
        """Say where the object stands whose field this is."""
        inner = self.where
        joined = outer + inner if inner[:1] == "[" else f"{outer}.{inner}" if inner else outer
        return Malformed(joined, self.wanted)


def an_object(found: object, where: str) -> dict[str, Any]:
    """Return what must be an object; raises Malformed for anything else."""
    if type(found) is not dict:
        raise Malformed(where, "an object")
    return found


def a_list(found: object, where: str) -> list[Any]:
    """Return what must be a list; raises Malformed for anything else."""
    if type(found) is not list:
        raise Malformed(where, "a list")
    return found
