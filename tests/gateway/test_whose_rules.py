"""Rules of one provider or model, of calls that may go to several: each counts what is its own."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import MASTER, Running, chat, provider
from portico.state.clock import moment
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
PATH = "/v1/chat/completions"
LONG = "It flows. " * 60


def both(mock: MockProvider, other: MockProvider, **more: Any) -> dict[str, Any]:
    """Return two providers for one name, with a budget of each."""
    return {
        "providers": {"one": provider(mock), "two": provider(other)},
        "prices": {"one/*": {"input": 1, "output": 2}, "two/*": {"input": 1, "output": 2}},
        "models": {"smart": {"targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"], **more.pop("model", {})}},
        "retries": {"attempts": 1},
        "budgets": [{"usd": 1, "requests": 100, "each": ["provider"]}, {"usd": 1, "for": {"model": ["smart"]}}],
        **more,
    }


def counted(running: Running, row: str, every: str = "forever") -> dict[str, int]:
    """Return what a row has counted, by what it counts; nothing is reserved any more."""
    found = running.gateway.state.counters([row], moment())
    assert all(counter.reserved == 0 for counter in found)
    return {counter.rule_id.removesuffix(f"/{every}").rpartition("/")[2]: counter.used for counter in found}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("trouble", "billed"), [({"status": 500}, False), ({"fault": "cut-before-head"}, True), ({"fault": "empty"}, True)]
)
async def test_who_failed_is_charged_its_lost_try_and_who_served_its_answer(
    portico: Portico, mock: MockProvider, other: MockProvider, trouble: dict[str, Any], billed: bool, stream: bool
) -> None:
    mock.script.always(trouble)
    async with portico(both(mock, other)) as running:
        status, _, _ = await running.call(PATH, chat("smart", stream=stream, max_tokens=50))
        assert status == 200
        (record,) = running.records()
        lost, answer = record["attempts"][0].get("assumed_nano_usd", 0), record["cost_nano_usd"]
        assert (lost > 0) == billed
        assert counted(running, "provider:one") == {"cost": lost, "requests": 1}
        assert counted(running, "provider:two") == {"cost": answer, "requests": 1}
        assert counted(running, "model:smart") == {"cost": lost + answer}


async def test_who_lost_a_race_is_charged_its_bound_however_the_winners_stream_ends(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"latency": 0.2, "pace": 0.01, "text": LONG, "fault": "cut-mid-stream", "at": 8})
    other.script.always({"latency": 5})
    config = both(mock, other, model={"hedge": {"after": "20ms", "share": 1.0}})
    async with portico(config) as running:
        await running.call(PATH, chat("smart", stream=True, max_tokens=500), cut=True)
        (record,) = running.records()
        won, lost = record["attempts"]
        assert (won.get("error"), lost["error"]) == (None, "hedge_lost")
        assert lost["assumed_nano_usd"] == record["bound_nano_usd"]
        assert 0 < won["assumed_nano_usd"] < lost["assumed_nano_usd"]
        one = record["cost_nano_usd"] + won["assumed_nano_usd"]
        assert counted(running, "provider:one") == {"cost": one, "requests": 1}
        assert counted(running, "provider:two") == {"cost": lost["assumed_nano_usd"], "requests": 1}
        assert counted(running, "model:smart") == {"cost": one + lost["assumed_nano_usd"]}


async def test_each_piece_of_an_answer_is_charged_where_it_was_made(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"text": LONG, "fault": "cut-mid-stream", "at": 8})
    other.script.always({"text": LONG})
    async with portico(both(mock, other, model={"resume": True})) as running:
        await running.call(PATH, chat("smart", stream=True, max_tokens=500))
        (record,) = running.records()
        pieces = [each["cost_nano_usd"] + each.get("assumed_nano_usd", 0) for each in record["attempts"]]
        assert len(pieces) == 2
        for name, piece in zip(("one", "two"), pieces, strict=True):
            assert counted(running, f"provider:{name}") == {"cost": piece, "requests": 1}
        assert counted(running, "model:smart") == {"cost": sum(pieces)}


async def test_a_job_is_paid_for_by_the_budget_of_where_it_runs(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    from portico import jobs

    mock.script.always({"status": 500})
    other.defaults = {"job": "1000"}
    async with portico(both(mock, other)) as running:
        body = {"model": "smart", "input": "Hi", "background": True, "max_output_tokens": 50}
        status, _, _ = await running.call("/v1/responses", body, key=MASTER)
        assert status == 200
        state = running.gateway.state
        job = jobs.read(state.owned_by("", "job")[0])
        assert job.target == "two/gpt-4o-mini"
        reserved = {each.row: each.reserved for each in state.counters(["provider:one", "provider:two"], moment())}
        assert reserved["provider:one"] == 0
        record = jobs.record_of(job, "completed", jobs.Cost(None, 1_001, "reported"), 0)
        state.finish(job.call_id, jobs.used_by(job, record), moment())
        assert counted(running, "provider:one") == {"cost": 0, "requests": 1}
        assert counted(running, "provider:two") == {"cost": 1_001, "requests": 1}
        assert counted(running, "model:smart") == {"cost": 1_001}
