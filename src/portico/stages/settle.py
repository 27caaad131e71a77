"""What a call used and what that costs, from what its provider said."""

from typing import Protocol

from portico.call import Call
from portico.dialects.passed import Passed, interrupted
from portico.providers.prices import charge
from portico.providers.prices_schedule import Price
from portico.types import Usage


class Watch(Protocol):
    """Who has seen a stream go by."""

    finished: bool

    @property
    def usage(self) -> Usage | None:
        """What it used, as far as its provider has said."""


def settle(call: Call, usage: Usage | None, price: Price | None) -> None:
    """Put usage, cost and the basis of the cost on a call that a provider served."""
    if usage is None and call.characters:
        usage = Usage(characters=call.characters)
    call.usage = usage
    if usage is None:
        call.basis = "unknown"
        return
    charged = charge(price, usage, call.arrived_ms / 1000)
    call.cost = charged.cost
    call.basis = "reported"
    call.pricing = charged.pricing
    call.price = charged.row


def settle_stream(call: Call, watch: Watch, passed: Passed, price: Price | None, body: object, model: str) -> None:
    """Put on a call what its stream used, however that ended.

    Where its provider had not said it all when it ended, what passed is counted. `body` is what the caller asked,
    `model` the provider's name for its model.
    """
    if watch.usage is not None and watch.finished:
        settle(call, watch.usage, price)
        return
    found = interrupted(call.operation, passed, watch.usage, body if isinstance(body, bytes) else b"", model)
    if found is None:
        settle(call, watch.usage, price)
        return
    usage, basis = found
    settle(call, usage, price)
    call.basis = basis


def dollars(nano: int) -> str:
    """Write an amount of nano-dollars as dollars, exactly."""
    whole, rest = divmod(nano, 1_000_000_000)
    return f"{whole}.{rest:09d}"
