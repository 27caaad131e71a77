"""Calls that a limit refuses wait for their turn: at targets, for limits of teams and keys, and for no budget."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from gateway_in_loop import MASTER, Running, chat, provider, running
from portico.config.load import load_plain
from portico.testing.clock import FakeClock
from portico.testing.faults import Canned
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
PATH = "/v1/chat/completions"
ERROR = [(b"content-type", b"application/json")]
LIMITED = b'{"error":{"message":"Rate limit reached.","type":"requests","code":"rate_limit_exceeded"}}'
KEY = "sk-of-a-team-0123456789"
OTHER_KEY = "sk-of-another-0123456789"


@pytest.fixture
async def held() -> AsyncIterator[MockProvider]:
    """A provider that answers when its clock is moved on by a second for each call."""
    async with MockProvider(clock=FakeClock(), defaults="latency=1") as provider:
        yield provider


def config(mock: MockProvider, *, at_once: int | None = None, **more: Any) -> dict[str, Any]:
    bounds: dict[str, Any] = {} if at_once is None else {"max_concurrency": at_once}
    return {"providers": {"one": provider(mock, **bounds)}, **more}


def limited(seconds: float | None = 0.03) -> Canned:
    headers = [(b"retry-after-ms", b"%d" % (seconds * 1000))] if seconds is not None else []
    return Canned(429, [*ERROR, *headers], [LIMITED], len(LIMITED))


def calling(running: Running, model: str = "one/gpt-4o-mini", **more: Any) -> "asyncio.Task[Any]":
    return asyncio.create_task(running.call(PATH, chat(model), **more))


async def until(running: Running, waiting: int) -> None:
    """Return when so many calls wait."""
    queues = running.gateway._queues
    while queues.waiting is None or len(queues.waiting.lobby) != waiting:
        await asyncio.sleep(0)


async def advance(mock: MockProvider, calls: int = 1) -> None:
    """Let the provider answer those who are there, once so many are."""
    clock = mock.clock
    assert isinstance(clock, FakeClock)
    await clock.asleep(calls)
    await clock.advance(1)


def error(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[2])["error"]["code"]


async def test_a_call_over_the_cap_of_a_provider_fails_at_once_where_nothing_waits(
    portico: Portico, held: MockProvider
) -> None:
    async with portico(config(held, at_once=1)) as running:
        first = calling(running)
        await held.clock.asleep(1)  # type: ignore[attr-defined]  # a fake one
        refused = await running.call(PATH, chat("one/gpt-4o-mini"))
        assert error(refused) == (503, "at_capacity")
        assert refused[1]["retry-after"] == "1"
        await advance(held)
        assert (await first)[0] == 200
    assert len(held.ledger) == 1
    assert "queued_ms" not in running.records()[0]


async def test_a_call_over_the_cap_goes_to_another_target(
    portico: Portico, held: MockProvider, other: MockProvider
) -> None:
    providers = {"one": provider(held, max_concurrency=1), "two": provider(other)}
    models = {"smart": {"targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"]}}
    async with portico({"providers": providers, "models": models, "queue": {}}) as running:
        first = calling(running, "smart")
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        status, headers, _ = await running.call(PATH, chat("smart"))
        assert (status, headers["x-portico-target"]) == (200, "two/gpt-4o-mini")
        await advance(held)
        assert (await first)[1]["x-portico-target"] == "one/gpt-4o-mini"


async def test_a_call_over_the_cap_of_a_target_goes_where_its_fallback_for_limits_leads(
    portico: Portico, held: MockProvider, other: MockProvider
) -> None:
    providers = {"one": provider(held), "two": provider(other)}
    models = {
        "smart": {
            "targets": [{"model": "one/gpt-4o-mini", "max_concurrency": 1}],
            "fallbacks": {"rate_limit": ["two/gpt-4o-mini"]},
        }
    }
    async with portico({"providers": providers, "models": models, "queue": {}}) as running:
        first = calling(running, "smart")
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        assert (await running.call(PATH, chat("smart")))[1]["x-portico-target"] == "two/gpt-4o-mini"
        await advance(held)
        await first


async def test_calls_over_the_cap_wait_for_their_turn_and_their_records_say_so(
    portico: Portico, held: MockProvider
) -> None:
    async with portico(config(held, at_once=1, queue={})) as running:
        calls = [calling(running)]
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        for waiting in (1, 2):
            calls.append(calling(running))
            await until(running, waiting)
        for _ in calls:
            assert running.gateway.healths("one/gpt-4o-mini").in_flight == 1
            await advance(held)
        assert [status for status, _, _ in await asyncio.gather(*calls)] == [200] * 3
        gate = running.gateway._queues.gates.gate("one")
        assert gate.under_way == 0
    records = running.records()
    assert [record.get("queue_position") for record in records] == [None, 1, 2]
    assert "queued_ms" not in records[0]
    assert all(record["queued_ms"] >= 0 for record in records[1:])
    assert all(record["overhead_us"] <= record["total_us"] - 1000 * record["queued_ms"] for record in records[1:])


async def test_a_stream_counts_until_its_end(portico: Portico, held: MockProvider) -> None:
    held.defaults = {"pace": "1", "tokens": "2"}
    async with portico(config(held, at_once=1, queue={})) as running:
        body = {**chat("one/gpt-4o-mini"), "stream": True}
        first = asyncio.create_task(running.call(PATH, body))
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        second = calling(running)
        await until(running, 1)
        await advance(held)
        assert len(held.ledger) == 1
        while not first.done():
            await held.clock.advance(1)  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        while not second.done():
            await held.clock.advance(1)  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        assert (await first)[0] == (await second)[0] == 200


async def test_a_caller_who_hangs_up_leaves_the_line(portico: Portico, held: MockProvider) -> None:
    async with portico(config(held, at_once=1, queue={})) as running:
        first = calling(running)
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        leaver = calling(running)
        await until(running, 1)
        patient = calling(running)
        await until(running, 2)
        leaver.cancel()
        await until(running, 1)
        await advance(held)
        await advance(held)
        assert (await first)[0] == (await patient)[0] == 200
    assert sorted(record["status"] for record in running.records()) == [200, 200, 499]
    assert len(held.ledger) == 2


async def test_a_call_whose_time_to_wait_is_up_is_told_what_it_waited_for(portico: Portico, held: MockProvider) -> None:
    async with portico(config(held, at_once=1, queue={"wait": 0.05})) as running:
        first = calling(running)
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        refused = await running.call(PATH, chat("one/gpt-4o-mini"))
        assert error(refused) == (503, "at_capacity")
        assert b"the time that it may wait is up" in refused[2]
        await advance(held)
        await first
    late = next(record for record in running.records() if record["status"] == 503)
    assert late["queued_ms"] >= 49  # the loop counts whole milliseconds
    assert late["queue_position"] == 1


async def test_a_call_waits_no_longer_than_it_may_take_itself(portico: Portico, held: MockProvider) -> None:
    async with portico(config(held, at_once=1, queue={"wait": "1h"})) as running:
        first = calling(running)
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        refused = await running.call(PATH, chat("one/gpt-4o-mini"), headers={"x-portico-timeout": "0.05"})
        assert error(refused) == (503, "at_capacity")
        await advance(held)
        await first


@pytest.mark.parametrize("retry_after", [0.03, None])
async def test_a_limit_of_the_provider_is_waited_for(
    portico: Portico, mock: MockProvider, retry_after: float | None
) -> None:
    for _ in range(3):
        mock.script(limited(retry_after))
    async with portico(config(mock, queue={})) as running:
        assert (await running.call(PATH, chat("one/gpt-4o-mini")))[0] == 200
    (record,) = running.records()
    assert [attempt.get("status") for attempt in record["attempts"]] == [429, 429, 429, 200]
    assert "queue_position" in record


async def test_a_limit_that_lasts_longer_than_a_call_may_wait_is_told_as_the_provider_said_it(
    portico: Portico, mock: MockProvider
) -> None:
    mock.script.always("status=429&retry_after=30")
    async with portico(config(mock, queue={"wait": 5.0})) as running:
        status, headers, _ = await running.call(PATH, chat("one/gpt-4o-mini"))
        assert (status, headers["retry-after"]) == (429, "30")
        refused = await running.call(PATH, chat("one/gpt-4o-mini"))
        assert error(refused) == (503, "at_capacity")
    assert len(mock.ledger) == 1


async def test_keys_that_all_rest_are_waited_for(portico: Portico, mock: MockProvider) -> None:
    keys = ["sk-first-0123456789", "sk-second-0123456789"]
    declared = {**provider(mock), "api_keys": keys}
    del declared["api_key"]
    for _ in keys:
        mock.script(limited(1.0))
    async with portico({"providers": {"one": declared}, "queue": {}}) as running:
        assert (await running.call(PATH, chat("one/gpt-4o-mini")))[0] == 200
    (record,) = running.records()
    assert len({attempt["credential"] for attempt in record["attempts"]}) == 2
    assert record["queued_ms"] > 500


def team(**more: Any) -> dict[str, Any]:
    return {
        "teams": {"core": {"limits": [more]}},
        "keys": {"web": {"key": KEY, "team": "core"}, "batch": {"key": OTHER_KEY, "team": "core", "priority": "low"}},
    }


async def test_a_limit_of_a_team_on_requests_is_waited_for(portico: Portico, mock: MockProvider) -> None:
    more = team(requests=5, per="1s")
    async with portico(config(mock, queue={}, **more)) as running:
        answers = await asyncio.gather(*(calling(running, key=KEY) for _ in range(12)))
        assert [status for status, _, _ in answers] == [200] * 12
    assert any("queue_position" in record for record in running.records())


async def test_a_limit_on_tokens_is_waited_for_and_what_was_not_used_comes_back(
    portico: Portico, held: MockProvider
) -> None:
    more = team(tokens=1600, per="1h")
    async with portico(config(held, queue={"wait": "2h"}, **more)) as running:
        body = {**chat("one/gpt-4o-mini"), "max_tokens": 800}
        calls = [asyncio.create_task(running.call(PATH, body, key=KEY)) for _ in range(3)]
        await until(running, 2)
        for _ in calls:
            await advance(held)
        assert [status for status, _, _ in await asyncio.gather(*calls)] == [200] * 3


async def test_a_limit_of_calls_at_once_is_waited_for_by_priority(portico: Portico, held: MockProvider) -> None:
    async with portico(config(held, queue={}, **team(in_flight=1))) as running:
        calls = [calling(running, key=KEY)]
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        ended: list[str] = []

        def noted(name: str, call: Awaitable[Any]) -> "asyncio.Task[None]":
            async def note() -> None:
                assert (await call)[0] == 200
                ended.append(name)

            return asyncio.create_task(note())

        noting = []
        order = (("low", OTHER_KEY, None), ("asks for too much", OTHER_KEY, "high"), ("usual", KEY, None))
        for waiting, (name, key, said) in enumerate(order, 1):
            headers = {} if said is None else {"x-portico-priority": said}
            noting.append(noted(name, calling(running, key=key, headers=headers)))
            await until(running, waiting)
        for _ in range(4):
            await advance(held)
        await asyncio.gather(*calls, *noting)
        assert ended == ["usual", "low", "asks for too much"]


async def test_a_call_may_ask_for_less_priority_than_its_key_has(portico: Portico, held: MockProvider) -> None:
    async with portico(config(held, at_once=1, queue={}, **team(requests=1000))) as running:
        calls = [calling(running, key=KEY)]
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        calls.append(calling(running, key=KEY, headers={"x-portico-priority": "Low"}))
        await until(running, 1)
        calls.append(calling(running, key=KEY))
        await until(running, 2)
        for _ in calls:
            await advance(held)
        await asyncio.gather(*calls)
        status, _, body = await running.call(PATH, chat(), key=KEY, headers={"x-portico-priority": "urgent"})
        assert status == 400
        assert b"low, normal, high" in body
    assert [record.get("queue_position") for record in running.records()][:3] == [None, 1, 1]


@pytest.mark.parametrize(
    "budget", [{"budgets": [{"requests": 1, "per": "day"}]}, {"limits": [{"requests": 0}]}], ids=["budget", "no room"]
)
async def test_what_waiting_does_not_help_is_not_waited_for(
    portico: Portico, mock: MockProvider, budget: dict[str, Any]
) -> None:
    more: dict[str, Any] = {"teams": {"core": budget}, "keys": {"web": {"key": KEY, "team": "core"}}}
    async with portico(config(mock, queue={}, **more)) as running:
        await running.call(PATH, chat("one/gpt-4o-mini"), key=KEY)
        assert (await running.call(PATH, chat("one/gpt-4o-mini"), key=KEY))[0] == 429
    assert all("queue_position" not in record for record in running.records())


@pytest.mark.parametrize(
    ("more", "model", "waits"),
    [
        ({"models": {"m": {"targets": ["one/gpt-4o-mini"], "queue": {"wait": 0}}}, "queue": {}}, "m", False),
        ({"models": {"m": {"targets": ["one/gpt-4o-mini"], "queue": {"wait": 9}}}}, "m", True),
        ({"models": {"m-*": {"targets": ["one/gpt-4o-mini"], "queue": {"wait": 9}}}}, "m-1", True),
        ({"models": {"m": {"targets": ["one/gpt-4o-mini"], "queue": {"wait": 9}}}}, "one/gpt-4o-mini", False),
        ({"teams": {"core": {"queue": {"wait": 9}}}}, "one/gpt-4o-mini", True),
        ({"teams": {"core": {"queue": {"wait": 0}}}, "queue": {}}, "one/gpt-4o-mini", False),
        ({"teams": {"core": {"queue": {"weight": 2}}}, "queue": {}}, "one/gpt-4o-mini", True),
        ({"queue": {"wait": 0}}, "one/gpt-4o-mini", False),
    ],
)
async def test_who_may_wait_is_said_for_all_for_a_model_and_for_a_team(
    portico: Portico, held: MockProvider, more: dict[str, Any], model: str, waits: bool
) -> None:
    more = {"teams": {"core": {}}, **more, "keys": {"web": {"key": KEY, "team": "core"}}}
    async with portico(config(held, at_once=1, **more)) as running:
        first = calling(running, model, key=KEY)
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        second = calling(running, model, key=KEY)
        if waits:
            await until(running, 1)
            await advance(held)
            await advance(held)
        else:
            assert error(await second) == (503, "at_capacity")
            await advance(held)
        assert (await first)[0] == 200
        assert (await second)[0] == (200 if waits else 503)


async def test_a_reload_loses_nobody_and_lets_more_in(portico: Portico, held: MockProvider) -> None:
    async with portico(config(held, at_once=1, queue={})) as running:
        calls = [calling(running)]
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        calls += [calling(running), calling(running)]
        await until(running, 2)
        plain = {"server": {"master_key": MASTER}, **config(held, at_once=3, queue={})}
        await running.gateway.swap(load_plain(plain, {}).config)
        await until(running, 0)
        calls.append(calling(running))
        await until(running, 1)
        without = {"server": {"master_key": MASTER}, **config(held)}
        await running.gateway.swap(load_plain(without, {}).config)
        await until(running, 0)
        await advance(held, 4)
        assert [status for status, _, _ in await asyncio.gather(*calls)] == [200] * 4


async def test_a_worker_that_leaves_tells_those_whose_turn_has_not_come(portico: Portico, held: MockProvider) -> None:
    async with portico(config(held, at_once=1, queue={})) as running:
        first = calling(running)
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        second = calling(running)
        await until(running, 1)
        running.gateway.drain(0.05)
        assert error(await second) == (503, "shutting_down")
        await advance(held)
        assert (await first)[0] == 200


async def test_the_room_is_bounded(portico: Portico, held: MockProvider) -> None:
    more: dict[str, Any] = {
        "teams": {"core": {}, "other": {}},
        "keys": {"web": {"key": KEY, "team": "core"}, "another": {"key": OTHER_KEY, "team": "other"}},
    }
    async with portico({**config(held, at_once=1, queue={"calls": 3}), **more}) as running:
        calls = [calling(running, key=KEY)]
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        for waiting in (1, 2, 3):
            calls.append(calling(running, key=KEY))
            await until(running, waiting)
        other = calling(running, key=OTHER_KEY)
        first_in = await calls[1]  # of its team, the one whose time is up first
        assert error(first_in) == (503, "at_capacity")
        assert b"the line for it is full" in first_in[2]
        for _ in range(4):
            await advance(held)
        assert (await other)[0] == 200


async def test_nothing_is_loaded_or_counted_where_nothing_is_said(portico: Portico, mock: MockProvider) -> None:
    async with portico(config(mock)) as running:
        assert (await running.call(PATH, chat("one/gpt-4o-mini")))[0] == 200
        assert running.gateway.snapshot.terms is None
        assert running.gateway._queues.gates is None
        target = running.gateway.snapshot.routes.plain("one/gpt-4o-mini", "chat")[0][0]
        assert target.gate is None


async def test_a_second_target_is_not_asked_beside_the_first_where_it_has_no_room(
    portico: Portico, held: MockProvider
) -> None:
    async with MockProvider(clock=held.clock, defaults="latency=1") as second:
        providers = {"one": provider(held), "two": provider(second, max_concurrency=1)}
        models = {
            "smart": {"targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"], "hedge": {"after": 0.001, "share": 1.0}},
        }
        async with portico({"providers": providers, "models": models}) as running:
            busy = calling(running, "two/gpt-4o-mini")
            await held.clock.asleep(1)  # type: ignore[attr-defined]
            hedged = calling(running, "smart")
            await held.clock.asleep(2)  # type: ignore[attr-defined]
            for _ in range(50):
                await asyncio.sleep(0.001)
            await held.clock.advance(1)  # type: ignore[attr-defined]
            assert (await busy)[0] == (await hedged)[0] == 200
        assert len(second.ledger) == 1


def worker(plain: dict[str, Any], folder: Path, name: str) -> AbstractAsyncContextManager[Running]:
    """Run one of several gateways that share what workers of a machine share."""
    loaded = load_plain({"server": {"master_key": MASTER}, **plain}, {}).config
    return running(loaded, folder / name, rests=folder / "rests")


async def test_a_worker_with_many_calls_leaves_their_turns_to_those_of_another(
    held: MockProvider, tmp_path: Path
) -> None:
    plain = config(held, at_once=1, queue={"wait": "5m"})
    async with worker(plain, tmp_path, "one") as busy, worker(plain, tmp_path, "two") as other:
        many = [calling(busy) for _ in range(41)]
        await until(busy, 40)
        single = calling(other)
        await until(other, 1)
        served = 0
        while not single.done():
            await advance(held)
            served += 1
        assert (await single)[0] == 200
        assert served < 30  # by chance, half of the turns are its own
        late = calling(other)  # does not pass those who wait there
        await until(other, 1)
        late.cancel()
        await until(other, 0)
        for _ in range(41 - served + 1):
            await advance(held)
        assert {status for status, _, _ in await asyncio.gather(*many)} == {200}


async def test_a_call_that_its_provider_refuses_keeps_its_place(portico: Portico, held: MockProvider) -> None:
    async with portico(config(held, at_once=1, queue={})) as running:
        ended: list[str] = []

        async def noted(name: str) -> None:
            assert (await running.call(PATH, chat("one/gpt-4o-mini")))[0] == 200
            ended.append(name)

        calls = [asyncio.create_task(noted("first"))]
        await held.clock.asleep(1)  # type: ignore[attr-defined]
        for waiting, name in enumerate(("second", "third"), 1):
            calls.append(asyncio.create_task(noted(name)))
            await until(running, waiting)
        held.script(limited(0.02))
        for _ in calls:
            await advance(held)
        await asyncio.gather(*calls)
        assert ended == ["first", "second", "third"]
    assert sum(len(record["attempts"]) == 2 for record in running.records()) == 1


@pytest.mark.parametrize(("share", "bounded"), [(20, False), (2, True)])
async def test_overloads_bound_a_target_once_they_are_no_exception(
    portico: Portico, mock: MockProvider, share: int, bounded: bool
) -> None:
    async with portico(config(mock, queue={})) as running:
        for number in range(40):
            mock.script("status=503" if number % share == share - 1 else "status=200")
            await running.call(PATH, chat("one/gpt-4o-mini"))
        gate = running.gateway._queues.gates.gate("one/gpt-4o-mini")
        assert (gate.limit is not None) == bounded
