"""Lists of models, as OpenAI, Anthropic and Gemini write them; which one a caller reads is told by its headers."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from portico.testing.ask import CREATED, Request
from portico.types import Dialect

_MADE = "2025-10-09T08:53:20Z"


def speaks(request: Request) -> Dialect:
    """Return the dialect of a caller that asks for models, where all have the same path."""
    names = {name for name, _ in request.headers}
    if b"anthropic-version" in names:
        return "messages"
    if b"x-goog-api-key" in names or "/v1beta" in request.path or parse_qs(request.query).get("key"):
        return "gemini"
    return "chat"


def _one(dialect: Dialect, name: str) -> dict[str, Any]:
    if dialect == "messages":
        return {"type": "model", "id": name, "display_name": name, "created_at": _MADE}
    if dialect == "gemini":
        return {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
        }
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "mock"}


def listed(dialect: Dialect, names: Sequence[str]) -> dict[str, Any]:
    """Return the list of models."""
    found = [_one(dialect, name) for name in names]
    if dialect == "messages":
        first, last = (names[0], names[-1]) if names else (None, None)
        return {"data": found, "has_more": False, "first_id": first, "last_id": last}
    if dialect == "gemini":
        return {"models": found}
    return {"object": "list", "data": found}


def single(dialect: Dialect, name: str) -> dict[str, Any]:
    """Return one model."""
    return _one(dialect, name.removeprefix("models/"))
