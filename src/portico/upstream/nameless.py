"""Calls that name no model, where the API of their operation leaves it open."""

from collections.abc import Mapping
from typing import Final

from portico.config import schema
from portico.config.wildcard import Patterns
from portico.errors import InvalidRequest
from portico.upstream.target import Upstream

USUAL: Mapping[tuple[str, str], str] = {
    ("openai", "moderations"): "omni-moderation-latest",
    ("mistral", "moderations"): "mistral-moderation-latest",
}
"""What a provider's own API takes for a call that names no model, by the provider's row and the operation."""
OPTIONAL: Final = frozenset(("moderations", "images_generations", "images_edits", "images_variations"))
"""Operations whose model OpenAI's API leaves open."""


def nameless(
    operation: str, aliases: Mapping[str, schema.Model], patterns: Patterns, upstreams: Mapping[str, Upstream]
) -> str | tuple[Upstream, str]:
    """Return the name that a call without one is for, or which provider has it and what that calls the model.

    An alias or a pattern for the model that OpenAI's API takes by itself comes first; then the one provider that has
    the operation, or of several the one that is OpenAI, or where the lone star goes. Its own choice is left to it where
    it needs no name.
    Raises InvalidRequest where a model must be named.
    """
    usual = USUAL.get(("openai", operation), "")
    if operation in OPTIONAL:
        match = patterns.find(usual) if usual else None
        if usual in aliases or (match is not None and match.pattern != "*"):
            return usual
        able = [each for each in upstreams.values() if each.closed is None and _leaves_open(each, operation)]
        own = [upstream for upstream in able if upstream.provider.like == "openai"]
        if len(able) == 1 or len(own) == 1:
            upstream = able[0] if len(able) == 1 else own[0]
            return upstream, USUAL.get((upstream.provider.like, operation), "")
        if match is not None:
            return usual
    raise InvalidRequest("the request names no model; set `model`", param="model")


def _leaves_open(upstream: Upstream, operation: str) -> bool:
    """Return whether a provider has an operation at a path that does not need the model."""
    return operation in upstream.provider.operations and "{model}" not in upstream.provider.row.path(operation)
