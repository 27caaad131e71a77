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
from portico.upstream.rollouts import Rollouts

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


def test_a_canary_is_told_as_workers_know_it(tmp_path: Path) -> None:
    """Those of this machine count in files of the data directory."""
    plain = CONFIG | {
        "models": {"smart": {"targets": ["openai/gpt-4.1"], "canary": {"to": "openai/gpt-4o", "steps": [0.25, 1]}}}
    }
    engine = make_engine(f"sqlite:///{tmp_path}/portico.db")
    upgrade(engine)
    config = load_plain(plain, {}).config
    said = config.models["smart"].canary
    assert said is not None
    admin = Admin(engine, config=config, secret=SECRET, sealer=sealer({}, SECRET), now_ms=Clock(), data_dir=tmp_path)
    with TestClient(make_app(admin), headers={"authorization": f"Bearer {MASTER}"}) as client:

        def told(draw: float) -> dict[str, Any]:
            asked = {"body": {"model": "smart", "messages": []}, "draw": draw}
            plan: dict[str, Any] = client.post("/api/v1/explain", json=asked).json()["plan"]
            return plan

        plan = told(0.3)
        assert plan["arm"] == "stable"
        assert [one["target"] for one in plan["targets"] if one["place"]] == ["openai/gpt-4.1"]
        [why] = [one["why_not"] for one in plan["targets"] if not one["place"]]
        assert why == "the canary gets 0.25 of the calls, and not this one"
        [canary] = plan["canaries"]
        assert (canary["state"], canary["share"], canary["calls"]) == ("rising", 0.25, 0)
        assert not (tmp_path / "state" / "canaries").exists()  # who only looks begins nothing

        workers = Rollouts(tmp_path / "state" / "canaries", lambda _name, _about: None)
        rollout = workers("smart", said)
        for _ in range(30):
            rollout.count(chosen=False, failed=False, took=0.1)
        plan = told(0.2)
        assert (plan["arm"], plan["strategy"]) == ("canary", "fallback")
        assert [one["target"] for one in plan["targets"]] == ["openai/gpt-4o", "openai/gpt-4.1"]
        assert plan["canaries"][0]["others_calls"] == 30
        assert 90 < plan["canaries"][0]["others_p95_ms"] < 130

        for _ in range(9):
            rollout.count(chosen=True, failed=True, took=None)
        rollout.decide(rollout._clock())
        plan = told(0.1)
        assert [one["target"] for one in plan["targets"] if one["place"]] == ["openai/gpt-4.1"]
        assert plan["canaries"][0]["state"] == "back"
        assert {one["why_not"] for one in plan["targets"]} == {None, "the canary was taken back"}
    engine.dispose()
