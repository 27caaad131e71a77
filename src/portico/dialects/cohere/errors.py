"""An error as Cohere tells it (docs.cohere.com/reference/errors, read 2026-11-20)."""

import contextlib
from collections.abc import Iterable

from portico.dialects.complaint import shown
from portico.dialects.crossing import Complaint
from portico.dialects.tokens import UNREADABLE, table


def parse_error(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Complaint:
    """Read an error reply; one that is not as documented is told by its text."""
    told = dict(headers)
    found = table(body)
    words = found.get("message") or found.get("error")
    if not isinstance(words, str):
        words = shown(status, body)
    code, name = found.get("error_type"), found.get("id")
    header = told.get(b"x-request-id") or told.get(b"x-debug-trace-id")
    wait = None
    with contextlib.suppress(*UNREADABLE):
        seconds = float(told.get(b"retry-after", b""))
        wait = seconds if 0 <= seconds < 1e9 else None
    return Complaint(
        status=status,
        message=words,
        code=code if isinstance(code, str) and code else None,
        request_id=name if isinstance(name, str) and name else header.decode("latin-1") if header else None,
        retry_after=wait,
    )
