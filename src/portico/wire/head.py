"""The head of a request: what it asks, checked. Requests that repeat it share it, and nobody changes it."""

from typing import Final

from portico.errors import InvalidRequest, MethodNotAllowed, NotImplementedHere, VersionNotSupported

METHODS: Final = {method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
ONCE: Final = (b"host", b"transfer-encoding", b"authorization", b"content-type")
"""Headers of which a request must not have two: whoever reads it next might believe the other one."""


class Head:
    """A request line and its headers, lowercased and in order; `fields` has them by name (the last of a repeated one).

    How the body is framed is not among them: `Exchange.declared` says it. `memo` is for what a handler found out from
    the head alone, so that it need not do so again.
    """

    __slots__ = ("expects_continue", "fields", "headers", "http10", "keep_alive", "memo", "method", "target")

    def __init__(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.fields = fields
        self.http10 = False
        self.keep_alive = True
        self.expects_continue = False
        self.memo: object = None

    def __repr__(self) -> str:
        return f"<Head {self.method} {self.target.partition(b'?')[0]!r}>"


def checked(
    method: bytes,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    fields: dict[bytes, bytes],
    version: str,
    *,
    keep_alive: bool,
) -> tuple[Head, int | None]:
    """Return a head as llhttp has parsed it, and the length of the body: None where only its end will tell.

    Raises what a server must not let pass, and llhttp does: other versions and methods, no Host, two of what there must
    be one of, codings and expectations that are not met here.
    """
    if version != "1.1" and version != "1.0":
        raise VersionNotSupported(f"HTTP/{version} is not spoken here; use HTTP/1.1")
    known = METHODS.get(method)
    if known is None:
        raise MethodNotAllowed(f"the method {method.decode('latin-1')} is not allowed here")
    if b"host" not in fields:
        if version == "1.1":
            raise InvalidRequest("the request has no Host header")
    elif len(fields) != len(headers):
        for once in ONCE:
            if sum(name == once for name, _ in headers) > 1:
                raise InvalidRequest(f"the request has more than one {once.decode().title()} header")
    declared: int | None = 0
    if b"content-length" in fields:
        declared = int(fields[b"content-length"])
    elif b"transfer-encoding" in fields:
        coding = fields[b"transfer-encoding"]
        if coding.strip().lower() != b"chunked":
            raise NotImplementedHere(f"transfer-encoding {coding.decode('latin-1')!r} is not supported")
        if version == "1.0":
            raise InvalidRequest("HTTP/1.0 has no transfer-encoding")
        declared = None
    if target[:1] != b"/":
        target = origin_form(target)
    if 0x23 in target:
        raise InvalidRequest("the request target has a fragment, which is for the caller alone")
    if b"content-length" in fields:
        headers = [field for field in headers if field[0] != b"content-length"]
        del fields[b"content-length"]
    head = Head(known, target, headers, fields)
    head.http10 = version == "1.0"
    head.keep_alive = keep_alive
    if b"expect" in fields:
        expected = fields[b"expect"]
        if expected.strip().lower() != b"100-continue":
            raise InvalidRequest(f"the expectation {expected.decode('latin-1')!r} cannot be met")
        head.expects_continue = version == "1.1"
    return head, declared


def origin_form(target: bytes) -> bytes:
    """Return the path and query of a target in absolute form, which a server must take as well (RFC 9112, 3.2.2)."""
    if target == b"*":
        return target
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise InvalidRequest("the request target is neither a path nor a URL")
    host, query, asked = rest.partition(b"?")
    host, _, path = host.partition(b"/")
    if not host:
        raise InvalidRequest("the request target is a URL without a host")
    return b"/" + path + query + asked
