"""What every provider's error reply has: headers that say when to come back, and a body that may be anything."""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from portico.dialects.tokens import UNREADABLE

Headers = Iterable[tuple[bytes, bytes]]
_decoder = msgspec.json.Decoder()
_SHOWN = 500


def header(headers: Headers, name: bytes) -> str | None:
    """Return the first header of a (lowercase) name."""
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)


def retry_after(headers: Headers) -> float | None:
    """Return the seconds to wait: from `retry-after-ms`, `retry-after` in seconds, or as a date beside `date`."""
    headers = list(headers)
    milliseconds = _number(header(headers, b"retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = header(headers, b"retry-after")
    if said is None:
        return None
    seconds = _number(said)
    if seconds is not None:
        return seconds
    try:
        now = parsedate_to_datetime(header(headers, b"date") or "")
        return max((parsedate_to_datetime(said) - now).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _number(said: str | None) -> float | None:
    try:
        found = float(said) if said is not None else -1.0
    except ValueError:
        return None
    return found if 0 <= found < 10**7 else None


def document(body: bytes) -> dict[str, Any]:
    """Decode an error's body; what is no JSON object is an empty one."""
    try:
        found = _decoder.decode(body)
    except UNREADABLE:
        return {}
    return found if isinstance(found, dict) else {}


def shown(status: int, body: bytes) -> str:
    """Return a message for an error whose body tells none: the beginning of its text."""
    text = body[:_SHOWN].decode("utf-8", "replace").strip()
    return text or f"The provider answered with the status {status} and no message"


def words(found: Any) -> str | None:
    """Return a string that is not empty, else None."""
    return found if isinstance(found, str) and found else None


def detailed(detail: Any) -> str | None:
    """Return what FastAPI says in `detail`: a text, or what is wrong with each field; None for nothing."""
    if not isinstance(detail, list):
        return words(detail)
    told = []
    for each in detail:
        if isinstance(each, dict) and (message := words(each.get("msg"))):
            place = each.get("loc")
            told.append(f"{'.'.join(map(str, place))}: {message}" if isinstance(place, list) else message)
    return "; ".join(told) or None
