"""Calls that are what most are, put to a provider of another dialect without the conversation between.

A request of words alone is decoded into the shape that its dialect writes it in, and encoded in the provider's; its
reply comes back the same way. That takes a third to a half of the time of reading both into a conversation. Whatever
these shapes do not know does not fit them, and is read with care: so nothing is lost here, and what is said is what the
conversation comes to (`tests/dialects/direct` holds that to the letter). A pair need not be here.
"""

from collections.abc import Callable, Mapping
from inspect import get_annotations
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from portico.dialects.chat.brief import Brief
from portico.dialects.crossing import Given, Target
from portico.dialects.direct import messages, messages_to_chat, responses, responses_to_chat
from portico.dialects.direct.to_chat import CARE
from portico.dialects.tokens import UNREADABLE
from portico.dialects.toolbox import Members
from portico.types import Dialect, Usage


class Asked(Protocol):
    """A request that fits."""

    def body(self, target: Target, /) -> bytes | None:
        """Return the body for a provider; None where it needs care after all."""

    def told(self, heard: Brief, body: bytes, model: str, given: Given, /) -> tuple[bytes, Usage] | None:
        """Return a reply as the caller reads it, and what it used; None where it needs care.

        `heard` is what its `body` says, `model` the model by the caller's name.
        """


class _Pair(NamedTuple):
    """How what one dialect asks for is put in another."""

    names: frozenset[str]
    """What such a request may hold."""
    read: Callable[[bytes], Any]
    asked: Callable[[Any], Asked]
    """Takes what was read."""


def _pair(shape: type[msgspec.Struct], asked: Callable[[Any], Asked]) -> _Pair:
    return _Pair(frozenset(get_annotations(shape)), msgspec.json.Decoder(shape).decode, asked)


_PAIRS: Final[Mapping[tuple[str, Dialect], _Pair]] = MappingProxyType(
    {
        ("messages", "chat"): _pair(messages.Request, messages_to_chat.Asked),
        ("responses", "chat"): _pair(responses.Request, responses_to_chat.Asked),
    }
)
"""By the caller's operation and the provider's dialect."""


def put(operation: str, body: bytes, members: Members | None, target: Target) -> tuple[bytes, Asked] | None:
    """Put a request to a target: return what to send there, and what tells the reply. None where care is needed.

    `members` are those of the body, where they have been read.
    """
    pair = _PAIRS.get((operation, target.dialect))
    if pair is None or not target.quirks.isdisjoint(CARE):
        return None
    names, read, fitting = pair
    if members is not None and not members.keys() <= names:
        return None
    try:
        asked = fitting(read(body))
    except UNREADABLE:
        return None
    sent = asked.body(target)
    return None if sent is None else (sent, asked)
