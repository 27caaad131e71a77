"""Callers in great numbers: bare HTTP over a connection each, read to the end or cut somewhere on the way."""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from portico.testing.running import PATIENCE


class Said(NamedTuple):
    """What a caller got: status 0 where no head came. `whole` says that all of it did. Times are monotonic seconds."""

    number: int
    status: int
    body: bytes
    whole: bool
    began: float
    ended: float

    @property
    def error(self) -> str:
        """The code of an error, empty where there is none."""
        if self.status < 400 or not self.whole:
            return ""
        found = json.loads(self.body)["error"]
        return str(found["code"])


async def call(
    address: tuple[str, int],
    key: str,
    number: int,
    body: Mapping[str, Any],
    *,
    path: str = "/v1/chat/completions",
    leave_after: int | None = None,
    leave_in: float | None = None,
    tags: str = "",
) -> Said:
    """Make one call, told from all others by the tag `n`; hang up after so many bytes, or seconds."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\nx-portico-tags: n:{number}{tags}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    began = time.monotonic()
    found = b""
    try:
        reader, writer = await asyncio.open_connection(*address)
    except OSError:
        return Said(number, 0, b"", False, began, time.monotonic())
    try:
        async with asyncio.timeout(leave_in if leave_in is not None else PATIENCE):
            writer.write(head.encode() + data)
            while piece := await reader.read(65536 if leave_after is None else 64):
                found += piece
                if leave_after is not None and len(found) > leave_after:
                    break
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return parsed(number, found, began)


def parsed(number: int, data: bytes, began: float) -> Said:
    """Read a reply as far as it came."""
    head, found, rest = data.partition(b"\r\n\r\n")
    ended = time.monotonic()
    if not found:
        return Said(number, 0, b"", False, began, ended)
    status = int(head[9:12])
    fields = head.lower()
    if b"transfer-encoding: chunked" not in fields:
        length = int(fields.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return Said(number, status, rest, len(rest) == length, began, ended)
    body = b""
    while True:
        size, found, rest = rest.partition(b"\r\n")
        if not found:
            return Said(number, status, body, False, began, ended)
        length = int(size, 16)
        if not length:
            return Said(number, status, body, True, began, ended)
        body += rest[:length]
        rest = rest[length + 2 :]


def question(number: int, model: str, *, most: int, stream: bool, said: str = "", **more: Any) -> dict[str, Any]:
    """Return the body of a chat call that the mock's ledger tells from all others; `said` tells the mock what to do."""
    told = f" [mock {said}]" if said else ""
    content = f"n={number}. Say something.{told}"
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": most,
        "stream": stream,
        **more,
    }
