"""What a call used and what that costs, from what its provider said."""

from portico.call import Call
from portico.providers.prices import charge
from portico.providers.prices_schedule import Price
from portico.types import Usage


def settle(call: Call, usage: Usage | None, price: Price | None) -> None:
    """Put usage, cost and the basis of the cost on a call that a provider served."""
    if usage is None and call.characters:
        usage = Usage(characters=call.characters)
    call.usage = usage
    if usage is None:
        call.basis = "unknown"
        return
    charged = charge(price, usage)
    call.cost = charged.cost
    call.basis = "reported"
    call.pricing = charged.pricing


def dollars(nano: int) -> str:
    """Write an amount of nano-dollars as dollars, exactly."""
    whole, rest = divmod(nano, 1_000_000_000)
    return f"{whole}.{rest:09d}"
