"""A mock provider in the test's own loop, and one in a thread for synchronous SDKs."""

from collections.abc import AsyncIterator, Iterator

import pytest

from portico.testing import HostedMock, MockProvider


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
