"""What every provider's error reply has: headers that say when to come back, and a body that may be anything."""

import re
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from portico.dialects.tokens import UNREADABLE

Headers = Iterable[tuple[bytes, bytes]]
_decoder = msgspec.json.Decoder()
_SHOWN = 500
_SAYING = (
    *("message", "Message", "error_description", "error", "errors", "detail", "msg"),
    *("faultstring", "fault", "title"),
)
"""Where what is said may stand, first the surest: of gateways, servers and proxies that stand before a provider."""
_DEEPEST = 4
_TITLE = re.compile(rb"<title[^>]*>([^<]+)</title>", re.IGNORECASE)


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
    """Return a message for an error whose body is not its dialect's.

    It is what a body of JSON says somewhere, a page's title, or the beginning of the text.
    """
    try:
        said = _said(_decoder.decode(body), _DEEPEST)
    except UNREADABLE:
        title = _TITLE.search(body)
        said = title[1].decode("utf-8", "replace").strip() if title else None
    text = said or body.decode("utf-8", "replace").strip()
    return text[:_SHOWN] or f"The provider answered with the status {status} and no message"


def _said(value: Any, depth: int) -> str | None:
    if isinstance(value, list):
        return detailed(value) or (_said(value[0], depth - 1) if value and depth else None)
    if isinstance(value, dict) and depth:
        return next((found for name in _SAYING if (found := _said(value.get(name), depth - 1))), None)
    return words(value)


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
