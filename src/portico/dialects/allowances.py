"""What is left of a caller's limits, in the headers that each dialect's clients read.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as durations (`6m0s`), as in
platform.openai.com/docs/guides/rate-limits; others of its kind read the same. Anthropic:
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, resets as RFC 3339 times, as
in docs.anthropic.com/en/api/rate-limits. Both read 2026-11-20.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import gcd
from typing import Final

from portico.types import Dialect

Limit = tuple[int, str, int, int]
"""Its place in what is left; what it counts (`requests`, `tokens`, `input_tokens`, `output_tokens`); how much there is
in all, and in how many nanoseconds all of that is back."""

Limits = tuple[Limit, ...]

MEMO_BOUND: Final = 1024
SECOND: Final = 1_000_000_000

_Pieces = tuple[tuple[int, int, int, str, str], ...]
"""For each limit its place, how much, the nanoseconds; what stands before what is left of it, and what behind that."""

_Pair = tuple[int, int, int, int, str, str, int, int, int, int, str, str]
"""Of two limits the same, with what is back in how many nanoseconds in the lowest terms: those are small numbers."""

_Known = tuple[Limits, _Pieces | None, _Pair | None]

_known: Final[dict[int, _Known]] = {}
"""By the identity of limits, which many calls share; None for the pieces of those of which some are of a kind."""


def render_allowances(dialect: Dialect, limits: Limits, left: Sequence[int], now: float) -> str:
    """Return header lines, each with its line end; of several limits of a kind, of the one with the least left.

    `left` has what is left of each at its place. `now` is in seconds since the epoch.
    """
    known = _known.get(id(limits))
    if known is None or known[0] is not limits:
        known = _learn(limits)
    _, pieces, pair = known
    if pair is not None and dialect != "messages":  # one limit on requests and one on tokens, as mostly
        at, amount, came, every, head, middle, at_, amount_, came_, every_, head_, middle_ = pair
        rest, rest_ = left[at], left[at_]
        back, back_ = -((rest - amount) * every // came), -((rest_ - amount_) * every_ // came_)
        if rest >= 0 <= rest_ and back < SECOND > back_:
            back, back_ = (back + 500_000) // 1_000_000, (back_ + 500_000) // 1_000_000
            return f"{head}{rest}{middle}{back}ms\r\n{head_}{rest_}{middle_}{back_}ms\r\n"
    if pieces is None:
        limits = _least(limits, left)
        pieces = _pieces_of(limits)
    if dialect == "messages":
        return "".join([_anthropic(limit, left, now) for limit in limits])
    lines = ""
    for at, amount, length, head, middle in pieces:
        rest = left[at]
        back = -((rest - amount) * length // amount)
        if rest < 0:
            rest = 0
        if back < SECOND:
            lines += f"{head}{rest}{middle}{(back + 500_000) // 1_000_000}ms\r\n"
        else:
            lines += f"{head}{rest}{middle}{_duration(back / SECOND)}\r\n"
    return lines


def _learn(limits: Limits) -> _Known:
    if len(_known) >= MEMO_BOUND:
        _known.clear()
    apart = len({counted for _, counted, _, _ in limits}) == len(limits)
    pieces = _pieces_of(limits) if apart else None
    known = _known[id(limits)] = limits, pieces, _pair_of(pieces) if pieces is not None and len(pieces) == 2 else None
    return known


def _pair_of(pieces: _Pieces) -> _Pair:
    (at, amount, length, head, middle), (at_, amount_, length_, head_, middle_) = pieces
    common, common_ = gcd(amount, length) or 1, gcd(amount_, length_) or 1
    return (
        at, amount, amount // common, length // common, head, middle,
        at_, amount_, amount_ // common_, length_ // common_, head_, middle_,
    )  # fmt: skip


def _least(limits: Limits, left: Sequence[int]) -> Limits:
    """Return for each kind of limit the one with the least left."""
    least: dict[str, Limit] = {}
    for limit in limits:
        at, counted, _, _ = limit
        if counted not in least or left[at] < left[least[counted][0]]:
            least[counted] = limit
    return tuple(least.values())


def _pieces_of(limits: Limits) -> _Pieces:
    pieces = []
    for at, counted, amount, length in limits:
        name = counted.replace("_", "-")
        head = f"x-ratelimit-limit-{name}: {amount}\r\nx-ratelimit-remaining-{name}: "
        pieces.append((at, amount, length, head, f"\r\nx-ratelimit-reset-{name}: "))
    return tuple(pieces)


def _anthropic(limit: Limit, left: Sequence[int], now: float) -> str:
    at, counted, amount, length = limit
    rest = left[at]
    name = f"anthropic-ratelimit-{counted.replace('_', '-')}"
    when = _time(int(now - (rest - amount) * length // amount / SECOND))
    return f"{name}-limit: {amount}\r\n{name}-remaining: {max(rest, 0)}\r\n{name}-reset: {when}\r\n"


@lru_cache(256)
def _time(seconds: int) -> str:
    """Write seconds since the epoch as a time of RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    """Write a second or more as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
