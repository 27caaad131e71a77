"""Turn the numbers of a reply into `Usage`: counts, dollars, tiers, and totals split into disjoint buckets."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import msgspec

from portico.types import NANO, Usage

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError, ValueError)
"""What decoding somebody else's bytes may raise."""

NOTHING: Final = msgspec.Raw(b"")
"""The default of a raw field that was absent."""

Table = dict[str, Any]
"""A decoded JSON object; its numbers with a fraction are Decimals, so that money is read exactly."""

_COUNT_LIMIT: Final = 2**53
_DIGITS: Final = 20
_DOLLAR_LIMIT: Final = 10**7
_values: Final = msgspec.json.Decoder(float_hook=Decimal)
# What providers call serving without a special tier.
_ORDINARY: Final = frozenset(("default", "standard", "auto", "on_demand", "unspecified", ""))


def table(raw: msgspec.Raw | bytes) -> Table:
    """Decode a JSON object; an absent or unreadable one, or another value, is an empty table."""
    try:
        found = _values.decode(raw)
    except UNREADABLE:
        return {}
    return found if isinstance(found, dict) else {}


def inner(values: Table, *names: str) -> Table:
    """Return the first of these members that is an object, else an empty table."""
    for name in names:
        found = values.get(name)
        if isinstance(found, dict):
            return found
    return {}


def count(values: Table, name: str) -> int:
    """Return a member that is a count, else 0. A count is a whole number, not negative, and not beyond reason.

    Written as a string it is one too: so protobuf's JSON writes numbers of 64 bits.
    """
    value = values.get(name)
    if type(value) is str and value.isascii() and value.isdecimal() and len(value) < _DIGITS:
        value = int(value)
    if type(value) is int or type(value) is Decimal or type(value) is float:
        return int(value) if 0 < value < _COUNT_LIMIT else 0
    return 0


def first_count(values: Table, *names: str) -> int:
    """Return the first of these members that is a count and not 0, else 0."""
    for name in names:
        if found := count(values, name):
            return found
    return 0


def nano_dollars(value: object) -> int | None:
    """Return an amount in dollars as nano-dollars, rounded half up; None for what is no amount of money."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value < _DOLLAR_LIMIT:
        return None
    return int((Decimal(value) * NANO).to_integral_value(ROUND_HALF_UP))


def tier(*names: object) -> str | None:
    """Return the special tier that a provider says it served, lowercased; None for its ordinary one."""
    for name in names:
        if isinstance(name, str):
            short = name.lower().removeprefix("service_tier_").removeprefix("traffic_type_").removeprefix("on_demand_")
            if short not in _ORDINARY:
                return short
    return None


def split(
    *,
    total_in: int,
    total_out: int,
    total: int = 0,
    cache_read: int = 0,
    cache_write: int = 0,
    cache_write_1h: int = 0,
    input_audio: int = 0,
    input_image: int = 0,
    reasoning: int = 0,
    output_audio: int = 0,
    output_image: int = 0,
    seconds: float = 0.0,
    searches: int = 0,
    tool_uses: int = 0,
    reported_cost: int | None = None,
    tier: str | None = None,
    geo: str | None = None,
) -> Usage:
    """Split totals that hold their parts into disjoint buckets, whose sum is `total` where that is reported.

    `cache_write` is what was written altogether, `cache_write_1h` the part kept for an hour. A part that is larger
    than what is left of its total is cut to it, written cache before read cache before audio before images, and
    audio before images before reasoning, so that what costs more is counted where two parts overlap.

    Some APIs report a total above the sum of input and output. What is over is: the input's audio where it is just
    that many (Mistral counts it beside the prompt); all of it input where nothing else is reported (Voyage, Jina);
    else output that was not shown (xAI's reasoning is beside the completion, Gemini's OpenAI-compatible API leaves
    its thoughts out).
    """
    over = total - total_in - total_out
    if over > 0:
        if not total_in and not total_out:
            total_in = total
        elif over == input_audio:
            total_in += over
        else:
            total_out += over
            reasoning = max(reasoning, over)
    written = min(cache_write, total_in)
    hour = min(cache_write_1h, written)
    left = total_in - written
    cache_read = min(cache_read, left)
    left -= cache_read
    input_audio = min(input_audio, left)
    left -= input_audio
    input_image = min(input_image, left)
    shown = total_out
    output_audio = min(output_audio, shown)
    shown -= output_audio
    output_image = min(output_image, shown)
    shown -= output_image
    reasoning = min(reasoning, shown)
    return Usage(
        input=left - input_image,
        cache_read=cache_read,
        cache_write_5m=written - hour,
        cache_write_1h=hour,
        input_audio=input_audio,
        input_image=input_image,
        output=shown - reasoning,
        reasoning=reasoning,
        output_audio=output_audio,
        output_image=output_image,
        seconds=seconds,
        searches=searches,
        tool_uses=tool_uses,
        reported_cost=reported_cost,
        tier=tier,
        geo=geo,
    )


def summed(found: Sequence[Usage | None]) -> Usage | None:
    """Return what several replies used; None where none says."""
    known = [usage for usage in found if usage is not None]
    if not known:
        return None
    total = known[0]
    for usage in known[1:]:
        total = Usage(
            input=total.input + usage.input,
            cache_read=total.cache_read + usage.cache_read,
            input_image=total.input_image + usage.input_image,
            input_audio=total.input_audio + usage.input_audio,
            output=total.output + usage.output,
            images=total.images + usage.images,
            searches=total.searches + usage.searches,
            reported_cost=None
            if total.reported_cost is None or usage.reported_cost is None
            else total.reported_cost + usage.reported_cost,
        )
    return total
