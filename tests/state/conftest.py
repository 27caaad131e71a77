"""A state of each backend, and a clock that a test moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.state.desk import BACKENDS, Clock, Desk, close


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=list(BACKENDS))
def desk(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    state = BACKENDS[request.param](tmp_path)
    yield Desk(state, clock)
    close(state)
