"""Where a call would go, asked over the admin API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from control.conftest import MASTER, SECRET, Clock
from portico.config.load import load_plain
from portico.control.admin import Admin
from portico.control.app import make_app
from portico.store.engine import make_engine
from portico.store.entities.sealing import sealer
from portico.store.migrate import upgrade

CONFIG: dict[str, Any] = {
    "server": {"master_key": MASTER},
    "providers": {"openai": {"api_key": "sk-0123456789012345"}, "mistral": {"team_keys": "required"}},
    "models": {
        "smart": ["openai/gpt-4.1", "openai/gpt-4o"],
        "either": ["mistral/mistral-large-latest", "openai/gpt-4o"],
    },
    "teams": {"core": {"budgets": [{"usd": 5, "per": "day"}]}},
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    engine = make_engine(f"sqlite:///{tmp_path}/portico.db")
    upgrade(engine)
    config = load_plain(CONFIG, {}).config
    admin = Admin(engine, config=config, secret=SECRET, sealer=sealer({}, SECRET), now_ms=Clock())
    with TestClient(make_app(admin), headers={"authorization": f"Bearer {MASTER}"}) as client:
        yield client
    engine.dispose()


def test_the_plan_of_a_call_is_told_without_sending_it(api: TestClient) -> None:
    reply = api.post("/api/v1/explain", json={"body": {"model": "smart", "messages": []}})
    assert reply.status_code == 200, reply.text
    plan = reply.json()["plan"]
    assert [(one["target"], one["place"]) for one in plan["targets"]] == [("openai/gpt-4.1", 1), ("openai/gpt-4o", 2)]
    assert plan["targets"][0]["cost_nano_usd"] > 0


def test_a_key_is_told_its_own_bounds(api: TestClient) -> None:
    made = api.post("/api/v1/keys", json={"name": "k", "team": "core", "models": ["smart"]}).json()
    asked = {"body": {"model": "smart"}, "holder": made["id"]}
    found = api.post("/api/v1/explain", json=asked)
    assert found.status_code == 200, found.text
    assert [one["amount_usd"] for one in found.json()["bounds"]] == [5.0]
    asked["body"] = {"model": "openai/gpt-4o"}
    assert api.post("/api/v1/explain", json=asked).status_code == 403


def test_a_model_that_nobody_has_is_not_found(api: TestClient) -> None:
    assert api.post("/api/v1/explain", json={"body": {"model": "azure/x"}}).status_code in (400, 404)
    assert api.post("/api/v1/explain", json={"body": {"model": "smart"}, "holder": "key_none"}).status_code == 404


def test_a_provider_for_keys_of_teams_is_in_the_plan_of_teams_that_have_one(api: TestClient) -> None:
    made = api.post("/api/v1/keys", json={"name": "k", "team": "core"}).json()
    asked = {"body": {"model": "either"}, "holder": made["id"]}

    def targets() -> list[str]:
        return [one["target"] for one in api.post("/api/v1/explain", json=asked).json()["plan"]["targets"]]

    assert targets() == ["openai/gpt-4o"]
    credential = {"provider": "mistral", "team": "core", "secret": "a-key-of-the-team-core"}
    assert api.post("/api/v1/credentials", json=credential).status_code == 201
    assert targets() == ["mistral/mistral-large-latest", "openai/gpt-4o"]
