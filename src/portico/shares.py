"""What a call is charged, and which part of that each of its targets used: from its attempts and what was served."""

from collections.abc import Mapping, Sequence

from portico.record import AttemptRecord, Basis
from portico.rules import Bound
from portico.state.contract import Used
from portico.types import Usage


def used_by(
    attempts: Sequence[AttemptRecord],
    target: str | None,
    usage: Usage | None,
    cost: int | None,
    basis: Basis,
    bound: Bound,
    lost: Mapping[str, Bound] | None = None,
) -> Used:
    """Return what a call is charged in its scopes; `target` is where it was served.

    Where a provider served something, and nobody knows what it used or costs, that is what was reserved. `bound` is
    that of one attempt; `lost` says for each target what those tries can have used of which nothing is known, where
    that is not `bound` for each.
    """
    assumed = unheard = 0
    for attempt in attempts:
        if attempt.assumed_nano_usd is not None:
            assumed += attempt.assumed_nano_usd
            unheard += attempt.unheard
    if usage is not None:
        said = Used(usage.input_total, usage.output_total, cost if cost is not None else (bound.cost or 0))
    elif basis == "unknown":
        said = Used(bound.input_tokens, bound.output_tokens, bound.cost or 0)
    else:
        said = Used(requests=1 if attempts else 0)
    tokens_in, tokens_out = unheard * bound.input_tokens, unheard * bound.output_tokens
    if lost is not None:
        tokens_in = sum(one.input_tokens for one in lost.values())
        tokens_out = sum(one.output_tokens for one in lost.values())
    first = attempts[0].target if attempts else None
    parts: tuple[tuple[str, Used], ...] = ()
    if any(attempt.target != first for attempt in attempts):
        parts = _parts(attempts, target, said, cost, bound, lost)
    return Used(
        said.input_tokens + tokens_in, said.output_tokens + tokens_out, said.cost + assumed, said.requests, parts
    )


def _parts(
    attempts: Sequence[AttemptRecord],
    target: str | None,
    said: Used,
    cost: int | None,
    bound: Bound,
    lost: Mapping[str, Bound] | None,
) -> tuple[tuple[str, Used], ...]:
    """Return what each target used, that which has answered last. `said` is what all that was served came to."""
    sums = {attempt.target: [0, 0, 0] for attempt in attempts}
    for attempt in attempts:
        mine = sums[attempt.target]
        if attempt.assumed_nano_usd is not None:
            mine[2] += attempt.assumed_nano_usd
        if attempt.unheard and lost is None:
            mine[0] += bound.input_tokens
            mine[1] += bound.output_tokens
        if attempt.usage is not None:
            mine[0] += attempt.usage.input_total
            mine[1] += attempt.usage.output_total
            mine[2] += (attempt.cost_nano_usd or 0) if cost is not None else 0
    for name, one in (lost or {}).items():
        mine = sums.setdefault(name, [0, 0, 0])
        mine[0] += one.input_tokens
        mine[1] += one.output_tokens
    if target is not None:
        served = sums.pop(target, [0, 0, 0])
        if not any(attempt.usage is not None for attempt in attempts):
            served = [served[0] + said.input_tokens, served[1] + said.output_tokens, served[2] + said.cost]
        sums[target] = served
    if cost is None and any(attempt.usage is not None for attempt in attempts):
        for mine in sums.values():
            mine[2] += said.cost  # nobody knows whose it is
    return tuple((name, Used(tokens_in, tokens_out, nano)) for name, (tokens_in, tokens_out, nano) in sums.items())
