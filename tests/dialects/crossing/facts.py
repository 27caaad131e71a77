"""Facts: what a conversation says, read from raw JSON, so that two ways of saying it can be compared.

A fact is a tuple: ("text", role, words), ("image", role, where), ("file", …), ("audio", …), ("video", …),
("document", role, a text of it), ("thinking", words), ("call", name, arguments), ("result", number of its call,
content, media), ("tool", name, description, properties), ("choice", the tools that may be called), ("usage", bucket,
tokens), ("finish", why). Roles are system, user and assistant. White space does not count, and texts that follow one
another are one: where a paragraph ends is no fact.
"""

import base64
import hashlib
import json
from decimal import Decimal
from typing import Any

Fact = tuple[Any, ...]
Facts = list[Fact]
RANK = {"thinking": 0, "text": 1, "image": 2, "audio": 2, "file": 2, "video": 2, "call": 3}
WRAPPERS = ({"output"}, {"result"}, {"error"}, {"content"}, {"output", "error"})


def squeezed(words: Any) -> str:
    """Return text without its white space."""
    return "".join(words.split()) if isinstance(words, str) else ""


def canonical(value: Any) -> str:
    """Write JSON so that the same is written the same; 1.0 is 1."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def arguments(text: Any) -> str:
    """Return the arguments of a call, however they are written; nothing is an empty object."""
    if isinstance(text, dict) and set(text) in ({"input"}, {"raw_arguments"}):
        return arguments(next(iter(text.values())))  # what is no object stands in one
    if not isinstance(text, str):
        return canonical(text if text is not None else {})
    try:
        inner = json.loads(text) if text.strip() else {}
    except ValueError:
        return squeezed(text)
    return arguments(inner) if isinstance(inner, dict) else canonical(inner if inner is not None else {})


def answer(value: Any) -> str:
    """Return what a tool answered, whether as text, as JSON in text, or in an object that only holds it."""
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            return squeezed(value)
        return answer(inner) if isinstance(inner, (dict, list)) else squeezed(value)
    if isinstance(value, dict):
        if set(value) in WRAPPERS:
            inner = value.get("output", value.get("result", value.get("content", value.get("error"))))
            return answer(inner)
        return squeezed(canonical(value)) if value else ""
    return "" if value is None else squeezed(canonical(value))


def digest(data: Any) -> str:
    """Name media by its address or its bytes in base64."""
    text = str(data)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if text.startswith(("http://", "https://", "gs://", "s3://")):
        return text
    text = text.replace("-", "+").replace("_", "/").rstrip("=").strip()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kind(media_type: str | None) -> str:
    """Return what media of a type is."""
    first = (media_type or "").partition("/")[0]
    return first if first in ("image", "audio", "video") else "file"


def file(role: str, media_type: str | None, data: Any) -> Fact:
    """Return the fact of a document; one whose bytes are text is what it says."""
    text = str(data)
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        media_type = head[5:].partition(";")[0]
    if (media_type or "").startswith("text/") and "://" not in text[:8]:
        return ("document", role, squeezed(base64.b64decode(text[: len(text) & ~3]).decode("utf-8", "ignore")))
    return (kind(media_type), role, digest(data))


def leaves(value: Any) -> list[str]:
    """Return every text in plain data."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in leaves(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in leaves(inner)]
    return [squeezed(str(value))] if value is not None else []


def tool(name: str, description: Any, schema: Any) -> Fact:
    """Return a tool's fact: its name, description and the names of its arguments."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return ("tool", name, squeezed(description), tuple(sorted(properties)) if isinstance(properties, dict) else ())


class Calls:
    """Numbers the calls of a conversation, to say which one a result belongs to."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.names: dict[str, list[int]] = {}
        self.count = 0
        self.last = ""
        self.pieces: dict[str, Any] = {}

    def add(self, call_id: Any, name: str) -> None:
        """Take down a call."""
        if call_id is not None:
            self.ids[str(call_id)] = self.count
        self.names.setdefault(name, []).append(self.count)
        self.last = name
        self.count += 1

    def find(self, call_id: Any, name: str | None = None) -> int | None:
        """Return the number of a call by its id, or the first of a name that no result has had."""
        if call_id is not None and str(call_id) in self.ids:
            number = self.ids[str(call_id)]
            for waiting in self.names.values():
                if number in waiting:
                    waiting.remove(number)
            return number
        waiting = self.names.get(name or "", [])
        return waiting.pop(0) if waiting else None


def joined(facts: Facts) -> Facts:
    """Leave out empty facts and join texts, and thoughts, that follow one another."""
    out: Facts = []
    for fact in facts:
        if fact[0] in ("text", "thinking"):
            words = fact[-1]
            if not words:
                continue
            if out and out[-1][:-1] == fact[:-1]:
                out[-1] = (*fact[:-1], out[-1][-1] + words)
                continue
        out.append(fact)
    return out


def by_kind(facts: Facts) -> Facts:
    """Put what an assistant says in one turn into the order of kinds that a message of fields has."""
    out: Facts = []
    turn: Facts = []
    for fact in [*facts, ("end",)]:
        said = fact[0] in ("thinking", "call") or (len(fact) > 1 and fact[0] in RANK and fact[1] == "assistant")
        if said:
            turn.append(fact)
            continue
        turn.sort(key=lambda each: RANK[each[0]])
        out += turn
        turn = []
        out.append(fact)
    return out[:-1]


def with_usage(facts: Facts, read: dict[str, Any] | None, reasoning: int, written: int) -> Facts:
    """Add the buckets of usage that are not empty."""
    if read is None:
        return facts
    buckets = {
        "in": read["in"],
        "out": read["out"],
        "read": read["read"],
        "reasoning": min(reasoning, read["out"]),
        "written": written,
    }
    return [*facts, *(("usage", name, tokens) for name, tokens in buckets.items() if tokens)]
