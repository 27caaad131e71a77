"""LiteLLM's `/health`: what workers found out of targets and keys, said to whom it concerns."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
from starlette.testclient import TestClient

from control.conftest import MASTER, SECRET, Api, Clock
from portico.config.load import load_plain
from portico.config.schema import Config
from portico.control.admin import Admin
from portico.control.app import make_app
from portico.control.supplies import stored_keys
from portico.snapshot import Snapshot, made_ready
from portico.state.memory import MemoryState
from portico.state.supplies import Supplies, render_keys
from portico.store.engine import make_engine
from portico.store.entities.sealing import sealer
from portico.store.migrate import upgrade
from portico.upstream.health import Healths
from portico.upstream.shared import SharedRests
from portico.wire.client import Client

CONFIG = {
    "server": {"master_key": MASTER},
    "providers": {
        "openai": {"api_key": "sk-shared-key-of-the-tests"},
        "theirs": {"like": "openai", "team_keys": "required"},
    },
    "models": {"one": ["openai/m"], "two": ["theirs/m"]},
    "teams": {"red": {}, "blue": {}},
    "breaker": {"failures": 1, "rest": 60},
}


@pytest.fixture
def config() -> Config:
    return load_plain(CONFIG, {}).config


@pytest.fixture
def admin(tmp_path: Path, config: Config) -> Iterator[Admin]:
    engine = make_engine(f"sqlite:///{tmp_path}/portico.db")
    upgrade(engine)
    rests = tmp_path / "rests"
    yield Admin(engine, config=config, secret=SECRET, sealer=sealer({}, SECRET), now_ms=Clock(), rests=rests)
    engine.dispose()


@pytest.fixture
def api(admin: Admin) -> Iterator[Api]:
    with TestClient(make_app(admin)) as client:
        yield Api(client, MASTER)


@pytest.fixture
def worker(admin: Admin, tmp_path: Path) -> Callable[[], Snapshot]:
    """Return what makes the snapshot of a worker, with the keys that the store has now."""

    def make() -> Snapshot:
        with admin.reading() as db:
            keys = stored_keys(db, admin.sealer)
        healths = Healths(shared=SharedRests(tmp_path / "rests"))
        supplies = Supplies(b"", render_keys(keys, SECRET))
        return made_ready(admin.config, Client(), MemoryState(), SECRET, 1, healths, supplies)

    return make


def unhealthy(api: Api) -> list[tuple[str, str]]:
    reply = api("GET", "/health")
    assert reply.status_code == 200, reply.text
    return [(one["model"], one["error"].partition(":")[0]) for one in reply.json()["unhealthy_endpoints"]]


async def test_each_team_is_told_of_its_own_keys(api: Api, worker: Callable[[], Snapshot]) -> None:
    teams = {}
    for team in ("red", "blue"):
        teams[team] = api.as_(api.make("keys", team=team)["key"])
    for provider in ("openai", "theirs"):
        api.make("credentials", provider=provider, team="red", secret="sk-key-of-the-team-red-01")
    needs = ("theirs/m", "its provider takes keys of teams alone, and there is none of this team")
    assert unhealthy(teams["red"]) == []
    assert unhealthy(teams["blue"]) == [needs]
    snapshot = worker()
    red = snapshot.of("red").upstreams["openai"]
    red.healths("openai/m").failed(monotonic())
    ((model, error),) = unhealthy(teams["red"])
    assert (model, error.startswith("it rests for ")) == ("openai/m", True)
    assert unhealthy(teams["blue"]) == [needs]
    shared = snapshot.upstreams["openai"].keyring
    shared.refused(shared.credentials[0], 401, None, monotonic())
    assert unhealthy(teams["blue"]) == [("openai/m", "every key for its provider rests"), needs]
    assert [model for model, _ in unhealthy(teams["red"])] == ["openai/m"]
    assert unhealthy(api)[0] == ("openai/m", "every key for its provider rests")


def test_where_no_worker_has_said_anything_all_is_well(api: Api) -> None:
    assert unhealthy(api) == []
