"""How much all requests of a batch can use together: what its job holds until it has ended.

Providers bill batches at a rate of their own, so a bound is made at that.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from portico.dialects.batch import Batched
from portico.providers.prices import at_tier
from portico.rules import Bound
from portico.upstream.target import Target
from portico.weight import Weight

if TYPE_CHECKING:
    from portico.providers.bounds import Ceiling

SLICE: Final = 16
"""Requests of a batch that are looked at before others have a turn."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Weight).decode


class Scale:
    """Adds up the most that requests can use."""

    def __init__(self) -> None:
        self._ceilings: dict[Target, Ceiling] = {}
        self._tokens_in = self._tokens_out = 0
        self._cost: int | None = 0
        self._why: str | None = None

    def add(self, target: Target, request: Batched) -> None:
        """Add a request that a target is to run."""
        if request.operation is None:
            self._cost, self._why = None, self._why or "opaque"
            return
        ceiling = self._ceilings.get(target)
        if ceiling is None:
            from portico.providers.bounds import Ceiling

            price = at_tier(target.price, "batch") if target.price is not None else None
            ceiling = Ceiling(target.known_as, price)
            self._ceilings[target] = ceiling
        bound = ceiling.closely(request.operation, request.asked, request.body)
        self._tokens_in += bound.input_tokens
        self._tokens_out += bound.output_tokens
        self._cost = None if self._cost is None or bound.cost is None else self._cost + bound.cost
        if self._why in (None, "unpriced"):  # which leaves tokens their bound
            self._why = bound.why or self._why

    @property
    def bound(self) -> Bound:
        """The most that all of them can use."""
        return Bound(self._tokens_in, self._tokens_out, self._cost, self._why)


async def weigh(pairs: Iterable[tuple[Target, Batched]]) -> Weight:
    """Return the most that requests can use at their targets, and the models of these."""
    scale = Scale()
    models: dict[str, None] = {}
    number = 0
    for target, request in pairs:
        number += 1
        scale.add(target, request)
        models[target.model] = None
        if number % SLICE == 0:
            await asyncio.sleep(0)  # a large batch is nobody else's wait
    bound = scale.bound
    return Weight(number, bound.input_tokens, bound.output_tokens, bound.cost, bound.why, tuple(models))


def noted(purpose: str, weight: Weight | None) -> bytes:
    """Return what is remembered of a file: its purpose, and what a batch of it can use."""
    about = purpose.encode()
    return about if weight is None else about + b"\n" + _encode(weight)


def weight_of(about: bytes) -> Weight | None:
    """Return what a batch of a file can use, None where nobody has looked into it."""
    _, found, told = about.partition(b"\n")
    return _decode(told) if found else None
