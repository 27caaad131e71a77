"""The admin API in this process, over a store of either kind, with what it publishes kept in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from portico.config.load import load_plain
from portico.config.schema import Config
from portico.control.admin import Admin
from portico.control.app import make_app
from portico.control.publish import NoSnapshot
from portico.store.engine import make_engine
from portico.store.entities.sealing import sealer
from portico.store.migrate import upgrade
from postgresql import postgres as postgres  # the fixture

MASTER = "sk-portico-the-master-key-of-the-tests"
SECRET = bytes(range(32))
NOW = 1_800_000_000_000


class Clock:
    """Milliseconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def config() -> Config:
    return load_plain(
        {
            "server": {"master_key": MASTER},
            "teams": {"declared": {"models": ["openai/*"], "budgets": [{"usd": 5, "per": "day"}]}},
            "keys": {"of-the-file": {"key": "sk-portico-of-the-file-0001", "team": "declared"}},
            "customers": {"big": {"limits": [{"requests": 3}]}},
            "limits": [{"requests": 1000, "for": {"team": "declared"}}],
            "providers": {"openai": {}},
            "prices": {"openai/known": {"input": 1, "output": 2}},
        },
        {},
    ).config


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/portico.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database()
    engine = make_engine(url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def snapshot() -> NoSnapshot:
    return NoSnapshot()


@pytest.fixture
def admin(engine: Engine, config: Config, clock: Clock, snapshot: NoSnapshot) -> Admin:
    made = Admin(engine, config=config, secret=SECRET, sealer=sealer({}, SECRET), now_ms=clock, snapshot=snapshot)
    made.start()
    return made


class Api:
    """The admin API as somebody with a key sees it."""

    def __init__(self, client: TestClient, token: str | None) -> None:
        self.client = client
        self.token = token

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        where = path if path.startswith("/") else f"/api/v1/{path}"
        return self.client.request(method, where, json=body, headers=sent)

    def make(self, path: str, **fields: Any) -> Any:
        """Make an object that is expected to be made."""
        reply = self("POST", path, fields)
        assert reply.status_code == 201, reply.text
        return reply.json()

    def as_(self, token: str | None) -> "Api":
        return Api(self.client, token)


@pytest.fixture
def api(admin: Admin) -> Iterator[Api]:
    with TestClient(make_app(admin), raise_server_exceptions=True) as client:
        yield Api(client, MASTER)


Grant = Callable[..., Api]


@pytest.fixture
def with_role(api: Api) -> Grant:
    """Return what makes a key with a role, and the API as it sees it."""

    def make(role: str, **fields: Any) -> Api:
        return api.as_(api.make("keys", role=role, **fields)["key"])

    return make
