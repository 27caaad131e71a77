"""What is left of a caller's limits, in the headers that each dialect's clients read.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as durations (`6m0s`), as in
platform.openai.com/docs/guides/rate-limits; others of its kind read the same. Anthropic:
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, resets as RFC 3339 times, as
in docs.anthropic.com/en/api/rate-limits. Both read 2026-11-20.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from portico.types import Dialect

Allowance = tuple[str, int, int, float]
"""What is counted (`requests`, `tokens`, `input_tokens`, `output_tokens`), how much there is in all, what is left,
and in how many seconds all of it is back."""


def render_allowances(dialect: Dialect, allowances: Iterable[Allowance], now: float) -> str:
    """Return header lines, each with its line end; of several limits of a kind, of the one with the least left.

    `now` is in seconds since the epoch.
    """
    least: dict[str, Allowance] = {}
    for one in allowances:
        if one[0] not in least or one[2] < least[one[0]][2]:
            least[one[0]] = one
    lines = ""
    if dialect == "messages":
        for counted, limit, left, resets in least.values():
            name = f"anthropic-ratelimit-{counted.replace('_', '-')}"
            back = datetime.fromtimestamp(now + resets, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            lines += f"{name}-limit: {limit}\r\n{name}-remaining: {left}\r\n{name}-reset: {back}\r\n"
        return lines
    for counted, limit, left, resets in least.values():
        name = counted.replace("_", "-")
        lines += (
            f"x-ratelimit-limit-{name}: {limit}\r\nx-ratelimit-remaining-{name}: {left}\r\n"
            f"x-ratelimit-reset-{name}: {_duration(resets)}\r\n"
        )
    return lines


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
