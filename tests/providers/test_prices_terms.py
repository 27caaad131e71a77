"""Prices hold from a day on; tools and places have prices of their own; every record can name its price."""

import msgspec
import pytest

from portico.config import schema
from portico.config.rates import RATE
from portico.providers import prices_table
from portico.providers.prices import Charge, charge, cost, marked_up, price_of, with_overrides
from portico.providers.prices_schedule import Price, price
from portico.providers.prices_terms import at_host, chained, starts, terms, with_terms
from portico.types import Usage

DAY = prices_table.provenance().date
ONE = Usage(input=1_000_000)


def known(provider: str, model: str) -> Price:
    found = price_of(provider, model)
    assert found is not None
    return found


def test_a_price_of_the_table_is_named_by_its_row_and_the_day_of_the_table() -> None:
    assert charge(known("openai", "gpt-5.5"), ONE).row == f"openai/gpt-5.5@{DAY}"
    assert known("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0").name.startswith("bedrock/")


def test_what_the_provider_reports_has_no_row() -> None:
    assert charge(known("openai", "gpt-5.5"), Usage(reported_cost=5)) == Charge(5, "provider", None)


CHANGING = schema.Price(
    input=1,
    output=2,
    rates={"batch.input": 0.5, "search": 0.01},
    changes=(
        schema.PriceChange(day="2026-06-01", input=3),
        schema.PriceChange(day="2027-01-01", output=8, rates={"input>1000": 9}),
    ),
)


@pytest.mark.parametrize(
    ("day", "usage", "nano", "row"),
    [
        ("2026-05-31", Usage(input=10, output=10), 30_000, "configuration"),
        ("2026-06-01", Usage(input=10, output=10), 50_000, "2026-06-01"),
        ("2026-12-31", Usage(input=10, output=10), 50_000, "2026-06-01"),
        ("2027-01-01", Usage(input=10, output=10), 110_000, "2027-01-01"),
        ("2027-01-01", Usage(input=2_000), 18_000_000, "2027-01-01"),
        ("2026-01-01", Usage(input=10, tier="batch"), 5_000, "configuration"),
        ("2026-01-01", Usage(searches=3), 30_000_000, "configuration"),
    ],
)
def test_the_price_of_the_day_of_the_call_counts(day: str, usage: Usage, nano: int, row: str) -> None:
    own = with_overrides({"my/llama": CHANGING})("my", "llama")
    assert charge(own, usage, starts(day)) == Charge(nano, "table", f"my/llama@{row}")


def test_the_last_second_of_a_day_is_still_that_day() -> None:
    own = with_overrides({"my/llama": CHANGING})("my", "llama")
    assert own is not None
    midnight = starts("2027-01-01")
    assert own.at(midnight - 0.001).since == "2026-06-01"
    assert own.at(midnight).since == "2027-01-01"


def test_changes_up_to_the_day_of_the_table_are_in_its_price_and_later_ones_wait() -> None:
    first = price({"input": 1}, name="x/y")
    found = chained(first, [("2027-02-01", {"input": 4}), ("2026-01-01", {"input": 2}), ("2026-02-01", {})], DAY)
    assert (found.since, found.rates.input) == ("2026-02-01", 2)
    assert [(one.since, one.rates.input) for one in found.later] == [("2027-02-01", 4)]


@pytest.mark.parametrize(
    ("provider", "model", "usage", "nano"),
    [
        ("openai", "gpt-5.5", Usage(file_searches=4, tool_uses=4), 10_000_000),
        ("openai", "gpt-5.5", Usage(code_sessions=2, tool_uses=5), 60_000_000),
        ("anthropic", "claude-sonnet-4-6", Usage(searches=3), 30_000_000),
    ],
)
def test_tools_of_the_provider_are_charged(provider: str, model: str, usage: Usage, nano: int) -> None:
    assert cost(known(provider, model), usage) == nano


def test_a_tool_without_a_price_costs_nothing_more() -> None:
    assert cost(known("anthropic", "claude-sonnet-4-6"), Usage(tool_uses=3)) == 0


def test_a_rate_that_the_table_states_stays() -> None:
    row = price({"input": 1, "search": 35_000_000_000}, name="openai/x", mode="chat")
    assert with_terms(row, DAY).rates.search == 35_000_000_000


@pytest.mark.parametrize(("geo", "nano"), [(None, 5_000_000_000), ("us", 5_500_000_000), ("eu", 5_000_000_000)])
def test_a_place_that_costs_more_does(geo: str | None, nano: int) -> None:
    assert cost(known("anthropic", "claude-opus-4-6"), Usage(input=1_000_000, geo=geo)) == nano


def test_what_is_not_a_token_costs_the_same_everywhere() -> None:
    found = known("anthropic", "claude-opus-4-6")
    assert cost(found, Usage(searches=1, geo="us")) == cost(found, Usage(searches=1))


def test_an_older_model_costs_the_same_everywhere() -> None:
    assert cost(known("anthropic", "claude-opus-4-5"), Usage(input=1_000_000, geo="us")) == 5_000_000_000


@pytest.mark.parametrize(
    ("name", "host", "times"),
    [
        ("openai/gpt-5.5", "eu.api.openai.com", 1.1),
        ("openai/gpt-5.5", "api.openai.com", 1),
        ("openai/gpt-4o", "eu.api.openai.com", 1),
        ("vertex/claude-sonnet-4-5@20250929", "us-east5-aiplatform.googleapis.com", 1.1),
        ("vertex/claude-sonnet-4-5@20250929", "aiplatform.googleapis.com", 1),
        ("vertex/claude-3-7-sonnet@20250219", "us-east5-aiplatform.googleapis.com", 1),
        ("vertex/gemini-2.5-pro", "us-east5-aiplatform.googleapis.com", 1),
    ],
)
def test_a_host_of_a_region_costs_more(name: str, host: str, times: float) -> None:
    plain = known(*name.split("/", 1))
    there = at_host(plain, name, host)
    usage = Usage(input=100_000, cache_read=100_000, output=100_000)
    assert there is not None
    assert cost(there, usage) == round(cost(plain, usage) * times)
    assert there.row == plain.row


def test_a_model_without_a_price_has_none_anywhere() -> None:
    assert at_host(None, "openai/gpt-9", "eu.api.openai.com") is None


@pytest.mark.parametrize(
    ("nano", "millionths", "billed"), [(100, 1_000_000, 100), (100, 1_200_000, 120), (1, 500_000, 1), (3, 100_000, 0)]
)
def test_a_markup_is_rounded_half_up(nano: int, millionths: int, billed: int) -> None:
    assert marked_up(nano, millionths) == billed


def test_the_terms_name_rates_that_there_are_and_say_where_they_are_from() -> None:
    told = terms()
    for entry in (*told.changes, *told.tools):
        assert all(RATE.fullmatch(rate) for rate in entry.rates)
    for one in (*told.changes, *told.tools, *told.places):
        assert one.source
    assert all(place.geo or place.host for place in told.places)
    assert all(price_of(*change.model.split("/", 1)) for change in told.changes)


def test_an_override_without_changes_is_named_after_the_configuration() -> None:
    own = with_overrides({"openai/gpt-5.5": schema.Price(input=1, output=2)})("openai", "gpt-5.5")
    assert charge(own, ONE).row == "openai/gpt-5.5@configuration"


def test_changes_are_read_from_a_file() -> None:
    told = msgspec.convert({"input": 1, "output": 2, "changes": [{"from": "2026-12-01", "input": 3}]}, schema.Price)
    assert told.changes[0].day == "2026-12-01"
