"""Which conversation a call belongs to: a fingerprint of what does not change in it from turn to turn.

A conversation's requests begin alike: instructions and tools, then what was said up to the first answer. Of each part
the length, the start and the end are hashed, found by marks and without decoding anything; a caller that names its
conversation spares it that.
Where a mark misleads, as in messages whose role stands behind their content, the first turn counts as another
conversation and those after it as one.
"""

from typing import Final, NamedTuple

import msgspec

from portico.hashing import blake2b
from portico.plan.facts import BYTES_PER_TOKEN, Facts, Members

SMALLEST: Final = 1024 * BYTES_PER_TOKEN
"""Bytes of a request below which no provider caches its prompt."""
WINDOW: Final = 4096
"""Bytes of the first question, and of what follows it, that are looked at."""
FARTHEST: Final = 256 * 1024
"""Bytes in which the first question is looked for."""
HEAD: Final = 2048
TAIL: Final = 256
"""Bytes at the start and at the end of each part that are hashed, and how long it is."""
_STEMS: Final = (
    "instructions", "system", "systemInstruction", "system_instruction", "tools", "functions", "toolConfig",
)  # fmt: skip
_ASKS: Final = b'"user"'
_ANSWERS: Final = (
    ("messages", (b'"assistant"',)),
    ("contents", (b'"model"',)),
    ("input", (b'"assistant"', b'"function_call"', b'"reasoning"')),
)


class Conversation(NamedTuple):
    """A conversation: hashes of all that begins it, and of its `stem` alone, instructions and tools; 0 for none.

    `stem_tokens` is about how long the stem is.
    """

    id: int
    stem: int = 0
    stem_tokens: int = 0


def conversation_of(facts: Facts, secret: bytes) -> Conversation | None:
    """Return the conversation of a call; None for one that is too short to be cached anywhere.

    What different teams say alike is told apart, or organizations or keys where there are none: each may have keys of
    its own for providers.
    """
    members = facts.members
    if members is None or len(facts.body) < SMALLEST:
        return None
    hashed = blake2b(f"{facts.team or facts.org or facts.key}\0".encode(), digest_size=8, key=secret[:64])
    named = facts.session or _key(members)
    if named:
        hashed.update(b"named " + named.encode("utf-8", "surrogatepass"))
        return Conversation(_number(hashed.digest()))
    size = 0
    for name in _STEMS:
        raw = members.get(name)
        if raw is not None:
            whole = memoryview(raw)
            size += len(whole)
            hashed.update(_part(name, whole))
    for name, answers in _ANSWERS:
        raw = members.get(name)
        if raw is not None:
            before, said = _asked(memoryview(raw))
            end = min((place for place in map(said.find, answers) if place > 0), default=0)
            if end:
                said = _whole(said[: max(said.rfind(b"{", 0, end), 0)])
            size += len(before)
            hashed.update(_part(name, before))
            stem = hashed.digest()
            hashed.update(_part(name, said))
            if facts.user:
                hashed.update(b"\0" + facts.user.encode("utf-8", "surrogatepass"))
            tokens = size // BYTES_PER_TOKEN
            return Conversation(_number(hashed.digest()), _number(stem) if tokens else 0, tokens)
    return None


def _part(name: str, whole: bytes | memoryview) -> bytes:
    """Return what stands for a part of a request."""
    return b"%b %d %b%b" % (name.encode(), len(whole), bytes(whole[:HEAD]), bytes(whole[HEAD:][-TAIL:]))


def _asked(said: memoryview) -> tuple[bytes, bytes]:
    """Return what stands before the first question, and the question with what is looked at behind it."""
    start = bytes(said[:WINDOW])
    place = start.find(_ASKS)
    if place < 0 and len(said) > WINDOW:
        start = bytes(said[:FARTHEST])
        place = start.find(_ASKS, WINDOW - len(_ASKS))
    begin = max(start.rfind(b"{", 0, place), 0) if place > 0 else 0
    asked = bytes(said[begin : begin + WINDOW])
    return _whole(start[:begin]), asked if len(said) > begin + WINDOW else _whole(asked)


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
