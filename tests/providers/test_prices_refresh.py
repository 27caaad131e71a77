"""Making the table: two sources in, one file out, and every row accounted for."""

import json
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from portico.providers import prices_table
from portico.providers.prices_refresh import genai, litellm
from portico.providers.prices_refresh.__main__ import command
from portico.providers.prices_refresh.facts import Fact
from portico.providers.prices_refresh.merge import merge

DAY = date(2026, 11, 20)
USD = 1e-6  # a dollar per million tokens

HEAD = """
import datetime
from decimal import Decimal
from .types import *
__all__ = ('providers',)
raise SystemExit('this file is read, and never run')
providers: list[Provider] = [
"""


def litellm_wheel(folder: Path, rows: Mapping[str, object]) -> Path:
    path = folder / "litellm-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(litellm.TABLE, json.dumps(rows))
    return path


def genai_wheel(folder: Path, *providers: str) -> Path:
    path = folder / "genai_prices-0.9.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(genai.TABLE, HEAD + ",\n".join(providers) + "]\n")
    return path


def model(name: str, prices: str, test: str | None = None, more: str = "") -> str:
    return f"ModelInfo(id='{name}', match={test or f'ClauseEquals(equals={name!r})'}, prices={prices}{more})"


def provider(name: str, *models: str) -> str:
    return f"Provider(id='{name}', name='…', api_pattern='…', models=[{', '.join(models)}])"


def chat(dollars_in: float, dollars_out: float, **more: object) -> dict[str, object]:
    return {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": dollars_in * USD,
        "output_cost_per_token": dollars_out * USD,
    } | more


def first(folder: Path, rows: Mapping[str, object]) -> dict[str, Fact]:
    harvest = litellm.read(litellm_wheel(folder, rows), "litellm")
    return {f"{fact.provider}/{fact.model}": fact for fact in harvest.facts.values()}


def second(folder: Path, *models: str, name: str = "openai") -> genai.Second:
    return genai.read(genai_wheel(folder, provider(name, *models)), "genai-prices", DAY)


@pytest.mark.parametrize(
    ("name", "row", "found"),
    [
        ("gpt-9", chat(1, 2), "openai/gpt-9"),
        ("groq/x/y", chat(1, 2, litellm_provider="groq"), "groq/x/y"),
        (
            "vertex_ai/claude-9@20990101",
            chat(1, 2, litellm_provider="vertex_ai-anthropic_models"),
            "vertex/claude-9@20990101",
        ),
        ("gemini-9", chat(1, 2, litellm_provider="vertex_ai-language-models"), "vertex/gemini-9"),
        ("gemini/gemini-9", chat(1, 2, litellm_provider="gemini"), "gemini/gemini-9"),
        ("us.anthropic.claude-9", chat(1, 2, litellm_provider="bedrock_converse"), "bedrock/us.anthropic.claude-9"),
        ("bedrock/eu-west-1/a.b", chat(1, 2, litellm_provider="bedrock"), "bedrock/eu-west-1/a.b"),
        ("together_ai/a/b", chat(1, 2, litellm_provider="together_ai"), "together/a/b"),
        (
            "fireworks_ai/accounts/f/models/m",
            chat(1, 2, litellm_provider="fireworks_ai"),
            "fireworks/accounts/f/models/m",
        ),
    ],
)
def test_a_row_goes_to_the_provider_and_the_name_that_a_caller_uses(
    tmp_path: Path, name: str, row: dict[str, object], found: str
) -> None:
    assert list(first(tmp_path, {name: row})) == [found]


def test_rates_are_pico_dollars_under_the_names_of_the_buckets(tmp_path: Path) -> None:
    row = chat(
        2.5,
        10,
        cache_read_input_token_cost=1.25e-06,
        cache_creation_input_token_cost_above_1hr=6e-06,
        input_cost_per_audio_token=4e-05,
        output_cost_per_reasoning_token=1.5e-05,
        input_cost_per_token_above_200k_tokens=5e-06,
        input_cost_per_token_batches=1.25e-06,
        output_cost_per_token_above_200k_tokens_batches=7.5e-06,
        input_cost_per_token_priority=4.25e-06,
        search_context_cost_per_query={"search_context_size_low": 0.01, "search_context_size_medium": 0.02},
    )
    assert first(tmp_path, {"gpt-9": row})["openai/gpt-9"].rates == {
        "input": 2_500_000,
        "output": 10_000_000,
        "cache_read": 1_250_000,
        "cache_write_1h": 6_000_000,
        "input_audio": 40_000_000,
        "reasoning": 15_000_000,
        "input>200000": 5_000_000,
        "batch.input": 1_250_000,
        "batch.output>200000": 7_500_000,
        "priority.input": 4_250_000,
        "search": 20_000_000_000,
    }


def test_ranges_of_input_become_tiers(tmp_path: Path) -> None:
    tiers = [
        {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06},
        {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-06, "output_cost_per_token": 6e-06},
    ]
    row = {"litellm_provider": "dashscope", "mode": "chat", "tiered_pricing": tiers}
    assert first(tmp_path, {"dashscope/q": row})["dashscope/q"].rates == {
        "input": 1_000_000,
        "output": 5_000_000,
        "input>32000": 2_000_000,
        "output>32000": 6_000_000,
    }


@pytest.mark.parametrize(
    ("mode", "fields", "rates"),
    [
        # the same minute on the way in and on the way out
        ("audio_transcription", {"input_cost_per_second": 1e-4, "output_cost_per_second": 1e-4}, {"second": 10**8}),
        # an image and the tokens that it is made of
        (
            "image_generation",
            {"output_cost_per_image": 0.134, "output_cost_per_image_token": 1.2e-4},
            {"output_image": 120_000_000},
        ),
        ("image_generation", {"output_cost_per_image": 0.04}, {"image": 4 * 10**10}),
        ("audio_speech", {"input_cost_per_character": 1.5e-5}, {"character": 15_000_000}),
        ("audio_speech", {"input_cost_per_character": 1.5e-5, "input_cost_per_token": 5e-7}, {"input": 500_000}),
        ("rerank", {"input_cost_per_query": 0.002, "input_cost_per_token": 0.0}, {"search": 2 * 10**9}),
        (
            "ocr",
            {"ocr_cost_per_page": 0.004, "ocr_cost_per_page_batches": 0.002},
            {"page": 4 * 10**9, "batch.page": 2 * 10**9},
        ),
        (
            "embedding",
            {"input_cost_per_token": 8e-7, "input_cost_per_image": 6e-5},
            {"input": 800_000, "image": 6 * 10**7},
        ),
        ("chat", {"input_cost_per_token": 1e-6, "input_cost_per_image": 0.001}, {"input": 1_000_000}),
    ],
)
def test_one_sale_has_one_rate(tmp_path: Path, mode: str, fields: dict[str, float], rates: dict[str, int]) -> None:
    row = {"litellm_provider": "openai", "mode": mode} | fields
    assert first(tmp_path, {"m": row})["openai/m"].rates == rates


@pytest.mark.parametrize(
    ("name", "row", "why"),
    [
        ("gpt-9", chat(0, 0), "zero, without saying that it is free"),
        ("gpt-9", chat(2000, 1), "a rate beyond belief"),
        ("gpt-9", {"litellm_provider": "openai", "mode": "chat"}, "no rate that usage can be counted in"),
        ("gpt-9", chat(0, 0, input_cost_per_token_priority=1e-6), "no rate that usage can be counted in"),
        ("hd/1024-x-1024/dall-e-9", chat(1, 1), "not the name of a model"),
        ("tavily/search", chat(1, 1, litellm_provider="tavily"), "not a model that can be called"),
        ("sample", {"litellm_provider": "openai", "mode": "one of: …"}, "not a model that can be called"),
    ],
)
def test_a_row_that_is_left_out_is_left_out_for_a_reason(
    tmp_path: Path, name: str, row: dict[str, object], why: str
) -> None:
    harvest = litellm.read(litellm_wheel(tmp_path, {name: row}), "litellm")
    assert harvest.facts == {}
    assert list(harvest.left_out) == [why]


def test_a_local_model_is_free(tmp_path: Path) -> None:
    assert first(tmp_path, {"ollama/x": chat(0, 0, litellm_provider="ollama")})["ollama/x"].rates == {
        "input": 0,
        "output": 0,
    }


def test_a_zero_beside_other_rates_means_not_charged_by_this(tmp_path: Path) -> None:
    row = chat(1, 2, cache_creation_input_token_cost=0.0, cache_read_input_token_cost=0.0)
    assert first(tmp_path, {"m": row})["openai/m"].rates == {"input": 1_000_000, "output": 2_000_000, "cache_read": 0}


def test_claude_gets_the_writes_that_its_maker_prices_by_rule(tmp_path: Path) -> None:
    row = chat(
        3, 15, litellm_provider="anthropic", cache_read_input_token_cost=3e-7, input_cost_per_token_batches=1.5e-6
    )
    rates = first(tmp_path, {"claude-9": row})["anthropic/claude-9"].rates
    assert (rates["cache_write_5m"], rates["cache_write_1h"]) == (3_750_000, 6_000_000)
    assert (rates["batch.cache_write_5m"], rates["batch.cache_write_1h"]) == (1_875_000, 3_000_000)


def test_a_variant_that_states_large_contexts_alone_is_left_out(tmp_path: Path) -> None:
    row = chat(3, 15, input_cost_per_token_above_272k_tokens_flex=3e-6)
    assert first(tmp_path, {"m": row})["openai/m"].rates == {"input": 3_000_000, "output": 15_000_000}


def test_the_other_source_is_parsed_and_not_run(tmp_path: Path) -> None:
    tiered = "TieredPrices(base=Decimal('2.5'), tiers=[Tier(start=272000, price=Decimal('5'))])"
    prices = f"ModelPrice(input_mtok={tiered}, web_searches_kcount=Decimal('10'))"
    flex = "PriceVariant(when={'service_tier': 'flex'}, prices=ModelPrice(input_mtok=Decimal('1.25')))"
    variants = f", price_variants=[{flex}]"
    (fact,) = second(tmp_path, model("gpt-9", prices, more=variants)).harvest.facts.values()
    assert fact.rates == {"input": 2_500_000, "input>272000": 5_000_000, "search": 10**10, "flex.input": 1_250_000}


@pytest.mark.parametrize("call", ["__import__('os').system('true')", "open('x')", "[x for x in ()]", "1 + 1"])
def test_what_is_not_a_constant_is_refused(tmp_path: Path, call: str) -> None:
    with pytest.raises(ValueError, match="not a constant"):
        second(tmp_path, model("gpt-9", call))


def test_prices_are_those_of_the_day(tmp_path: Path) -> None:
    def since(year: int, dollars: str) -> str:
        start = f"StartDateConstraint(start_date=datetime.date({year}, 1, 1))"
        return f"ConditionalPrice(constraint={start}, prices=ModelPrice(input_mtok=Decimal('{dollars}')))"

    prices = f"[ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('9'))), {since(2026, '4')}, {since(2027, '1')}]"
    (fact,) = second(tmp_path, model("gpt-9", prices)).harvest.facts.values()
    assert fact.rates == {"input": 4_000_000}


def test_of_prices_by_the_hour_the_dearest_is_taken(tmp_path: Path) -> None:
    one, four = (f"datetime.time({hour}, 0, tzinfo=datetime.UTC)" for hour in (1, 4))
    peak = f"TimeOfDateConstraint(start_time={one}, end_time={four})"
    always = "ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('1')))"
    prices = f"[{always}, ConditionalPrice(constraint={peak}, prices=ModelPrice(input_mtok=Decimal('2')))]"
    (fact,) = second(tmp_path, model("gpt-9", prices)).harvest.facts.values()
    assert fact.rates == {"input": 2_000_000}


def plain(dollars_in: str, dollars_out: str, more: str = "") -> str:
    return f"ModelPrice(input_mtok=Decimal('{dollars_in}'), output_mtok=Decimal('{dollars_out}'){more})"


@pytest.mark.parametrize(
    ("theirs", "test", "verdict", "rate_in"),
    [
        (plain("2", "8"), None, "both", 2_000_000),
        (plain("2.03", "8"), None, "both", 2_000_000),  # within two percent: rounding
        (plain("3", "8"), None, "differ", 3_000_000),  # the dearer, whole
        (plain("1", "4"), None, "differ", 2_000_000),
        (plain("3", "8"), "ClauseStartsWith(starts_with='gpt')", "litellm", 2_000_000),  # a pattern contradicts nobody
        (plain("2", "8"), "ClauseRegex(regex='^gpt-[0-9]+$')", "both", 2_000_000),
    ],
)
def test_the_rule_for_two_sources(tmp_path: Path, theirs: str, test: str | None, verdict: str, rate_in: int) -> None:
    mine = litellm.read(litellm_wheel(tmp_path, {"gpt-9": chat(2, 8)}), "litellm").facts
    name = "gpt-9" if test is None else "gpt-family"
    merged = {fact.model: fact for fact in merge(mine, second(tmp_path, model(name, theirs, test)))}
    assert (merged["gpt-9"].found_in, merged["gpt-9"].rates["input"]) == (verdict, rate_in)


def test_where_they_agree_what_one_alone_states_is_added(tmp_path: Path) -> None:
    mine = litellm.read(litellm_wheel(tmp_path, {"gpt-9": chat(2, 8)}), "litellm").facts
    (fact,) = merge(mine, second(tmp_path, model("gpt-9", plain("2", "8", ", cache_read_mtok=Decimal('0.2')"))))
    assert fact.rates == {"input": 2_000_000, "output": 8_000_000, "cache_read": 200_000}


def test_a_model_that_one_source_alone_knows_is_taken_under_all_its_names(tmp_path: Path) -> None:
    names = "ClauseOr(or_=[ClauseEquals(equals='gpt-9'), ClauseEquals(equals='gpt-9-2099')])"
    spellings = "ClauseOr(or_=[ClauseEquals(equals='gpt-8.1'), ClauseEquals(equals='gpt-8-1')])"
    models = (model("gpt-9", plain("2", "8"), names), model("gpt-8.1", plain("2", "8"), spellings))
    merged = merge({}, second(tmp_path, *models))
    assert [fact.model for fact in merged] == ["gpt-8.1", "gpt-9", "gpt-9-2099"]
    assert {fact.found_in for fact in merged} == {"genai-prices"}


def test_the_command_writes_a_table_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = litellm_wheel(
        tmp_path, {"gpt-9": chat(2, 8, max_input_tokens=1000, supports_vision=True), "gpt-8": chat(0, 0)}
    )
    two = genai_wheel(tmp_path, provider("anthropic", model("claude-9", plain("3", "15"))))
    output = tmp_path / "prices.tsv"
    arguments = ["--litellm", str(one), "--genai-prices", str(two), "--date", "2026-11-20", "--output", str(output)]
    done = CliRunner().invoke(command, [*arguments, "--verbose"])
    assert done.exit_code == 0, done.output
    assert "2 models written" in done.output
    assert "zero, without saying that it is free: openai/gpt-8" in done.output
    lines = output.read_text("utf-8").splitlines()
    assert "# source: litellm 1.2.3 (MIT)" in lines
    assert "# date: 2026-11-20" in lines
    row = "gpt-9\tchat\t1000\t\tinput=2000000 output=8000000\tvision\t\tlitellm"
    assert lines[lines.index("[openai]") + 1 :] == [row]
    price = prices_table.parse_row(row)
    assert (price.rates.input, price.context_window, price.capabilities) == (2_000_000, 1000, {"vision"})
    before = output.read_bytes()
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert output.read_bytes() == before


def test_a_download_that_fails_is_reported_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    output = tmp_path / "prices.tsv"
    done = CliRunner().invoke(command, ["--output", str(output)])
    assert done.exit_code == 1
    assert "pip could not download 'litellm'" in done.output
    assert not output.exists()
