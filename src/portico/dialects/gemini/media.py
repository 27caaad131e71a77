"""Images, sound, films and documents: `inlineData` and `fileData`, both ways.

https://ai.google.dev/api/caching#Blob and …#FileData (read 2026-11-20). What a file's address means to nobody but
Google (its Files API, Cloud Storage) is an id, every other address a URL.
"""

import mimetypes
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import unquote_to_bytes, urlsplit

from portico.dialects.gemini.spelling import Fields, Object, closed, opened
from portico.ir import Audio, Extra, File, Image, Part, Source, Text, Video

Lost = Callable[[str, str], None]
Media = Image | Audio | Video | File

_BLOB = Fields(("mimeType", "data", "displayName"))
_FILE = Fields(("mimeType", "fileUri", "displayName"))
_OWN = ("https://generativelanguage.googleapis.com/", "gs://", "files/")
_FILMS = ("youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be")
# How the base64 of common formats begins: what an image or a document is that nobody named.
_BEGINNINGS = (
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lG", "image/gif"),
    ("UklG", "image/webp"),
    ("JVBER", "application/pdf"),
)
_DEFAULTS: dict[type[Media], str] = {
    Image: "image/png",
    Audio: "audio/wav",
    Video: "video/mp4",
    File: "application/pdf",
}


def parse(rest: Object) -> Media | None:
    """Read a part that is media; None where it is not as the API says. Takes what it reads out of `rest`."""
    blob = rest.get("inlineData")
    if type(blob) is dict:
        kept = opened(blob, _BLOB)
        data = kept.get("data")
        if type(data) is not str:
            return None
        del kept["data"]
        field, source = "inlineData", Source(data=data, media_type=_media_type(kept))
    else:
        found = rest.get("fileData")
        if type(found) is not dict:
            return None
        kept = opened(found, _FILE)
        uri = kept.get("fileUri")
        if type(uri) is not str:
            return None
        del kept["fileUri"]
        mine = uri.startswith(_OWN)
        field = "fileData"
        source = Source(url=None if mine else uri, file_id=uri if mine else None, media_type=_media_type(kept))
    del rest[field]
    name = kept.pop("displayName") if type(kept.get("displayName")) is str else None
    if kept:
        rest[field] = kept
    return _of_kind(source, name, rest)


def _media_type(kept: Object) -> str | None:
    return kept.pop("mimeType") if type(kept.get("mimeType")) is str else None


def _of_kind(source: Source, name: str | None, extra: Extra) -> Media:
    whole = source.media_type or guess(source.url or source.file_id or "") or ""
    family = whole.partition("/")[0].lower()
    if family == "image" or family == "audio" or family == "video":
        if name is not None:
            extra["$name"] = name
        if family == "image":
            return Image(source=source, extra=extra)
        return Audio(source=source, extra=extra) if family == "audio" else Video(source=source, extra=extra)
    if source.url is not None and urlsplit_host(source.url) in _FILMS:
        return Video(source=source, extra=extra)
    return File(source=source, name=name, extra=extra)


def urlsplit_host(url: str) -> str:
    """Return a URL's host, `""` where it has none that can be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def guess(address: str) -> str | None:
    """Return the MIME type that an address's ending stands for, None where it says nothing."""
    path = address.partition("?")[0].partition("#")[0]
    return mimetypes.guess_type(path, strict=False)[0] if "." in path.rpartition("/")[2] else None


def render(part: Media, own: bool, lost: Lost) -> Object | None:
    """Write media; a document that is text is written as text."""
    extra: Extra = part.extra if own else {}
    source = part.source
    if isinstance(part, Image) and part.detail is not None and part.detail != "auto" and not own:
        lost("image_detail", "")
    name = part.name if isinstance(part, File) else extra.get("$name")
    if source.data is not None:
        kept: Object = {"data": source.data}
        field = "inlineData"
    elif source.url is not None and source.url.startswith("data:"):
        kept = {"data": _of_data_url(source.url)}
        field = "inlineData"
    elif source.url is not None or source.file_id is not None:
        if source.file_id is not None and not own and not source.file_id.startswith(_OWN):
            lost("file_id", source.file_id)
            return None
        kept = {"fileUri": source.url if source.url is not None else source.file_id}
        field = "fileData"
    else:
        if isinstance(part, Audio) and part.id is not None and not own:
            # Spoken before, and kept by its maker alone.
            lost("file_id", part.id)
        text = words(part) if isinstance(part, File) else None
        return {"text": text} if text else None
    media_type = source.media_type
    if media_type is None and not own:
        address = source.url or source.file_id or ""
        media_type = _named(address) or guess(address) or _sniffed(source.data) or _DEFAULTS[type(part)]
    if media_type is not None:
        kept["mimeType"] = media_type
    if own and name is not None:
        kept["displayName"] = name
    kept.update(extra.get(field, ()))
    return closed({**extra, field: closed(kept)})


def _named(address: str) -> str | None:
    if not address.startswith("data:"):
        return None
    return address[5:].partition(",")[0].partition(";")[0] or None


def _of_data_url(url: str) -> str:
    head, _, data = url.partition(",")
    return data if head.endswith(";base64") else b64encode(unquote_to_bytes(data)).decode()


def _sniffed(data: str | None) -> str | None:
    for beginning, media_type in _BEGINNINGS if data else ():
        if data is not None and data.startswith(beginning):
            return media_type
    return None


def words(part: File) -> str | None:
    """Return a document that is text as text, under its name; None for one that is bytes or an address."""
    source = part.source
    if source.text is not None:
        body = source.text
    elif part.parts:
        body = "\n".join(_words_of(part.parts))
    elif isinstance(part.data, dict):
        body = "\n".join(f"{name}: {value}" for name, value in part.data.items())
    elif part.data is not None:
        body = str(part.data)
    else:
        return None
    title = part.name or part.id
    place = f" ({part.origin})" if part.origin else ""
    head = f"Document {title!r}{place}:\n" if title else f"Document{place}:\n" if place else ""
    context = f"{part.context}\n" if part.context else ""
    return f"{head}{context}{body}"


def _words_of(parts: tuple[Part, ...]) -> list[str]:
    return [part.text for part in parts if isinstance(part, Text)]
