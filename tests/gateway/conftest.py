"""A gateway with a real server, in the test's own loop, in front of mock providers."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_in_loop import MASTER, Running
from portico.config.load import load_plain
from portico.gateway import Gateway
from portico.journal import Journal
from portico.testing.mock import MockProvider
from portico.wire.cors import lines
from portico.wire.server import Server


@pytest.fixture
def portico(tmp_path: Path) -> Callable[..., Any]:
    """Return a context manager that runs a gateway by a configuration."""

    @asynccontextmanager
    async def run(config: dict[str, Any], journal: Journal | None = None) -> AsyncIterator[Running]:
        plain = {"server": {"master_key": MASTER, **config.pop("server", {})}, **config}
        loaded = load_plain(plain, {})
        path = tmp_path / f"records-{os.urandom(4).hex()}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        gateway = Gateway(loaded.config, relay=None, records=descriptor, journal=journal)
        await gateway.start()
        settings = loaded.config.server
        server = Server(gateway.handle, settings.limits, settings.timeouts, own=lines(settings.cors))
        sock = socket.create_server(("127.0.0.1", 0))
        await server.listen(sock)
        try:
            yield Running(gateway, server, sock.getsockname()[1], path)
        finally:
            await server.close()
            await gateway.close()
            os.close(descriptor)

    return run


@pytest.fixture
async def mock() -> AsyncIterator[MockProvider]:
    """A provider of every dialect."""
    async with MockProvider() as provider:
        yield provider


@pytest.fixture
async def other() -> AsyncIterator[MockProvider]:
    """Another one."""
    async with MockProvider() as provider:
        yield provider
