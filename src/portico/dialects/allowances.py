"""What is left of a caller's limits, in the headers that each dialect's clients read.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as durations (`6m0s`), as in
platform.openai.com/docs/guides/rate-limits; others of its kind read the same. Anthropic:
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, resets as RFC 3339 times, as
in docs.anthropic.com/en/api/rate-limits. Both read 2026-11-20.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from portico.types import Dialect

Allowance = tuple[str, int, int, float]
"""What is counted (`requests`, `tokens`, `input_tokens`, `output_tokens`), how much there is in all, what is left,
and in how many seconds all of it is back."""


_heads: dict[tuple[str, int], str] = {}
MEMO_BOUND = 1024


def render_allowances(dialect: Dialect, allowances: Sequence[Allowance], now: float) -> str:
    """Return header lines, each with its line end; of several limits of a kind, of the one with the least left.

    `now` is in seconds since the epoch.
    """
    if len(allowances) > 1:
        least: dict[str, Allowance] = {}
        for one in allowances:
            if one[0] not in least or one[2] < least[one[0]][2]:
                least[one[0]] = one
        allowances = tuple(least.values())
    if dialect == "messages":
        return "".join(_anthropic(one, now) for one in allowances)
    lines = ""
    for counted, limit, left, resets in allowances:
        head = _heads.get((counted, limit))
        if head is None:
            if len(_heads) >= MEMO_BOUND:
                _heads.clear()
            name = counted.replace("_", "-")
            head = f"x-ratelimit-limit-{name}: {limit}\r\nx-ratelimit-remaining-{name}: %d\r\n"
            head = _heads[(counted, limit)] = f"{head}x-ratelimit-reset-{name}: %s\r\n"
        lines += head % (left, _duration(resets))
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
