"""Calls that are what most are, put to a provider of another dialect without the conversation between.

A request of words alone is decoded into the shape that its dialect writes it in, and encoded in the provider's; its
reply comes back the same way. That takes a third to a half of the time of reading both into a conversation. Whatever
these shapes do not know does not fit them, and is read with care: so nothing is lost here, and what is said is what the
conversation comes to (`tests/dialects/direct` holds that to the letter). A pair need not be here.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from portico.dialects.chat.brief import Brief
from portico.dialects.crossing import Given, Target
from portico.dialects.direct import messages_to_chat, responses_to_chat
from portico.dialects.direct.to_chat import CARE
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


_READERS: Mapping[tuple[str, Dialect], tuple[frozenset[str], Callable[[bytes], Asked | None]]] = MappingProxyType(
    {
        ("messages", "chat"): (messages_to_chat.MEMBERS, messages_to_chat.read),
        ("responses", "chat"): (responses_to_chat.MEMBERS, responses_to_chat.read),
    }
)
"""By the caller's operation and the provider's dialect: what a request may hold, and what reads it."""


def put(operation: str, body: bytes, members: Members | None, target: Target) -> tuple[bytes, Asked] | None:
    """Put a request to a target: return what to send there, and what tells the reply. None where care is needed.

    `members` are those of the body, where they have been read.
    """
    known = _READERS.get((operation, target.dialect))
    if known is None or not target.quirks.isdisjoint(CARE):
        return None
    names, read = known
    if members is not None and not members.keys() <= names:
        return None
    asked = read(body)
    sent = asked.body(target) if asked is not None else None
    return None if asked is None or sent is None else (sent, asked)
