"""Requests of words alone, in the shape that providers of Chat Completions take them in."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from portico.dialects.crossing import Target

UNTOUCHED = frozenset(
    (
        "cache_control",
        "developer_role",
        "effort_none",
        "enable_thinking",
        "file_url",
        "images",
        "json_object_only",
        "max_completion_tokens",
        "no_effort_minimal",
        "no_effort_none",
        "no_encrypted_reasoning",
        "no_reasoning",
        "no_reasoning_summary",
        "no_sampling_with_reasoning",
        "random_seed",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "reasoning_object",
        "stop_unbounded",
        "thinking_type",
        "thought_signature",
        "tool_choice_any",
        "tool_ids_of_nine",
        "tool_result_media",
        "tool_result_name",
        "top_k",
        "usage_always",
        "video_url",
        "web_search_options",
    )
)
"""Quirks that are about what these requests do not hold, and the two that are heeded here."""

Words = Annotated[str, msgspec.Meta(min_length=1)]
"""Text; where it is empty, no provider is to see it."""
Count = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Number = int | float


class Text(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A text in a list of them, as Chat Completions and Messages both write it."""

    type: Literal["text"]  # not a tag, which may be left out where there is just one
    text: Words


class Turn(msgspec.Struct):
    """A message."""

    role: str
    content: str | Sequence[Text]


class Body(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A request."""

    model: str
    messages: Sequence[Turn]
    max_tokens: int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    user: str | None = None
    stop: Sequence[str] | None = None


class NewerBody(Body):
    """A request to those who have another name for the bound of an answer."""

    max_tokens: int | None = msgspec.field(default=None, name="max_completion_tokens")


def shape(target: Target) -> type[Body]:
    """Return the shape of a request to a target."""
    return NewerBody if "max_completion_tokens" in target.quirks else Body
