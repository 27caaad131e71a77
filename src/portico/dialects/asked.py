"""What a request asks for that decides how much it can use: its text, its limits, and whatever is not text.

Two looks. `glance` reads with typed decoders that take nothing but text and tools of the caller's own: a microsecond or
two, None for anything else. `look` (in `asked_closely`) then walks the whole body and names what it finds.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from portico.dialects.operation import Operation
from portico.dialects.plain_requests import READ, ConverseConfig, GeminiConfig
from portico.dialects.request import Peek

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


class Asked:
    """What a request asks for.

    `size` is the bytes of text that the model may read; no text has more tokens than bytes. `limit` is the most
    output tokens of one answer, None where the request names none; `copies` how many answers may be sampled. `tools`
    says that there are tools of the caller's own, or a schema for the answer. `marks` are the things that are not
    text, by the names of `providers/bounds.toml`, and how many there are of each. `tiers` are the service tiers
    asked for. `searches`, `images` and `characters` are what is billed by the piece.

    No copies are no answer: an embedding.
    """

    __slots__ = ("characters", "copies", "images", "limit", "marks", "searches", "size", "tiers", "tools")

    def __init__(self, size: int, copies: int = 1, marks: Mapping[str, int] = _NOTHING) -> None:
        self.size = size
        self.limit: int | None = None
        self.copies = copies
        self.tools = False
        self.marks = marks
        self.tiers: tuple[str, ...] = ()
        self.searches = 0
        self.images = 0
        self.characters = 0

    def __repr__(self) -> str:
        return f"<Asked for {self.copies} of {self.limit} tokens by {self.size} bytes and {dict(self.marks)}>"


_SAID: Final = tomllib.loads(Path(__file__).with_name("asked.toml").read_text(encoding="utf-8"))
_OPENAI: Final[tuple[str, ...]] = ("chat", "completions", "responses")
_STRUCTURED: Final[tuple[str, ...]] = (
    "tools",
    "toolConfig",
    "functions",
    "response_format",
    "output_format",
    "output_config",
    "text",
)
_KIND: Final = {
    "generate_content": "gemini",
    "stream_generate_content": "gemini",
    "converse_stream": "converse",
    "responses_compact": "responses",
}
_SILENT: Final[tuple[str, ...]] = ("embeddings", "moderations")
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
_number: Final = msgspec.json.Decoder(int | None).decode
_word: Final = msgspec.json.Decoder(str | None).decode
_config: Final = msgspec.json.Decoder(GeminiConfig).decode
_inference: Final = msgspec.json.Decoder(ConverseConfig).decode
_Take = Callable[[Asked, msgspec.Raw], None]
_Decode = Callable[[msgspec.Raw], object]


class _Takes(NamedTuple):
    """What to do with each member of a request of one kind; what is in none of these needs a closer look."""

    harmless: frozenset[str]
    texts: dict[str, _Decode]
    """Those that must decode as what these read."""
    others: dict[str, _Take]


def _limit(asked: Asked, raw: msgspec.Raw) -> None:
    """Take a limit; which of two a provider takes is its own to say."""
    found = _number(raw)
    if found is not None and found > (asked.limit or 0):
        asked.limit = found


def _copies(asked: Asked, raw: msgspec.Raw) -> None:
    if asked.copies:
        asked.copies = max(_number(raw) or 1, asked.copies)


def _tier(asked: Asked, raw: msgspec.Raw) -> None:
    if word := _word(raw):
        asked.tiers += (word.lower(),)


def _reasoning(_: Asked, raw: msgspec.Raw) -> None:
    if b'"mode"' in bytes(raw):
        raise ValueError("a way of reasoning that needs a closer look")


def _gemini_config(asked: Asked, raw: msgspec.Raw) -> None:
    """Take the most of what is said in both spellings, and perhaps twice: which counts is for the provider to say."""
    config = _config(raw)
    asked.limit = _positive(max(config.maxOutputTokens or 0, config.max_output_tokens or 0, asked.limit or 0))
    asked.copies = max(config.candidateCount or 1, config.candidate_count or 1, asked.copies)


def _converse_config(asked: Asked, raw: msgspec.Raw) -> None:
    asked.limit = _positive(_inference(raw).maxTokens)


def _positive(limit: int | None) -> int | None:
    return limit if limit is not None and limit > 0 else None


def _structured(kind: Any) -> _Take:
    """Return what takes a member that is a schema or has some, and must decode as this kind (as anything, for None)."""
    decode = None if kind is None else msgspec.json.Decoder(kind).decode

    def take(asked: Asked, raw: msgspec.Raw) -> None:
        if decode is not None:
            decode(raw)
        asked.tools = True

    return take


def _takes(kind: str) -> _Takes:
    """Return what to do with each member of a request of this kind."""
    names = {*_SAID["harmless"][kind], *(_SAID["harmless"]["openai"] if kind in _OPENAI else ())}
    read = READ[kind]
    others: dict[str, _Take] = dict.fromkeys(("max_completion_tokens", "max_tokens", "max_output_tokens"), _limit)
    others |= {"n": _copies, "best_of": _copies, "service_tier": _tier, "speed": _tier, "reasoning": _reasoning}
    if kind == "gemini":
        others |= {"generationConfig": _gemini_config, "generation_config": _gemini_config}
    elif kind == "converse":
        others["inferenceConfig"] = _converse_config
    others |= {name: _structured(read.get(name)) for name in _STRUCTURED if name in names or name in read}
    texts: dict[str, _Decode] = {
        name: msgspec.json.Decoder(type_).decode for name, type_ in read.items() if name not in others
    }
    return _Takes(frozenset(names - others.keys() - texts.keys()), texts, others)


_TAKES: Final[dict[str, _Takes]] = {}
"""Made when a request of the kind first comes: decoders take memory that a worker at rest does without."""


class _Way(NamedTuple):
    """How to look into requests of one operation that have the same members."""

    copies: int
    texts: tuple[tuple[str, _Decode], ...]
    others: tuple[tuple[str, _Take], ...]
    plain: tuple[str, _Decode, str | None] | None
    """Of a request for one answer that has one member to look into and at most one limit: those two. Else None."""


_Names = tuple[str, tuple[str, ...]]
"""The name of an operation, and those of a request's members, in their order."""
_WAYS: Final[dict[_Names, _Way]] = {}
"""An application's requests are much alike."""
_WAYS_MOST: Final = 1_024


def _way_of(names: _Names) -> _Way | None:
    """Return the way of an operation and members of these names; None where one needs a closer look."""
    operation, members = names
    kind = "messages" if "anthropic_version" in members else _KIND.get(operation, operation)  # at Bedrock's invoke too
    if kind not in READ:
        return None
    takes = _TAKES.get(kind)
    if takes is None:
        takes = _TAKES[kind] = _takes(kind)
    rest = [name for name in members if name not in takes.harmless]
    if not all(name in takes.texts or name in takes.others for name in rest):
        return None
    if len(_WAYS) >= _WAYS_MOST:
        _WAYS.clear()
    texts = tuple((name, takes.texts[name]) for name in rest if name in takes.texts)
    others = tuple((name, takes.others[name]) for name in rest if name in takes.others)
    plain: tuple[str, _Decode, str | None] | None = None
    if len(texts) == 1 and len(others) <= 1 and all(take is _limit for _, take in others) and kind not in _SILENT:
        plain = (*texts[0], others[0][0] if others else None)
    way = _WAYS[names] = _Way(0 if kind in _SILENT else 1, texts, others, plain)
    return way


def limit_of(operation: Operation, seen: Peek) -> int:
    """Return the limit of a request for one answer that is nothing but text and asks for nothing besides.

    0 where it names none, -1 for any other request: `glance` says more of it.
    """
    members = seen.members
    if members is None:
        return -1
    names = (operation.name, tuple(members))
    way = _WAYS.get(names) or _way_of(names)
    if way is None or way.plain is None:
        return -1
    text, decode, limit = way.plain
    try:
        decode(members[text])
        return 0 if limit is None else max(_number(members[limit]) or 0, 0)
    except _UNREADABLE:
        return -1


def glance(operation: Operation, seen: Peek, size: int) -> Asked | None:
    """Return what a request of nothing but text asks for; None for any other. `size` is that of its body."""
    members = seen.members
    if members is None:
        return None
    names = (operation.name, tuple(members))
    way = _WAYS.get(names) or _way_of(names)
    if way is None:
        return None
    copies, texts, others, _ = way
    asked = Asked(size, copies)
    try:
        for name, decode in texts:
            decode(members[name])
        for name, take in others:
            take(asked, members[name])
    except _UNREADABLE:
        return None
    return asked
