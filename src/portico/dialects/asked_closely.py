"""Read a whole request for what it asks: every text, part and tool of it, by the names of `asked.toml`.

This walks what `asked.glance` cannot take, and counts the text itself where its bytes in JSON were too many. What
nothing is known of is marked as such: a mark without a bound leaves the call without one.
"""

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from portico.dialects.asked import Asked
from portico.dialects.operation import Operation
from portico.dialects.request import Peek

ITEM: Final = 8
"""Tokens that a message, a part or a tool has beside its text: its role and the marks around it."""
DEEPEST: Final = 64
_ENDLESS: Final = 1 << 62
CROWDED: Final = 50_000
"""Objects that a body may have to be walked: a worker must not be held up."""

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_TEXTS: Final = frozenset(
    (
        "messages",
        "input",
        "contents",
        "content",
        "prompt",
        "system",
        "instructions",
        "systemInstruction",
        "message",
        "system_instruction",
        "documents",
        "query",
        "chat_history",
        "inputText",
        "texts",
        "suffix",
    )
)
"""Members at the top that the model reads."""
_SCHEMAS: Final[tuple[str, ...]] = (
    "response_format",
    "text",
    "output_format",
    "output_config",
    "outputConfig",
    "reasoning_effort",
    "grammar",
)
_LIMITS: Final[tuple[str, ...]] = (
    "maxOutputTokens",
    "max_new_tokens",
    "maxTokenCount",
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",
    "maxTokens",
    "max_gen_len",
    "max_tokens_to_sample",
)
_OF_MAKERS: Final = frozenset(("reasoning_config", "reasoningConfig", "inferenceConfig"))
_COPIES: Final[tuple[str, ...]] = (
    "n",
    "best_of",
    "num_generations",
    "numGenerations",
    "candidateCount",
    "candidate_count",
)
_TYPED: Final = frozenset(("media_type", "mime_type", "mimeType", "mediaType", "format"))
_PDF: Final = "JVBERi0"
"""What a PDF begins with, in base64."""
_DOCUMENTS: Final = frozenset(("application/pdf", "application/json", "application/rtf", "application/xml"))
_DEEP: Final = 8
_LONGEST: Final = 4096
"""Characters of an address that are looked at."""
_SILENT: Final = frozenset(
    ("embeddings", "moderations", "rerank", "cohere_rerank", "cohere_embed", "embed_content", "batch_embed_contents")
)
"""Operations whose replies hold no tokens."""


class _Said(NamedTuple):
    harmless: frozenset[str]
    members: Mapping[str, str]
    parts: Mapping[str, str]
    holders: Mapping[str, str]
    within: frozenset[str]
    whole: frozenset[str]
    nothing: frozenset[str]
    tools: tuple[tuple[re.Pattern[str], str], ...]

    def tool(self, name: str) -> str:
        """Return the mark of a tool."""
        return next((mark for pattern, mark in self.tools if pattern.fullmatch(name)), "unknown_tool")


@cache
def _said() -> _Said:
    table = tomllib.loads(Path(__file__).with_name("asked.toml").read_text(encoding="utf-8"))
    return _Said(
        harmless=frozenset(name for names in table["harmless"].values() for name in names),
        members=table["members"],
        parts=table["parts"],
        holders=table["holders"],
        within=frozenset(table["within"]["names"]),
        whole=frozenset(table["within"]["whole"]),
        nothing=frozenset(table["within"]["nothing"]),
        tools=tuple((re.compile(name), mark) for name, mark in table["tools"].items()),
    )


class _Reader:
    """Adds up one request."""

    def __init__(self) -> None:
        self.said = _said()
        self.marks: dict[str, int] = {}
        self.asked = Asked(0, marks=self.marks)

    def mark(self, name: str, count: int = 1) -> None:
        self.marks[name] = self.marks.get(name, 0) + count

    def text(self, value: str) -> None:
        self.asked.size += len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))

    def whole(self, value: object) -> None:
        """Count what the caller's own code says or reads, as it is written."""
        if isinstance(value, str):
            self.text(value)
        elif value is not None:
            self.asked.size += len(msgspec.json.encode(value))

    def part(self, value: object, depth: int = 0) -> None:
        """Read a text, a part, a message or a list of such."""
        if isinstance(value, str):
            self.text(value)
        elif isinstance(value, list):
            for each in value:
                self.part(each, depth + 1)
        elif isinstance(value, dict):
            self.asked.size += ITEM
            if depth > DEEPEST:
                self.mark("nested_too_deeply")
            elif not self._kind(value):
                for name, inner in value.items():
                    self._member(name, inner, depth)
        elif isinstance(value, int | float):
            self.asked.size += 1  # a token by its number, or what is no text at all

    def _kind(self, value: dict[str, Any]) -> bool:
        """Mark a part that is told by its type; return whether it is one that is not text."""
        kind = value.get("type")
        if not isinstance(kind, str):
            return False
        mark = self.said.parts.get(kind, "unknown_part")
        if not mark:
            return False
        if mark == "image":
            inside = value.get("image_url")
            detail = value.get("detail") or (inside.get("detail") if isinstance(inside, dict) else None)
            mark = _no_picture(value) or ("image_low" if detail == "low" else "image")
        elif mark == "file":
            # A document may be given as text, and has a title and a context besides.
            written = msgspec.json.encode(value)
            self.asked.size += 1024 if b"base64" in written else len(written)
        self.mark(mark)
        return True

    def _member(self, name: str, inner: object, depth: int) -> None:
        said = self.said
        if inner is None or inner == [] or inner == {} or inner == "" or name in said.nothing:
            return
        if name in said.holders and not isinstance(inner, str | bool):
            self._held(said.holders[name], inner)
        elif name in said.within:
            self.part(inner, depth + 1)
        elif name in said.whole:
            self.whole(inner)
        else:
            self.mark("unknown_field")

    def _held(self, mark: str, inner: object) -> None:
        if mark == "media":
            kind = str(inner.get("mimeType") or inner.get("mime_type") or "") if isinstance(inner, dict) else ""
            family = kind.partition("/")[0]
            mark = family if family in ("image", "audio", "video") else "file"
        self.mark(mark, len(inner) if isinstance(inner, list) else 1)

    def tools(self, value: object) -> None:
        """Read the tools; each dialect names them in its own way."""
        if isinstance(value, dict):
            value = value.get("tools", [])
        for tool in value if isinstance(value, list) else ():
            if not isinstance(tool, dict):
                self.mark("unknown_tool")
                continue
            self.asked.tools = True
            self.asked.size += ITEM
            kind = tool.get("type")
            if isinstance(kind, str):
                self._tool(kind, tool)
            elif "name" in tool:
                self._tool("custom", tool)
            else:
                for name, inner in tool.items():
                    self._tool(name, inner)

    def _tool(self, kind: str, tool: object) -> None:
        mark = self.said.tool(kind)
        if mark:
            self.mark(mark)
        self.whole(tool)

    def settings(self, table: dict[str, Any]) -> None:
        """Read limits: those of the top, or of a configuration inside it."""
        asked = self.asked
        for name in _LIMITS:
            found = _number(table.get(name))
            if found > 0:
                asked.limit = max(found, asked.limit or 0)
        for name in _COPIES:
            found = _number(table.get(name))
            if found > 1:
                asked.copies = max(found, asked.copies)

    def top(self, name: str, value: object) -> None:
        """Read one member of the body."""
        if name in ("tools", "toolConfig", "functions") and not (name == "toolConfig" and "tools" not in _table(value)):
            self.tools([{"type": "function", **_table(one)} for one in _list(value)] if name == "functions" else value)
        elif name in ("generationConfig", "generation_config", "inferenceConfig", "textGenerationConfig"):
            self.settings(_table(value))
            self._config(_table(value))
        elif name in _TEXTS:
            self.part(value)
        elif name in _SCHEMAS:
            self.asked.tools = True
            self.whole(value)
        elif name == "additionalModelRequestFields":
            self._maker(_table(value))
        elif name == "reasoning":
            if _table(value).get("mode") == "pro":
                self.mark("pro_mode")
        elif name in ("service_tier", "speed", "serviceTier"):
            word = _table(value).get("type") if isinstance(value, dict) else value
            if isinstance(word, str):
                self.asked.tiers += (word.lower(),)
        elif name in self.said.members:
            if value not in (None, False, []):
                self.mark(self.said.members[name])
        elif name not in self.said.harmless and name not in _LIMITS and name not in _COPIES and value is not None:
            self.mark("unknown_member")

    def _maker(self, table: dict[str, Any]) -> None:
        """Read what Bedrock passes on to a model as it is."""
        for name, value in table.items():
            if name not in _OF_MAKERS and name not in self.said.harmless:
                self.mark("unknown_member")
            self.settings({name: value, **_table(value)})

    def _config(self, table: dict[str, Any]) -> None:
        modalities = table.get("responseModalities") or table.get("response_modalities") or ()
        if any(str(one).upper() != "TEXT" for one in modalities):
            # What a picture or speech takes is not held to the limit.
            self.asked.limit = None
        for name in ("responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"):
            if name in table:
                self.asked.tools = True
                self.whole(table[name])


def _no_picture(said: object, depth: int = 0) -> str | None:
    """Return what is called a picture and says itself that it is none: some providers read it as what it is."""
    if isinstance(said, dict):
        if depth > _DEEP:
            return "nested_too_deeply"
        told = (_family(inner) if name in _TYPED else _no_picture(inner, depth + 1) for name, inner in said.items())
        return next(filter(None, told), None)
    if not isinstance(said, str):
        return None
    if said.startswith("data:"):
        return _family(said[5:_LONGEST].partition(",")[0].partition(";")[0])
    if said.startswith(_PDF):
        return "file"
    path = said[:_LONGEST].partition("?")[0].partition("#")[0].partition("://")[2].partition("/")[2]
    if "." not in path.rpartition("/")[2]:
        return None
    from mimetypes import guess_type  # reads the system's tables

    guessed = guess_type(path, strict=False)[0] or ""
    # A program's address may well be that of a picture.
    return None if guessed.startswith("application/") and guessed not in _DOCUMENTS else _family(guessed)


def _family(media_type: object) -> str | None:
    """Return what something of a media type is, None for a picture or where that says nothing."""
    if not isinstance(media_type, str) or "/" not in media_type:
        return None
    family = media_type.partition("/")[0].strip().lower()
    return None if family == "image" else family if family in ("audio", "video") else "file"


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: object) -> int:
    """Return a number however it is written: many providers take `"5"` and `5.0` for 5; what is none is 0."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return 0
    if isinstance(value, float):
        return math.ceil(value) if abs(value) < _ENDLESS else _ENDLESS if value > 0 else 0
    return value if isinstance(value, int) else 0


def look(operation: Operation, seen: Peek, body: bytes) -> Asked:
    """Return what a request asks for, whatever is in it."""
    reader = _Reader()
    special = _SPECIAL.get(operation.name)
    if seen.members is None:
        reader.mark("upload" if seen.form is not None else "not_json")
        return reader.asked
    if body.count(b"{") > CROWDED:
        reader.mark("crowded")
        return reader.asked
    try:
        table = msgspec.json.decode(body)
    except _UNREADABLE:
        table = None
    if not isinstance(table, dict):
        reader.mark("not_json")
    elif special is not None:
        special(reader, table)
    else:
        reader.settings(table)
        for name, value in table.items():
            reader.top(name, value)
        if isinstance(table.get("prompt"), list):
            reader.asked.copies *= max(len(table["prompt"]), 1)
        if operation.name in ("responses",) and isinstance(table.get("prompt"), dict):
            reader.mark("stored_prompt")
    if operation.name in _SILENT:
        reader.asked.copies = 0
    return reader.asked


def _rerank(reader: _Reader, table: dict[str, Any]) -> None:
    """Read a question and its documents: the question is read once with each of them.

    A document is billed by pieces of 500 tokens, the question's included, a hundred of them to a search
    (docs.cohere.com/docs/how-does-cohere-pricing-work, read 2026-11-20).
    """
    documents = _list(table.get("documents"))
    question = str(table.get("query") or "")
    asked = reader.asked
    reader.text(question)
    each = asked.size
    pieces = 0
    for document in documents:
        before = asked.size
        reader.whole(document)
        pieces += (asked.size - before) // max(500 - each, 50) + 1
        asked.size += each + ITEM
    asked.searches = -(-pieces // 100)


def _images(reader: _Reader, table: dict[str, Any]) -> None:
    """Read what pictures are asked for."""
    asked = reader.asked
    reader.part(table.get("prompt"))
    asked.images = max(_number(table.get("n")), 1)
    asked.limit = max(_number(table.get("partial_images")), 0) * 128
    asked.copies = asked.images


def _speech(reader: _Reader, table: dict[str, Any]) -> None:
    reader.part(table.get("input"))
    asked = reader.asked
    asked.characters = len(str(table.get("input") or ""))
    if table.get("instructions"):
        reader.part(table["instructions"])


def _embedding(reader: _Reader, table: dict[str, Any]) -> None:
    """Read Gemini's and Cohere's texts to be embedded."""
    for name in ("content", "texts", "requests", "inputs"):
        value = table.get(name)
        if name in ("requests", "inputs"):
            for one in _list(value):
                reader.part(_table(one).get("content"))
        elif value is not None:
            reader.part(value)
    if images := _list(table.get("images")):
        reader.mark("image", len(images))


_SPECIAL: Final[Mapping[str, Callable[[_Reader, dict[str, Any]], None]]] = {
    "rerank": _rerank,
    "cohere_rerank": _rerank,
    "images_generations": _images,
    "audio_speech": _speech,
    "embed_content": _embedding,
    "batch_embed_contents": _embedding,
    "cohere_embed": _embedding,
}


def known_marks() -> frozenset[str]:
    """Return the names of what requests are marked with by `asked.toml`."""
    said = _said()
    named = (*said.members.values(), *said.parts.values(), *said.holders.values(), *(mark for _, mark in said.tools))
    return frozenset(named) - {"", "media"}
