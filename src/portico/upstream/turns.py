"""In which order the targets of a call are asked, by what is known of those that rest."""

import time
from collections.abc import Sequence

from portico.upstream.retry import Policy
from portico.upstream.target import Target


def in_turn(targets: Sequence[Target]) -> Sequence[Target]:
    """Return the targets in the order in which they are asked now, by all that is known of which rest."""
    first = targets[0]
    healths = first.upstream.healths
    if healths.shared is not None and healths.shared.changed:
        healths.listen()
    if len(targets) > 1 and (first.health.until or first.upstream.keyring.wakes):
        return standing(targets, time.monotonic())
    return targets


def standing(targets: Sequence[Target], now: float) -> Sequence[Target]:
    """Return the targets in order, those that rest behind the others: first what is due first."""
    able = [each for each in targets if each.health.admits(now) and each.upstream.keyring.wakes <= now]
    if len(able) == len(targets):
        return targets
    resting = [each for each in targets if each not in able]
    resting.sort(key=lambda each: max(each.health.until, each.upstream.keyring.wakes))
    return able + resting


def able(targets: Sequence[Target], now: float) -> bool:
    """Return whether one of these targets can be asked at once: it does not rest, nor do all of its keys."""
    return any(each.health.admits(now) and each.upstream.keyring.wakes <= now for each in targets)


def following(targets: Sequence[Target], asked: Sequence[Target], policy: Policy) -> int | None:
    """Return the place of the target to be asked next, None for none.

    One that rests is asked where there is no other, as far as the budget of retries goes: else those who fail would
    have the more to do the more they fail.
    """
    now = time.monotonic()
    left = [place for place, each in enumerate(targets) if each not in asked]
    for place in left:
        each = targets[place]
        if each.health.admits(now) and each.upstream.keyring.wakes <= now:
            return place
    if not left or not policy.budget.spend():
        return None
    return min(left, key=lambda place: max(targets[place].health.until, targets[place].upstream.keyring.wakes))
