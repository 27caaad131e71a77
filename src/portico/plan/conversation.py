"""Which conversation a call belongs to: a fingerprint of what does not change in it from turn to turn.

A conversation's requests begin alike: with instructions and tools, and with its first question. Of each part the
length, the start and the end are hashed. The question is found by marks, and only it is decoded, for where it ends; a
caller that names its conversation spares it that.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from portico.hashing import blake2b
from portico.plan.facts import BYTES_PER_TOKEN, CACHEABLE, Facts, Members

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW: Final = 8192
"""Bytes of the first question that are looked at."""
FARTHEST: Final = 256 * 1024
"""Bytes in which it is looked for."""
HEAD: Final = 1024
TAIL: Final = 256
"""Bytes at the start and at the end of each part that are hashed, and how long it is."""
_STEMS: Final = (
    "instructions", "system", "systemInstruction", "system_instruction", "tools", "functions", "toolConfig",
)  # fmt: skip
_TALKS: Final = ("messages", "contents", "input")
_ASKS: Final = b'"user"'
_INSTRUCTS: Final = (b'"system"', b'"developer"')
_ROLE_FIRST: Final = re.compile(rb'\s*\[\s*\{\s*"(?:role|type)"')


class Conversation(NamedTuple):
    """A conversation: hashes of all that begins it, and of its `stem` alone, instructions and tools; 0 for none.

    `stem_tokens` is about how long the stem is. `extended` says that its prompt is asked to be kept for long.
    """

    id: int
    stem: int = 0
    stem_tokens: int = 0
    extended: bool = False


def conversation_of(facts: Facts, secret: bytes) -> Conversation | None:
    """Return the conversation of a call; None for one that is too short to be cached anywhere.

    What different teams say alike is told apart, or organizations or keys where there are none: each may have keys of
    its own for providers.
    """
    members = facts.members
    if members is None or len(facts.body) < CACHEABLE:
        return None
    hashed = blake2b(f"{facts.team or facts.org or facts.key}\0".encode(), digest_size=8, key=secret[:64])
    extended = "prompt_cache_retention" in members and bytes(members["prompt_cache_retention"]) == b'"24h"'
    named = facts.session or _key(members)
    if named:
        hashed.update(b"named " + named.encode("utf-8", "surrogatepass"))
        return Conversation(_number(hashed.digest()), extended=extended)
    size = 0
    for name in _STEMS:
        raw = members.get(name)
        if raw is not None:
            whole = memoryview(raw)
            size += len(whole)
            hashed.update(_part(name, whole))
    for name in _TALKS:
        raw = members.get(name)
        if raw is not None:
            before, question = _asked(memoryview(raw))
            size += len(before)
            hashed.update(_part(name, before))
            stem = hashed.digest()
            hashed.update(_part(name, question))
            if facts.user:
                hashed.update(b"\0" + facts.user.encode("utf-8", "surrogatepass"))
            tokens = size // BYTES_PER_TOKEN
            return Conversation(_number(hashed.digest()), _number(stem) if tokens else 0, tokens, extended)
    return None


def _part(name: str, whole: bytes | memoryview) -> bytes:
    """Return what stands for a part of a request."""
    return b"%b %d %b%b" % (name.encode(), len(whole), bytes(whole[:HEAD]), bytes(whole[HEAD:][-TAIL:]))


def _asked(said: memoryview) -> tuple[bytes, bytes]:
    """Return what stands before the first question, and the question, or as much of it as is looked at."""
    start = bytes(said[:WINDOW])
    place = start.find(_ASKS)
    if place < 0 and len(said) > WINDOW:
        start = bytes(said[:FARTHEST])
        place = start.find(_ASKS, WINDOW - len(_ASKS))
    if place < 0:
        return b"", _whole(start[:WINDOW])
    if _ROLE_FIRST.match(start) is None:
        # Who speaks stands behind what is said: the question ends there.
        instructed = max(start.rfind(mark, 0, place) for mark in _INSTRUCTS)
        begin = start.find(b"}", instructed) + 1 if instructed > 0 else 0
        return _whole(start[:begin]), start[begin : start.find(b"}", place) + 1]
    begin = max(start.rfind(b"{", 0, place), 0)
    text = bytes(said[begin : begin + WINDOW]).decode("utf-8", "replace")
    try:
        end = _scanner()(text, 0)[1]
    except (ValueError, RecursionError):
        end = len(text)  # it is longer than what is looked at
    return _whole(start[:begin]), text[:end].encode()


@cache
def _scanner() -> "Callable[[str, int], tuple[Any, int]]":
    """Return what decodes one value and says where it ended: not loaded before a conversation is asked for."""
    from json.decoder import JSONDecoder

    return JSONDecoder().raw_decode


def _whole(said: bytes) -> bytes:
    """Return the same without what parts it from what follows, or ends it."""
    return said.rstrip(b"[], \n\r\t")


def _key(members: Members) -> str:
    raw = members.get("prompt_cache_key")
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.MsgspecError:
        return ""


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big") or 1
