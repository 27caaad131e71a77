"""A request on its way out: the same for every target but for what a target changes in it."""

import mmap
from collections.abc import AsyncIterator, Callable, Sequence

from portico.dialects import vertex
from portico.dialects.operations import Operation
from portico.dialects.request import Peek, rewrite
from portico.providers.address import Endpoint
from portico.providers.auth.scheme import Auth
from portico.upstream.headers import FORWARDS
from portico.upstream.keyring import Credential
from portico.upstream.spooled import spliced
from portico.upstream.target import Line, Target

Body = bytes | Callable[[], tuple[int, AsyncIterator[bytes]]]
"""A body in memory, or how to read a spooled one from its start: its size and its pieces."""

_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


class Outgoing:
    """What a caller asked for, as its targets are to get it.

    `asked` is None for a request that passes through as it is; `passed` is then its method and address. `asks_usage`
    is true where a stream is to be asked for its usage because the caller did not. `limit` bounds a reply that is held
    whole.
    """

    __slots__ = ("asked", "asks_usage", "body", "headers", "limit", "operation", "passed", "query", "stream")

    def __init__(
        self,
        operation: Operation,
        headers: Sequence[tuple[bytes, bytes]],
        query: str,
        body: bytes | mmap.mmap,
        asked: Peek | None,
        limit: int,
    ) -> None:
        self.operation = operation
        self.headers = headers
        self.query = query
        self.body = body
        self.asked = asked
        self.limit = limit
        self.stream = False
        self.asks_usage = False
        self.passed: tuple[str, Endpoint] | None = None

    def line_for(self, target: Target, credential: Credential) -> Line:
        """Return the way to a target with a key."""
        if self.passed is None:
            return target.line(self.operation.name, credential, self.query, self.stream)
        method, address = self.passed
        return target.upstream.line(method, credential, address, address.query)

    def body_for(self, target: Target, auth: Auth) -> Body:
        """Return the body that a target gets, by the key that is used."""
        body, asked = self.body, self.asked
        if isinstance(body, bytes):
            if asked is None:
                return body
            if target.body_version and self.operation.dialect == "messages":
                return vertex.rewrite(body, asked)
            asks = self.asks_usage and target.asks_usage
            return rewrite(self.operation, body, asked, model=target.model, ask_usage=asks)
        if asked is None:
            return spliced(body) if auth.static else body[:]  # a signature covers the bytes themselves
        assert asked.form is not None, "only a form stays in its spool file"
        return spliced(body, *asked.form.edit("model", target.model))

    def head_for(self, line: Line, auth: Auth, body: Body, size: int) -> bytes:
        """Write the head: the line's own part, the key's headers, the caller's that go on, and the length."""
        lines = [line.prefix]
        fixed = line.fixed
        if line.defaults:
            sent = {name for name, _ in self.headers}
            forwarded = [*self.headers, *(header for header in line.defaults if header[0] not in sent)]
        else:
            forwarded = self.headers  # type: ignore[assignment]  # it is only read
        if not auth.static:
            mine = [header for header in forwarded if FORWARDS[header[0]] and header[0] not in fixed]
            others = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in mine]
            signed = body if isinstance(body, bytes) else b""
            own = auth.headers(line.method, line.host, line.path, line.query, others, signed)
            fixed = fixed | {name.lower().encode("latin-1") for name, _ in own}
            lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in own]
        for name, value in forwarded:
            if FORWARDS[name] and name not in fixed:
                lines += (name, b": ", value, b"\r\n")
        if size or line.method in _WITH_BODY:
            lines.append(b"content-length: %d\r\n\r\n" % size)
        else:
            lines.append(b"\r\n")
        return b"".join(lines)
