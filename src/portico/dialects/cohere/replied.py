"""What is read of Cohere's replies and of the events of their streams; the rest is skipped."""

import msgspec

from portico.dialects.tokens import NOTHING


class Reply(msgspec.Struct):
    """A whole reply: chat's usage, and what the others call `meta`."""

    usage: msgspec.Raw = NOTHING
    meta: msgspec.Raw = NOTHING


class Delta(msgspec.Struct):
    """The last event's."""

    usage: msgspec.Raw = NOTHING
    finish_reason: str | None = None
    error: msgspec.Raw = NOTHING


class Event(msgspec.Struct):
    """One event of a stream."""

    type: str = ""
    delta: msgspec.Raw = NOTHING
    message: msgspec.Raw = NOTHING
