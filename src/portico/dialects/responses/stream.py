"""Streams of the Responses API, read and written."""

from portico.dialects.responses.decoder import Decoder
from portico.dialects.responses.encoder import Encoder

__all__ = ["Decoder", "Encoder"]
