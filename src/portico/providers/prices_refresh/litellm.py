"""Reads the table of models in the wheel of litellm: JSON, a row per model, dollars per unit. Nothing of it is run."""

import re
import zipfile
from pathlib import Path
from typing import Any

import msgspec

from portico.providers.prices_refresh.facts import (
    Fact,
    Harvest,
    anthropic_cache_writes,
    pico_dollars,
)

TABLE = "litellm/model_prices_and_context_window_backup.json"

PROVIDERS = {
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "bigmodel": "zhipu",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "gradient_ai": "digitalocean",
    "text-completion-codestral": "codestral",
    "text-completion-inception": "inception",
    "text-completion-openai": "openai",
    "scx-ai": "scx_ai",
    "together_ai": "together",
    "vertex_ai": "vertex",
}
"""Providers that litellm calls otherwise than the catalog. Those of `vertex_ai-…` are all `vertex`."""

NOT_PROVIDERS = frozenset(
    {
        *("agentcore", "apiserpent", "bing_grounding", "chatgpt", "dataforseo", "duckduckgo", "exa_ai", "firecrawl"),
        *("google_pse", "linkup", "microsoft_365_copilot", "nimble", "parallel_ai", "sagemaker", "searxng", "serper"),
        *("tavily", "tinyfish", "transcribe", "you_com"),
    }
)
"""Search engines, subscriptions, and places whose price depends on rented hardware."""

MODES = {
    "audio_speech": "speech",
    "audio_transcription": "transcription",
    "chat": "chat",
    "completion": "completion",
    "embedding": "embedding",
    "image_edit": "image",
    "image_generation": "image",
    "moderation": "moderation",
    "ocr": "ocr",
    "realtime": "realtime",
    "rerank": "rerank",
    "responses": "responses",
    "video_generation": "video",
}

TOKENS = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost_above_12hr": "cache_write_1h",  # OpenAI's long-lived write: the longer of the two
    "input_cost_per_audio_token": "input_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "reasoning",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
}
FIELD = re.compile(
    rf"({'|'.join(sorted(TOKENS, key=len, reverse=True))})(?:_above_(\d+)k_tokens)?"
    r"(?:_(batches|flex|priority|ultrafast|balanced))?"
)

CAPABILITIES = {
    "supports_audio_input": "audio_in",
    "supports_audio_output": "audio_out",
    "supports_computer_use": "computer_use",
    "supports_function_calling": "tools",
    "supports_pdf_input": "pdf",
    "supports_prompt_caching": "caching",
    "supports_reasoning": "reasoning",
    "supports_response_schema": "json_schema",
    "supports_video_input": "video",
    "supports_vision": "vision",
    "supports_web_search": "web_search",
}

NO_MODEL = re.compile(r"\d+-x-\d+|-commitment/|model[-_]router|^(together-ai|fireworks-ai)-|^streaming/|\*")
"""Names of what is not a model that a caller can ask for: an image's size, rented throughput, a class of price."""

Row = dict[str, Any]


def read(wheel: Path, source: str) -> Harvest:
    """Return what the wheel says."""
    with zipfile.ZipFile(wheel) as archive:
        table: dict[str, Row] = msgspec.json.decode(archive.read(TABLE))
    harvest = Harvest(source)
    for name, row in table.items():
        theirs = row.get("litellm_provider", "")
        mode = MODES.get(row.get("mode", ""))
        if mode is None or theirs in NOT_PROVIDERS:
            harvest.leave("not a model that can be called", name)
            continue
        model = _bare(name, theirs)
        if NO_MODEL.search(model):
            harvest.leave("not the name of a model", name)
            continue
        harvest.take(_fact(_provider(theirs), model, mode, row))
    return harvest


def _provider(theirs: str) -> str:
    return "vertex" if theirs.startswith("vertex_ai") else PROVIDERS.get(theirs, theirs)


def _bare(name: str, theirs: str) -> str:
    """Return a model's name without the provider that litellm writes before it."""
    before = {theirs, theirs.partition("-")[0], theirs.replace("_", "-"), _provider(theirs), "bedrock", "azure"}
    first, slash, rest = name.partition("/")
    return rest if slash and first in before else name


def _fact(provider: str, model: str, mode: str, row: Row) -> Fact:
    rates = anthropic_cache_writes(_token_rates(row) | _tiered_rates(row), model) | _fast_rates(row)
    return Fact(
        provider=provider,
        model=model,
        mode=mode,
        context_window=_size(row, "max_input_tokens"),
        max_output=_size(row, "max_output_tokens") if mode in {"chat", "completion", "responses", "realtime"} else None,
        rates=rates | _unit_rates(mode, row, rates),
        capabilities={word for field, word in CAPABILITIES.items() if row.get(field) is True},
        deprecated=row.get("deprecation_date") or "",
    )


def _size(row: Row, field: str) -> int | None:
    size = row.get(field)
    return int(size) if isinstance(size, int | float) and size > 0 else None


def _token_rates(row: Row) -> dict[str, int]:
    rates = {}
    for field, dollars in row.items():
        shape = FIELD.fullmatch(field)
        if shape and isinstance(dollars, int | float):
            name, thousands, variant = shape.groups()
            rates[_rate(TOKENS[name], int(thousands or 0) * 1000, variant)] = pico_dollars(dollars)
    return rates


def _rate(rate: str, above: int = 0, variant: str | None = None) -> str:
    before = {None: "", "batches": "batch."}.get(variant, f"{variant}.")
    return f"{before}{rate}>{above}" if above else before + rate


def _tiered_rates(row: Row) -> dict[str, int]:
    """Return the rates of rows that give a list of ranges of input tokens; a range begins where the last one ends."""
    return {
        _rate(TOKENS[field], int(tier["range"][0])): pico_dollars(dollars)
        for tier in row.get("tiered_pricing", ())
        for field, dollars in tier.items()
        if field in TOKENS and "range" in tier
    }


def _fast_rates(row: Row) -> dict[str, int]:
    """Return the rates of Anthropic's fast mode, given as a factor on everything."""
    factor = (row.get("provider_specific_entry") or {}).get("fast")
    if not isinstance(factor, int | float):
        return {}
    return {f"fast.{name}": pico_dollars(row[field] * factor) for field, name in TOKENS.items() if field in row}


def _unit_rates(mode: str, row: Row, tokens: dict[str, int]) -> dict[str, int]:
    """Return the rates of what is not a token.

    Some rows give the same sale twice, by the piece and by its tokens, or on the way in and on the way out; each is
    taken once: tokens before pieces, and for sound the side that the mode is about.
    """
    found: dict[str, object] = {}
    web_search = row.get("search_context_cost_per_query")
    if isinstance(web_search, dict):
        found["search"] = web_search.get("search_context_size_medium")
    if mode == "rerank":
        found["search"] = row.get("input_cost_per_query")
    if mode == "ocr":
        found |= {"page": row.get("ocr_cost_per_page"), "batch.page": row.get("ocr_cost_per_page_batches")}
    if mode == "image" and not (tokens.get("output_image") or tokens.get("output")):
        found["image"] = row.get("output_cost_per_image") or row.get("input_cost_per_image")
    if mode == "embedding":
        found["image"] = row.get("input_cost_per_image")
    if mode == "speech" and not tokens.get("input"):
        found["character"] = row.get("input_cost_per_character")
    if mode in {"transcription", "realtime"} and not (tokens.get("input_audio") or tokens.get("input")):
        found["second"] = row.get("input_cost_per_second") or row.get("output_cost_per_second")
    if mode in {"speech", "video"} and not (
        tokens.get("output_audio") or tokens.get("output") or found.get("character")
    ):
        found["second"] = row.get("output_cost_per_second") or row.get("output_cost_per_video_per_second")
    if mode == "chat":
        found["call"] = row.get("input_cost_per_request")
    return {name: pico_dollars(rate) for name, rate in found.items() if isinstance(rate, int | float) and rate}
