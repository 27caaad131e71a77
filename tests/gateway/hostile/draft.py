"""What a hostile request is before it is cut into pieces, and how a sound one is written, of which it is made."""

import json
import random
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

GOOD = "sk-good-0123456789abcdef"
"""May call and pass through to the provider `mock`."""
NARROW = "sk-narrow-0123456789abcdef"
"""May call the model `mock/small` and nothing else."""
MARK = "hostile"
MODEL = "mock/gpt-4o-mini"

LIMITS: dict[str, int] = {
    "header_bytes": 8192,
    "header_count": 40,
    "url_bytes": 1024,
    "body": 65_536,
    "file_body": 131_072,
    "memory_body": 16_384,
    "body_budget": 64 * 1024 * 1024,
    "connections": 400,
}
TIMEOUTS = {"header": "4s", "body": "4s", "idle": "1s", "write": "1s"}

GONE = 0
"""Stands among statuses for a connection that is closed without a reply."""


class Send(NamedTuple):
    """Write bytes in pieces of `size` (0: at once), waiting `pace` seconds after each."""

    data: bytes
    size: int = 0
    pace: float = 0.0


Step = Send | Literal["half-close", "reset"]


class Case(NamedTuple):
    """What is sent, and the replies that may come back, in order: for each the statuses that it may have.

    `whole`: it is sent at once. `deaf`: the caller reads nothing. `waits` is True where a `100 Continue` may come.
    """

    category: str
    number: int
    steps: tuple[Step, ...]
    replies: tuple[frozenset[int], ...]
    whole: bool = False
    deaf: bool = False
    waits: bool = False


class Draft(NamedTuple):
    """A case before it is cut into pieces."""

    data: bytes
    replies: tuple[set[int], ...]
    end: Literal["stay", "half-close", "reset"] = "stay"
    pace: float = 0.0
    whole: bool = False
    deaf: bool = False
    waits: bool = False


Maker = Callable[[random.Random], Draft]

REFUSED = {400, 401, 403, 404, 405, 408, 411, 413, 414, 431, 501, 505}
AUTH = f"Authorization: Bearer {GOOD}\r\n"


def head(
    target: str | bytes = "/v1/chat/completions",
    lines: str | bytes = "",
    *,
    method: str = "POST",
    version: str = "HTTP/1.1",
    host: str = "Host: gateway\r\n",
    auth: str = AUTH,
) -> bytes:
    """Write the head of a request, which closes its connection unless `lines` say otherwise."""
    target = target.encode("latin-1") if isinstance(target, str) else target
    lines = lines.encode("latin-1") if isinstance(lines, str) else lines
    return b"%b %b %b\r\n%b%b%b\r\n" % (
        method.encode(),
        target,
        version.encode(),
        host.encode("latin-1"),
        auth.encode("latin-1"),
        lines,
    )


def sized(body: bytes, lines: str = "Connection: close\r\n", **more: Any) -> bytes:
    """Write a request whose body has its length told."""
    return head(lines=f"{lines}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n", **more) + body


def chunked(body: bytes, lines: str = "Connection: close\r\n", **more: Any) -> bytes:
    """Write a request whose body is a run of bytes that claim to be chunks."""
    return head(lines=f"{lines}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", **more) + body


def chat(**more: Any) -> bytes:
    """Write the body of a call that would be served."""
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": MARK}], **more}).encode()


def chunks(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Write a body as one chunk, and an end."""
    return b"%x\r\n%b\r\n%b" % (len(body), body, end)


SMUGGLED = sized(chat())
"""A whole, sound call: what follows a refused request must not be taken for one."""
