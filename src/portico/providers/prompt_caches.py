"""How long providers keep prompts, so that a call that begins like another one is cheaper and faster there.

`marked` providers keep what a request marks (`cache_control`, `cachePoint`), the others whatever is long enough. The
seconds are those that a provider's page says at least, from the last use on; where it says none, five minutes are
taken. What is not in the table counts as cached where its replies say so, for as long. All pages read on 2026-11-20.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class PromptCache(msgspec.Struct, frozen=True):
    """What a provider does with prompts: kept for `seconds`, from so many tokens on (`least`).

    `extended` is for how long where a request asks for that (`prompt_cache_retention: 24h`), 0 where none can.
    """

    seconds: float
    source: str
    marked: bool = False
    least: int = 1024
    extended: float = 0.0


USUAL: Final = 300.0
HOUR: Final = 3600.0
"""How long what is marked for an hour is kept (Anthropic and those who host its models)."""
_ANTHROPIC: Final = "platform.claude.com/docs/en/build-with-claude/prompt-caching"
_OPENAI: Final = "developers.openai.com/api/docs/guides/prompt-caching"
_AZURE: Final = "learn.microsoft.com/azure/foundry/openai/how-to/prompt-caching"
_GEMINI: Final = "ai.google.dev/gemini-api/docs/caching (no lifetime said)"
_VERTEX: Final = "docs.cloud.google.com/…/context-cache/context-cache-overview (no lifetime said)"
_BEDROCK: Final = "docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html"
_XAI: Final = "docs.x.ai/developers/advanced-api-usage/prompt-caching/best-practices (no lifetime said)"

PROMPT_CACHES: Mapping[str, PromptCache] = MappingProxyType(
    {
        "openai": PromptCache(300, _OPENAI, extended=86_400),
        "azure": PromptCache(300, _AZURE, extended=86_400),
        "azure_ai": PromptCache(300, _AZURE, extended=86_400),
        "anthropic": PromptCache(300, _ANTHROPIC, marked=True),
        "azure_anthropic": PromptCache(300, _ANTHROPIC, marked=True),
        "bedrock": PromptCache(300, _BEDROCK, marked=True),
        "gemini": PromptCache(300, _GEMINI, least=2048),
        "gemini_openai": PromptCache(300, _GEMINI, least=2048),
        "vertex": PromptCache(300, _VERTEX, least=2048),
        "deepseek": PromptCache(3600, "api-docs.deepseek.com/guides/kv_cache (hours to days)", least=64),
        "groq": PromptCache(7200, "console.groq.com/docs/prompt-caching"),
        "xai": PromptCache(300, _XAI),
        "fireworks": PromptCache(300, "docs.fireworks.ai/guides/prompt-caching (no lifetime said)"),
    }
)
"""By the catalog's row of a provider."""
