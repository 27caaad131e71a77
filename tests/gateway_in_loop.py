"""A gateway with a real server, in the test's own loop; what tests of it share beside the fixtures."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from portico.config.schema import Config
from portico.gateway import Gateway
from portico.testing.mock import MockProvider
from portico.wire.cors import lines
from portico.wire.server import Server

MASTER = "sk-master-0123456789"


class Running:
    """A gateway under test: where it listens, and the records of its calls."""

    def __init__(self, gateway: Gateway, server: Server, port: int, records: Path) -> None:
        self.gateway = gateway
        self.server = server
        self.port = port
        self._records = records

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def records(self) -> list[dict[str, Any]]:
        """Return the records written so far; closes nothing, waits for nothing."""
        self.gateway.records._flush()
        queue = self.gateway.records
        while queue._queued != queue._written:
            os.sched_yield()
        return [json.loads(line) for line in self._records.read_text().splitlines()]

    async def call(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "POST",
        key: str | None = MASTER,
        headers: dict[str, str] | None = None,
        cut: bool = False,
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one request on a connection of its own; return status, headers and body (chunks joined).

        ConnectionResetError for a reply that is `cut` short, unless that is expected; then it must be.
        """
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = {"host": "gateway", "content-type": "application/json", "connection": "close"}
        if data or method == "POST":
            lines["content-length"] = str(len(data))
        if key is not None:
            lines["authorization"] = f"Bearer {key}"
        lines |= headers or {}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head.encode() + b"\r\n" + data)
        try:
            whole = await asyncio.wait_for(reader.read(), 20)
        finally:
            writer.close()
        return parse(whole, cut)


@asynccontextmanager
async def running(config: Config, records: Path, **given: Any) -> AsyncIterator[Running]:
    """Run a gateway by a configuration, its records in a file; `given` is what else a `Gateway` is made with."""
    descriptor = os.open(records, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    gateway = Gateway(config, relay=None, records=descriptor, **given)
    await gateway.start()
    settings = config.server
    server = Server(gateway.handle, settings.limits, settings.timeouts, own=lines(settings.cors), begin=gateway.begin)
    sock = socket.create_server(("127.0.0.1", 0))
    await server.listen(sock)
    try:
        yield Running(gateway, server, sock.getsockname()[1], records)
    finally:
        await server.close()
        await gateway.close()
        os.close(descriptor)


def parse(whole: bytes, cut: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Split a reply; a chunked body that has no end raises, or where it should have none, one that has."""
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        joined = b""
        while True:
            size, found, body = body.partition(b"\r\n")
            if not found:
                if cut:
                    return int(first.split()[1]), headers, joined
                raise ConnectionResetError("the reply was cut short")
            length = int(size, 16)
            if not length:
                assert not cut, "the reply came to its end"
                return int(first.split()[1]), headers, joined
            joined += body[:length]
            body = body[length + 2 :]
    return int(first.split()[1]), headers, body


def provider(mock: MockProvider, like: str = "openai", **more: Any) -> dict[str, Any]:
    """Return the configuration of a provider that is the mock."""
    base = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta", "bedrock": "", "cohere": ""}[like]
    return {"like": like, "base_url": mock.url + base, "api_key": "sk-upstream-0123456789", **more}


def chat(model: str = "openai/gpt-4o-mini", **more: Any) -> dict[str, Any]:
    """Return the body of a chat call."""
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
