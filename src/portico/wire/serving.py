"""What the connections of a server look up there for every request and reply."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from portico.compiled import mypyc_attr
from portico.config.schema import Limits
from portico.wire.body import Budget
from portico.wire.heads import Heads

if TYPE_CHECKING:
    from portico.wire.exchange import Exchange


@mypyc_attr(allow_interpreted_subclasses=True)
class Serving:
    """The limits that callers are held to, and what all connections share; a `Server` is one, and says more of it.

    `now` is the time of the last sweep, `date` the header lines that every reply has.
    """

    buffer: memoryview

    def __init__(self, begin: "Callable[[Exchange], bool] | None", limits: Limits) -> None:
        self.begin = begin
        self.limits = limits
        self.budget = Budget(limits.body_budget)
        self.heads = Heads()
        self.draining = False
        self.now = 0.0
        self.date = b""
