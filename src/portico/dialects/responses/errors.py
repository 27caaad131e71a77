"""OpenAI's errors and those of its imitators, as a provider told them (…/docs/guides/error-codes, read 2026-11-20).

Besides `{"error": {"message", "type", "param", "code"}}` come xAI's `{"code", "error": "…"}`, FastAPI's `{"detail"}`,
and the bare `{"message"}` of Azure's and Bedrock's gateways.
"""

from typing import Any

from portico.dialects.complaint import Headers, detailed, document, header, retry_after, shown, words
from portico.dialects.crossing import Complaint

_IDS = (b"x-request-id", b"apim-request-id", b"x-amzn-requestid", b"cf-ray")


def parse_error(status: int, headers: Headers, body: bytes) -> Complaint:
    """Read an error reply; one that is not as documented is told by its text."""
    headers = list(headers)
    value = document(body)
    error = value.get("error")
    said: dict[str, Any] = error if isinstance(error, dict) else value
    ids = (header(headers, name) for name in _IDS)
    return Complaint(
        status=status,
        message=words(said.get("message")) or words(error) or detailed(value.get("detail")) or shown(status, body),
        code=words(said.get("code")) or words(said.get("type")),
        param=words(said.get("param")),
        request_id=next((found for found in ids if found), None),
        retry_after=retry_after(headers),
    )
