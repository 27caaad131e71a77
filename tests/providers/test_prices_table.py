"""Every row of the shipped table: that it can be read, and that it can be true."""

import re
from collections.abc import Iterator
from itertools import pairwise

from portico.providers import prices_table
from portico.providers.prices import price_of
from portico.providers.prices_schedule import RATE, TOKEN_RATES, Price

CACHE_DEARER_THAN_INPUT = {"openrouter/~deepseek/deepseek-pro-latest"}
MODES = {
    *("chat", "completion", "embedding", "image", "moderation", "ocr", "realtime", "rerank", "responses"),
    *("speech", "transcription", "video", ""),
}
NO_OUTPUT = re.compile(r"embed|^scaledown/|Tev1")


def rows() -> Iterator[tuple[str, Price]]:
    for provider in prices_table.providers():
        for model in prices_table.section(provider):
            price = prices_table.section(provider).exact(model)
            assert price is not None
            yield f"{provider}/{model}", price


ROWS = dict(rows())


def odd(*names: str) -> list[str]:
    return sorted(names)


def test_there_are_thousands_of_models_of_dozens_of_providers() -> None:
    assert len(ROWS) >= 3_000
    assert len(prices_table.providers()) >= 60


def test_the_table_says_its_day_and_its_sources() -> None:
    of = prices_table.provenance()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", of.date)
    assert [source.split()[0] for source in of.sources] == ["litellm", "genai-prices"]
    assert all("(MIT)" in source for source in of.sources)
    assert of.notes[-1].startswith("models: ")


def test_the_notes_count_the_rows() -> None:
    verdicts = [price.found_in for price in ROWS.values()]
    said = ", ".join(f"{verdicts.count(word)} {word}" for word in ("both", "differ", "genai-prices", "litellm"))
    assert prices_table.provenance().notes[-1] == f"models: {said}"


def test_sections_and_rows_stand_in_order_and_once() -> None:
    providers = prices_table.providers()
    assert list(providers) == sorted(set(providers))
    for provider in providers:
        names = [model.lower() for model in prices_table.section(provider)]
        assert names == sorted(set(names)), provider


def test_every_name_is_one_that_a_request_can_carry() -> None:
    assert all(re.fullmatch(r"[!-~]+(?: [!-~]+)*", name) for name in ROWS)
    assert all(re.fullmatch(r"[a-z0-9_-]+", provider) for provider in prices_table.providers())


def test_every_row_is_found_under_its_own_name() -> None:
    assert (
        odd(
            *(
                name
                for name, price in ROWS.items()
                if (found := price_of(*name.split("/", 1))) is None
                or (found.name != name and ":free" not in name)
                or not (found.stated.items() >= price.stated.items() or ":free" in name)
            )
        )
        == []
    )


def test_every_rate_can_be_true() -> None:
    most = {"image": 10, "character": 0.01, "second": 10, "page": 1, "search": 1, "call": 10}
    for name, price in ROWS.items():
        assert price.stated, name
        for rate, pico in price.stated.items():
            shape = RATE.fullmatch(rate)
            assert shape is not None
            assert type(pico) is int
            assert 0 <= pico <= most.get(shape[2], 0.001) * 10**12, (name, rate)


def test_no_row_is_free_by_omission() -> None:
    free = {name.partition("/")[0] for name, price in ROWS.items() if not any(price.stated.values())}
    paid_elsewhere = free - {"ollama", "lemonade", "openrouter", "opencode_go", "gemini", "zai"}
    assert (
        odd(
            *(
                n
                for n, p in ROWS.items()
                if not any(p.stated.values()) and n.partition("/")[0] in paid_elsewhere and p.mode != "moderation"
            )
        )
        == []
    )


def test_what_writes_text_is_paid_for_writing() -> None:
    silent = [
        n
        for n, p in ROWS.items()
        if p.mode in {"chat", "responses", "completion"} and any(p.stated.values()) and not p.rates.output
    ]
    assert odd(*(name for name in silent if not NO_OUTPUT.search(name))) == []


def test_reading_the_cache_is_not_dearer_than_the_input() -> None:
    assert {
        name for name, price in ROWS.items() if price.rates.cache_read > price.rates.input
    } == CACHE_DEARER_THAN_INPUT


def test_claude_states_its_writes_to_the_cache() -> None:
    first_party = {n: p for n, p in ROWS.items() if n.startswith("anthropic/") and p.rates.cache_read < p.rates.input}
    assert len(first_party) > 20
    for name, price in first_party.items():
        assert abs(price.rates.cache_write_5m * 4 - price.rates.input * 5) <= price.rates.input // 4, name
        assert price.rates.cache_write_1h == 2 * price.rates.input, name


def test_larger_contexts_are_dearer_and_in_order() -> None:
    for name, price in ROWS.items():
        for schedule in (price, *price.variants.values()):
            sizes = [tier.above for tier in schedule.tiers]
            assert sizes == sorted(set(sizes)), name
            steps = [schedule.rates, *(tier.rates for tier in schedule.tiers)]
            for less, more in pairwise(steps):
                assert more.input >= less.input, name
                assert more.output >= less.output, name


def test_cheap_tiers_are_not_dearer_and_fast_ones_not_cheaper() -> None:
    for name, price in ROWS.items():
        for variant, schedule in price.variants.items():
            cheap = variant in {"batch", "flex", "balanced"}
            for rate in ("input", "output"):
                standard, other = getattr(price.rates, rate), getattr(schedule.rates, rate)
                assert other <= standard if cheap else other >= standard, (name, variant)


def test_sizes_modes_and_words_are_known_ones() -> None:
    capabilities = {word for price in ROWS.values() for word in price.capabilities}
    assert capabilities == {
        *("audio_in", "audio_out", "caching", "computer_use", "json_schema", "pdf", "reasoning"),
        *("tools", "video", "vision", "web_search"),
    }
    for name, price in ROWS.items():
        assert price.mode in MODES, name
        assert price.context_window is None or 1 <= price.context_window <= 20_000_000, name
        assert price.max_output is None or 1 <= price.max_output <= 20_000_000, name
        assert price.deprecated is None or re.fullmatch(r"20\d\d-\d\d-\d\d", price.deprecated), name


def test_one_sale_is_not_charged_twice() -> None:
    for name, price in ROWS.items():
        if "second" in price.stated:
            assert not price.rates.input_audio, name
            assert not price.rates.output_audio, name
        if "image" in price.stated and price.mode == "image":
            assert not price.rates.output_image, name
        if "character" in price.stated:
            assert not price.rates.input, name


def test_a_price_has_a_rate_of_the_standard_tier() -> None:
    plain = {*TOKEN_RATES, "image", "character", "second", "page", "search", "call"}
    assert odd(*(name for name, price in ROWS.items() if not plain & price.stated.keys())) == []


def test_half_of_the_tables_shared_models_agree_in_both_sources() -> None:
    verdicts = [price.found_in for price in ROWS.values()]
    assert set(verdicts) == {"both", "differ", "litellm", "genai-prices"}
    assert verdicts.count("differ") * 5 < verdicts.count("both")
