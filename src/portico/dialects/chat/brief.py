"""Whole replies that are what most are, read for callers of other dialects: text, calls of functions, usage.

Decoding into these shapes takes a third of the time of decoding everything and looking at it. A reply that says more
does not fit and is read with care (`reply.parse_reply`): members that would change what it means must be null or empty
here, and unknown ones of a message are refused. What is unknown beside it is skipped: no other dialect has a place for
it.
"""

from typing import Annotated

import msgspec

from portico.dialects import openai
from portico.dialects.chat.answers import FINISH, parse_finish
from portico.dialects.chat.watch import read_usage
from portico.dialects.seal import PREFIX
from portico.dialects.tokens import NOTHING, UNREADABLE
from portico.ir import Choice, Part, Reply, Text, ToolCall
from portico.types import Usage


class _Function(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    arguments: str


class _Call(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    function: _Function
    type: str = "function"
    index: int = 0


class _Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str = "assistant"
    content: str | None = None
    tool_calls: list[_Call] | None = None
    refusal: None = None
    annotations: tuple[()] | None = None
    reasoning_content: None = None
    reasoning: None = None
    function_call: None = None
    audio: None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    index: int
    finish_reason: str
    logprobs: None = None
    stop_reason: None = None


class Brief(msgspec.Struct, gc=False):
    """A reply that is what most are."""

    choices: list[_Choice]
    usage: msgspec.Raw = NOTHING
    id: str = ""
    model: str = ""
    created: int | None = None
    service_tier: str | None = None
    x_groq: None = None
    error: None = None

    def used(self) -> Usage | None:
        """Return what it used where that is told as most tell it, None where it is to be read with care."""
        return openai.plain_usage(self.usage) if self.service_tier in _ORDINARY else None

    def words(self) -> tuple[str, str] | None:
        """Return the text of the one answer and the word for why it ended; None where there is more to it."""
        if len(self.choices) != 1:
            return None
        (choice,) = self.choices
        message = choice.message
        if choice.index or message.tool_calls or choice.finish_reason not in FINISH:
            return None
        return message.content or "", choice.finish_reason


_ORDINARY = frozenset((None, "default"))
_decoder = msgspec.json.Decoder(Brief)


def hear(body: bytes) -> Brief | None:
    """Read a reply without what only this dialect knows; None for one that is to be read with care."""
    try:
        return _decoder.decode(body)
    except UNREADABLE:
        return None


def brief_reply(found: Brief, body: bytes) -> Reply | None:
    """Return a brief reply as one of a conversation; None for one that is to be read with care. `body` is all of it."""
    usage = found.used()
    if usage is None and bytes(found.usage):
        usage = read_usage(body)
    choices = []
    for told in found.choices:
        message = told.message
        parts: list[Part] = [Text(text=message.content)] if message.content else []
        calls = message.tool_calls
        if calls:
            for call in calls:
                function = call.function
                if call.type != "function" or not function.arguments or call.id.startswith(PREFIX):
                    return None
                parts.append(ToolCall(id=call.id, name=function.name, arguments=function.arguments))
        reason = told.finish_reason
        finish = parse_finish(reason, calls=bool(calls))
        choices.append(Choice(index=told.index, parts=tuple(parts), finish=finish, finish_raw=finish and reason))
    return Reply(
        dialect="chat",
        id=found.id,
        model=found.model,
        created=found.created,
        choices=tuple(choices),
        usage=usage,
        service_tier=found.service_tier,
    )
