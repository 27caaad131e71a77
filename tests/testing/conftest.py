"""A mock provider in the test's own loop, and one in a thread for synchronous SDKs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from portico.testing import HostedMock, MockProvider

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Loops:
    """Run the faults on both loops: they write, and cut, at different moments."""
    loops: Loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return loops if item.path.name == "test_faults.py" else {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def mock() -> AsyncIterator[MockProvider]:
    async with MockProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def one_hosted() -> Iterator[HostedMock]:
    with HostedMock() as provider:
        yield provider


@pytest.fixture
def hosted(one_hosted: HostedMock) -> HostedMock:
    """The hosted mock with nothing left of the test before."""
    one_hosted.idle()
    one_hosted.mock.reset()
    return one_hosted
