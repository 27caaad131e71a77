"""Prices written down by hand from what providers publish, against the table.

Each case names the provider's page; `SEEN` says when it was read, or transcribed where it was not itself at hand.
All are dollars per million tokens unless the rate's name is that of another unit.
"""

from decimal import Decimal
from typing import NamedTuple

import pytest

from portico.providers.prices import price_of
from portico.providers.prices_schedule import RATE, TOKEN_RATES

SEEN = {
    "https://platform.claude.com/docs/en/about-claude/pricing": "the page, 2026-09; the 5.5 models 2026-10-16",
    "https://platform.claude.com/docs/about-claude/models/whats-new-opus-5": "the page, 2026-10",
    "https://developers.openai.com/api/docs/pricing": "transcribed 2026-05-04, 2026-09-07 and 2026-09-23",
    "https://developers.openai.com/api/docs/models/gpt-6.1-sol": "transcribed 2026-09-30",
    "https://openai.com/api/pricing": "transcribed 2025-08 and 2026-03: models that are no longer listed",
    "https://ai.google.dev/gemini-api/docs/pricing": "transcribed 2026-09-20; 3.1 Flash-Lite and batch before 2026-06",
    "https://api-docs.deepseek.com/quick_start/pricing": "transcribed 2026-10-27",
    "https://docs.x.ai/developers/models": "transcribed 2026-07-13; Grok 4.6 from its own page",
    "https://mistral.ai/pricing": "transcribed 2026-05-06, 2026-06-17 and 2026-09-05",
    "https://docs.mistral.ai/inference/pricing": "through a reseller that bills it unchanged, 2026-10",
    "https://groq.com/pricing": "transcribed 2026-05-08",
    "https://docs.perplexity.ai/getting-started/pricing": "transcribed 2025-07-05; Sonar ended in 2026-09",
    "https://docs.voyageai.com/docs/pricing": "through resellers that bill it unchanged, 2026-07-27",
    "https://aws.amazon.com/bedrock/pricing": "transcribed 2026-05",
    "https://cohere.com/pricing": "transcribed 2026-11-11 (Command R) and 2026-06",
    "https://deepinfra.com/pricing": "transcribed 2026-11-05",
    "https://developers.cloudflare.com/workers-ai/platform/pricing": "the page's source in Cloudflare's repository",
}

ANTHROPIC, OPUS5, OPENAI, SOL, OPENAI_BEFORE, GEMINI, DEEPSEEK, XAI, MISTRAL, MISTRAL_DOCS = list(SEEN)[:10]
GROQ, PERPLEXITY, VOYAGE, BEDROCK, COHERE, DEEPINFRA, CLOUDFLARE = list(SEEN)[10:]


class Published(NamedTuple):
    """What a page says of a model."""

    name: str
    rates: dict[str, str]
    page: str


def claude(
    model: str, fresh: str, write: str, write_1h: str, read: str, output: str, page: str = ANTHROPIC
) -> Published:
    return Published(
        f"anthropic/{model}",
        {"input": fresh, "cache_write_5m": write, "cache_write_1h": write_1h, "cache_read": read, "output": output},
        page,
    )


def text(name: str, page: str, fresh: str, output: str, cache_read: str | None = None, **more: str) -> Published:
    rates = {"input": fresh, "output": output} | ({"cache_read": cache_read} if cache_read else {})
    return Published(
        name, rates | {rate.replace("__", ".").replace("_over_", ">"): usd for rate, usd in more.items()}, page
    )


PUBLISHED = (
    claude("claude-fable-5-1", "10", "12.50", "20", "0.25", "50"),
    claude("claude-fable-5", "10", "12.50", "20", "1", "50"),
    claude("claude-opus-5", "5", "6.25", "10", "0.50", "25", OPUS5),
    claude("claude-opus-4-8", "5", "6.25", "10", "0.50", "25"),
    claude("claude-opus-4-7", "5", "6.25", "10", "0.50", "25"),
    claude("claude-opus-4-6", "5", "6.25", "10", "0.50", "25"),
    claude("claude-opus-4-5-20251101", "5", "6.25", "10", "0.50", "25"),
    claude("claude-opus-4-1-20250805", "15", "18.75", "30", "1.50", "75"),
    claude("claude-sonnet-4-6", "3", "3.75", "6", "0.30", "15"),
    claude("claude-sonnet-4-5-20250929", "3", "3.75", "6", "0.30", "15"),
    claude("claude-haiku-4-5-20251001", "1", "1.25", "2", "0.10", "5"),
    claude("claude-3-5-haiku-20241022", "0.80", "1", "1.60", "0.08", "4"),
    claude("claude-3-haiku-20240307", "0.25", "0.30", "0.50", "0.03", "1.25"),
    claude("claude-sonnet-5-5", "2", "2.50", "4", "0.10", "10"),
    claude("claude-opus-5-5", "4", "5", "8", "0.20", "20"),
    text("anthropic/claude-opus-5", OPUS5, "5", "25", batch__input="2.50", batch__output="12.50"),
    text("anthropic/claude-haiku-5-5", OPUS5, "0.10", "0.50", input_over_100000="0.50", output_over_100000="2.50"),
    text("openai/gpt-5.5", OPENAI, "5", "30", "0.50", batch__input="2.50", batch__output="15"),
    text("openai/gpt-5.5-pro", OPENAI, "30", "180"),
    text("openai/gpt-5.4", OPENAI, "2.50", "15", "0.25"),
    text("openai/gpt-5.4-mini", OPENAI, "0.75", "4.50", "0.075"),
    text("openai/gpt-5.4-nano", OPENAI, "0.20", "1.25", "0.02"),
    text("openai/gpt-6-astra", OPENAI, "10", "50", "1", cache_write_5m="12.50"),
    text("openai/gpt-6-sol", OPENAI, "2", "10", "0.20", cache_write_5m="2.50"),
    text("openai/gpt-6-luna", OPENAI, "0.10", "0.50", "0.01", cache_write_5m="0.125"),
    text("openai/gpt-6.1-sol", SOL, "2", "10", "0.10", input_over_272000="4", output_over_272000="15"),
    text("openai/gpt-6.1-sol", SOL, "2", "10", "0.10", flex__input="1", flex__output="5", priority__input="4"),
    text("openai/gpt-realtime-1.5", OPENAI, "4", "16", "0.40"),
    text("openai/gpt-5", OPENAI_BEFORE, "1.25", "10", "0.125"),
    text("openai/gpt-5-mini", OPENAI_BEFORE, "0.25", "2", "0.025"),
    text("openai/gpt-5-nano", OPENAI_BEFORE, "0.05", "0.40", "0.005"),
    text("openai/gpt-4.1", OPENAI_BEFORE, "2", "8", "0.50", batch__input="1", batch__output="4"),
    text("openai/gpt-4.1-mini", OPENAI_BEFORE, "0.40", "1.60", "0.10"),
    text("openai/gpt-4.1-nano", OPENAI_BEFORE, "0.10", "0.40", "0.025"),
    text("openai/gpt-4o", OPENAI_BEFORE, "2.50", "10", "1.25", batch__input="1.25", batch__output="5"),
    text("openai/gpt-4o-mini", OPENAI_BEFORE, "0.15", "0.60", "0.075"),
    text("openai/gpt-4o-2024-05-13", OPENAI_BEFORE, "5", "15"),
    text("openai/o1", OPENAI_BEFORE, "15", "60", "7.50"),
    text("openai/o1-pro", OPENAI_BEFORE, "150", "600"),
    text("openai/o3-mini", OPENAI_BEFORE, "1.10", "4.40", "0.55"),
    text("openai/o4-mini", OPENAI_BEFORE, "1.10", "4.40", "0.275"),
    text("gemini/gemini-2.5-pro", GEMINI, "1.25", "10", input_over_200000="2.50", output_over_200000="15"),
    text("gemini/gemini-2.5-flash", GEMINI, "0.30", "2.50", input_audio="1", batch__input="0.15"),
    text("gemini/gemini-2.5-flash-lite", GEMINI, "0.10", "0.40"),
    text("gemini/gemini-3.1-flash-lite", GEMINI, "0.25", "1.50"),
    text("gemini/gemini-3.5-flash", GEMINI, "1.50", "9"),
    text("gemini/gemini-3.1-pro-preview", GEMINI, "2", "12", input_over_200000="4"),
    text("gemini/gemini-3.8-flash", GEMINI, "0.75", "3.75"),
    Published("gemini/gemini-3.1-pro-preview", {"output>200000": "18", "search": "0.014"}, GEMINI),
    Published("gemini/gemini-2.5-pro", {"search": "0.035"}, GEMINI),
    Published("gemini/gemini-3-pro-image", {"output_image": "120"}, GEMINI),
    Published("gemini/gemini-embedding-2", {"input": "0.20"}, GEMINI),
    text("deepseek/deepseek-flash", DEEPSEEK, "0.30", "1.20", "0.006"),
    text("deepseek/deepseek-v4-pro", DEEPSEEK, "1.32", "3.96", "0.044"),
    text("xai/grok-4.6", XAI, "2", "6"),
    text("xai/grok-4.5", XAI, "2", "6", input_over_200000="4"),
    text("xai/grok-4.3", XAI, "1.25", "2.50", "0.20", input_over_200000="2.50"),
    text("xai/grok-4.20-0309-reasoning", XAI, "1.25", "2.50"),
    text("xai/grok-build-0.1", XAI, "1", "2"),
    text("mistral/mistral-large-latest", MISTRAL, "0.50", "1.50"),
    text("mistral/mistral-large-2411", MISTRAL, "2", "6"),
    text("mistral/mistral-medium-3-5", MISTRAL, "1.50", "7.50"),
    text("mistral/mistral-medium-2505", MISTRAL, "0.40", "2"),
    text("mistral/ministral-3b-2512", MISTRAL, "0.10", "0.10"),
    text("mistral/mistral-large-4", MISTRAL_DOCS, "1.36", "4.18"),
    text("groq/llama-3.1-8b-instant", GROQ, "0.05", "0.08"),
    text("groq/llama-3.3-70b-versatile", GROQ, "0.59", "0.79"),
    text("groq/openai/gpt-oss-120b", GROQ, "0.15", "0.60"),
    text("groq/meta-llama/llama-4-scout-17b-16e-instruct", GROQ, "0.11", "0.34"),
    Published("groq/whisper-large-v3-turbo", {"second": "0.00001111"}, GROQ),  # $0.04 an hour
    text("perplexity/sonar", PERPLEXITY, "1", "1"),
    text("perplexity/sonar-pro", PERPLEXITY, "3", "15"),
    text("perplexity/sonar-reasoning-pro", PERPLEXITY, "2", "8"),
    text("perplexity/sonar-deep-research", PERPLEXITY, "2", "8", reasoning="3"),
    Published("voyage/voyage-3-large", {"input": "0.18"}, VOYAGE),
    Published("voyage/rerank-2.5", {"input": "0.05"}, VOYAGE),
    Published("voyage/rerank-2.5-lite", {"input": "0.02"}, VOYAGE),
    text("bedrock/amazon.nova-pro-v1:0", BEDROCK, "0.80", "3.20", "0.20", batch__input="0.40", batch__output="1.60"),
    text("bedrock/amazon.nova-lite-v1:0", BEDROCK, "0.06", "0.24"),
    text("bedrock/amazon.nova-micro-v1:0", BEDROCK, "0.035", "0.14"),
    text("cohere/command-r-08-2024", COHERE, "0.15", "0.60"),
    text("cohere/command-r7b-12-2024", COHERE, "0.0375", "0.15"),
    Published("cohere/embed-v4.0", {"input": "0.12"}, COHERE),
    Published("cohere/rerank-v4.0-fast", {"search": "0.002"}, COHERE),  # $2 per thousand
    Published("cohere/rerank-v4.0-pro", {"search": "0.0025"}, COHERE),
    text("deepinfra/meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", DEEPINFRA, "0.02", "0.04"),
    text("deepinfra/meta-llama/Llama-3.3-70B-Instruct-Turbo", DEEPINFRA, "0.10", "0.32"),
    text("deepinfra/meta-llama/Llama-4-Scout-17B-16E-Instruct", DEEPINFRA, "0.10", "0.30"),
    text("cloudflare/@cf/meta/llama-2-7b-chat-fp16", CLOUDFLARE, "0.556", "6.667"),
    text("cloudflare/@cf/meta/llama-3.2-1b-instruct", CLOUDFLARE, "0.027", "0.201"),
    text("cloudflare/@cf/meta/llama-3.3-70b-instruct-fp8-fast", CLOUDFLARE, "0.293", "2.253"),
    Published("cloudflare/@cf/baai/bge-base-en-v1.5", {"input": "0.067"}, CLOUDFLARE),
    text("cloudflare/@cf/mistral/mistral-7b-instruct-v0.1", CLOUDFLARE, "0.110", "0.190"),
)


def pico(name: str, usd: str) -> int:
    """Return the published dollars as the table's pico-dollars per unit."""
    shape = RATE.fullmatch(name)
    assert shape is not None
    return int(Decimal(usd) * (10**6 if shape[2] in TOKEN_RATES else 10**12))


def of(name: str, model_rate: str) -> int:
    """Return the table's rate, stated or derived."""
    price = price_of(*name.split("/", 1))
    assert price is not None, f"{name} has no price"
    variant, rate, above = RATE.fullmatch(model_rate).groups()  # type: ignore[union-attr]  # pico() has matched it
    schedule = price.variants[variant] if variant else price
    rates = next((tier.rates for tier in schedule.tiers if tier.above == int(above)), None) if above else schedule.rates
    assert rates is not None, f"{name} has no {model_rate}"
    return int(getattr(rates, rate))


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda case: f"{case.name}:{','.join(case.rates)}")
def test_the_table_has_the_published_price(published: Published) -> None:
    expected = {rate: pico(rate, usd) for rate, usd in published.rates.items()}
    assert {rate: of(published.name, rate) for rate in expected} == expected


def test_sixty_prices_of_ten_providers_were_read_by_hand() -> None:
    assert len(PUBLISHED) >= 60
    assert len({case.name.partition("/")[0] for case in PUBLISHED}) >= 10
    assert {case.page for case in PUBLISHED} == set(SEEN)
