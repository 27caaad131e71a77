"""The parts of a message's content, read and written: text, images, sound, films, files, thoughts.

Shapes: platform.openai.com/docs/api-reference/chat/create (read 2026-11-20); `video_url` and addresses of files as
OpenRouter takes them (openrouter.ai/docs/features/multimodal), `document_url` and `thinking` as Mistral writes them
(docs.mistral.ai/api). What is written as other APIs write theirs is read by `foreign.py`; a part that is none of these
is kept as it is.
"""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from portico.dialects.chat import foreign
from portico.dialects.chat.hints import HINTS, NONE, Table, keep, reopened
from portico.dialects.chat.marks import parse_mark, render_mark
from portico.dialects.chat.media import parse_format, parse_url, render_format, render_url
from portico.dialects.crossing import Notes, Target
from portico.dialects.documents import file_name
from portico.dialects.seal import unseal
from portico.ir import Audio, File, Image, Opaque, Part, Refusal, Source, Text, Thinking, Video


def parse_part(value: Any) -> Part:
    """Read one part; whatever is not known, or of no shape that is, is Opaque."""
    if type(value) is not dict:
        return Text(text=value, extra={"$": {"bare": True}}) if type(value) is str else Opaque(value=value)
    reader = _READERS.get(value["type"]) if type(value.get("type")) is str else None
    found = reader(value) if reader is not None else None
    if found is None:
        found = foreign.part(value)
    return Opaque(value=value) if found is None else found


def _parse_text(value: Table) -> Part | None:
    text = value.get("text")
    if type(text) is not str:
        return None
    if len(value) == 2:
        return Text(text=text)
    del value["type"], value["text"]
    hints: Table = {}
    cache = parse_mark(value, hints)
    return Text(text=text, cache=cache, extra=keep(value, hints))


def parse_image(value: Table) -> Part | None:
    """Read an `image_url` part."""
    inner = value.get("image_url")
    hints: Table = {}
    if type(inner) is str:
        source, detail = parse_url(inner), None
        hints["bare"] = True
        del value["image_url"]
    elif type(inner) is dict and type(inner.get("url")) is str:
        source = parse_url(inner.pop("url"))
        detail = inner.pop("detail") if type(inner.get("detail")) is str else None
        if not inner:
            del value["image_url"]
    else:
        return None
    del value["type"]
    cache = parse_mark(value, hints)
    return Image(source=source, detail=detail, cache=cache, extra=keep(value, hints))


def _parse_audio(value: Table) -> Part | None:
    inner = value.get("input_audio")
    hints: Table = {}
    if type(inner) is str:
        source = Source(url=inner) if inner.startswith(("http://", "https://", "data:")) else Source(data=inner)
        hints["bare"] = True
        del value["input_audio"]
    elif type(inner) is dict and type(inner.get("data")) is str and type(inner.get("format")) is str:
        written = inner.pop("format")
        source = Source(data=inner.pop("data"), media_type=parse_format(written))
        if render_format(source.media_type) != written:
            hints["format"] = written
        if not inner:
            del value["input_audio"]
    else:
        return None
    del value["type"]
    cache = parse_mark(value, hints)
    return Audio(source=source, cache=cache, extra=keep(value, hints))


def _parse_video(value: Table) -> Part | None:
    inner = value.get("video_url")
    hints: Table = {}
    if type(inner) is str:
        source = parse_url(inner)
        hints["bare"] = True
        del value["video_url"]
    elif type(inner) is dict and type(inner.get("url")) is str:
        source = parse_url(inner.pop("url"))
        if not inner:
            del value["video_url"]
    else:
        return None
    del value["type"]
    cache = parse_mark(value, hints)
    return Video(source=source, cache=cache, extra=keep(value, hints))


def _parse_file(value: Table) -> Part | None:
    inner = value.get("file")
    if type(inner) is not dict:
        return None
    hints: Table = {}
    if type(inner.get("file_data")) is str:
        data = inner.pop("file_data")
        if data.startswith(("data:", "http://", "https://")):
            source = parse_url(data)
        else:
            source = Source(data=data)
            hints["bare"] = True
    elif type(inner.get("file_id")) is str and not foreign.addresses(inner["file_id"]):
        source = Source(file_id=inner.pop("file_id"))
    else:
        return None
    name = inner.pop("filename") if type(inner.get("filename")) is str else None
    if name is None:
        hints["nameless"] = True
    if not inner:
        del value["file"]
    del value["type"]
    cache = parse_mark(value, hints)
    return File(source=source, name=name, cache=cache, extra=keep(value, hints))


def _parse_document(value: Table) -> Part | None:
    url = value.get("document_url")
    if type(url) is not str:
        return None
    name = value.pop("document_name") if type(value.get("document_name")) is str else None
    del value["type"], value["document_url"]
    return File(source=parse_url(url), name=name, extra=keep(value, {"as": "document_url"}))


def _parse_refusal(value: Table) -> Part | None:
    text = value.get("refusal")
    if type(text) is not str:
        return None
    del value["type"], value["refusal"]
    return Refusal(text=text, extra=keep(value, {"in": "content"}))


def _parse_thinking(value: Table) -> Part | None:
    inner = value.get("thinking")
    hints: Table = {"in": "content"}
    if type(inner) is str:
        text = inner
    elif type(inner) is list and len(inner) == 1 and type(inner[0]) is dict and type(inner[0].get("text")) is str:
        text = inner[0].pop("text")
        hints["chunk"] = inner[0]
    elif type(inner) is list and all(type(one) is dict and type(one.get("text")) is str for one in inner):
        texts = [one.pop("text") for one in inner]
        hints["chunks"] = [(len(one), rest) for one, rest in zip(texts, inner, strict=True)]
        text = "".join(texts)
    else:
        return None
    del value["type"], value["thinking"]
    signature = value.pop("signature") if type(value.get("signature")) is str else None
    if signature is not None and (thought := unseal(signature, text)) is not None:
        return thought
    return Thinking(
        text=text,
        opaque=signature,
        maker="chat" if signature is not None else None,
        extra=keep(value, hints),
    )


_READERS: dict[str, Callable[[Table], Part | None]] = {
    "text": _parse_text,
    "image_url": parse_image,
    "input_audio": _parse_audio,
    "video_url": _parse_video,
    "file": _parse_file,
    "document_url": _parse_document,
    "refusal": _parse_refusal,
    "thinking": _parse_thinking,
}


def render_part(part: Part, own: bool, target: Target, notes: Notes) -> Any:
    """Write one part of a content; None where it cannot be said here, which is then noted."""
    if own and (written := part.extra.get(HINTS, NONE).get("written")) is not None:
        return written
    match part:
        case Text():
            if not own and not part.text:
                return None
            fields, hints = reopened(part, own)
            if "bare" in hints:
                return part.text
            fields["type"] = "text"
            fields["text"] = part.text
            render_mark(fields, part.cache, hints, own, target, notes)
            return fields
        case Image():
            return _render_image(part, own, target, notes)
        case Audio():
            return _render_audio(part, own, target, notes)
        case Video():
            fields, hints = reopened(part, own)
            if not own and "video_url" not in target.quirks:
                notes.lost("video")
                return None
            return _with_url(fields, hints, "video_url", part, "video/mp4", own, target, notes)
        case File():
            return _render_file(part, own, target, notes)
        case Refusal():
            fields, _ = reopened(part, own)
            return fields | {"type": "refusal", "refusal": part.text}
        case Thinking():
            return _render_thinking(part, own)
        case Opaque():
            if own:
                return part.value
            notes.lost("opaque")
    return None


def _with_url(
    fields: Table,
    hints: Table,
    key: str,
    part: Image | Video,
    media_type: str,
    own: bool,
    target: Target,
    notes: Notes,
) -> Table | None:
    url = render_url(part.source, media_type)
    if url is None:
        notes.lost("file_id")
        return None
    fields["type"] = key
    fields[key] = url if "bare" in hints else fields.get(key, NONE) | {"url": url}
    render_mark(fields, part.cache, hints, own, target, notes)
    return fields


def _render_image(part: Image, own: bool, target: Target, notes: Notes) -> Table | None:
    fields, hints = reopened(part, own)
    found = _with_url(fields, hints, "image_url", part, "image/png", own, target, notes)
    if found is not None and part.detail is not None:
        found["image_url"]["detail"] = part.detail
    return found


def render_images(parts: list[Image]) -> list[Table]:
    """Write images of an answer, as OpenRouter does."""
    written = []
    for part in parts:
        url = render_url(part.source, "image/png")
        if url is not None:
            written.append({"type": "image_url", "image_url": {"url": url}})
    return written


def _render_audio(part: Audio, own: bool, target: Target, notes: Notes) -> Table | None:
    fields, hints = reopened(part, own)
    fields["type"] = "input_audio"
    if "bare" in hints:
        fields["input_audio"] = part.source.url or part.source.data
    elif part.source.data is None:
        notes.lost("audio_url" if part.source.url is not None else "file_id")
        return None
    else:
        written = hints.get("format") or render_format(part.source.media_type)
        fields["input_audio"] = fields.get("input_audio", NONE) | {"data": part.source.data, "format": written}
    render_mark(fields, part.cache, hints, own, target, notes)
    return fields


def _render_file(part: File, own: bool, target: Target, notes: Notes) -> Table | None:
    fields, hints = reopened(part, own)
    source = part.source
    if hints.get("as") == "document_url":
        fields |= {"type": "document_url", "document_url": render_url(source, "application/pdf")}
        if part.name is not None:
            fields["document_name"] = part.name
        return fields
    text = None if own else document_text(part)
    if text is not None:
        fields |= {"type": "text", "text": text}
    else:
        inner = dict(fields.get("file", NONE))
        if source.file_id is not None:
            if not own:
                notes.lost("file_id", part.name or source.file_id)
                return None
            inner["file_id"] = source.file_id
        else:
            if source.url is not None and not own and "file_url" not in target.quirks:
                notes.lost("file_url", part.name or "")
            inner["file_data"] = source.data if "bare" in hints else render_url(source, "application/pdf")
        if part.name is not None or (source.file_id is None and "nameless" not in hints):
            inner["filename"] = part.name if own and part.name is not None else file_name(part)
        fields |= {"type": "file", "file": inner}
    render_mark(fields, part.cache, hints, own, target, notes)
    return fields


def document_text(part: File) -> str | None:
    """Return a document as text, where it is made of text; None for one of bytes."""
    source = part.source
    if source.text is not None:
        text = source.text
    elif part.parts:
        text = "\n".join(inner.text for inner in part.parts if isinstance(inner, Text))
    elif part.data is not None:
        text = _told(part.data)
    elif source.data is not None and (source.media_type or "").startswith("text/"):
        try:
            text = b64decode(source.data).decode()
        except (NotBase64, ValueError):
            return None
    else:
        return None
    named = "".join(
        f' {key}="{value}"'
        for key, value in (
            ("id", part.id),
            ("title", part.name),
            ("source", part.origin),
            ("context", part.context),
        )
        if value
    )
    return f"<document{named}>\n{text}\n</document>"


def _told(data: Any) -> str:
    if isinstance(data, dict):
        return "\n".join(f"{name}: {value}" for name, value in data.items())
    return str(data)


def _render_thinking(part: Thinking, own: bool) -> Table:
    fields, hints = reopened(part, own)
    chunk = hints.get("chunk")
    fields["type"] = "thinking"
    fields["thinking"] = part.text if chunk is None else [chunk | {"text": part.text}]
    if "chunks" in hints and sum(length for length, _ in hints["chunks"]) == len(part.text):
        ends = accumulate(length for length, _ in hints["chunks"])
        fields["thinking"] = [
            rest | {"text": part.text[end - length : end]}
            for end, (length, rest) in zip(ends, hints["chunks"], strict=True)
        ]
    if part.opaque is not None:
        fields["signature"] = part.opaque
    return fields
