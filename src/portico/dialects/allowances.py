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

Left = Sequence[tuple[int, float]]
"""For each limit what is left of it, and in how many seconds all of it is back."""

MEMO_BOUND: Final = 1024

_lines: dict[Limits, str] = {}


def render_allowances(dialect: Dialect, limits: Limits, left: Left, now: float) -> str:
    """Return header lines, each with its line end; of several limits of a kind, of the one with the least left.

    `now` is in seconds since the epoch.
    """
    lines = _lines.get(limits)
    if lines is None:
        limits, left = _least(limits, left)
        lines = _lines.get(limits) or _lines_of(limits)
    if dialect == "messages":
        return "".join([_anthropic(one, *of, now) for one, of in zip(limits, left, strict=True)])
    told: list[int | str] = []
    for rest, resets in left:
        told += (rest, f"{round(resets * 1000)}ms" if resets < 1 else _duration(resets))
    return lines % tuple(told)


def _least(limits: Limits, left: Left) -> tuple[Limits, Left]:
    """Return for each kind of limit the one with the least left."""
    least: dict[str, int] = {}
    for at, (counted, _) in enumerate(limits):
        if counted not in least or left[at][0] < left[least[counted]][0]:
            least[counted] = at
    return tuple(limits[at] for at in least.values()), [left[at] for at in least.values()]


def _lines_of(limits: Limits) -> str:
    """Return what is said of limits of different kinds, with places for what is left of each and when it is back."""
    if len(_lines) >= MEMO_BOUND:
        _lines.clear()
    lines = ""
    for counted, limit in limits:
        name = counted.replace("_", "-")
        lines += f"x-ratelimit-limit-{name}: {limit}\r\nx-ratelimit-remaining-{name}: %d\r\n"
        lines += f"x-ratelimit-reset-{name}: %s\r\n"
    _lines[limits] = lines
    return lines


def _anthropic(limit: tuple[str, int], left: int, resets: float, now: float) -> str:
    counted, amount = limit
    name = f"anthropic-ratelimit-{counted.replace('_', '-')}"
    back = _time(int(now + resets))
    return f"{name}-limit: {amount}\r\n{name}-remaining: {left}\r\n{name}-reset: {back}\r\n"


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
