"""The most that a call can use: what its permit reserves. And a request cut to what is left of that."""

from collections.abc import Sequence, Sized
from functools import partial, reduce
from typing import Final

from portico.bounds import measured
from portico.call import Call
from portico.dialects.limits import FIELDS, limited
from portico.dialects.operations import Operation
from portico.dialects.request import Peek, peek
from portico.rules import NO_BOUND, Bound, Rule
from portico.state.contract import Refusal
from portico.upstream.outgoing import Outgoing
from portico.upstream.target import Target

SHORTEST: Final = 16
"""Tokens of an answer that is worth asking for, where one is cut to what is left."""


def most(call: Call, outgoing: Outgoing, targets: Sequence[Target]) -> Bound:
    """Return the most that an attempt at the dearest of the targets can use, by a quick look where that will do."""
    asked, body = outgoing.asked, outgoing.body
    if outgoing.bound is not None:
        return _allowed(call, outgoing.bound)
    if asked is None or not isinstance(body, bytes):
        return _allowed(call, _unread(body, targets))
    operation = call.operation
    found = targets[0].ceiling.bound(operation, asked, body)
    if found is not None and len(targets) > 1:
        for target in targets[1:]:
            one = target.ceiling.bound(operation, asked, body)
            if one is None:
                found = None
                break
            found = dearer_of(found, one)
    if found is None:
        return closely(call, outgoing, targets)
    return found if found.cost is not None else _allowed(call, found)


def closely(call: Call, outgoing: Outgoing, targets: Sequence[Target]) -> Bound:
    """Return the same by a walk through the whole request."""
    asked, body = outgoing.asked, outgoing.body
    if outgoing.bound is not None:
        return _allowed(call, outgoing.bound)
    if asked is None or not isinstance(body, bytes):
        return _allowed(call, _unread(body, targets))
    found: Bound | None = None
    for target in targets:
        one = target.ceiling.closely(call.operation, asked, body)
        found = one if found is None else dearer_of(found, one)
    assert found is not None
    return _allowed(call, found)


def beyond(held: Bound, bound: Bound) -> Bound:
    """Return what a bound is more than another; nothing for what has none in both."""
    cost: int | None = 0
    if held.cost is not None:
        cost = None if bound.cost is None else max(bound.cost - held.cost, 0)
    return Bound(
        max(bound.input_tokens - held.input_tokens, 0),
        max(bound.output_tokens - held.output_tokens, 0),
        cost,
        None if bound.finite or not held.finite else bound.why,
    )


def _unread(body: Sized, targets: Sequence[Target]) -> Bound:
    """Return what is said of a request that nobody can read."""
    return reduce(dearer_of, (target.ceiling.opaque(len(body)) for target in targets))


def dearer_of(one: Bound, other: Bound) -> Bound:
    """Return the most that either of two attempts can use."""
    cost = None if one.cost is None or other.cost is None else max(one.cost, other.cost)
    return Bound(
        max(one.input_tokens, other.input_tokens),
        max(one.output_tokens, other.output_tokens),
        cost,
        # That only the price is missing says less than any other reason.
        other.why if one.why in (None, "unpriced") and other.why is not None else one.why,
    )


def _allowed(call: Call, bound: Bound) -> Bound:
    """Return the bound, or what the key grants to a call that has none."""
    holder = call.caller
    if (bound.cost is None or not bound.finite) and holder is not None and holder.allowance is not None:
        cost = holder.allowance if bound.cost is None else bound.cost
        return Bound(bound.input_tokens, bound.output_tokens, cost)
    return bound


def clamp(outgoing: Outgoing, targets: Sequence[Target], refusal: Refusal) -> bool:
    """Cut the answer that a request asks for to what is left under a rule; say whether that is worth anything."""
    asked, body = outgoing.asked, outgoing.body
    if outgoing.bound is not None or asked is None or asked.members is None or not isinstance(body, bytes):
        return False
    operation = outgoing.operation
    if operation.name not in FIELDS:
        return False  # its output has no limit to cut

    need = partial(_needed, operation, asked, targets, refusal.rule)
    low, high = need(SHORTEST), need(2 * SHORTEST)
    if low > refusal.left or high <= low:
        return False
    limit = SHORTEST + (refusal.left - low) * SHORTEST // (high - low)
    while need(limit) > refusal.left:  # where the rates have steps
        limit //= 2
        if limit < SHORTEST:
            return False
    outgoing.body, outgoing.asked = limited(operation, asked, limit)
    return True


def _needed(operation: Operation, asked: Peek, targets: Sequence[Target], rule: Rule, limit: int) -> int:
    """Return the most that a rule counts of a request whose answer is cut to so many tokens."""
    text, seen = limited(operation, asked, limit)
    largest = 0
    for target in targets:
        bound = target.ceiling.closely(operation, seen, text)
        counted = {
            "cost": bound.cost,
            "tokens": bound.input_tokens + bound.output_tokens,
            "input_tokens": bound.input_tokens,
            "output_tokens": bound.output_tokens,
        }[rule.counts]
        largest = max(largest, counted if counted is not None else rule.amount + 1)
    return largest


def bound_of(call: Call, operation: Operation, body: bytes, target: Target) -> Bound:
    """Return the most that one more attempt can use, of a call under way: that of a body of the target's own."""
    permit = call.permit
    if permit is None or not measured(permit.scopes):
        return NO_BOUND
    return _allowed(call, target.ceiling.closely(operation, peek(operation, body, b"application/json"), body))
