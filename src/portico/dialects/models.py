"""The list of models, in the shapes of the three APIs that have one.

OpenAI: https://platform.openai.com/docs/api-reference/models (read 2026-11).
Anthropic: https://docs.anthropic.com/en/api/models-list (read 2026-11).
Gemini: https://ai.google.dev/api/models (read 2026-11).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from portico.types import Dialect

Named = Sequence[tuple[str, str]]
"""Names of models, each with who owns it."""


def style(path: str, fields: Mapping[bytes, bytes]) -> Dialect:
    """Return whose shape the asker reads: `messages`, `gemini`, or `chat` for OpenAI's."""
    if path.startswith("/v1beta") or b"x-goog-api-key" in fields or b"x-goog-api-client" in fields:
        return "gemini"
    return "messages" if b"anthropic-version" in fields else "chat"


def render_models(dialect: Dialect, named: Named) -> bytes:
    """Write a whole list."""
    rows = [_row(dialect, name, owner) for name, owner in named]
    if dialect == "gemini":
        return msgspec.json.encode({"models": rows})
    if dialect == "messages":
        ends = {"first_id": named[0][0], "last_id": named[-1][0]} if named else {"first_id": None, "last_id": None}
        return msgspec.json.encode({"data": rows, "has_more": False, **ends})
    return msgspec.json.encode({"object": "list", "data": rows})


def render_model(dialect: Dialect, name: str, owner: str) -> bytes:
    """Write one model."""
    return msgspec.json.encode(_row(dialect, name, owner))


def _row(dialect: Dialect, name: str, owner: str) -> dict[str, Any]:
    if dialect == "gemini":
        methods = ["generateContent", "streamGenerateContent", "countTokens", "embedContent"]
        return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
    if dialect == "messages":
        return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
