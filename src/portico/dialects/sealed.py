"""Whether a request brings back something that was sealed (`seal.py`): then it cannot pass as it is."""

from typing import Final

from portico.marks import holds
from portico.types import Dialect

_IN_BASE64: Final = frozenset(("gemini", "converse"))
"""Where signatures and blobs are bytes, so that what was sealed is written in base64 besides."""


def holds_seal(body: bytes, dialect: Dialect) -> bool:
    """Return whether something sealed may be in a request's body, in the words of its caller's dialect."""
    return holds(body, b"portico:") or (dialect in _IN_BASE64 and holds(body, b"cG9ydGljbzp"))
