"""Content of messages and tool results: input_text, input_image, input_file, output_text and their likes, and ours.

How a part was written beyond its meaning is in `extra`, under a name that begins with `$`: `$type` where a text stood
under another type than its place asks for, `$bare` where a file's data was no data URL.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from portico.dialects.documents import TYPES
from portico.dialects.responses.citations import read_annotations, write_annotation
from portico.ir import Audio, CacheMark, Extra, File, Image, Opaque, Part, Refusal, Source, Text

Object = dict[str, Any]


class UnfitError(ValueError):
    """Something of the wire that is not what the API says. `where` is the path to it, from where reading began."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where


_MARK = {"mode": "explicit"}
_LONG_MARK = {"mode": "explicit", "ttl": "12h"}
_SHORT = CacheMark()
_LONG = CacheMark("1h")
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_AUDIO_NAMES = {kind: name for name, kind in _AUDIO.items()} | {"audio/mp3": "mp3", "audio/x-wav": "wav"}


def remainder(members: Object) -> Object:
    """Return what is left of an object once its known members were taken; names beginning with `$` are ours alone."""
    if "$" in "".join(members):
        return {name: value for name, value in members.items() if name[:1] != "$"}
    return members


def written(extra: Extra) -> Object:
    """Return the members of `extra` that go on the wire, as a dict of one's own."""
    if "$" in "".join(extra):
        return {name: value for name, value in extra.items() if name[:1] != "$"}
    return dict(extra)


def take(members: Object, name: str) -> str | None:
    """Take a string out of an object; anything else stays there."""
    value = members.get(name)
    if type(value) is str:
        del members[name]
        return value
    return None


# Wire to ours


def read_content(content: list[Any], plain: str) -> list[Part]:
    """Read a list of content parts, which it consumes; `plain` is the type of a text here. Raises UnfitError."""
    parts: list[Part] = []
    for at, value in enumerate(content):
        if type(value) is not dict:
            raise UnfitError("A part of a content is an object", f".content[{at}]")
        kind = value.get("type")
        if kind == plain and len(value) == 2:
            text = value.get("text")
            if type(text) is str:
                parts.append(Text(text))
                continue
        reader = _READERS.get(kind) if type(kind) is str else None
        try:
            parts.append(reader(value, plain) if reader is not None else Opaque(value))
        except UnfitError as error:
            raise UnfitError(error.message, f".content[{at}]{error.where}") from None
    return parts


def _read_text(value: Object, plain: str) -> Text:
    text = take(value, "text")
    if text is None:
        raise UnfitError("The text of a part is a string", ".text")
    kind = value.pop("type")
    cache = _read_mark(value)
    citations = read_annotations(value) if value.get("annotations") else ()
    extra = remainder(value)
    if kind != plain:
        extra = {**extra, "$type": kind}
    return Text(text, citations, cache, extra=extra)


def _read_mark(value: Object) -> CacheMark | None:
    mark = value.get("prompt_cache_breakpoint")
    if mark == _MARK:
        del value["prompt_cache_breakpoint"]
        return _SHORT
    if mark == _LONG_MARK:
        del value["prompt_cache_breakpoint"]
        return _LONG
    return None


def _read_refusal(value: Object, _: str) -> Refusal:
    text = take(value, "refusal")
    if text is None:
        raise UnfitError("A refusal is a string", ".refusal")
    del value["type"]
    return Refusal(text, extra=remainder(value))


def _read_image(value: Object, _: str) -> Part:
    if type(value.get("image_url")) is not str and type(value.get("file_id")) is not str:
        return Opaque(value)
    del value["type"]
    url = take(value, "image_url")
    source = read_url(url) if url is not None else Source(file_id=take(value, "file_id"))
    detail = take(value, "detail")
    return Image(source, detail, _read_mark(value), extra=remainder(value))


def _read_file(value: Object, _: str) -> Part:
    name = take(value, "filename")
    bare = False
    if (data := take(value, "file_data")) is not None:
        source = read_url(data)
        if source.data is None:
            bare = True
            suffix = (name or "").rpartition(".")[2].lower()
            source = Source(data=data, media_type=TYPES.get(suffix))
    elif (url := take(value, "file_url")) is not None:
        source = Source(url=url)
    elif (file_id := take(value, "file_id")) is not None:
        source = Source(file_id=file_id)
    else:
        if name is not None:
            value["filename"] = name
        return Opaque(value)
    del value["type"]
    cache = _read_mark(value)
    extra = remainder(value)
    return File(source, name, cache=cache, extra={**extra, "$bare": True} if bare else extra)


def _read_audio(value: Object, _: str) -> Part:
    audio = value.get("input_audio")
    if type(audio) is not dict or audio.keys() != {"data", "format"}:
        return Opaque(value)
    media_type = _AUDIO.get(audio["format"]) if type(audio["format"]) is str else None
    if media_type is None or type(audio["data"]) is not str:
        return Opaque(value)
    del value["type"], value["input_audio"]
    return Audio(Source(data=audio["data"], media_type=media_type), extra=remainder(value))


def _read_chats(value: Object, _: str) -> Part:
    """Read an image or a file as Chat Completions has it."""
    inner = value.get(value["type"])
    if type(inner) is str:
        inner = {"url": inner}
    if type(inner) is dict:
        url, data, file_id = inner.get("url"), inner.get("file_data"), inner.get("file_id")
        extra: Extra = {"$written": value}
        if value["type"] == "image_url" and type(url) is str:
            detail = inner.get("detail")
            return Image(read_url(url), detail if type(detail) is str else None, extra=extra)
        name = inner.get("filename")
        name = name if type(name) is str else None
        if type(data) is str:
            return File(read_url(data), name, extra=extra)
        if type(file_id) is str:
            return File(Source(file_id=file_id), name, extra=extra)
    return Opaque(value)


def read_url(url: str) -> Source:
    """Read an address; a data URL in base64 becomes data with its media type."""
    if url.startswith("data:"):
        head, comma, data = url[5:].partition(",")
        if comma and head.endswith(";base64") and (media_type := head[:-7]) and ";" not in media_type:
            return Source(data=data, media_type=media_type)
    return Source(url=url)


_READERS: dict[str, Callable[[Object, str], Part]] = {
    "input_text": _read_text,
    "output_text": _read_text,
    "text": _read_text,
    "refusal": _read_refusal,
    "input_image": _read_image,
    "input_file": _read_file,
    "input_audio": _read_audio,
    "image_url": _read_chats,
    "file": _read_chats,
}


# Ours to wire


def write_own(part: Part, plain: str) -> Object | None:
    """Write a part as this dialect's parser read it; None for a part that is no content."""
    if type(part) is Text:
        extra = part.extra
        if not extra and not part.citations and part.cache is None:
            return {"type": plain, "text": part.text}
        value = written(extra)
        value["type"] = extra.get("$type", plain)
        value["text"] = part.text
        if part.citations:
            value["annotations"] = [write_annotation(cited, own=True) for cited in part.citations]
    elif type(part) is Refusal:
        return {**written(part.extra), "type": "refusal", "refusal": part.text}
    elif "$written" in part.extra:
        return dict(part.extra["$written"])
    elif type(part) is Opaque:
        return part.value if type(part.value) is dict else None
    elif type(part) is Image:
        value = write_image(part) | written(part.extra)
    elif type(part) is File:
        value = write_file(part) | written(part.extra)
    elif type(part) is Audio:
        return (write_audio(part) or {}) | written(part.extra)
    else:
        return None
    if part.cache is not None:
        value["prompt_cache_breakpoint"] = dict(_LONG_MARK if part.cache.ttl == "1h" else _MARK)
    return value


def write_image(part: Image) -> Object:
    """Write an image, wherever it is."""
    source = part.source
    value: Object = {"type": "input_image"}
    if source.file_id is not None:
        value["file_id"] = source.file_id
    else:
        value["image_url"] = write_url(source, "image/png")
    if part.detail is not None:
        value["detail"] = part.detail
    return value


def write_url(source: Source, media_type: str) -> str:
    """Write where bytes are as an address: a data URL for data, of this type where none is known."""
    if source.data is not None:
        return f"data:{source.media_type or media_type};base64,{source.data}"
    return source.url or ""


def write_file(part: File) -> Object:
    """Write a document that is not text: data has a name, as the API asks for one."""
    source = part.source
    value: Object = {"type": "input_file"}
    if source.file_id is not None:
        value["file_id"] = source.file_id
    elif source.data is not None:
        if "$bare" in part.extra:
            value["file_data"] = source.data
        else:
            value["file_data"] = write_url(source, "application/pdf")
    else:
        value["file_url"] = source.url or ""
    if part.name is not None:
        value["filename"] = part.name
    return value


def write_audio(part: Audio) -> Object | None:
    """Write sound as data, None for another format than the API takes."""
    name = _AUDIO_NAMES.get(part.source.media_type or "")
    if name is None or part.source.data is None:
        return None
    return {"type": "input_audio", "input_audio": {"data": part.source.data, "format": name}}


def document_text(part: File) -> str:
    """Write a document as text, its title and context before it."""
    if part.source.text is not None:
        body = part.source.text
    elif part.data is not None:
        body = part.data if type(part.data) is str else msgspec.json.encode(part.data).decode()
    else:
        body = "\n\n".join(inner.text for inner in part.parts if type(inner) is Text)
    head = [line for line in (part.name, part.origin, part.context) if line]
    if part.id and part.id not in head:
        head.insert(0, part.id)
    return "\n".join([*head, body]) if head else body
