"""Responses of words alone: what such a request is read as, and how its answer is written."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from portico.dialects.direct.to_chat import Number, Words


class _Input(msgspec.Struct, tag_field="type", tag="input_text", forbid_unknown_fields=True, gc=False):
    text: Words


class Output(msgspec.Struct, tag_field="type", tag="output_text", forbid_unknown_fields=True):
    """A text in an answer; one that is sent again may be that of an answer too."""

    text: Words
    annotations: tuple[()] = ()
    logprobs: tuple[()] = ()


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: Words | Annotated[list[_Input | Output], msgspec.Meta(min_length=1)]
    type: Literal["message"] = "message"
    # Of those that come back as a response had them; no other API has a place for these.
    id: str | None = None
    status: str | None = None


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """A request. Whether to `store` its answer says nothing to those who keep none."""

    model: str
    input: Words | Annotated[list[_Item], msgspec.Meta(min_length=1)]
    instructions: Words | None = None
    max_output_tokens: int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    user: str | None = None
    store: bool | None = None
    stream: bool | None = None


class Message(msgspec.Struct, tag_field="type", tag="message", gc=False):
    """What an answer says."""

    id: str
    content: tuple[Output, ...]
    status: str = "completed"
    role: str = "assistant"


class Read(msgspec.Struct, gc=False):
    """What of the input was in a cache."""

    cached_tokens: int
    cache_write_tokens: int = 0


class Thought(msgspec.Struct, gc=False):
    """What of the output was thought."""

    reasoning_tokens: int


class Used(msgspec.Struct, gc=False):
    """What most calls use: `write_usage` has the rest."""

    input_tokens: int
    input_tokens_details: Read
    output_tokens: int
    output_tokens_details: Thought
    total_tokens: int


class Response(msgspec.Struct, gc=False):
    """An answer, but for what every answer to such a request has."""

    id: str
    created_at: int
    model: str
    output: tuple[Message, ...]
    usage: Used | Mapping[str, Any]
    instructions: str | None
    max_output_tokens: int | None
    temperature: Number
    top_p: Number
    user: str | None
    service_tier: str
    # What such a request asks nothing of.
    prompt_cache_key: None = None
    top_logprobs: int = 0
