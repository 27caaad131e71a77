"""The key that a request carries, in any of the places where the SDKs put it."""

import re
from urllib.parse import parse_qs

from portico.testing.ask import Request

_HEADERS = (b"x-api-key", b"api-key", b"x-goog-api-key")
_SIGV4 = re.compile(r"^AWS4-HMAC-SHA256 Credential=([^/,\s]+)")


def credential(request: Request) -> str | None:
    """Return the key: a bearer token, an API key header, `?key=`, or the access key id of an AWS signature."""
    found = None
    for name, value in request.headers:
        if name == b"authorization":
            text = value.decode("latin-1")
            if text[:7].lower() == "bearer ":
                return text[7:].strip()
            signed = _SIGV4.match(text)
            return signed.group(1) if signed else text
        if name in _HEADERS:
            found = value.decode("latin-1")
    if found is None and "key=" in request.query:
        found = next(iter(parse_qs(request.query).get("key", ())), None)
    return found
