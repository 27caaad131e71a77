"""What control says to anybody: that it lives, and which Portico this is.

Said without a framework: orchestrators ask it of processes at rest, and those stay small.
"""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from portico import __version__

if TYPE_CHECKING:
    from uvicorn._types import ASGISendCallable

STARTED = time.monotonic()


def health() -> bytes:
    """Say that control lives, and for how long (seconds)."""
    return b'{"status":"ok","uptime_s":%.3f}' % (time.monotonic() - STARTED)


def version() -> bytes:
    """Say which Portico this is."""
    return b'{"name":"portico","version":"%b"}' % __version__.encode()


OPEN: Mapping[str, Callable[[], bytes]] = MappingProxyType({"/api/v1/health": health, "/api/v1/version": version})
"""What is said at which paths: nothing that a stranger may not know."""


async def say(body: bytes, send: "ASGISendCallable") -> None:
    """Answer a request with this."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
