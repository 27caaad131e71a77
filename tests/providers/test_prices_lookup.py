"""From the names that callers write to rows of the table."""

import pytest

from portico.config import schema
from portico.providers import prices, prices_table
from portico.providers.prices import cost, price_of, with_overrides
from portico.types import Usage

SAME = [  # (provider, the name a caller writes, the row that prices it)
    # as it is, then without its date
    ("openai", "gpt-4o", "gpt-4o"),
    ("openai", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-mini-2099-07-18", "gpt-4o-mini"),
    ("openai", "gpt-5.5-2026-12-31", "gpt-5.5"),
    ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"),
    ("anthropic", "claude-opus-5-20260724", "claude-opus-5"),
    ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5"),
    ("cohere", "command-r-08-2024", "command-r-08-2024"),
    ("cohere", "command-r-plus-11-2031", "command-r-plus"),
    # fine-tuned models have prices of their own
    ("openai", "ft:gpt-4o-2024-08-06:acme::9xYz", "ft:gpt-4o-2024-08-06"),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme:support:abc", "ft:gpt-4o-mini-2024-07-18"),
    ("openai", "ft:gpt-3.5-turbo-0125:acme::1", "ft:gpt-3.5-turbo-0125"),
    # Bedrock: versions, profiles by region, ARNs, context sizes
    ("bedrock", "anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
    ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock", "sa.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock", "us.anthropic.claude-opus-5-v1:0", "us.anthropic.claude-opus-5"),
    ("bedrock", "amazon.nova-pro-v1:0:300k", "amazon.nova-pro-v1:0"),
    ("bedrock", "amazon.nova-micro", "amazon.nova-micro-v1:0"),
    (
        "bedrock",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
        "us.amazon.nova-lite-v1:0",
    ),
    ("bedrock", "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
    ("bedrock", "us-gov.amazon.nova-micro-v1:0", "us.amazon.nova-micro-v1:0"),
    # Vertex: publishers, versions
    ("vertex", "publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
    ("vertex", "google/gemini-2.5-pro", "gemini-2.5-pro"),
    ("vertex", "publishers/anthropic/models/claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929"),
    ("vertex", "claude-sonnet-4-5@20991231", "claude-sonnet-4-5"),
    (
        "vertex",
        "projects/acme/locations/us-central1/publishers/deepseek-ai/models/deepseek-v3.1-maas",
        "deepseek-ai/deepseek-v3.1-maas",
    ),
    ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
    ("gemini", "gemini-2.5-flash", "gemini-2.5-flash"),
    # Azure: deployments named like their models
    ("azure", "gpt-4o", "gpt-4o"),
    ("azure", "gpt-35-turbo", "gpt-35-turbo"),
    ("azure", "gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18"),
    # OpenRouter: variants cost what the model costs
    ("openrouter", "openai/gpt-4o:nitro", "openai/gpt-4o"),
    ("openrouter", "openai/gpt-4o:online", "openai/gpt-4o"),
    # Fireworks: names in full and in short
    ("fireworks", "accounts/fireworks/models/gpt-oss-120b", "accounts/fireworks/models/gpt-oss-120b"),
    ("fireworks", "gpt-oss-120b", "accounts/fireworks/models/gpt-oss-120b"),
    # at last, whatever the case
    ("together", "META-LLAMA/llama-3.3-70b-instruct-turbo", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
]


ELSEWHERE = [  # (provider, the name a caller writes, the provider whose row prices it, that row)
    ("gemini_openai", "models/gemini-2.5-flash", "gemini", "gemini-2.5-flash"),
    ("cohere_openai", "command-a-03-2025", "cohere", "command-a-03-2025"),
    ("azure_anthropic", "claude-fable-5-2", "anthropic", "claude-fable-5-2"),
    ("azure_anthropic", "claude-opus-5", "azure_ai", "claude-opus-5"),
    ("bedrock_mantle", "us.amazon.nova-lite-v1:0", "bedrock", "us.amazon.nova-lite-v1:0"),
    ("azure", "gpt-35-turbo-2099-01-01", "azure", "gpt-35-turbo"),
    ("azure", "gpt-4-32k-2099-01-01", "azure", "gpt-4-32k"),
]


def sold(provider: str, name: str, where: str, row: str) -> bool:
    """Return whether a name is priced by a row of the table, to which the terms may add a provider's own tools."""
    expected, found = prices_table.section(where).exact(row), price_of(provider, name)
    assert expected is not None
    assert found is not None
    return found.name.startswith(f"{where}/") and found.stated.items() >= expected.stated.items()


@pytest.mark.parametrize(("provider", "name", "where", "row"), ELSEWHERE)
def test_an_endpoint_sells_what_another_row_of_the_catalog_sells(
    provider: str, name: str, where: str, row: str
) -> None:
    assert sold(provider, name, where, row)


@pytest.mark.parametrize(("provider", "name", "row"), SAME)
def test_a_name_is_priced_by_its_row(provider: str, name: str, row: str) -> None:
    assert sold(provider, name, provider, row)


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "gpt-unheard-of"),
        ("openai", "ft:gpt-unheard-of:acme::1"),
        ("openai", ""),
        ("openai", "gpt-4o\t"),
        ("nobody", "gpt-4o"),
        ("", ""),
        ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc"),
        ("openai", "gpt-4o" * 100_000),
    ],
)
def test_an_unknown_name_has_no_price(provider: str, name: str) -> None:
    assert price_of(provider, name) is None


def test_a_fine_tuned_model_is_never_sold_at_the_price_of_its_base() -> None:
    tuned, base = price_of("openai", "ft:gpt-4o-2024-08-06:acme::1"), price_of("openai", "gpt-4o-2024-08-06")
    assert tuned is not None
    assert base is not None
    assert tuned.rates.input > base.rates.input


def test_a_model_of_openai_that_azure_publishes_no_price_for_costs_what_it_costs_there() -> None:
    missing = next(
        m
        for m in prices_table.section("openai")
        if all(prices_table.section(p).exact(m) is None for p in ("azure", "azure_ai"))
    )
    assert price_of("azure", missing) == price_of("openai", missing)


@pytest.mark.parametrize("name", ["meta-llama/llama-3.3-70b-instruct:free", "nobody/ever-heard-of:free"])
def test_openrouter_gives_away_what_is_called_free(name: str) -> None:
    one = price_of("openrouter", name)
    assert one is not None
    assert cost(one, Usage(input=10**9, output=10**9, reasoning=10**9)) == 0


def test_free_means_nothing_elsewhere() -> None:
    assert price_of("groq", "openai/gpt-oss-120b:free") is None


def test_the_memo_is_bounded() -> None:
    prices._price_of.cache_clear()
    for number in range(5_000):
        price_of("openai", f"model-{number}")
    assert prices._price_of.cache_info().currsize <= 2_048


def test_an_override_is_in_dollars_per_million_tokens() -> None:
    own = with_overrides({"my-vllm/llama": schema.Price(input=0.15, output=0.6, cache_write=0.2)})
    one = own("my-vllm", "llama")
    assert one is not None
    assert (one.rates.input, one.rates.cache_read, one.rates.cache_write_1h, one.rates.output) == (
        150_000,
        150_000,
        200_000,
        600_000,
    )
    assert cost(one, Usage(input=1_000_000, output=1_000_000)) == 750_000_000


def test_an_override_replaces_token_rates_and_keeps_what_else_is_known() -> None:
    shipped = price_of("openai", "gpt-5.5")
    one = with_overrides({"openai/gpt-5.5": schema.Price(input=1, output=2)})("openai", "gpt-5.5")
    assert shipped is not None
    assert one is not None
    assert shipped.tiers
    assert shipped.variants
    assert (one.tiers, dict(one.variants)) == ((), {})
    assert one.rates.cache_read == one.rates.input == 1_000_000
    assert (one.context_window, one.rates.search) == (shipped.context_window, shipped.rates.search)


def test_an_override_touches_nothing_else() -> None:
    own = with_overrides({"openai/gpt-5.5": schema.Price(input=1, output=2)})
    assert own("openai", "gpt-4o") == price_of("openai", "gpt-4o")
    assert own("openai", "gpt-unheard-of") is None
    assert with_overrides({}) is price_of


@pytest.mark.parametrize(
    ("model", "dollars"),
    [("llama", 1), ("qwen3-32b", 2), ("qwen3-32b-awq", 3), ("qwen", 1), ("", 1)],
)
def test_an_exact_name_goes_before_patterns_and_a_longer_pattern_before_a_shorter(model: str, dollars: int) -> None:
    said = {"mine/*": 1, "mine/qwen3-*": 2, "mine/*-awq": 4, "mine/qwen3-32b-awq": 3, "other/*": 9}
    own = with_overrides({name: schema.Price(input=rate, output=0) for name, rate in said.items()})
    one = own("mine", model)
    assert one is not None
    assert one.rates.input == dollars * 1_000_000
    assert one.row == f"mine/{model}@configuration"


def test_a_pattern_keeps_what_else_is_known_of_each_model() -> None:
    own = with_overrides({"openai/*": schema.Price(input=1, output=2)})
    for model in ("gpt-5.5", "gpt-4o"):
        one, shipped = own("openai", model), price_of("openai", model)
        assert one is not None
        assert shipped is not None
        assert (one.rates.input, one.max_output) == (1_000_000, shipped.max_output)
    assert own("azure", "gpt-4o") == price_of("azure", "gpt-4o")
