"""What is left of a caller's limits, in the headers that each dialect's clients read.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as durations (`6m0s`), as in
platform.openai.com/docs/guides/rate-limits; others of its kind read the same. Anthropic:
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, resets as RFC 3339 times, as
in docs.anthropic.com/en/api/rate-limits. Both read 2026-11-20.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import itemgetter

from portico.types import Dialect

Allowance = tuple[str, int, int, float]
"""What is counted (`requests`, `tokens`, `input_tokens`, `output_tokens`), how much there is in all, what is left,
and in how many seconds all of it is back."""


_counted = itemgetter(0)
_lines: dict[tuple[str, int], str] = {}
MEMO_BOUND = 1024


def render_allowances(dialect: Dialect, allowances: Sequence[Allowance], now: float) -> str:
    """Return header lines, each with its line end; of several limits of a kind, of the one with the least left.

    `now` is in seconds since the epoch.
    """
    if len(set(map(_counted, allowances))) < len(allowances):
        least: dict[str, Allowance] = {}
        for one in allowances:
            if one[0] not in least or one[2] < least[one[0]][2]:
                least[one[0]] = one
        allowances = tuple(least.values())
    if dialect == "messages":
        return "".join(_anthropic(one, now) for one in allowances)
    told = ""
    for counted, limit, left, resets in allowances:
        lines = _lines.get((counted, limit))
        if lines is None:
            lines = _lines_of(counted, limit)
        told += lines % (left, f"{round(resets * 1000)}ms" if 0 <= resets < 1 else _duration(resets))
    return told


def _lines_of(counted: str, limit: int) -> str:
    """Return what is said of a limit, with places for what is left of it and for when it is back."""
    if len(_lines) >= MEMO_BOUND:
        _lines.clear()
    name = counted.replace("_", "-")
    limits = f"x-ratelimit-limit-{name}: {limit}\r\nx-ratelimit-remaining-{name}: %d\r\n"
    lines = _lines[(counted, limit)] = f"{limits}x-ratelimit-reset-{name}: %s\r\n"
    return lines


def _anthropic(one: Allowance, now: float) -> str:
    counted, limit, left, resets = one
    name = f"anthropic-ratelimit-{counted.replace('_', '-')}"
    back = datetime.fromtimestamp(now + resets, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{name}-limit: {limit}\r\n{name}-remaining: {left}\r\n{name}-reset: {back}\r\n"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
