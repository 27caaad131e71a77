"""Portico's processes, started once for each process of tests, and a clean mock behind them for every test."""

from collections.abc import Iterator

import pytest

from portico.testing import HostedMock
from portico.testing.running import running_portico

pytest.register_assert_rewrite("tests.e2e.front")

from tests.e2e.certificates import certificate  # noqa: E402
from tests.e2e.front import PRICE, UPSTREAM, Front, config  # noqa: E402  # after its asserts are registered


@pytest.fixture(scope="session")
def one_mock() -> Iterator[HostedMock]:
    with HostedMock(keys=[UPSTREAM], price=PRICE) as mock:
        yield mock


@pytest.fixture(scope="session")
def one_front(one_mock: HostedMock) -> Iterator[Front]:
    with running_portico(config(one_mock.url), arguments=("--workers", "1")) as portico:
        yield Front(portico, one_mock)


@pytest.fixture(scope="session")
def one_secure_front(one_mock: HostedMock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    cert, key = certificate(tmp_path_factory.mktemp("certificate"))
    tls = {"tls": {"cert": str(cert), "key": str(key)}}
    with running_portico(config(one_mock.url, server=tls), arguments=("--workers", "1")) as portico:
        yield Front(portico, one_mock, ca=cert)


@pytest.fixture
def mock(one_mock: HostedMock) -> HostedMock:
    """The mock with nothing left of the test before."""
    one_mock.idle()
    one_mock.mock.reset()
    return one_mock


@pytest.fixture
def front(one_front: Front, mock: HostedMock) -> Front:
    """A Portico before a clean mock."""
    return one_front.begin()


@pytest.fixture
def secure_front(one_secure_front: Front, mock: HostedMock) -> Front:
    """A Portico that serves HTTPS, before a clean mock."""
    return one_secure_front.begin()
