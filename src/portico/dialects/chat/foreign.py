"""Parts of a content that are written as other APIs and libraries write theirs, read for providers of other dialects.

Anthropic's `image` and `document` with a `source` (docs.anthropic.com/en/api/messages), Responses' `input_…`
(platform.openai.com/docs/api-reference/responses), the data beside its type as LangChain and Vercel's AI SDK have it,
an address in place of a file's id (docs.litellm.ai/docs/completion/document_understanding); all read 2026-11-21. What a
caller sees or says is not lost for its shape. To a provider of this dialect such a part goes as it was written.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from portico.dialects.chat.hints import HINTS, Table
from portico.dialects.chat.marks import parse_mark
from portico.dialects.chat.media import parse_url
from portico.ir import Audio, Extra, File, Image, Part, Source, Text, Video

_TEXTS = frozenset((None, "input_text", "output_text", "guarded_text"))
_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "image": "image",
        "input_image": "image",
        "image_url": "image",
        "audio": "audio",
        "audio_url": "audio",
        "input_audio": "audio",
        "video": "video",
        "video_url": "video",
        "document": "file",
        "input_file": "file",
        "file": "file",
    }
)
_TYPES = ("mime_type", "media_type", "mimeType", "mediaType", "format")
_DATA = ("base64", "data", "file_data", "image", "input_audio")
_URLS = ("url", "image_url", "audio_url", "video_url", "file_url")
_NAMES = ("filename", "title", "name")
_SCHEMES = ("https://", "http://", "gs://", "s3://", "data:")


def addresses(text: str) -> bool:
    """Return whether a text is an address."""
    return text.startswith(_SCHEMES)


def part(value: Table) -> Part | None:
    """Read a part; None for one of no known shape."""
    kind = value.get("type")
    if kind is not None and type(kind) is not str:
        return None
    extra: Extra = {HINTS: {"written": value}}
    cache = parse_mark(dict(value), {})
    if kind in _TEXTS:
        text = value.get("text")
        return Text(text=text, cache=cache, extra=extra) if type(text) is str and text else None
    known = _KINDS.get(kind or "")
    # The data may stand beside the type, or in an object of its own.
    inner = next((found for name in ("source", "file") if type(found := value.get(name)) is dict), value)
    source = _source(inner) if known is not None else None
    if source is None:
        return None
    if known == "file":
        known = (source.media_type or "").partition("/")[0]
    if known == "image":
        detail = value.get("detail")
        return Image(source=source, detail=detail if type(detail) is str else None, cache=cache, extra=extra)
    if known == "audio":
        return Audio(source=source, cache=cache, extra=extra)
    if known == "video":
        return Video(source=source, cache=cache, extra=extra)
    return File(
        source=source,
        name=_string(inner, _NAMES) or _string(value, _NAMES),
        context=_string(value, ("context",)),
        cache=cache,
        extra=extra,
    )


def _source(inner: Table) -> Source | None:
    media_type = _string(inner, _TYPES)
    if media_type is not None and "/" not in media_type:
        media_type = None
    for name in _URLS:
        found = inner.get(name)
        url = found.get("url") if type(found) is dict else found
        if type(url) is str and addresses(url):
            return _typed(parse_url(url), media_type)
    data = _string(inner, _DATA)
    if data is not None:
        if addresses(data):
            return _typed(parse_url(data), media_type)
        if inner.get("type") == "text" or inner.get("source_type") == "text":
            return Source(text=data, media_type=media_type)
        return Source(data=data, media_type=media_type)
    file_id = _string(inner, ("file_id",))
    if file_id is None:
        return None
    return _typed(parse_url(file_id), media_type) if addresses(file_id) else Source(file_id=file_id)


def _typed(source: Source, media_type: str | None) -> Source:
    if source.media_type is not None or media_type is None:
        return source
    return Source(url=source.url, data=source.data, media_type=media_type)


def _string(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((found for name in names if type(found := fields.get(name)) is str and found), None)
