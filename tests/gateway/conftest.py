"""A gateway with a real server, in the test's own loop, in front of mock providers."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_in_loop import MASTER, Running, running
from portico.config.load import load_plain
from portico.journal import Journal
from portico.testing.mock import MockProvider


@pytest.fixture
def portico(tmp_path: Path) -> Callable[..., Any]:
    """Return a context manager that runs a gateway by a configuration."""

    @asynccontextmanager
    async def run(config: dict[str, Any], journal: Journal | None = None) -> AsyncIterator[Running]:
        plain = {"server": {"master_key": MASTER, **config.pop("server", {})}, **config}
        records = tmp_path / f"records-{os.urandom(4).hex()}.jsonl"
        async with running(load_plain(plain, {}).config, records, journal=journal) as gateway:
            yield gateway

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
