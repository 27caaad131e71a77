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


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = make_engine(f"sqlite:///{tmp_path}/portico.db")
    else:
        engine = make_engine(request.getfixturevalue("postgres").migrated())
    upgrade(engine)
    yield engine
    engine.dispose()
