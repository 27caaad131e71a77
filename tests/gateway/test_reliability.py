"""Who is asked when somebody fails: breakers, keys that rest, retries, deadlines, fallbacks by reason, hedges."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import Running, chat, provider
from portico.testing.faults import Canned
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
PATH = "/v1/chat/completions"
ERROR = [(b"content-type", b"application/json")]


def both(mock: MockProvider, other: MockProvider, model: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    targets = {"targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"]}
    return {
        "providers": {"one": provider(mock), "two": provider(other)},
        "models": {"smart": {**targets, **(model or {})}},
        **more,
    }


def refusal(status: int, code: str | None, message: str = "No.") -> Canned:
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code}}).encode()
    return Canned(status, ERROR, [body], len(body))


def pauses(running: Running) -> list[float]:
    """Let the gateway wait for no retry, and return what it would have waited."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    running.gateway.snapshot.policy.sleep = sleep
    return waited


async def served_by(running: Running, model: str = "smart") -> str:
    status, headers, body = await running.call(PATH, chat(model))
    assert status == 200, body
    return headers["x-portico-target"].partition("/")[0]


async def test_a_target_that_keeps_failing_is_passed_over_and_comes_back(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always("status=500")
    breaker = {"failures": 3, "rest": "60s", "longest": "60s"}
    async with portico(both(mock, other, breaker=breaker)) as running:
        assert [await served_by(running) for _ in range(6)] == ["two"] * 6
        assert len(mock.ledger) == 3
        mock.script.clear()
        health = running.gateway.healths("one/gpt-4o-mini")
        assert health.resting
        health.until -= 60.0  # a minute later
        assert [await served_by(running) for _ in range(3)] == ["one"] * 3
        assert not health.resting
        assert health.in_flight == 0


async def test_where_all_targets_rest_one_is_asked_all_the_same(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always("status=500")
    other.script.always("status=500")
    breaker = {"failures": 1, "rest": "60s", "longest": "60s"}
    async with portico(both(mock, other, breaker=breaker, retries={"budget": 0.0})) as running:
        await running.call(PATH, chat("smart"))
        other.script.clear()
        running.gateway.healths("two/gpt-4o-mini").until -= 1.0  # due before the other one
        assert await served_by(running) == "two"
    assert len(mock.ledger) == 1


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_what_the_caller_is_to_blame_for_opens_no_breaker(
    portico: Portico, mock: MockProvider, other: MockProvider, status: int
) -> None:
    mock.script.always(f"status={status}")
    async with portico(both(mock, other, breaker={"failures": 1})) as running:
        for _ in range(5):
            assert (await running.call(PATH, chat("smart")))[0] == status
        health = running.gateway.healths("one/gpt-4o-mini")
        assert not health.resting
        assert health.failure_rate == 0.0
    assert len(other.ledger) == 0


BAD_KEYS = {
    "401": refusal(401, "invalid_api_key"),
    "402": refusal(402, None),
    "429 for quota": refusal(429, "insufficient_quota"),
    "400 for credit": refusal(400, None, "Your credit balance is too low to access the API."),
    "400 for a key": refusal(400, None, "API key not valid. Please pass a valid API key."),
}


@pytest.mark.parametrize("case", BAD_KEYS)
async def test_a_key_that_is_refused_rests_alone(
    portico: Portico, mock: MockProvider, other: MockProvider, case: str
) -> None:
    keys = ["sk-first-0123456789", "sk-second-0123456789"]
    config = both(mock, other, breaker={"failures": 1})
    del config["providers"]["one"]["api_key"]
    config["providers"]["one"]["api_keys"] = keys
    mock.script(BAD_KEYS[case])
    async with portico(config) as running:
        assert [await served_by(running) for _ in range(4)] == ["one"] * 4
        assert not running.gateway.healths("one/gpt-4o-mini").resting
    assert [entry.key for entry in mock.ledger.entries] == [keys[0]] + [keys[1]] * 4


async def test_a_provider_whose_only_key_is_refused_is_passed_over(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always("status=401")
    async with portico(both(mock, other)) as running:
        assert [await served_by(running) for _ in range(3)] == ["two"] * 3
    assert len(mock.ledger) == 1


async def test_a_limit_of_one_model_leaves_the_others_of_its_provider_alone(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    config = both(mock, other)
    config["models"]["large"] = {"targets": ["one/gpt-4o", "two/gpt-4o"]}
    mock.script("status=429&retry_after=60")
    async with portico(config) as running:
        assert await served_by(running) == "two"
        assert await served_by(running) == "two"
        assert await served_by(running, "large") == "one"


async def test_retries_wait_as_they_are_told(portico: Portico, mock: MockProvider) -> None:
    config = {"providers": {"openai": provider(mock)}, "retries": {"attempts": 4, "backoff": {"first": "1s"}}}
    mock.script("status=429&retry_after=3", "status=500", "status=500")
    async with portico(config) as running:
        waited = pauses(running)
        status, headers, _ = await running.call(PATH, chat())
    assert (status, headers["x-portico-attempts"]) == (200, "4")
    first, second, third = waited
    assert 3.0 <= first <= 3.3
    assert 0.0 <= second <= 2.0
    assert 0.0 <= third <= 4.0


async def test_a_retry_after_beyond_the_bound_is_told_to_the_caller(portico: Portico, mock: MockProvider) -> None:
    mock.script.always("status=429&retry_after=120")
    async with portico({"providers": {"openai": provider(mock)}, "retries": {"attempts": 5}}) as running:
        waited = pauses(running)
        status, headers, _ = await running.call(PATH, chat())
    assert (status, headers["retry-after"], len(mock.ledger), waited) == (429, "120", 1, [])


async def test_a_target_that_answers_is_not_waited_for_another(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script("status=429&retry_after=5")
    async with portico(both(mock, other, retries={"attempts": 3})) as running:
        waited = pauses(running)
        assert await served_by(running) == "two"
    assert waited == []


async def test_retries_end_with_their_budget(portico: Portico, mock: MockProvider) -> None:
    mock.script.always("status=500")
    config = {"providers": {"openai": provider(mock)}, "retries": {"attempts": 3, "budget": 0.0}}
    async with portico(config) as running:
        pauses(running)
        for _ in range(30):
            await running.call(PATH, chat())
    assert len(mock.ledger) == 30 + 10


@pytest.mark.parametrize("fault", ["latency=30", "fault=stall&at=0", "split=1&pace=0.02"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_has_a_deadline_for_all_its_attempts(
    portico: Portico, mock: MockProvider, other: MockProvider, fault: str, stream: bool
) -> None:
    mock.script.always(fault)
    other.script.always(fault)
    async with portico(both(mock, other, timeouts={"call": "300ms"}, retries={"attempts": 5})) as running:
        async with asyncio.timeout(5):
            status, _, body = await running.call(PATH, chat("smart", stream=stream))
        (record,) = running.records()
    if stream and "split" in fault and status == 200:
        return  # its first event came in time
    assert status == 504
    assert json.loads(body)["error"]["code"] == "upstream_timeout"
    assert record["attempts"][-1]["error"] == "upstream_timeout"


REASONS = {
    "context_window": refusal(400, "context_length_exceeded"),
    "content_policy": refusal(400, "content_filter"),
    "rate_limit": "status=429",
    "outage": "status=503",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("why", REASONS)
async def test_calls_go_elsewhere_by_the_reason_why_they_cannot_be_served(
    portico: Portico, mock: MockProvider, other: MockProvider, why: str, stream: bool
) -> None:
    fallbacks = {name: [f"two/for-{name}"] for name in REASONS}
    config = both(mock, other, {"targets": ["one/gpt-4o-mini"], "fallbacks": fallbacks})
    mock.script(REASONS[why])
    async with portico(config) as running:
        status, headers, _ = await running.call(PATH, chat("smart", stream=stream))
        (record,) = running.records()
    assert (status, headers["x-portico-target"]) == (200, f"two/for-{why}")
    assert [attempt["target"] for attempt in record["attempts"]] == ["one/gpt-4o-mini", f"two/for-{why}"]


async def test_without_a_list_for_its_reason_the_caller_hears_what_is_wrong(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script(REASONS["context_window"])
    config = both(mock, other, {"fallbacks": {"outage": ["two/x"]}})
    async with portico(config) as running:
        status, _, body = await running.call(PATH, chat("smart"))
    assert (status, json.loads(body)["error"]["code"]) == (400, "context_length_exceeded")
    assert len(other.ledger) == 0


async def test_a_dearer_fallback_is_reserved_before_it_is_asked(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    keys = {"poor": {"key": "sk-poor-0123456789", "budgets": [{"usd": 0.001}]}}
    fallbacks = {"outage": ["two/gpt-4-32k"]}
    config = both(mock, other, {"targets": ["one/gpt-4o-mini"], "fallbacks": fallbacks}, keys=keys)
    mock.script.always("status=503")
    async with portico(config) as running:
        status, _, _ = await running.call(PATH, chat("smart", max_tokens=500), key="sk-poor-0123456789")
    assert status == 503
    assert len(other.ledger) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_second_target_is_asked_where_the_first_is_slow(
    portico: Portico, mock: MockProvider, other: MockProvider, stream: bool
) -> None:
    mock.script("latency=30")
    config = both(mock, other, {"hedge": {"after": "20ms", "share": 1.0}})
    async with portico(config) as running:
        async with asyncio.timeout(5):
            status, headers, _ = await running.call(PATH, chat("smart", stream=stream))
        await mock.ledger.idle()
        (record,) = running.records()
        healths = running.gateway.healths
        assert [healths(f"{name}/gpt-4o-mini").in_flight for name in ("one", "two")] == [0, 0]
    assert (status, headers["x-portico-target"]) == (200, "two/gpt-4o-mini")
    assert [attempt.get("error") for attempt in record["attempts"]] == ["hedge_lost", None]
    assert mock.ledger.last.outcome == "gone"
    assert record["usage"]["output"] == other.ledger.last.usage.output


async def test_nobody_is_asked_twice_without_hedging_or_where_money_is_short(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always("latency=0.15")
    keys = {"poor": {"key": "sk-poor-0123456789", "budgets": [{"usd": 0.0005}]}}
    async with portico(both(mock, other, {"hedge": {"after": "10ms", "share": 1.0}}, keys=keys)) as running:
        poor = await running.call(PATH, chat("smart", max_tokens=500), key="sk-poor-0123456789")
        assert (poor[0], len(other.ledger)) == (200, 0)
    async with portico(both(mock, other)) as running:
        assert await served_by(running) == "one"
    assert len(other.ledger) == 0


async def test_where_the_first_fails_the_hedge_that_is_under_way_serves(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script("latency=0.1&fault=cut-before-head")
    other.script("latency=0.2")
    async with portico(both(mock, other, {"hedge": {"after": "20ms", "share": 1.0}})) as running:
        assert await served_by(running) == "two"
        (record,) = running.records()
    assert [attempt.get("error") for attempt in record["attempts"]] == ["upstream_connection_lost", None]
    assert (len(mock.ledger), len(other.ledger)) == (1, 1)


async def test_a_caller_who_leaves_ends_both_calls_of_a_hedge(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script("latency=30")
    other.script("latency=30")
    async with portico(both(mock, other, {"hedge": {"after": "10ms", "share": 1.0}})) as running:
        call = asyncio.create_task(running.call(PATH, chat("smart")))
        while not other.ledger.open:
            await asyncio.sleep(0.005)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await mock.ledger.idle()
        await other.ledger.idle()
        while not (records := running.records()):
            await asyncio.sleep(0.005)
    assert [attempt["error"] for attempt in records[0]["attempts"]] == ["caller_gone", "caller_gone"]


async def test_streams_that_break_off_count_against_their_target(portico: Portico, mock: MockProvider) -> None:
    mock.script.always("fault=cut-mid-stream")
    async with portico({"providers": {"openai": provider(mock)}, "breaker": {"calls": 4}}) as running:
        health = running.gateway.healths("openai/gpt-4o-mini")
        for _ in range(4):
            assert not health.resting
            await running.call(PATH, chat(stream=True), cut=True)
        assert health.resting
        assert health.failure_rate == 1.0
