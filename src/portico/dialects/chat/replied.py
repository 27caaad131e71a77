"""What is read of a chat completion and of the chunks of one; the rest is skipped."""

import msgspec

from portico.dialects.plain_usage import Plain
from portico.dialects.tokens import NOTHING


class Reply(msgspec.Struct):
    """What is read of a reply, or of a chunk of one; the rest is skipped."""

    usage: msgspec.Raw = NOTHING
    x_groq: msgspec.Raw = NOTHING
    service_tier: msgspec.Raw = NOTHING
    choices: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class Choice(msgspec.Struct):
    """How an answer ended."""

    finish_reason: msgspec.Raw = NOTHING


class Common(msgspec.Struct):
    """A reply whose usage is the commonest, and that is no error."""

    usage: Plain
    service_tier: str | None = None
    error: None = None
    type: None = None
