"""Documents as several dialects write them: their names, and their words where they are text.

By a name OpenAI's APIs tell what a document is (platform.openai.com/docs/guides/pdf-files, read 2026-11-20).
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from portico.ir import File, Source

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "pdf": "application/pdf",
        "txt": "text/plain",
        "md": "text/markdown",
        "csv": "text/csv",
        "html": "text/html",
        "json": "application/json",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "doc": "application/msword",
        "xls": "application/vnd.ms-excel",
        "ppt": "application/vnd.ms-powerpoint",
    }
)
"""Media types by the ends of names."""

_SUFFIXES = {kind: suffix for suffix, kind in TYPES.items()}
_ENDED = re.compile(r"\.[a-zA-Z0-9]{1,5}$")


def file_name(part: File) -> str:
    """Return a name that ends by what a document is: its own with such an end, or one for a document that has none."""
    suffix = _SUFFIXES.get((part.source.media_type or "").partition(";")[0].strip().lower())
    if part.name is None:
        return f"document.{suffix or 'pdf'}"
    return part.name if suffix is None or _ENDED.search(part.name) else f"{part.name}.{suffix}"


def kind_of(source: Source, name: str | None) -> str:
    """Return a document's media type, "" where nobody says: of one that is said to be only bytes, as its name ends."""
    kind = (source.media_type or "").partition(";")[0].strip().lower()
    if kind == "application/octet-stream":
        return TYPES.get((name or "").rpartition(".")[2].lower(), kind)
    return kind


_WORDS = frozenset(("application/json", "application/xml", "application/yaml", "application/x-yaml"))


def spelled_out(part: File) -> File:
    """Return a document whose bytes are text with this text in their place; any other as it is."""
    source = part.source
    kind = kind_of(source, part.name)
    if source.data is None or not (kind.startswith("text/") or kind in _WORDS):
        return part
    try:
        text = b64decode(source.data).decode("utf-8-sig")
    except ValueError:  # not base64, or not UTF-8
        return part
    return msgspec.structs.replace(part, source=Source(text=text, media_type=kind))
