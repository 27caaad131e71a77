"""Fields of a multipart form, as the uploads of audio and images send them."""

import re

from portico.errors import InvalidRequest

_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'(?:^|[;\s])name="([^"]*)"', re.IGNORECASE)


def fields(content_type: str, body: bytes) -> dict[str, bytes]:
    """Return the form's fields by name; of a repeated one the first.

    Raises InvalidRequest for a body that is no form.
    """
    found: dict[str, bytes] = {}
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise InvalidRequest("Expected a multipart/form-data body with a boundary")
    for part in body.split(b"--" + boundary.group(1).encode("latin-1"))[1:]:
        if part.startswith(b"--"):
            break
        head, blank, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not blank or name is None:
            raise InvalidRequest("A part of the form has no name")
        found.setdefault(name.group(1).decode("utf-8", "replace"), value.removesuffix(b"\r\n"))
    return found
