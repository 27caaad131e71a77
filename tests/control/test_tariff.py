"""What control says that a model costs is what workers charge for it: corrections and `/model/info` follow it."""

import pytest

from control.conftest import MASTER, NOW, Api
from portico.config.load import load_plain
from portico.config.schema import Config
from portico.control.admin import Admin
from portico.control.repricing import prices_of
from portico.control.tariff import Tariff
from portico.providers.prices import price_of
from portico.providers.resolve import resolve
from portico.record import AttemptRecord, Record
from portico.types import Usage
from portico.upstream.target import Upstream

KEY = "sk-upstream-0123456789"
PROVIDERS = {
    "openai": {"api_key": KEY},
    "second": {"like": "openai", "api_key": KEY},
    "europe": {"like": "openai", "base_url": "https://eu.api.openai.com/v1", "api_key": KEY},
    "mine": {"like": "vllm", "base_url": "http://127.0.0.1:1/v1"},
}
CONFIG = {
    "server": {"master_key": MASTER},
    "providers": PROVIDERS,
    "models": {
        name: [target]
        for name, target in (
            ("free", "mine/llama"),
            ("big", "mine/big-llama"),
            ("alike", "second/gpt-4o"),
            ("new", "second/gpt-unheard-of"),
        )
    },
    "prices": {"mine/*": {"input": 0, "output": 0}, "mine/big-*": {"input": 1, "output": 2}},
}


class Nothing:
    """No client: nothing is sent."""


@pytest.fixture
def config() -> Config:
    return load_plain(CONFIG, {}).config


@pytest.mark.parametrize(
    ("provider", "model", "like"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("second", "gpt-4o", "openai/gpt-4o"),
        ("europe", "gpt-5.5", None),
        ("mine", "llama", None),
        ("mine", "big-llama", None),
        ("second", "gpt-unheard-of", None),
    ],
)
def test_control_prices_a_call_as_workers_do(admin: Admin, provider: str, model: str, like: str | None) -> None:
    declared = admin.config.providers[provider]
    worker = Upstream(resolve(provider, declared, {}), Nothing(), admin.config.prices)  # type: ignore[arg-type]
    with admin.reading() as db:
        found = Tariff(admin.config, db).price_of(provider, model)
    assert found == worker.price_of(model)
    assert like is None or found == price_of(*like.split("/"))


def test_a_region_costs_more_than_the_rest(admin: Admin) -> None:
    with admin.reading() as db:
        found, shipped = Tariff(admin.config, db).price_of("europe", "gpt-5.5"), price_of("openai", "gpt-5.5")
    assert found is not None
    assert shipped is not None
    assert found.rates.input > shipped.rates.input


@pytest.mark.parametrize(
    ("target", "cost"),
    [("second/gpt-4o", 12_500_000_000), ("mine/llama", 0), ("mine/big-llama", 3_000_000_000), ("gone/gpt-4o", None)],
)
def test_a_correction_knows_a_provider_by_the_name_it_was_given(admin: Admin, target: str, cost: int | None) -> None:
    record = Record(
        id="c1",
        time_ms=NOW,
        key="k",
        operation="chat",
        model="m",
        target=target,
        status=200,
        stream=False,
        attempts=[AttemptRecord(target)],
        usage=Usage(input=1_000_000, output=1_000_000),
        cost_nano_usd=None,
        basis="reported",
        first_byte_us=1,
        total_us=1,
        overhead_us=1,
    )
    found = prices_of(admin)(record)
    assert found is not None
    assert found.cost == cost


@pytest.mark.parametrize(
    ("name", "costs"),
    [("free", (0, 0)), ("big", (1e-6, 2e-6)), ("alike", (2.5e-6, 1e-5)), ("new", (None, None))],
)
def test_model_info_says_what_workers_charge(api: Api, name: str, costs: tuple[float | None, float | None]) -> None:
    for path, place in (("/model/info", "model_info"), ("/model_group/info", None)):
        rows = api("GET", path).json()["data"]
        (row,) = [one for one in rows if name in (one.get("model_name"), one.get("model_group"))]
        info = row if place is None else row[place]
        assert (info["input_cost_per_token"], info["output_cost_per_token"]) == costs


def test_model_info_follows_a_price_of_the_store(api: Api) -> None:
    api.make("prices", model="second/gpt-unheard-of", since="2026-01-01T00:00:00Z", input=3, output=4)
    (row,) = [one for one in api("GET", "/model/info").json()["data"] if one["model_name"] == "new"]
    assert row["model_info"]["input_cost_per_token"] == 3e-6


def test_a_price_of_the_store_is_of_one_model(api: Api) -> None:
    said = {"model": "second/*", "since": "2026-01-01T00:00:00Z", "input": 3, "output": 4}
    reply = api("POST", "prices", said)
    assert (reply.status_code, reply.json()["field"]) == (422, "model")
