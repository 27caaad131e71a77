"""An error as Google's APIs tell it (google.aip.dev/193, read 2026-11-20)."""

import contextlib
from collections.abc import Iterable
from typing import Any

from portico.dialects.complaint import shown
from portico.dialects.crossing import Complaint
from portico.dialects.tokens import UNREADABLE, table


def parse_error(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Complaint:
    """Read an error reply; one that is not as documented is told by its text."""
    told = dict(headers)
    # A stream that fails before it begins answers with an array of one.
    found: Any = table(body.strip().removeprefix(b"[").removesuffix(b"]")).get("error")
    wait = _seconds(told.get(b"retry-after", b"").decode("latin-1"))
    header = told.get(b"x-request-id") or told.get(b"x-goog-request-id")
    name = header.decode("latin-1") if header else None
    if isinstance(found, str):
        return Complaint(status=status, message=found, request_id=name, retry_after=wait)
    if not isinstance(found, dict):
        return Complaint(status=status, message=shown(status, body), request_id=name, retry_after=wait)
    code = param = None
    details = found.get("details")
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        violations = detail.get("fieldViolations")
        if isinstance(violations, list) and violations and isinstance(violations[0], dict):
            param = param or _string(violations[0], "field")
        name = name or _string(detail, "requestId")
        if wait is None:
            wait = _seconds((_string(detail, "retryDelay") or "").removesuffix("s"))
    code = _string(found, "status")
    message = _string(found, "message") or shown(status, body)
    return Complaint(status=status, message=message, code=code, param=param, request_id=name, retry_after=wait)


def _string(found: dict[str, Any], name: str) -> str | None:
    value = found.get(name)
    return value if isinstance(value, str) and value else None


def _seconds(text: str) -> float | None:
    with contextlib.suppress(*UNREADABLE):
        seconds = float(text)
        if 0 <= seconds < 1e9:
            return seconds
    return None
