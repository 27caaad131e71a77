"""What a call that falls back needs of limits and budgets: no more than one attempt, unless one was billed."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import chat, provider
from portico.state.clock import moment
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

KEY = "sk-of-the-key-0123456"
PRICES = {"one/*": {"input": 1, "output": 2}, "two/*": {"input": 1, "output": 3}}
WAYS: dict[str, dict[str, Any]] = {
    "targets": {"smart": {"targets": ["one/gpt-4.1", "two/gpt-4.1"]}},
    "fallbacks": {
        "smart": {"targets": ["one/gpt-4.1"], "fallbacks": {"rate_limit": ["dear"], "outage": ["dear"]}},
        "dear": ["two/gpt-4.1"],
    },
}
ROOM = {"usd": 0.004}
"""Room for one attempt of 1,000 tokens at the dearer provider ($0.0031), and not for one at each ($0.0052)."""


def config(mock: MockProvider, other: MockProvider, way: str, rules: dict[str, Any], own: bool) -> dict[str, Any]:
    return {
        "providers": {"one": provider(mock), "two": provider(other)},
        "prices": PRICES,
        "models": WAYS[way],
        "retries": {"attempts": 2},
        "keys": {"k": {"key": KEY, **rules}},
        "limits": [{"requests": 100, "per": "minute", "for": {"provider": ["two"]}}] if own else [],
    }


def counted(gateway: Any) -> dict[str, tuple[int, int]]:
    state = gateway.gateway.state
    counters = state.counters([row.decode() for row in state._rows], moment())
    return {counter.rule_id: (counter.used, counter.reserved) for counter in counters}


@pytest.mark.parametrize("rules", [{"budgets": [ROOM]}, {"limits": [{"tokens": 2_000, "per": "minute"}]}])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("status", [429, 503])
async def test_who_was_not_billed_needs_room_for_one_attempt_wherever_it_goes(
    portico: Portico, mock: MockProvider, other: MockProvider, rules: dict[str, Any], way: str, own: bool, status: int
) -> None:
    mock.script.always({"status": status})
    async with portico(config(mock, other, way, rules, own)) as gateway:
        served, _, reply = await gateway.call("/v1/chat/completions", chat("smart", max_tokens=1_000), key=KEY)
        (record,) = gateway.records()
        after = counted(gateway)
    assert served == 200, reply
    assert [attempt["target"] for attempt in record["attempts"]] == ["one/gpt-4.1"] * 2 + ["two/gpt-4.1"]
    assert "over_bound" not in record
    assert {name: reserved for name, (_, reserved) in after.items() if reserved} == {}
    if "budgets" in rules:
        assert after["key:k/budget/cost/forever"][0] == record["cost_nano_usd"]
        assert record["bound_nano_usd"] <= 4_000_000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("own", [False, True])
async def test_who_may_have_been_billed_needs_room_for_another_attempt(
    portico: Portico, mock: MockProvider, other: MockProvider, way: str, own: bool
) -> None:
    mock.script.always({"fault": "cut-before-head"})
    async with portico(config(mock, other, way, {"budgets": [ROOM]}, own)) as gateway:
        served, _, reply = await gateway.call("/v1/chat/completions", chat("smart", max_tokens=1_000), key=KEY)
        (record,) = gateway.records()
        used, reserved = counted(gateway)["key:k/budget/cost/forever"]
    assert served == 502, json.loads(reply)
    assert other.ledger.entries == []
    assert (used, reserved) == (sum(each.get("assumed_nano_usd", 0) for each in record["attempts"]), 0)
    assert 0 < used <= 4_000_000


@pytest.mark.parametrize("rule", [{"usd": 0.01}, {"requests": 5}])
async def test_who_is_sent_elsewhere_because_a_target_rests_is_held_to_the_rules_there(
    portico: Portico, mock: MockProvider, other: MockProvider, rule: dict[str, Any]
) -> None:
    mock.script.always({"status": 503})
    each = [{**rule, "per": "day", "for": {"provider": [name]}} for name in ("one", "two")]
    said = config(mock, other, "targets", {}, own=False)
    async with portico({**said, "budgets": each}) as gateway:
        statuses = [
            (await gateway.call("/v1/chat/completions", chat("smart", max_tokens=1_000), key=KEY))[0]
            for _ in range(120 if "usd" in rule else 12)
        ]
        records = gateway.records()
        after = counted(gateway)
    at_two = [record for record in records if record["attempts"] and record["target"] == "two/gpt-4.1"]
    assert {len(record["attempts"]) for record in at_two} > {1}, "the first target rests after some failures"
    served = statuses.count(200)
    assert statuses[:served] == [200] * served
    # What comes after is refused for want of room, or told that the first target failed once more where it was tried.
    assert 429 in statuses[served:]
    assert set(statuses[served:]) <= {429, 503}
    ((used, reserved),) = [after[name] for name in after if name.startswith("provider=two/")]
    assert reserved == 0
    if "usd" in rule:
        assert used == sum(record["cost_nano_usd"] for record in at_two) <= 10_000_000
    else:
        assert used == len(at_two) == 5


async def test_a_count_is_held_to_the_rules_of_the_target_that_counts(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    providers = {"one": {**provider(mock), "like": "groq"}, "two": provider(other, "anthropic")}
    models = {"smart": ["one/llama-3.3-70b-versatile", "two/claude-sonnet-4-5"]}
    limits = [{"requests": 1, "per": "day", "for": {"provider": [name]}} for name in providers]
    body = {"model": "smart", "messages": [{"role": "user", "content": "hi"}]}
    async with portico({"providers": providers, "models": models, "limits": limits}) as gateway:
        statuses = [(await gateway.call("/v1/messages/count_tokens", body))[0] for _ in range(2)]
        after = counted(gateway)
    assert statuses == [200, 429]
    assert len(other.ledger.entries) == 1
    assert [name for name in after if name.startswith("provider=one/")] == []
