"""Pictures to make vectors of: addresses, `data:` URLs, bare base64."""

from base64 import b64decode

from portico.dialects.crossing import Notes
from portico.ir import Image, Source

_KINDS = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


def picture(written: str) -> Image:
    """Read a picture as providers write it: an address, a `data:` URL, or base64."""
    if written.startswith("data:"):
        head, _, data = written.partition(",")
        return Image(source=Source(data=data, media_type=head[5:].partition(";")[0] or None))
    if written.startswith(("http://", "https://")):
        return Image(source=Source(url=written))
    return Image(source=Source(data=written, media_type=kind_of(written)))


def kind_of(data: str) -> str | None:
    """Return the MIME type of a picture in base64, by how it begins."""
    try:
        head = b64decode(data[:16])
    except ValueError:
        return None
    return next((kind for mark, kind in _KINDS if head.startswith(mark)), None)


def url_of(image: Image) -> str:
    """Return a picture as one address, a `data:` URL where it is data."""
    source = image.source
    return source.url or f"data:{source.media_type or 'image/png'};base64,{source.data}"


def data_of(image: Image, notes: Notes) -> str:
    """Return a picture's base64; one that is only an address is refused."""
    if image.source.data is None:
        notes.lost("embed_image_url")
    return image.source.data or ""
