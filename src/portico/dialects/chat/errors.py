"""OpenAI's errors and those of its imitators, as a provider told them (…/docs/guides/error-codes, read 2026-11-20).

Besides `{"error": {"message", "type", "param", "code"}}` come a list with one such object (Gemini), the object without
`error` around it (Mistral, Doubleword), `{"code", "error": "…"}` (xAI), FastAPI's `{"detail"}`, and OpenRouter's own
words with what the provider behind it said in `metadata.raw`.
"""

from typing import Any

import msgspec

from portico.dialects.complaint import Headers, detailed, document, header, retry_after, shown, words
from portico.dialects.crossing import Complaint
from portico.dialects.tokens import UNREADABLE

_IDS = (b"x-request-id", b"apim-request-id", b"x-kong-request-id", b"x-amzn-requestid", b"cf-ray")
_decoder = msgspec.json.Decoder()


def parse_error(status: int, headers: Headers, body: bytes) -> Complaint:
    """Read an error reply; one that is not as documented is told by its text."""
    headers = list(headers)
    value = document(body) or _first(body)
    error = value.get("error")
    said: dict[str, Any] = error if isinstance(error, dict) else value
    message = words(said.get("message")) or words(error) or detailed(value.get("detail")) or shown(status, body)
    behind = _behind(said.get("metadata"))
    ids = (header(headers, name) for name in _IDS)
    return Complaint(
        status=status,
        message=f"{message}: {behind}" if behind else message,
        code=words(said.get("code")) or words(said.get("type")),
        param=words(said.get("param")),
        request_id=next((found for found in ids if found), None),
        retry_after=retry_after(headers),
    )


def _first(body: bytes) -> dict[str, Any]:
    """Return the first of a list of errors."""
    try:
        found = _decoder.decode(body)
    except UNREADABLE:
        return {}
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}


def _behind(metadata: Any) -> str | None:
    """Return what OpenRouter quotes of the provider behind it: its message, or the beginning of its text."""
    raw = words(metadata.get("raw")) if isinstance(metadata, dict) else None
    if raw is None:
        return None
    value = document(raw.encode("utf-8", "replace"))
    error = value.get("error")
    said = error if isinstance(error, dict) else value
    return words(said.get("message")) or words(error) or shown(0, raw.encode("utf-8", "replace"))
