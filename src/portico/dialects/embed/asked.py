"""What all APIs for embeddings meet in: texts and pictures asked for, and vectors that come back.

A vector stays as it was written, JSON numbers or base64, until somebody wants the other: digits are kept, and a reply
of thousands of vectors is not taken apart.
"""

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from portico.errors import BadUpstreamReply
from portico.ir import Image, Text
from portico.types import Dialect, Usage

Purpose = Literal[
    "query", "document", "similarity", "classification", "clustering", "question", "fact", "code", "image"
]
"""What a vector is for."""
Truncate = Literal["none", "start", "end"]
"""What becomes of an input that is too long: refused, or its start or its end left out."""


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to make a vector of: `text`; or `tokens`; or `parts`, where it holds pictures or several texts."""

    text: str | None = None
    tokens: tuple[int, ...] = ()
    parts: tuple[Text | Image, ...] = ()
    purpose: Purpose | None = None
    title: str | None = None


class Embed(msgspec.Struct, frozen=True, kw_only=True):
    """A request for vectors, one for each input. `model` is the caller's name for it.

    `types` are those the caller reads: `float`, `base64` (little-endian 32-bit floats), `int8`, `uint8`, `binary`,
    `ubinary`. `extra` holds the fields that only their own API knows.
    """

    dialect: Dialect
    model: str
    inputs: tuple[Input, ...]
    dimensions: int | None = None
    types: tuple[str, ...] = ("float",)
    truncate: Truncate | None = None
    normalize: bool | None = None
    user: str | None = None
    extra: Mapping[str, Any] = MappingProxyType({})


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """One vector: as a JSON array of numbers, as base64, or both; `others` by their type, as JSON."""

    floats: msgspec.Raw | None = None
    base64: str | None = None
    others: Mapping[str, msgspec.Raw] = MappingProxyType({})

    def as_floats(self) -> msgspec.Raw:
        """Return the JSON array. Raises BadUpstreamReply for what is no vector."""
        if self.floats is not None:
            return self.floats
        if self.base64 is None:
            raise BadUpstreamReply("the provider sent no vector of floats")
        try:
            values = array("f", b64decode(self.base64, validate=True))
        except ValueError as error:
            raise BadUpstreamReply("the provider sent a vector that is not base64 of 32-bit floats") from error
        if sys.byteorder == "big":
            values.byteswap()
        return msgspec.Raw(msgspec.json.encode(values.tolist()))

    def as_base64(self) -> str:
        """Return the base64 of little-endian 32-bit floats. Raises BadUpstreamReply for what is no vector."""
        if self.base64 is not None:
            return self.base64
        try:
            values = array("f", _numbers.decode(self.as_floats()))
        except (msgspec.MsgspecError, OverflowError) as error:
            raise BadUpstreamReply("the provider sent a vector that is no list of numbers") from error
        if sys.byteorder == "big":
            values.byteswap()
        return b64encode(values).decode("ascii")


_numbers = msgspec.json.Decoder(list[float])


class Vectors(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: vectors in the order of the inputs."""

    vectors: tuple[Vector, ...]
    model: str = ""
    id: str = ""
    usage: Usage | None = None


def words(asked: Embed) -> int:
    """Return an estimate of the tokens of a request's texts, for a reply whose provider does not say."""
    from portico.dialects.estimating import text_tokens  # it is rarely wanted

    total = 0
    for given in asked.inputs:
        total += len(given.tokens)
        for text in [given.text or "", *(part.text for part in given.parts if type(part) is Text)]:
            total += text_tokens(text, asked.model)
    return total
