"""Both stores, for every test that takes `engine`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from portico.store.engine import make_engine
from portico.store.migrate import upgrade
from postgresql import postgres as postgres  # the fixture


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/portico.db"
    cluster = request.getfixturevalue("postgres")
    made: str = cluster.database()
    return made


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = make_engine(url)
    upgrade(engine)
    yield engine
    engine.dispose()
