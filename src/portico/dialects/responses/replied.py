"""What is read of a response and of the events of its stream; the rest is skipped."""

import msgspec

from portico.dialects.tokens import NOTHING


class Reply(msgspec.Struct):
    """A response, whole or within an event."""

    usage: msgspec.Raw = NOTHING
    service_tier: msgspec.Raw = NOTHING
    output: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What the input is made of."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class Given(msgspec.Struct, forbid_unknown_fields=True):
    """What the output is made of."""

    reasoning_tokens: int = 0


class Plain(msgspec.Struct, forbid_unknown_fields=True):
    """The commonest `usage` object; anything more in it is another."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: Asked
    output_tokens_details: Given


class Event(msgspec.Struct):
    """One event of a stream."""

    type: str = ""
    response: Reply | None = None
    error: msgspec.Raw = NOTHING
    message: msgspec.Raw = NOTHING
    code: msgspec.Raw = NOTHING


class Action(msgspec.Struct):
    """What a search did."""

    type: str = "search"


class Item(msgspec.Struct):
    """One item of the output."""

    type: str = ""
    action: msgspec.Raw = NOTHING
    container_id: str | None = None
