"""What a request names of what lives at a provider: stored replies, conversations, files, cached contents.

Most requests name nothing: a look at a few members and for a few bytes must do for them. A name may be written with
escapes, so escaped letters make us look closely too.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from portico.dialects.operation import Operation
from portico.dialects.tokens import UNREADABLE
from portico.marks import BACKSLASH, holds

Reference = tuple[str, str]
"""A family (see objects.py) and an id."""

_ESCAPED: Final = re.compile(rb"\\u00[4-7][0-9a-fA-F]")
"""A letter that is escaped."""
_GOOGLE: Final = re.compile(r"^https://[a-z0-9.-]+/(?:v1beta|v1alpha|v1)/files/([^/?:]+)|^files/([^/]+)$")
_LOCAL: Final = re.compile(r"^http://[^/]+/(?:v1beta|v1alpha|v1)/files/([^/?:]+)")
_NAMING: Final = frozenset(("previous_response_id", "conversation", "cachedContent", "cached_content"))
"""Members at the top that name something."""
_OWN_WORDS: Final = frozenset(
    ("input", "input_schema", "args", "response", "parameters", "parametersJsonSchema", "arguments")
)
"""Members that are a tool's: what is in them is not the API's."""


def references(operation: Operation, members: Mapping[str, msgspec.Raw], body: bytes) -> list[Reference]:
    """Return what a request names. Does not raise: what is no name is the provider's to refuse."""
    dialect = operation.dialect
    found: list[Reference] = []
    if not _NAMING.isdisjoint(members):
        found += _by_members(dialect, members)
    if dialect not in _FILES:
        return found
    mark = b'"file_id' if dialect != "gemini" else b'ri"'  # of `fileUri` and `file_uri`
    if not body.partition(mark)[1] and not (BACKSLASH in body and _escapes(body)):  # see `marks.holds`
        return found
    found += _FILES[dialect](_value(body))
    return list(dict.fromkeys(found))


def _escapes(body: bytes) -> bool:
    """Return whether letters may be escaped; line ends and quotes, which are in most requests, are not meant."""
    return holds(body, b"\\u00") and _ESCAPED.search(body) is not None


def _by_members(dialect: str, members: Mapping[str, msgspec.Raw]) -> Iterator[Reference]:
    """Yield what members at the top name."""
    if dialect == "responses":
        if "previous_response_id" in members:
            yield from _named("responses", _value(members["previous_response_id"]))
        if "conversation" in members:
            value = _value(members["conversation"])
            yield from _named("conversations", value.get("id") if isinstance(value, dict) else value)
    elif dialect == "gemini":
        for member in ("cachedContent", "cached_content"):
            if member in members:
                value = _value(members[member])
                yield from _named("cached_contents", value.removeprefix("cachedContents/") if _text(value) else None)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a request, but those that are a tool's own."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield here
            # At the top nothing is a tool's: there `input` is the conversation itself.
            waiting += [inner for name, inner in here.items() if here is value or name not in _OWN_WORDS]
        elif isinstance(here, list):
            waiting += here


def _of_messages(value: Any) -> Iterator[Reference]:
    for here in _objects(value):
        if here.get("type") in ("file", "container_upload"):
            yield from _named("message_files", here.get("file_id"))


def _of_openai(value: Any) -> Iterator[Reference]:
    for here in _objects(value):
        kind = here.get("type")
        if kind in ("input_file", "input_image"):
            yield from _named("files", here.get("file_id"))
        elif kind == "file" and isinstance(here.get("file"), dict):
            yield from _named("files", here["file"].get("file_id"))
        elif kind == "code_interpreter" and isinstance(here.get("container"), dict):
            names = here["container"].get("file_ids")
            for name in names if isinstance(names, list) else ():
                yield from _named("files", name)


def _of_gemini(value: Any) -> Iterator[Reference]:
    for here in _objects(value):
        for member in ("fileData", "file_data"):
            data = here.get(member)
            if isinstance(data, dict):
                uri = data.get("fileUri", data.get("file_uri"))
                match = (_GOOGLE.match(uri) or _LOCAL.match(uri)) if isinstance(uri, str) else None
                if match is not None:
                    yield from _named("gemini_files", next(filter(None, match.groups())))


_FILES: Final = {"chat": _of_openai, "responses": _of_openai, "messages": _of_messages, "gemini": _of_gemini}


def _named(family: str, value: Any) -> list[Reference]:
    return [(family, value)] if _text(value) else []


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _value(raw: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except UNREADABLE:
        return None
