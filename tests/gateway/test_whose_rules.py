"""Rules of one provider or model, of calls that may go to several: each counts what is its own."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import MASTER, Running, chat, provider
from portico import jobs
from portico.state.clock import moment
from portico.testing.clock import FakeClock
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


@pytest.mark.parametrize("limits", [[], [{"requests": 100, "for": {"model": ["smart"]}}]])
async def test_a_job_holds_its_bound_in_the_only_budget_which_is_that_of_where_it_runs(
    portico: Portico, mock: MockProvider, other: MockProvider, limits: list[dict[str, Any]]
) -> None:
    mock.script.always({"status": 500})
    other.defaults = {"job": "1000"}
    config = both(mock, other, limits=limits, budgets=[{"usd": 1, "for": {"provider": ["two"]}}])
    async with portico(config) as running:
        body = {"model": "smart", "input": "Hi", "background": True, "max_output_tokens": 50}
        status, _, _ = await running.call("/v1/responses", body, key=MASTER)
        assert status == 200
        state = running.gateway.state
        job = jobs.read(state.owned_by("", "job")[0])
        (budget,) = state.counters(["provider:two"], moment())
        assert job.bound.cost
        assert budget.reserved == job.bound.cost
        record = jobs.record_of(job, "completed", jobs.Cost(None, 1_001, "reported"), 0)
        state.finish(job.call_id, jobs.used_by(job, record), moment())
        assert counted(running, "provider:two") == {"cost": 1_001}


FULL: dict[str, dict[str, Any]] = {
    "a limit of requests": {"limits": [{"requests": 1, "for": {"provider": ["one"]}}]},
    "a limit of tokens": {"limits": [{"tokens": 440, "for": {"provider": ["one"]}}]},
    "a budget": {"budgets": [{"usd": 0.00061, "for": {"provider": ["one"]}}]},
    "a budget of each": {"budgets": [{"requests": 1, "each": ["provider"]}]},
    "a limit of a model": {"limits": [{"requests": 1, "for": {"model": ["gpt-4o-mini"]}}]},
    "what was too small from the start": {"budgets": [{"usd": 0.000001, "for": {"provider": ["one"]}}]},
}
"""Rules that one call uses up, of the first target of a name."""


def two(mock: MockProvider, other: MockProvider, rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return two providers for one name, of which the first has so little to use."""
    config = both(mock, other, **more)
    config["models"]["smart"]["targets"][1] = "two/gpt-4.1-mini"
    return {**config, "budgets": [], **rules}


async def ask(running: Running, model: str = "smart", **more: Any) -> tuple[int, str | None]:
    """Return the status of a call, and which provider served it."""
    body = chat(model, **{"max_tokens": 40, **more})
    status, headers, _ = await running.call(PATH, body, headers={"x-portico-route": "1"})
    return status, headers.get("x-portico-target", "").partition("/")[0] if status == 200 else None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rules", FULL)
async def test_a_target_whose_own_rules_have_no_room_is_passed_over(
    portico: Portico, mock: MockProvider, other: MockProvider, rules: str, stream: bool
) -> None:
    async with portico(two(mock, other, FULL[rules])) as running:
        if rules != "what was too small from the start":
            assert await ask(running, stream=stream) == (200, "one")
        before = {each.rule_id: each.used for each in running.gateway.state.counters(["provider:one"], moment())}
        assert await ask(running, stream=stream) == (200, "two")
        record = running.records()[-1]
        assert [attempt["target"] for attempt in record["attempts"]] == ["two/gpt-4.1-mini"]
        after = running.gateway.state.counters(["provider:one"], moment())
        assert all(each.used <= before.get(each.rule_id, 0) and not each.reserved for each in after)


async def test_why_a_call_went_elsewhere_is_told_to_who_asks(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with portico(two(mock, other, FULL["a limit of requests"])) as running:
        told = []
        for _ in range(2):
            _, headers, _ = await running.call(PATH, chat("smart"), headers={"x-portico-route": "1"})
            told.append(headers["x-portico-route"])
    assert told[1] == f"{told[0]}; not one/gpt-4o-mini: it has no room by its own rules"


async def test_where_no_target_has_room_the_first_one_s_refusal_is_told(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    rules = {"limits": [{"requests": number, "for": {"provider": [name]}} for number, name in ((1, "one"), (2, "two"))]}
    async with portico(two(mock, other, rules)) as running:
        assert [(await ask(running))[1] for _ in range(3)] == ["one", "two", "two"]
        status, headers, body = await running.call(PATH, chat("smart"))
        assert status == 429
        assert b"provider 'one'" in body
        assert int(headers["retry-after"]) > 30
        assert counted(running, "provider:two", "minute") == {"requests": 2}


@pytest.mark.parametrize(
    "own",
    [
        {"limits": [{"requests": 1}]},
        {"budgets": [{"requests": 1}]},
        {"limits": [{"requests": 1, "for": {"model": ["smart"]}}]},
        {"limits": [{"requests": 1, "each": ["team"]}], "teams": {"red": {}}},
    ],
)
async def test_what_the_caller_has_used_up_is_refused_as_ever(
    portico: Portico, mock: MockProvider, other: MockProvider, own: dict[str, Any]
) -> None:
    key = {"key": "sk-of-the-key-0123456", **({"team": "red"} if "teams" in own else {})}
    async with portico(two(mock, other, {**own, "keys": {"k": key}})) as running:
        assert (await running.call(PATH, chat("smart"), key=key["key"]))[0] == 200
        assert (await running.call(PATH, chat("smart"), key=key["key"]))[0] == 429
    assert len(other.ledger) == 0


async def test_where_the_caller_s_own_limit_is_in_the_way_of_the_others_that_is_told(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    """Rows are asked in the order of their names: that of a model comes before that of a team."""
    rules = {
        "limits": [{"requests": 1, "for": {"model": ["gpt-4o-mini"]}}, {"requests": 2, "each": ["team"]}],
        "teams": {"red": {}},
        "keys": {"k": {"key": "sk-of-the-key-0123456", "team": "red"}},
    }
    async with portico(two(mock, other, rules)) as running:
        answers = [await running.call(PATH, chat("smart"), key="sk-of-the-key-0123456") for _ in range(3)]
    assert [answer[0] for answer in answers] == [200, 200, 429]
    assert b"team 'red'" in answers[2][2]


async def test_a_provider_without_room_is_passed_over_with_all_its_models(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    config = two(mock, other, FULL["a limit of requests"])
    config["models"]["smart"]["targets"] = ["one/gpt-4o-mini", "one/gpt-4.1-mini", "two/gpt-4.1-mini"]
    async with portico(config) as running:
        assert [(await ask(running))[1] for _ in range(2)] == ["one", "two"]
        assert counted(running, "provider:one", "minute") == {"requests": 1}


async def test_a_call_that_is_only_too_large_for_the_first_target_goes_to_the_next(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with portico(two(mock, other, {"limits": [{"tokens": 600, "for": {"provider": ["one"]}}]})) as running:
        assert await ask(running, max_tokens=1_000) == (200, "two")
        assert await ask(running, max_tokens=50) == (200, "one")


async def test_an_answer_that_was_cut_in_vain_for_the_first_target_is_asked_for_whole_at_the_next(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    """A clamping budget cuts it to what is left of that, and a limit beside it has no room for a request at all."""
    rules = {
        "budgets": [{"usd": 0.001, "mode": "clamp", "for": {"provider": ["one"]}}],
        "limits": [{"tokens": 100, "for": {"provider": ["one*"]}}],
    }
    async with portico(two(mock, other, rules)) as running:
        assert await ask(running, max_tokens=1_000) == (200, "two")
    assert json.loads(other.ledger.entries[0].body)["max_tokens"] == 1_000


@pytest.mark.parametrize("stream", [False, True])
async def test_a_target_without_room_is_passed_over_in_a_fall_back_too(
    portico: Portico, mock: MockProvider, other: MockProvider, stream: bool
) -> None:
    async with MockProvider() as third:
        config = two(mock, other, {"limits": [{"requests": 1, "for": {"provider": ["two"]}}]})
        config["providers"]["three"] = provider(third)
        config["models"]["smart"]["targets"].append("three/gpt-4.1")
        mock.script.always({"status": 500})
        async with portico(config) as running:
            assert [(await ask(running, stream=stream))[1] for _ in range(2)] == ["two", "three"]
            tried = [attempt["target"] for attempt in running.records()[-1]["attempts"]]
            assert tried == ["one/gpt-4o-mini", "three/gpt-4.1"]


async def test_a_call_falls_back_for_limits_where_none_of_its_targets_has_room_left(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with MockProvider() as third:
        config = two(mock, other, {"limits": [{"requests": 1, "for": {"provider": ["two"]}}]})
        config["providers"]["three"] = provider(third)
        config["models"]["smart"]["fallbacks"] = {"rate_limit": ["three/gpt-4.1"]}
        mock.script.always({"status": 500})
        async with portico(config) as running:
            assert [(await ask(running))[1] for _ in range(2)] == ["two", "three"]


async def test_a_target_that_was_passed_over_is_not_asked_when_the_next_one_fails(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with portico(two(mock, other, FULL["a limit of requests"])) as running:
        assert await ask(running) == (200, "one")
        other.script.always({"status": 500})
        assert (await ask(running))[0] == 500
        assert counted(running, "provider:one", "minute") == {"requests": 1}
    assert len(mock.ledger) == 1


async def test_an_answer_goes_on_where_there_is_room(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    async with MockProvider() as third:
        config = two(mock, other, {"budgets": [{"requests": 1, "for": {"provider": ["two"]}}]}, model={"resume": True})
        config["providers"]["three"] = provider(third)
        config["models"]["smart"]["targets"].append("three/gpt-4.1")
        mock.script.always({"text": LONG, "fault": "cut-mid-stream", "at": 8})
        third.script.always({"text": LONG})
        async with portico(config) as running:
            assert await ask(running, "two/gpt-4.1-mini") == (200, "two")
            await running.call(PATH, chat("smart", stream=True, max_tokens=500))
            tried = [attempt["target"] for attempt in running.records()[-1]["attempts"]]
            assert tried == ["one/gpt-4o-mini", "three/gpt-4.1"]


async def test_nobody_waits_for_a_target_while_another_has_room(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    """Not even behind calls that wait for that one alone, and those are not passed by calls that only it can take."""
    config = two(mock, other, {"limits": [{"in_flight": 1, "for": {"provider": ["one"]}}], "queue": {"wait": "20s"}})
    mock.script.always({"latency": 0.3})
    async with portico(config) as running:
        alone = [asyncio.create_task(ask(running, "one/gpt-4o-mini")) for _ in range(2)]
        queues = running.gateway._queues
        while queues.waiting is None or len(queues.waiting.lobby) != 1:
            await asyncio.sleep(0)
        assert await ask(running) == (200, "two")
        assert not any(task.done() for task in alone)
        assert await asyncio.gather(*alone) == [(200, "one")] * 2


async def test_nobody_who_is_passed_on_goes_ahead_of_calls_that_wait_there(
    portico: Portico, mock: MockProvider
) -> None:
    """A small call would fit into what is left of a limit that a large one waits for."""
    clock = FakeClock()
    async with MockProvider(clock=clock, defaults="latency=1") as other:
        limits = [{"requests": 1, "for": {"provider": ["one"]}}, {"tokens": 1_200, "for": {"provider": ["two"]}}]
        config = two(mock, other, {"limits": limits}, model={"queue": {"wait": "50ms"}}, queue={"wait": "20s"})
        async with portico(config) as running:
            assert await ask(running) == (200, "one")
            alone = [asyncio.create_task(ask(running, "two/gpt-4.1-mini"))]
            await clock.asleep(1)
            alone.append(asyncio.create_task(ask(running, "two/gpt-4.1-mini", max_tokens=450)))
            queues = running.gateway._queues
            while queues.waiting is None or len(queues.waiting.lobby) != 1:
                await asyncio.sleep(0)
            assert (await ask(running))[0] == 429
            for _ in alone:
                await clock.asleep(1)
                await clock.advance(1)
            assert await asyncio.gather(*alone) == [(200, "two")] * 2
