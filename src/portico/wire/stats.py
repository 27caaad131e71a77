"""How many connections there are."""

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """How many connections there are: `open`, of which `idle` and `in_flight`; and callers `waiting` for one."""

    open: int = 0
    idle: int = 0
    in_flight: int = 0
    waiting: int = 0

    def __add__(self, other: "Stats") -> "Stats":
        return Stats(
            self.open + other.open,
            self.idle + other.idle,
            self.in_flight + other.in_flight,
            self.waiting + other.waiting,
        )
