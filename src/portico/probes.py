"""What orchestrators ask of a worker: whether it lives, and whether it serves, in their words and in LiteLLM's.

They are answered here and not by control: a gateway whose control is away, or whose store is down, serves all the same.
"""

from typing import Final

import msgspec

from portico import __version__

ALIVE: Final = frozenset(("/health/liveliness", "/health/liveness"))
READY: Final = "/health/readiness"
"""LiteLLM's; control adds how the store is, where it can be asked."""

Answer = tuple[int, bytes]
"""The status and the JSON of a reply."""


def probe(path: str, *, serving: bool, rebuilding: bool, version: int) -> Answer | None:
    """Return the answer to a probe; None for any other path, and for LiteLLM's readiness of a worker that serves.

    `version` is the configuration's.
    """
    if path in ("/livez", "/readyz"):
        ready = path == "/livez" or (serving and not rebuilding)
        word = "ok" if ready else "rebuilding" if serving and rebuilding else "not ready"
        return 200 if ready else 503, _told(status=word, version=__version__, configuration=version)
    if path in ALIVE:
        return 200, b'"I\'m alive!"'
    if path == READY and (rebuilding or not serving):
        return 503, _told(status="unhealthy", db="Not connected", litellm_version=f"portico {__version__}")
    return None


def without_control() -> Answer:
    """Return LiteLLM's readiness of a worker that serves while nobody can say how the store is."""
    return 200, _told(status="healthy", db="Not connected", cache=None, litellm_version=f"portico {__version__}")


def _told(**said: object) -> bytes:
    return msgspec.json.encode(said)
