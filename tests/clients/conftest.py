"""The processes of these tests: one gateway, one mock."""

from collections.abc import Iterator

import pytest

from portico.testing import HostedMock
from portico.testing.running import running_portico

pytest.register_assert_rewrite("tests.clients.expect")

from tests.clients.stage import UPSTREAM, Stage, config  # noqa: E402  # after the asserts are registered


@pytest.fixture(scope="module")
def one_stage() -> Iterator[Stage]:
    with (
        HostedMock(keys=[UPSTREAM]) as mock,
        running_portico(config(mock.url), arguments=("--workers", "1")) as portico,
    ):
        yield Stage(portico, mock)


@pytest.fixture
def stage(one_stage: Stage) -> Stage:
    """A gateway before a mock with nothing left of the test before."""
    one_stage.mock.idle()
    one_stage.mock.mock.reset()
    return one_stage
