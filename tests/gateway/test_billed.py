"""What is billed on for calls: their cost with the markup of their customer, or else of their key or team."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import Running, chat, provider
from portico.state.clock import moment
from portico.state.supplies import Supplies, render_markups
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]

TEAM, OWN, PLAIN = "sk-of-the-team-0123456", "sk-of-its-own-0123456", "sk-of-nobody-0123456"


def declared(mock: MockProvider) -> dict[str, Any]:
    return {
        "providers": {"openai": provider(mock)},
        "teams": {"core": {"markup": 1.25, "budgets": [{"usd": 1}]}},
        "keys": {
            "shared": {"key": TEAM, "team": "core"},
            "own": {"key": OWN, "team": "core", "markup": 2},
            "plain": {"key": PLAIN},
        },
        "customers": {"ann": {"markup": 0.9}, "bob": {"markup": 1}, "cid": {"limits": [{"requests": 100}]}},
    }


async def billed(gateway: Running, key: str, **more: Any) -> tuple[int, int | None, int | None]:
    """Return what a call cost, what is billed for it, and its markup."""
    status, _, _ = await gateway.call("/v1/chat/completions", chat(**more), key=key)
    assert status == 200
    record = gateway.records()[-1]
    return record["cost_nano_usd"], record.get("billed_nano_usd"), record.get("markup")


@pytest.mark.parametrize(
    ("key", "customer", "markup"),
    [
        (TEAM, None, 1_250_000),
        (OWN, None, 2_000_000),
        (PLAIN, None, None),
        (TEAM, "ann", 900_000),
        (OWN, "ann", 900_000),
        (PLAIN, "ann", 900_000),
        (OWN, "bob", None),
        (OWN, "cid", 2_000_000),
        (OWN, "stranger", 2_000_000),
    ],
)
async def test_the_customers_markup_stands_for_the_keys_and_that_for_the_teams(
    portico: Portico, mock: MockProvider, key: str, customer: str | None, markup: int | None
) -> None:
    async with portico(declared(mock)) as gateway:
        more = {"user": customer} if customer is not None else {}
        cost, told, marked = await billed(gateway, key, **more)
    assert cost > 0
    assert marked == markup
    assert told == (None if markup is None else (cost * markup + 500_000) // 1_000_000)


async def test_budgets_count_what_a_call_costs_and_not_what_is_billed(portico: Portico, mock: MockProvider) -> None:
    async with portico(declared(mock)) as gateway:
        cost, told, _ = await billed(gateway, OWN)
        (usd,) = gateway.gateway.state.counters(["team:core"], moment())
    assert told == 2 * cost
    assert usd.used == cost


async def test_a_markup_that_is_set_over_the_api_is_in_force_from_the_next_call_on(
    portico: Portico, mock: MockProvider
) -> None:
    async with portico(declared(mock)) as gateway:
        state = gateway.gateway.state
        assert (await billed(gateway, PLAIN, user="dan"))[2] is None
        state.put_supplies(Supplies(markups=render_markups({"dan": 3_000_000, "ann": 3_000_000})))
        assert (await billed(gateway, PLAIN, user="dan"))[2] == 3_000_000
        assert (await billed(gateway, PLAIN, user="ann"))[2] == 900_000, "the configuration declares this one"
        state.put_supplies(Supplies())
        assert (await billed(gateway, PLAIN, user="dan"))[2] is None


async def test_a_batch_is_billed_with_the_markup_of_the_moment_it_was_started(
    portico: Portico, mock: MockProvider
) -> None:
    from portico import jobs

    async with portico(declared(mock)) as gateway:
        mock.defaults = {"job": "1000"}
        body = {"model": "gpt-4o-mini", "input": "Hi", "background": True, "user": "ann"}
        status, _, _ = await gateway.call("/v1/responses", body, key=OWN)
        assert status == 200
        job = jobs.read(gateway.gateway.state.owned_by("", "job")[0])
    assert job.markup == 900_000
    record = jobs.record_of(job, "completed", jobs.Cost(None, 1_001, "reported"), 0)
    assert (record.billed_nano_usd, record.markup) == (901, 900_000)


def second_only(mock: MockProvider, other: MockProvider, usd: float) -> dict[str, Any]:
    """Two providers for one name, the first of which fails, and a budget of the second alone."""
    mock.script.always("status=500")
    return {
        "providers": {"one": provider(mock), "two": provider(other)},
        "models": {"smart": {"targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"]}},
        "keys": {"plain": {"key": PLAIN}},
        "budgets": [{"for": {"provider": "two"}, "usd": usd}],
        "retries": {"attempts": 1},
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_what_counts_for_the_second_target_alone_is_charged_when_that_one_serves(
    portico: Portico, mock: MockProvider, other: MockProvider, stream: bool
) -> None:
    """A call of which no rule speaks at first comes under one when it falls back."""
    async with portico(second_only(mock, other, 1)) as gateway:
        cost, _, _ = await billed(gateway, PLAIN, model="smart", stream=stream)
        (usd,) = gateway.gateway.state.counters(["provider:two"], moment())
    assert (usd.used, usd.reserved) == (cost, 0)
    assert cost > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_budget_of_the_second_target_alone_that_is_used_up_lets_nothing_go_there(
    portico: Portico, mock: MockProvider, other: MockProvider, stream: bool
) -> None:
    async with portico(second_only(mock, other, 0.000001)) as gateway:
        status, _, _ = await gateway.call("/v1/chat/completions", chat(model="smart", stream=stream), key=PLAIN)
        (usd,) = gateway.gateway.state.counters(["provider:two"], moment())
    assert status == 500
    assert len(other.ledger) == 0
    assert (usd.used, usd.reserved) == (0, 0)
