"""What Bedrock wraps the events of a maker's own dialect in."""

import msgspec


class Chunk(msgspec.Struct):
    """An event: bytes, which the wrapping has in base64."""

    bytes: bytes


CHUNK = msgspec.json.Decoder(Chunk)
"""What unwraps an event."""
