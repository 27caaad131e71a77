"""Whether a request brings back something that was sealed (`seal.py`): then it cannot pass as it is."""

from portico.marks import holds


def holds_seal(body: bytes) -> bool:
    """Return whether something sealed may be in a request's body, in plain sight or in base64 (Converse's blobs)."""
    return holds(body, b"portico:") or holds(body, b"cG9ydGljbzp")
