"""Canaries at a gateway: who is asked, what is counted, and what is told of it."""

from typing import Any

import pytest

from gateway_in_loop import chat, provider
from portico.journal.entries import Event
from portico.testing.mock import MockProvider


def config(mock: MockProvider, other: MockProvider, *, model: dict[str, Any] | None = None, **canary: Any) -> Any:
    said = {"to": "two/m", "steps": [0.5, 1.0], "hold": 0, "calls": 4, **canary}
    return {
        "providers": {"one": provider(mock), "two": provider(other)},
        "models": {"smart": {"targets": ["one/m"], "canary": said, **(model or {})}},
    }


def drawing(running: Any, *draws: float) -> None:
    found = iter(draws)
    running.gateway.desk.draw = lambda: next(found)


def rollout(running: Any) -> Any:
    found = running.gateway._rollouts("smart", running.gateway.snapshot.config.models["smart"].canary)
    found._due = 1e18  # decided when the test says so
    return found


async def test_a_share_of_the_calls_goes_to_the_canary_and_says_so(portico, mock, other):
    async with portico(config(mock, other)) as running:
        rollout(running)
        drawing(running, 0.49, 0.5)
        _, headers, _ = await running.call("/v1/chat/completions", chat("smart"))
        assert headers["x-portico-target"] == "two/m"
        _, headers, _ = await running.call("/v1/chat/completions", chat("smart"))
        assert headers["x-portico-target"] == "one/m"
        assert [record["arm"] for record in running.records()] == ["canary", "stable"]


async def test_a_conversation_stays_on_its_side(portico, mock, other):
    async with portico(config(mock, other)) as running:
        rollout(running)
        for number in range(60):
            for _ in range(2):
                headers = {"x-portico-session": f"talk {number}"}
                await running.call("/v1/chat/completions", chat("smart"), headers=headers)
        arms = [record["arm"] for record in running.records()]
    assert arms[::2] == arms[1::2]
    assert set(arms) == {"canary", "stable"}


async def test_its_own_targets_stand_in_for_a_canary_that_fails_and_it_never_for_them(portico, mock, other):
    other.script("status=500", times=9)
    async with portico(config(mock, other)) as running:
        found = rollout(running)
        drawing(running, 0.1, 0.9, 0.9)
        assert (await running.call("/v1/chat/completions", chat("smart")))[0] == 200
        mock.script("status=500", times=9)
        assert (await running.call("/v1/chat/completions", chat("smart")))[0] == 500
        canary, others = found.counted()
    assert (canary.calls, canary.failed) == (1, 1)
    assert (others.calls, others.failed) == (1, 1)
    assert [[attempt["target"] for attempt in record["attempts"]] for record in running.records()] == [
        ["two/m", "one/m"],
        ["one/m"],
    ]


@pytest.mark.source
@pytest.mark.parametrize(
    "step", ["status=503", "fault=cut-before-head", "fault=broken-json", "status=429", "status=404"]
)
async def test_a_canary_that_fails_is_taken_back_and_gets_no_more_calls(portico, mock, other, step, monkeypatch):
    async with portico(config(mock, other)) as running:
        found = rollout(running)
        events: list[Event] = []
        monkeypatch.setattr(running.gateway.settling, "note", events.append)
        drawing(running, *[0.9] * 20, *[0.1] * 9)
        for _ in range(20):
            await running.call("/v1/chat/completions", chat("smart"))
        other.script(step, times=99)
        for _ in range(5):
            running.gateway.healths("two/m").close()  # its breaker would keep most calls from it, and show less
            await running.call("/v1/chat/completions", chat("smart"))
        found.decide(found._clock())
        assert found.share == 0.0
        asked = other.ledger.totals.calls
        for _ in range(4):
            _, headers, _ = await running.call("/v1/chat/completions", chat("smart"))
            assert headers["x-portico-target"] == "one/m"
        assert other.ledger.totals.calls == asked
        assert "arm" not in running.records()[-1]
    [event] = events
    assert (event.name, event.about["model"], event.about["to"]) == ("canary.taken_back", "smart", "two/m")
    assert "calls failed" in str(event.about["why"])


@pytest.mark.source
async def test_a_canary_that_does_well_gets_all_calls_in_the_end(portico, mock, other, monkeypatch):
    async with portico(config(mock, other)) as running:
        found = rollout(running)
        events: list[Event] = []
        monkeypatch.setattr(running.gateway.settling, "note", events.append)
        drawing(running, *[0.1, 0.9] * 4, *[0.99] * 5)
        for _ in range(8):
            await running.call("/v1/chat/completions", chat("smart"))
        found.decide(found._clock())
        assert found.share == 1.0
        for _ in range(5):
            _, headers, _ = await running.call("/v1/chat/completions", chat("smart"))
            assert headers["x-portico-target"] == "two/m"
        found.decide(found._clock())
    assert [event.name for event in events] == ["canary.stepped", "canary.done"]


async def test_a_stream_that_breaks_off_counts_as_failed(portico, mock, other):
    other.script("fault=cut-mid-stream&tokens=20")
    async with portico(config(mock, other)) as running:
        found = rollout(running)
        drawing(running, 0.1)
        await running.call("/v1/chat/completions", chat("smart", stream=True), cut=True)
        assert (found.counted()[0].calls, found.counted()[0].failed) == (1, 1)


async def test_a_stream_counts_with_the_time_to_its_first_event(portico, mock, other):
    async with portico(config(mock, other)) as running:
        found = rollout(running)
        drawing(running, 0.1)
        await running.call("/v1/chat/completions", chat("smart", stream=True))
        canary, _ = found.counted()
        assert (canary.calls, canary.failed, canary.answered) == (1, 0, 1)


async def test_a_canary_that_a_hedge_outran_counts_with_the_time_that_it_took_at_least(portico, mock, other):
    other.script("latency=5")
    async with portico(config(mock, other, model={"hedge": {"after": 0.2, "share": 1}})) as running:
        found = rollout(running)
        drawing(running, 0.1)
        _, headers, _ = await running.call("/v1/chat/completions", chat("smart"))
        assert headers["x-portico-target"] == "one/m"
        canary, others = found.counted()
    assert (canary.calls, canary.failed, canary.answered) == (1, 0, 1)
    assert canary.later(0.15) == 1
    assert others.calls == 0


async def test_a_call_that_was_refused_before_it_went_anywhere_is_not_counted(portico, mock, other):
    plain = config(mock, other)
    plain["keys"] = {"web": {"key": "sk-web-0123456789", "budgets": [{"requests": 0}]}}
    async with portico(plain) as running:
        found = rollout(running)
        drawing(running, 0.1)
        assert (await running.call("/v1/chat/completions", chat("smart"), key="sk-web-0123456789"))[0] == 429
        assert [arm.calls for arm in found.counted()] == [0, 0]


async def test_what_rules_require_holds_for_a_canary(portico, mock, other):
    rules = [{"when": "stream", "require": {"regions": ["eu"]}}]
    plain = config(mock, other, model={"rules": rules})
    plain["providers"]["one"]["region"] = "eu"
    plain["providers"]["two"]["region"] = "us"
    async with portico(plain) as running:
        rollout(running)
        drawing(running, *[0.1] * 4)
        _, headers, _ = await running.call("/v1/chat/completions", chat("smart", stream=True))
        assert headers["x-portico-target"] == "one/m"
        _, headers, _ = await running.call("/v1/chat/completions", chat("smart"))
        assert headers["x-portico-target"] == "two/m"


async def test_a_canary_of_a_nested_name_is_counted_there(portico, mock, other):
    plain = config(mock, other)
    plain["models"]["front"] = {"targets": ["smart"]}
    async with portico(plain) as running:
        found = rollout(running)
        drawing(running, 0.1)
        await running.call("/v1/chat/completions", chat("front"))
        assert found.counted()[0].calls == 1


async def test_a_caller_who_wants_another_order_of_all_targets_does_not_get_a_canary_into_it(portico, mock, other):
    plain = config(mock, other)
    plain["prices"] = {"one/m": {"input": 9, "output": 9}, "two/m": {"input": 1, "output": 1}}
    async with portico(plain) as running:
        found = rollout(running)
        drawing(running, *[0.9] * 3)
        sort = {"by": "price", "partition": "none"}
        _, headers, _ = await running.call("/v1/chat/completions", chat("smart", provider={"sort": sort}))
        assert headers["x-portico-target"] == "one/m"
        found._words[1] = 1 << 32  # taken back
        _, headers, _ = await running.call("/v1/chat/completions", chat("smart", provider={"sort": sort}))
        assert headers["x-portico-target"] == "one/m"


async def test_an_operation_that_the_canary_has_not_is_left_to_the_others(portico, mock, other):
    plain = config(mock, other)
    plain["providers"]["two"]["operations"] = ["chat"]
    async with portico(plain) as running:
        _, headers, _ = await running.call("/v1/embeddings", {"model": "smart", "input": "Hello"})
        assert headers["x-portico-target"] == "one/m"


async def test_a_configuration_without_canaries_loads_nothing_of_them(portico, mock, other):
    async with portico({"providers": {"one": provider(mock)}}) as running:
        await running.call("/v1/chat/completions", chat("one/m"))
        assert running.gateway._rollouts is None
