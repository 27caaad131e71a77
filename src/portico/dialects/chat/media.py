"""Where media is, as chat completions write it: addresses, `data:` URLs, formats of sound.

A `data:` URL becomes base64 with its type, and is written so again; one that could not be written the same way
(parameters, no base64) stays an address.
"""

from portico.ir import Source

_FORMATS = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_TYPES = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
}


def parse_url(url: str) -> Source:
    """Read an address, which may hold the bytes themselves."""
    if url.startswith("data:"):
        head, comma, data = url.partition(",")
        if comma and head.endswith(";base64") and ";" not in (media_type := head[5:-7]):
            return Source(data=data, media_type=media_type or None)
    return Source(url=url)


def render_url(source: Source, media_type: str) -> str | None:
    """Write bytes or an address as an address; `media_type` stands in where none is known. None for a file's id."""
    if source.url is not None:
        return source.url
    if source.data is not None:
        return f"data:{source.media_type or media_type};base64,{source.data}"
    return None


def parse_format(written: str) -> str:
    """Return the MIME type of a format of sound."""
    return _FORMATS.get(written) or f"audio/{written}"


def render_format(media_type: str | None) -> str:
    """Return OpenAI's word for a MIME type of sound."""
    if media_type is None:
        return "wav"
    return _TYPES.get(media_type) or media_type.removeprefix("audio/")
