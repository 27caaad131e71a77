"""What is left of a caller's limits, in the headers that each dialect's clients read.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as durations (`6m0s`), as in
platform.openai.com/docs/guides/rate-limits; others of its kind read the same. Anthropic:
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, resets as RFC 3339 times, as
in docs.anthropic.com/en/api/rate-limits. Both read 2026-11-20.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from portico.types import Dialect

Limits = tuple[tuple[str, int], ...]
"""What each limit counts (`requests`, `tokens`, `input_tokens`, `output_tokens`), and how much there is in all."""

Left = Sequence[tuple[int, int]]
"""For each limit what is left of it, and in how many nanoseconds all of it is back."""

MEMO_BOUND: Final = 1024
SECOND: Final = 1_000_000_000

_Pieces = tuple[tuple[str, str], ...]
"""For each limit what stands before what is left of it, and between that and when all of it is back."""

_known: dict[int, tuple[Limits, _Pieces | None]] = {}
"""By the identity of limits, which many calls share; None for the pieces of those of which some are of a kind."""


def render_allowances(dialect: Dialect, limits: Limits, left: Left, now: float) -> str:
    """Return header lines, each with its line end; of several limits of a kind, of the one with the least left.

    `now` is in seconds since the epoch.
    """
    known = _known.get(id(limits))
    if known is None or known[0] is not limits:
        known = _learn(limits)
    pieces = known[1]
    if pieces is None:
        limits, left = _least(limits, left)
        pieces = _pieces_of(limits)
    if dialect == "messages":
        return "".join([_anthropic(one, *of, now) for one, of in zip(limits, left, strict=True)])
    lines = ""
    for at, (head, middle) in enumerate(pieces):
        rest, back = left[at]
        if back < SECOND:
            lines += f"{head}{rest}{middle}{(back + 500_000) // 1_000_000}ms\r\n"
        else:
            lines += f"{head}{rest}{middle}{_duration(back / SECOND)}\r\n"
    return lines


def _learn(limits: Limits) -> tuple[Limits, _Pieces | None]:
    if len(_known) >= MEMO_BOUND:
        _known.clear()
    apart = len({counted for counted, _ in limits}) == len(limits)
    known = _known[id(limits)] = limits, _pieces_of(limits) if apart else None
    return known


def _least(limits: Limits, left: Left) -> tuple[Limits, Left]:
    """Return for each kind of limit the one with the least left."""
    least: dict[str, int] = {}
    for at, (counted, _) in enumerate(limits):
        if counted not in least or left[at][0] < left[least[counted]][0]:
            least[counted] = at
    return tuple(limits[at] for at in least.values()), [left[at] for at in least.values()]


def _pieces_of(limits: Limits) -> _Pieces:
    pieces = []
    for counted, limit in limits:
        name = counted.replace("_", "-")
        head = f"x-ratelimit-limit-{name}: {limit}\r\nx-ratelimit-remaining-{name}: "
        pieces.append((head, f"\r\nx-ratelimit-reset-{name}: "))
    return tuple(pieces)


def _anthropic(limit: tuple[str, int], left: int, back: int, now: float) -> str:
    counted, amount = limit
    name = f"anthropic-ratelimit-{counted.replace('_', '-')}"
    when = _time(int(now + back / SECOND))
    return f"{name}-limit: {amount}\r\n{name}-remaining: {left}\r\n{name}-reset: {when}\r\n"


@lru_cache(256)
def _time(seconds: int) -> str:
    """Write seconds since the epoch as a time of RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    """Write a second or more as hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
