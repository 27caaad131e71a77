"""Whether a request brings back something that was sealed (`seal.py`): then it cannot pass as it is."""


def holds_seal(body: bytes) -> bool:
    """Return whether something sealed may be in a request's body, in plain sight or in base64 (Converse's blobs)."""
    # `rpartition` says soonest that there is none: `in` raises and drops an exception first (CPython 3.11).
    return bool(body.rpartition(b"portico:")[1] or body.rpartition(b"cG9ydGljbzp")[1])
