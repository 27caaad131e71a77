"""A bound is what the table and the price say of the most that a call can use."""

import json
from typing import Any

import pytest

from portico.dialects.operations import OPERATIONS
from portico.dialects.request import peek
from portico.providers.bounds import Ceiling, ceiling, table
from portico.providers.prices_schedule import Price, price
from portico.rules import Bound

FLAT = price({"input": 1_000_000, "output": 2_000_000}, max_output=4_000)
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1_000}


def bound(
    body: dict[str, Any], operation: str = "chat", of: Ceiling | Price | None = FLAT, **more: Any
) -> Bound | None:
    encoded = json.dumps(body).encode()
    roof = of if isinstance(of, Ceiling) else ceiling("nobody", "m", of)
    return roof.bound(OPERATIONS[operation], peek(OPERATIONS[operation], encoded, b"application/json"), encoded, **more)


def test_a_text_has_no_more_tokens_than_bytes_and_what_its_provider_adds() -> None:
    row = table().default
    found = bound(CHAT)
    assert found is not None
    assert found.input_tokens == len(json.dumps(CHAT)) + (row.call or 0)
    assert found.output_tokens == 1_000 + (row.over or 0)
    assert found.cost == found.input_tokens * 1_000 + found.output_tokens * 2_000
    assert found.finite


def test_every_choice_may_be_as_long_as_the_limit() -> None:
    one, three = bound(CHAT), bound(CHAT | {"n": 3})
    assert one is not None
    assert three is not None
    assert three.output_tokens == 3 * one.output_tokens


@pytest.mark.parametrize(
    ("default", "of", "limit"),
    [(None, FLAT, 4_000), (50, FLAT, 50), (None, price({"input": 1}, context_window=9_000), 9_000)],
)
def test_a_call_without_a_limit_has_the_gateways_or_the_models(default: int | None, of: Price, limit: int) -> None:
    body = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    found = bound(body, of=of, default_limit=default)
    assert found is not None
    assert found.output_tokens == limit + (table().default.over or 0)


def test_without_any_limit_there_is_no_bound() -> None:
    body = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    found = bound(body, of=price({"input": 1}))
    assert found is not None
    assert (found.cost, found.why, found.finite) == (None, "no_output_limit", False)


def test_a_model_without_a_price_has_bounded_tokens_and_no_cost() -> None:
    found = bound(CHAT, of=None)
    assert found is not None
    assert (found.cost, found.why, found.finite) == (None, "unpriced", True)


def test_reasoning_beside_the_limit_is_bounded_by_the_model_alone() -> None:
    found = bound(CHAT, of=ceiling("xai", "grok-9", FLAT))
    assert found is not None
    assert found.output_tokens >= 4_000


def test_a_model_that_searches_by_itself_has_no_bound() -> None:
    found = bound(CHAT, of=ceiling("perplexity", "sonar", FLAT))
    assert found is not None
    assert found.why == "searching_model"


@pytest.mark.parametrize(
    ("tier", "output"), [(None, 2_000), ("flex", 2_000), ("priority", 8_000), ("auto", 8_000), ("default", 2_000)]
)
def test_the_dearest_of_the_tiers_that_may_be_served_counts(tier: str | None, output: int) -> None:
    rates = {"input": 0, "output": 2_000_000, "priority.output": 8_000_000, "flex.output": 1_000_000}
    found = bound(CHAT | ({"service_tier": tier} if tier else {}), of=price(rates, max_output=4_000))
    assert found is not None
    assert found.cost == found.output_tokens * output


def test_a_larger_context_counts_once_the_input_may_reach_it() -> None:
    of = price({"input": 1_000, "input>100000": 2_000, "output": 0}, max_output=4_000)
    short, long = bound(CHAT, of=of), bound(CHAT | {"user": "u" * 100_000}, of=of)
    assert short is not None
    assert long is not None
    assert short.cost == short.input_tokens
    assert long.cost == 2 * long.input_tokens


@pytest.mark.parametrize(
    ("mark", "rate"),
    [({}, 100), ({"cache_control": {"type": "ephemeral"}}, 125), ({"cache_control": {"type": "e", "ttl": "1h"}}, 200)],
)
def test_writing_to_a_cache_that_must_be_marked_counts_where_it_is(mark: dict[str, Any], rate: int) -> None:
    rates = {"input": 100_000, "cache_write_5m": 125_000, "cache_write_1h": 200_000, "output": 0}
    of = ceiling("anthropic", "claude-x", price(rates, max_output=4_000))
    found = bound(CHAT | mark, "messages", of)
    assert found is not None
    assert found.cost == found.input_tokens * rate


def test_writing_to_a_cache_always_counts_where_it_is_done_unasked() -> None:
    rates = {"input": 100_000, "cache_write_5m": 125_000, "output": 0}
    found = bound(CHAT, of=ceiling("openai", "gpt-x", price(rates, max_output=4_000)))
    assert found is not None
    assert found.cost == found.input_tokens * 125


@pytest.mark.parametrize(
    "more",
    [
        {"web_search_options": {}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]},
        {"tools": [{"type": "web_search"}]},
        {"something_new": 1},
        {"messages": [{"role": "user", "content": "x", "images": ["…"]}]},
        {"n": "three"},
        {"reasoning": {"mode": "pro"}},
    ],
)
def test_what_is_not_plain_text_needs_a_closer_look(more: dict[str, Any]) -> None:
    assert bound(CHAT | more) is None
