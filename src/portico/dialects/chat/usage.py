"""Usage, written as OpenAI's `usage` object: totals that hold their parts.

What OpenAI has no field for is written under the names that `openai.usage` reads: `cache_write_tokens` is
OpenRouter's.
"""

from typing import Any

from portico.types import NANO, Usage


def render_usage(usage: Usage) -> dict[str, Any]:
    """Write usage; the buckets that hold nothing and that OpenAI does not always write are left out."""
    asked = {"cached_tokens": usage.cache_read, "audio_tokens": usage.input_audio}
    given = {
        "reasoning_tokens": usage.reasoning,
        "audio_tokens": usage.output_audio,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    written: dict[str, Any] = {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.total,
        "prompt_tokens_details": asked,
        "completion_tokens_details": given,
    }
    if usage.cache_write_5m or usage.cache_write_1h:
        asked["cache_write_tokens"] = usage.cache_write_5m + usage.cache_write_1h
        if usage.cache_write_1h:
            written["cache_creation"] = {"ephemeral_1h_input_tokens": usage.cache_write_1h}
    if usage.input_image:
        asked["image_tokens"] = usage.input_image
    if usage.output_image:
        given["image_tokens"] = usage.output_image
    if usage.searches:
        written["server_tool_use_details"] = {"web_search_requests": usage.searches}
    if usage.reported_cost is not None:
        written["cost"] = usage.reported_cost / NANO
    return written
