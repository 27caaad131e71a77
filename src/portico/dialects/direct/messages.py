"""Messages of words alone: what such a request is read as, and how its answer is written."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from portico.dialects.direct.to_chat import Number, Text, Turn, Words

Content = Words | Annotated[list[Text], msgspec.Meta(min_length=1)]


class _Turn(Turn, forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system"]
    content: Content


class _Metadata(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    user_id: str


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """A request."""

    model: str
    messages: list[_Turn]
    system: Content | None = None
    max_tokens: int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    # OpenAI takes no more.
    stop_sequences: Annotated[list[str], msgspec.Meta(max_length=4)] | None = None
    metadata: _Metadata | None = None
    stream: bool | None = None


class Details(msgspec.Struct, gc=False):
    """What of the output was thought."""

    thinking_tokens: int


class Used(msgspec.Struct, gc=False):
    """What most calls use: `render_usage` has the rest."""

    input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: Details | msgspec.UnsetType
    service_tier: str = "standard"
    cache_creation_input_tokens: int = 0
    cache_creation: msgspec.Raw = msgspec.Raw(b'{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}')


class Message(msgspec.Struct, kw_only=True, gc=False):
    """An answer."""

    id: str
    type: str = "message"
    role: str = "assistant"
    model: str
    content: tuple[Text, ...]
    stop_reason: str | None
    stop_sequence: None = None
    usage: Used | Mapping[str, Any]
