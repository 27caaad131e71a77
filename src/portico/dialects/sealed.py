"""Whether a request brings back something that was sealed (`seal.py`): then it cannot pass as it is."""


def holds_seal(body: bytes) -> bool:
    """Return whether something sealed may be in a request's body, in plain sight or in base64 (Converse's blobs)."""
    return b"portico:" in body or b"cG9ydGljbzp" in body
