"""Images for APIs that ask what they are, and take few kinds: what an image is by its bytes, where these say it.

docs.anthropic.com/en/docs/build-with-claude/vision, docs.aws.amazon.com/bedrock/latest/APIReference/
API_runtime_ImageBlock.html (read 2026-11-20): JPEG, PNG, GIF and WebP, and a type that the bytes belie is refused.
"""

from base64 import b64encode
from urllib.parse import unquote_to_bytes

import msgspec

from portico.ir import Source

_BEGINNINGS = (
    ("/9j/", "image/jpeg"),
    ("iVBORw0KGgo", "image/png"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
)
_SPELLED = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/apng": "image/png",
}
_TAKEN = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))


def inlined(source: Source) -> Source:
    """Return where bytes are, with those of a data URL of whatever form as data."""
    url = source.url
    if url is None or url[:5].lower() != "data:":
        return source
    head, comma, data = url[5:].partition(",")
    if not comma:
        return source
    media_type, *more = [each.strip() for each in head.split(";")]
    if "base64" not in [each.lower() for each in more]:
        data = b64encode(unquote_to_bytes(data)).decode()
    return Source(data=data, media_type=media_type or source.media_type)


def typed(source: Source) -> Source | None:
    """Return an image of data with the type that it has, a PNG where nothing says one; None for another kind.

    An address stays as it is.
    """
    data = source.data
    if data is None:
        return source
    for beginning, media_type in _BEGINNINGS:
        if data.startswith(beginning):
            return msgspec.structs.replace(source, media_type=media_type)
    said = (source.media_type or "image/png").partition(";")[0].strip().lower()
    media_type = _SPELLED.get(said, said)
    return msgspec.structs.replace(source, media_type=media_type) if media_type in _TAKEN else None
