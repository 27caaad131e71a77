"""What is read of a message and of the events of its stream; the rest is skipped."""

import msgspec

from portico.dialects.tokens import NOTHING


class Reply(msgspec.Struct):
    """A whole message, or the one that a stream begins with."""

    usage: msgspec.Raw = NOTHING


class Event(msgspec.Struct):
    """One event of a stream."""

    type: str = ""
    message: msgspec.Raw = NOTHING
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
