"""Money from usage: exact integers, rounded once, whatever the counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.providers.prices import Charge, charge, cost
from portico.providers.prices_schedule import FALLBACKS, TOKEN_RATES, UNIT_RATES, VARIANTS, price
from portico.types import Usage

TOKENS = TOKEN_RATES
COUNTS = ("images", "characters", "pages", "searches")

counts = st.integers(min_value=0, max_value=10**15)
rates = st.integers(min_value=0, max_value=10**12)
sheets = st.dictionaries(st.sampled_from(TOKEN_RATES + UNIT_RATES), rates)
tiers = st.sampled_from((None, "default", "batch", "flex", "priority", "no such tier"))
durations = st.floats(min_value=0, max_value=1e9, allow_nan=False)


def test_the_buckets_of_usage_begin_with_those_of_tokens_in_the_order_of_their_rates() -> None:
    assert Usage.__struct_fields__[: len(TOKENS)] == TOKENS
    assert price({rate: number for number, rate in enumerate(TOKENS)}).rates.by_token == tuple(range(len(TOKENS)))


@st.composite
def stated(draw: st.DrawFn) -> dict[str, int]:
    """Rates that some page may state: standard ones, larger contexts, and variants."""
    sheet = dict(draw(sheets))
    for prefix, suffix in (
        ("", ">200000"),
        ("batch.", ""),
        ("flex.", ""),
        ("flex.", ">200000"),
        ("priority.", ">128000"),
    ):
        sheet |= {f"{prefix}{rate}{suffix}": pico for rate, pico in draw(sheets).items() if rate in TOKEN_RATES}
    return sheet


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    fields = {name: draw(counts) for name in draw(st.sets(st.sampled_from(TOKENS + COUNTS)))}
    return Usage(**fields, seconds=draw(durations), tier=draw(tiers))  # type: ignore[arg-type]  # counts by name


@given(stated(), usages())
def test_a_cost_is_an_integer_and_never_negative(sheet: dict[str, int], usage: Usage) -> None:
    nano = cost(price(sheet), usage)
    assert type(nano) is int
    assert nano >= 0


@given(sheets, st.dictionaries(st.sampled_from(TOKENS + COUNTS), counts))
def test_costs_of_disjoint_buckets_add_up(sheet: dict[str, int], used: dict[str, int]) -> None:
    sheet.pop("call", None)
    one = price(sheet)
    apart = sum(cost(one, Usage(**{name: count})) for name, count in used.items())  # type: ignore[arg-type]
    together = cost(one, Usage(**used))  # type: ignore[arg-type]
    assert abs(apart - together) <= (len(used) + 1) / 2


@given(stated(), st.sampled_from(TOKENS + COUNTS), counts, counts, tiers)
def test_using_more_never_costs_less(sheet: dict[str, int], name: str, one: int, more: int, tier: str | None) -> None:
    flat = {rate: pico for rate, pico in sheet.items() if ">" not in rate}
    less = cost(price(flat), Usage(**{name: one}, tier=tier))  # type: ignore[arg-type]
    assert cost(price(flat), Usage(**{name: one + more}, tier=tier)) >= less  # type: ignore[arg-type]


@given(stated(), usages())
def test_the_sum_is_rounded_half_up_once(sheet: dict[str, int], usage: Usage) -> None:
    from fractions import Fraction

    one = price(sheet)
    schedule = one.variants.get(usage.tier or "", one)
    table = schedule.rates
    for tier in schedule.tiers:
        if usage.input_total > tier.above:
            table = tier.rates
    exact = Fraction(table.call) + Fraction(repr(usage.seconds)) * table.second
    exact += sum(getattr(usage, name) * getattr(table, name) for name in TOKENS)
    exact += sum(
        getattr(usage, name) * getattr(table, rate)
        for name, rate in zip(COUNTS, ("image", "character", "page", "search"), strict=True)
    )
    assert cost(one, usage) == (exact / 1000 + Fraction(1, 2)).__floor__()


def test_a_call_of_quintillions_of_tokens_stays_exact() -> None:
    huge = 3 * 10**18 + 1
    assert (
        cost(price({"input": 2_500_000, "output": 333}), Usage(input=huge, output=huge))
        == (huge * 2_500_333 + 500) // 1000
    )


@pytest.mark.parametrize(("tokens", "nano"), [(1, 0), (4, 0), (5, 1), (14, 1), (15, 2)])
def test_half_a_nano_dollar_rounds_up(tokens: int, nano: int) -> None:
    assert cost(price({"input": 100}), Usage(input=tokens)) == nano


@pytest.mark.parametrize("bucket", FALLBACKS)
def test_a_bucket_without_a_rate_is_charged_at_the_one_that_stands_in(bucket: str) -> None:
    one = price({"input": 7_000, "output": 11_000})
    expected = 7 if bucket.startswith(("input", "cache")) else 11
    assert cost(one, Usage(**{bucket: 1})) == expected  # type: ignore[arg-type]


def test_an_hour_in_the_cache_falls_back_to_five_minutes_before_the_input() -> None:
    assert price({"input": 4_000, "cache_write_5m": 5_000}).rates.cache_write_1h == 5_000


def test_the_size_of_the_whole_input_decides_the_rates_of_the_whole_call() -> None:
    one = price({"input": 1_000, "input>200000": 2_000, "output": 5_000, "output>200000": 7_000, "cache_read": 100})
    assert cost(one, Usage(input=200_000, output=1)) == 200_000 + 5
    assert cost(one, Usage(input=200_001, output=1)) == 400_002 + 7
    assert cost(one, Usage(input=1, cache_read=200_000, output=1)) == 2 + 40_000 + 7  # cached input is input, at 200


def test_the_highest_tier_that_is_passed_applies() -> None:
    one = price({"input": 1_000, "input>32000": 2_000, "input>128000": 4_000})
    assert [cost(one, Usage(input=n)) for n in (32_000, 32_001, 128_001)] == [32_000, 64_002, 512_004]


@pytest.mark.parametrize(
    ("tier", "nano"),
    [(None, 3_000), ("standard", 3_000), ("default", 3_000), ("batch", 1_500), ("priority", 6_000), ("scale", 3_000)],
)
def test_the_tier_that_the_provider_served_picks_the_rates(tier: str | None, nano: int) -> None:
    one = price({"input": 3_000, "batch.input": 1_500, "priority.input": 6_000})
    assert cost(one, Usage(input=1_000, tier=tier)) == nano


def test_a_discount_on_the_input_holds_for_every_input_bucket() -> None:
    one = price({"input": 3_000, "cache_read": 300, "cache_write_1h": 6_000, "output": 15_000, "batch.input": 1_500})
    batch = one.variants["batch"].rates
    assert (batch.cache_read, batch.cache_write_1h, batch.output) == (150, 3_000, 15_000)


def test_a_variant_is_dearer_in_a_larger_context_as_the_standard_is() -> None:
    one = price({"input": 10, "output": 20, "input>100": 20, "output>100": 30, "flex.input": 5, "flex.output": 10})
    (tier,) = one.variants["flex"].tiers
    assert (tier.above, tier.rates.input, tier.rates.output) == (100, 10, 15)


def test_a_duration_is_the_decimal_that_the_provider_wrote() -> None:
    # 0.1 is not a tenth in binary: 5 nano-dollars and a half must not become 5 and a little less than a half
    assert cost(price({"second": 55_000}), Usage(seconds=0.1)) == 6
    assert cost(price({"second": 100_000_000}), Usage(seconds=12.34)) == 1_234_000


@pytest.mark.parametrize(
    ("rate", "used"),
    [("image", {"images": 3}), ("character", {"characters": 3}), ("page", {"pages": 3}), ("search", {"searches": 3})],
)
def test_what_is_not_a_token_is_charged_by_the_piece(rate: str, used: dict[str, int]) -> None:
    assert cost(price({rate: 40_000_000}), Usage(**used)) == 120_000  # type: ignore[arg-type]


def test_a_rate_per_call_is_charged_once() -> None:
    assert cost(price({"call": 5_000_000, "input": 1_000}), Usage(input=2)) == 5_002


def test_what_the_provider_reports_wins_over_the_price() -> None:
    reported = charge(price({"input": 1_000}), Usage(input=10, reported_cost=77))
    assert reported == Charge(77, "provider")
    assert charge(None, Usage(reported_cost=0)) == Charge(0, "provider")


def test_without_a_price_the_cost_is_unknown_and_not_zero() -> None:
    assert charge(None, Usage(input=10)) == Charge(None, "unpriced")


def test_a_price_that_does_not_speak_of_what_was_used_leaves_it_unpriced() -> None:
    per_image = price({"image": 40_000_000_000})
    assert charge(per_image, Usage(input=12)) == Charge(None, "unpriced")
    assert charge(per_image, Usage(input=12, images=1)) == Charge(40_000_000, "table")


def test_a_free_model_is_priced_at_nothing() -> None:
    free = price({"input": 0, "output": 0})
    assert charge(free, Usage(input=12, reasoning=3)) == Charge(0, "table")


def test_a_call_that_used_nothing_costs_nothing() -> None:
    assert charge(price({"input": 1_000}), Usage()) == Charge(0, "table")


def test_a_rate_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'inptu'"):
        price({"inptu": 1})


def test_every_variant_is_a_word_that_providers_reply_with() -> None:
    assert all(variant == variant.lower() and variant.isalpha() for variant in VARIANTS)
