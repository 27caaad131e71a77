"""The stream of a chat completion, read and written: see decoder.py and encoder.py."""

from portico.dialects.chat.decoder import Decoder
from portico.dialects.chat.encoder import Encoder

__all__ = ["Decoder", "Encoder"]
