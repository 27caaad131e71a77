"""Anthropic's errors, as a provider told them (docs.anthropic.com/en/api/errors, read 2026-11-20)."""

from portico.dialects.complaint import Headers, document, header, retry_after, shown, words
from portico.dialects.crossing import Complaint


def parse_error(status: int, headers: Headers, body: bytes) -> Complaint:
    """Read an error reply; one that is not as documented is told by its text."""
    headers = list(headers)
    value = document(body)
    error = value.get("error")
    said = error if isinstance(error, dict) else value
    return Complaint(
        status=status,
        message=words(said.get("message")) or words(error) or shown(status, body),
        code=words(said.get("type")) if isinstance(error, dict) else None,
        param=words(said.get("param")),
        request_id=words(value.get("request_id")) or header(headers, b"request-id"),
        retry_after=retry_after(headers),
    )
