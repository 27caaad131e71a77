"""The objects that OpenAI's APIs share, and those that follow them: `usage` and `error`.

Usage (platform.openai.com/docs/api-reference/chat/object and …/responses/object, read 2026-11-20): input (prompt)
tokens hold the cached ones, those written to a cache, audio and images; output (completion) tokens hold reasoning,
audio and images. Others differ, and are read too:
- xAI reports reasoning beside the completion, and the cost in ticks of 1e-10 dollars
  (docs.x.ai/developers/cost-tracking);
- Mistral reports audio beside the prompt, and its seconds;
- OpenRouter and Vercel report `cost` in dollars, OpenRouter less what is billed to a key of one's own
  (openrouter.ai/docs/use-cases/usage-accounting); Perplexity an object with `total_cost` (docs.perplexity.ai);
- DeepSeek writes `prompt_cache_hit_tokens`; Moonshot and Together `cached_tokens`; Mistral `num_cached_tokens`;
  Databricks, Venice and Vercel Anthropic's names for cached tokens, here part of the prompt.
"""

from typing import Any, Final

import msgspec

from portico.dialects.plain_usage import Plain
from portico.dialects.tokens import UNREADABLE, Table, count, first_count, inner, nano_dollars, split, tier
from portico.errors import PorticoError
from portico.types import Usage

_TICKS_IN_NANO: Final = 10
_CACHED: Final[tuple[str, ...]] = (
    "cache_read_input_tokens",
    "prompt_cache_hit_tokens",
    "cached_tokens",
    "num_cached_tokens",
)
_TOTALS: Final[tuple[str, ...]] = (
    "total_tokens",
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
)
_string: Final[msgspec.json.Decoder[str | None]] = msgspec.json.Decoder(str | None)


_plain: Final = msgspec.json.Decoder(Plain)


def plain_usage(raw: msgspec.Raw) -> Usage | None:
    """Read the commonest `usage` object, ten times as fast as `usage` does; None for any other, which `usage` reads."""
    try:
        return counted(_plain.decode(raw))
    except UNREADABLE:
        return None


def counted(counts: Plain) -> Usage | None:
    """Split the commonest `usage` object; None where its numbers do not add up, or where sound is among them."""
    total_in, total_out = counts.prompt_tokens, counts.completion_tokens
    asked, given = counts.prompt_tokens_details, counts.completion_tokens_details
    cached = reasoned = 0
    if asked is not None:
        if asked.audio_tokens:
            return None
        cached = asked.cached_tokens
    if given is not None:
        if given.audio_tokens:
            return None
        reasoned = given.reasoning_tokens
    if not (0 <= cached <= total_in and 0 <= reasoned <= total_out and counts.total_tokens == total_in + total_out):
        return None
    return Usage(input=total_in - cached, cache_read=cached, output=total_out - reasoned, reasoning=reasoned)


def usage(values: Table, service_tier: str | None = None) -> Usage | None:
    """Split a `usage` object; None where it has neither counts nor a cost. `service_tier` is the reply's."""
    total_in = count(values, "prompt_tokens") or count(values, "input_tokens")
    total_out = count(values, "completion_tokens") or count(values, "output_tokens")
    reported_cost = cost(values)
    if not total_in and not total_out and reported_cost is None and not any(name in values for name in _TOTALS):
        return None
    asked = inner(
        values, "prompt_tokens_details", "input_tokens_details", "prompt_token_details", "input_token_details"
    )
    given = inner(values, "completion_tokens_details", "output_tokens_details", "completion_token_details")
    found = split(
        total_in=total_in,
        total_out=total_out,
        total=count(values, "total_tokens"),
        cache_read=count(asked, "cached_tokens") or first_count(values, *_CACHED),
        cache_write=count(asked, "cache_write_tokens") or count(values, "cache_creation_input_tokens"),
        cache_write_1h=_kept_long(values),
        input_audio=count(asked, "audio_tokens"),
        input_image=count(asked, "image_tokens"),
        reasoning=count(given, "reasoning_tokens") or count(values, "reasoning_tokens"),
        output_audio=count(given, "audio_tokens"),
        output_image=count(given, "image_tokens"),
        reported_cost=reported_cost,
        tier=tier(service_tier, values.get("service_tier")),
    )
    seconds = count(values, "prompt_audio_seconds")
    searches = count(inner(values, "server_tool_use_details"), "web_search_requests")
    searches = searches or count(values, "num_search_queries")
    if seconds or searches:
        found = msgspec.structs.replace(found, seconds=float(seconds), searches=searches)
    return found


def _kept_long(values: Table) -> int:
    written = inner(values, "cache_creation")
    return count(written, "ephemeral_1h_input_tokens") + count(written, "ephemeral_24h_input_tokens") if written else 0


def cost(values: Table) -> int | None:
    """Return what a `usage` object says the call cost, in nano-dollars.

    No ticks means that xAI's software runs at somebody else's, who bills otherwise: not that it was free.
    """
    ticks = count(values, "cost_in_usd_ticks")
    if ticks:
        return (ticks + _TICKS_IN_NANO // 2) // _TICKS_IN_NANO
    said = values.get("cost")
    if isinstance(said, dict):
        said = said.get("total_cost")
    amount = nano_dollars(said)
    if amount is not None and values.get("is_byok") is True:
        amount += nano_dollars(inner(values, "cost_details").get("upstream_inference_cost")) or 0
    return amount


def served(raw: msgspec.Raw) -> str | None:
    """Return a reply's `service_tier`."""
    try:
        return _string.decode(raw)
    except UNREADABLE:
        return None


_TIERS: Final = frozenset(("auto", "default", "flex", "scale", "priority", "fast"))
_STANDARD: Final = {"standard": "default", "standard_only": "default", "on_demand": "default"}


def served_tier(tier: str | None) -> str | None:
    """Return a service tier in the API's own words, None for one that it does not know."""
    tier = _STANDARD.get(tier or "", tier)
    return tier if tier in _TIERS else None


_UNSTRICT: Final = frozenset(
    ("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "patternProperties", "oneOf")
)
_DEEPEST: Final = 32


def fits_strict(schema: Any, depth: int = 0) -> bool:
    """Return whether a schema can be held to strictly: all properties required, no others allowed, in every object.

    platform.openai.com/docs/guides/structured-outputs#supported-schemas (read 2026-11-20).
    """
    if schema is None and not depth:
        # A tool without parameters takes none.
        return True
    if type(schema) is not dict or depth > _DEEPEST:
        return False
    if not schema.keys().isdisjoint(_UNSTRICT) or (not depth and ("anyOf" in schema or schema.get("type") != "object")):
        return False
    properties = schema.get("properties")
    kind = schema.get("type")
    if properties is not None or kind == "object" or (type(kind) is list and "object" in kind):
        if type(properties) is not dict or schema.get("additionalProperties") is not False:
            return False
        required = schema.get("required", [])
        if type(required) is not list or any(name not in required for name in properties):
            return False
    inner = [schema["items"]] if "items" in schema else []
    for name in ("properties", "$defs", "definitions", "anyOf"):
        held = schema.get(name)
        if type(held) is dict:
            inner += held.values()
        elif type(held) is list:
            inner += held
        elif name in schema:
            return False
    return all(fits_strict(each, depth + 1) for each in inner)


_TYPES: Final = {429: "rate_limit_error"}


def error_body(error: PorticoError) -> bytes:
    """Write an error as OpenAI does (platform.openai.com/docs/guides/error-codes, read 2026-11-20)."""
    return msgspec.json.encode({"error": error_object(error)})


def error_object(error: PorticoError) -> dict[str, str | None]:
    """Return the object that OpenAI's errors are."""
    kind = _TYPES.get(error.status) or ("server_error" if error.status >= 500 else "invalid_request_error")
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code}
