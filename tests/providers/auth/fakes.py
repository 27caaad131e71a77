"""A network that answers as told, and remembers what was asked."""

import asyncio
import json
from urllib.parse import parse_qs

from portico.errors import ConnectFailed
from portico.providers.auth import Headers

Reply = tuple[int, list[tuple[bytes, bytes]], bytes]


class Asked:
    """One request that was made."""

    def __init__(self, method: str, url: str, headers: Headers, body: bytes) -> None:
        self.method = method
        self.url = url
        self.headers = dict(headers)
        self.body = body

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode(), strict_parsing=True).items()}


class Network:
    """Answers by URL (the part before the query); anywhere else nobody is there."""

    def __init__(self, replies: dict[str, object]) -> None:
        self.replies = replies
        self.asked: list[Asked] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, method: str, url: str, headers: Headers, body: bytes) -> Reply:
        self.asked.append(Asked(method, url, headers, body))
        if self.gate is not None:
            await self.gate.wait()
        reply = self.replies.get(url.partition("?")[0])
        if reply is None:
            raise ConnectFailed(f"nobody is at {url}")
        status, content = reply if isinstance(reply, tuple) else (200, reply)
        written = content if isinstance(content, bytes) else json.dumps(content).encode()
        return status, [], written
