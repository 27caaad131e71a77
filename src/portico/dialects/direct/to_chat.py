"""Requests of words alone, in the shape that providers of Chat Completions take them in."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from portico.dialects.crossing import Target

CARE = frozenset(("no_sampling", "no_stop"))
"""Quirks of those who refuse what such a request may hold. Of all others those that change it are heeded here."""

Words = Annotated[str, msgspec.Meta(min_length=1)]
"""Text; where it is empty, no provider is to see it."""
Number = int | float


class Text(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A text in a list of them, as Chat Completions and Messages both write it."""

    type: Literal["text"]  # not a tag, which may be left out where there is just one
    text: Words


class Turn(msgspec.Struct):
    """A message."""

    role: str
    content: str | Sequence[Text]


class Body(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A request."""

    model: str
    messages: Sequence[Turn]
    max_tokens: int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    user: str | None = None
    stop: Sequence[str] | None = None


class NewerBody(Body):
    """A request to those who have another name for the bound of an answer."""

    max_tokens: int | None = msgspec.field(default=None, name="max_completion_tokens")


def shape(target: Target) -> type[Body]:
    """Return the shape of a request to a target."""
    return NewerBody if "max_completion_tokens" in target.quirks else Body
