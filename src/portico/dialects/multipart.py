"""Read the small fields of a multipart form where they stand in its bytes, the files passed over unread.

The grammar is RFC 7578 on RFC 2046 (read 2026-11-20), line ends CR LF.
"""

import re
from typing import NamedTuple, Protocol

from portico.errors import InvalidRequest

PARTS_LIMIT = 256
"""Parts that one form may have."""
HEADER_LIMIT = 8 * 1024
"""Bytes that the headers of one part may have."""
FIELD_LIMIT = 64 * 1024
"""Bytes that a field may have that is read as text."""

_PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|([^;\s"]*))\s*')
_BOUNDARY_LIMIT = 200


class Buffer(Protocol):
    """Bytes that can be searched and sliced: bytes, or a mapped file."""

    def find(self, sub: bytes, start: int = ..., end: int = ..., /) -> int:
        """Return where `sub` is, -1 where it is not."""

    def __getitem__(self, where: slice, /) -> bytes:
        """Return a copy of a part."""


class Form(NamedTuple):
    """A form: its boundary line, where its first part begins, and each field's value as start and end."""

    delimiter: bytes
    first: int
    spans: dict[str, tuple[int, int]]
    body: Buffer

    def text(self, name: str) -> str | None:
        """Return a field's text, None where there is no such field. Raises InvalidRequest naming the field."""
        if name not in self.spans:
            return None
        start, end = self.spans[name]
        if end - start > FIELD_LIMIT:
            raise InvalidRequest(f"`{name}` is longer than {FIELD_LIMIT} bytes", param=name)
        try:
            value = self.body[start:end].decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"`{name}` is not UTF-8", param=name) from error
        if name == "model" and not value:
            raise InvalidRequest("`model` must not be empty", param="model")
        return value

    def edit(self, name: str, value: str) -> tuple[int, int, bytes]:
        """Return what changes a field's value, or puts the field before the others: start, end, and what goes there."""
        if name in self.spans:
            start, end = self.spans[name]
            return start, end, value.encode()
        field = b'%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        return self.first, self.first, field % (self.delimiter, name.encode(), value.encode())

    def replaced(self, body: bytes, name: str, value: str) -> bytes:
        """Return the form's bytes with a field's value changed, or the field put before the others."""
        start, end, put = self.edit(name, value)
        return b"".join((body[:start], put, body[end:]))


def read(body: Buffer, content_type: bytes) -> Form:
    """Find the fields of a form, in memory or in a mapped file.

    Of fields that may come several times (files, lists) the last is kept. Raises InvalidRequest for what is no form,
    and for a field given twice that is read.
    """
    delimiter = b"--" + _boundary(content_type)
    first = 0 if body[: len(delimiter)] == delimiter else body.find(b"\r\n" + delimiter) + 2
    if first == 1:
        raise InvalidRequest("the form does not begin with the boundary that its content-type names")
    spans: dict[str, tuple[int, int]] = {}
    at = first
    for _ in range(PARTS_LIMIT + 1):
        at += len(delimiter)
        if body[at : at + 2] == b"--":
            return Form(delimiter, first, spans, body)
        start = body.find(b"\r\n", at, at + HEADER_LIMIT) + 2
        if start == 1 or body[at : start - 2].strip(b" \t"):
            raise InvalidRequest("a part of the form does not begin after its boundary")
        # A part may have no headers: then its blank line follows at once.
        blank = body.find(b"\r\n\r\n", start - 2, start + HEADER_LIMIT)
        if blank < 0:
            raise InvalidRequest(f"the headers of a part of the form are not ended within {HEADER_LIMIT} bytes")
        value = blank + 4
        end = body.find(b"\r\n" + delimiter, value - 2)
        if end < 0:
            raise InvalidRequest("the form is cut short: its last boundary is missing")
        name = _name(body[start:blank])
        if name is not None:
            if name in ("model", "stream") and name in spans:
                raise InvalidRequest(f"`{name}` is given twice", param=name)
            spans[name] = (value, max(end, value))
        at = end + 2
    raise InvalidRequest(f"the form has more than {PARTS_LIMIT} parts")


def _boundary(content_type: bytes) -> bytes:
    boundary = _parameters(content_type).get(b"boundary", b"")
    if not 0 < len(boundary) <= _BOUNDARY_LIMIT:
        raise InvalidRequest("the content-type of the form names no boundary")
    return boundary


def _name(headers: bytes) -> str | None:
    """Return a part's name, None where its headers give it none."""
    for line in headers.split(b"\r\n"):
        field, _, value = line.partition(b":")
        if field.strip().lower() == b"content-disposition":
            return _parameters(value).get(b"name", b"").decode("utf-8", "replace") or None
    return None


def _parameters(value: bytes) -> dict[bytes, bytes]:
    """Read `…; name="value"; name=value`, names lowercased; the first of a name counts."""
    found: dict[bytes, bytes] = {}
    at = value.find(b";")
    while at >= 0 and (parameter := _PARAMETER.match(value, at)) is not None:
        quoted = parameter[2]
        plain = parameter[3] if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)
        found.setdefault(parameter[1].lower(), plain)
        at = parameter.end()
    return found
