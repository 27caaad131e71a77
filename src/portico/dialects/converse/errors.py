"""Bedrock's errors, as it told them.

docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, "Errors" (read 2026-11-20): the name of the
exception is in the header `x-amzn-errortype`, or in the body's `__type`, each perhaps with an address.
"""

from portico.dialects.complaint import Headers, document, header, retry_after, shown, words
from portico.dialects.crossing import Complaint


def parse_error(status: int, headers: Headers, body: bytes) -> Complaint:
    """Read an error reply; one that is not as documented is told by its text."""
    headers = list(headers)
    value = document(body)
    kind = header(headers, b"x-amzn-errortype") or words(value.get("__type")) or words(value.get("code"))
    return Complaint(
        status=status,
        message=words(value.get("message")) or words(value.get("Message")) or shown(status, body),
        code=kind.partition(":")[0].rpartition("#")[2] if kind else None,
        request_id=header(headers, b"x-amzn-requestid"),
        retry_after=retry_after(headers),
    )
