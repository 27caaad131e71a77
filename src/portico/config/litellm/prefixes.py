"""What litellm calls a provider, and which row of the catalog that is.

Source: docs.litellm.ai/docs/providers and docs/proxy/configs, read November 2026.
"""

import re
from typing import Final

import msgspec


class Row(msgspec.Struct, frozen=True):
    """A row of the catalog, as far as an import needs it.

    `key` is the variable that litellm reads the key from where a deployment gives none. `fixed`: there is one public
    address, so that a deployment with an address of its own is another provider.
    """

    name: str
    key: str | None = None
    fixed: bool = True


def _row(name: str, key: str | None = None, *, fixed: bool = True) -> Row:
    return Row(name, key if key is not None or not fixed else f"{name.upper()}_API_KEY", fixed)


_OPENAI = _row("openai")
_AZURE = _row("azure", "AZURE_API_KEY", fixed=False)
_AZURE_AI = _row("azure_ai", "AZURE_AI_API_KEY", fixed=False)
_BEDROCK = Row("bedrock")
_VERTEX = Row("vertex")
_COHERE = _row("cohere")
_OLLAMA = _row("ollama", fixed=False)
_VLLM = _row("vllm", "HOSTED_VLLM_API_KEY", fixed=False)

ROWS: Final[dict[str, Row]] = {
    "ai21": _row("ai21"),
    "ai21_chat": _row("ai21"),
    "anthropic": _row("anthropic"),
    "anthropic_text": _row("anthropic"),
    "azure": _AZURE,
    "azure_text": _AZURE,
    "azure_ai": _AZURE_AI,
    "baseten": _row("baseten"),
    "bedrock": _BEDROCK,
    "bedrock_converse": _BEDROCK,
    "cerebras": _row("cerebras"),
    "codestral": _row("codestral"),
    "cohere": _COHERE,
    "cohere_chat": _COHERE,
    "custom_openai": _OPENAI,
    "dashscope": _row("dashscope"),
    "databricks": _row("databricks", "DATABRICKS_API_KEY", fixed=False),
    "deepinfra": _row("deepinfra"),
    "deepseek": _row("deepseek"),
    "docker_model_runner": _row("docker_model_runner", fixed=False),
    "featherless_ai": _row("featherless", "FEATHERLESS_AI_API_KEY"),
    "fireworks_ai": _row("fireworks", "FIREWORKS_AI_API_KEY"),
    "friendliai": _row("friendliai", "FRIENDLI_TOKEN"),
    "gemini": _row("gemini"),
    "github": _row("github"),
    "groq": _row("groq"),
    "gradient_ai": _row("digitalocean", "GRADIENT_AI_API_KEY"),
    "hosted_vllm": _VLLM,
    "huggingface": _row("huggingface"),
    "hyperbolic": _row("hyperbolic"),
    "jina_ai": _row("jina_ai", "JINA_AI_API_KEY"),
    "litellm_proxy": _row("litellm", "LITELLM_PROXY_API_KEY", fixed=False),
    "llamafile": _row("llamafile", fixed=False),
    "lm_studio": _row("lm_studio", "LM_STUDIO_API_KEY", fixed=False),
    "minimax": _row("minimax"),
    "mistral": _row("mistral"),
    "moonshot": _row("moonshot"),
    "morph": _row("morph"),
    "nebius": _row("nebius"),
    "novita": _row("novita"),
    "nscale": _row("nscale"),
    "nvidia_nim": _row("nvidia", "NVIDIA_NIM_API_KEY"),
    "ollama": _OLLAMA,
    "ollama_chat": _OLLAMA,
    "openai": _OPENAI,
    "openai_like": _OPENAI,
    "openrouter": _row("openrouter"),
    "ovhcloud": _row("ovhcloud"),
    "perplexity": _row("perplexity", "PERPLEXITYAI_API_KEY"),
    "sambanova": _row("sambanova"),
    "text-completion-openai": _OPENAI,
    "together_ai": _row("together", "TOGETHERAI_API_KEY"),
    "v0": _row("v0"),
    "vercel_ai_gateway": _row("vercel_ai_gateway"),
    "vertex_ai": _VERTEX,
    "vertex_ai_beta": _VERTEX,
    "vllm": _VLLM,
    "volcengine": _row("volcengine"),
    "voyage": _row("voyage"),
    "wandb": _row("wandb"),
    "xai": _row("xai"),
    "xinference": _row("xinference", "XINFERENCE_API_KEY", fixed=False),
    "zai": _row("zai"),
}
"""By litellm's prefix, as in `groq/llama-3.3-70b`."""

_BARE: Final = (
    (re.compile(r"(ft:)?(gpt-|chatgpt-|o[1-9](-|$)|babbage-|davinci-)"), "openai"),
    (re.compile(r"text-embedding-(3|ada)|dall-e-|whisper-|tts-|omni-moderation"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-|text-bison|chat-bison|textembedding-gecko"), "vertex_ai"),
    (re.compile(r"(us\.|eu\.|apac\.|global\.)?(anthropic|amazon|meta|mistral|cohere|ai21|deepseek)\.[a-z]"), "bedrock"),
    (re.compile(r"command-|embed-(english|multilingual)-|rerank-"), "cohere"),
    (re.compile(r"(open-)?(mistral|mixtral|codestral|ministral)-"), "mistral"),
    (re.compile(r"deepseek-(chat|reasoner)$"), "deepseek"),
    (re.compile(r"grok-"), "xai"),
)  # fmt: skip


def guess(model: str) -> str | None:
    """Return the prefix that litellm would find for a model's bare name; None where it could not know."""
    return next((prefix for pattern, prefix in _BARE if pattern.match(model)), None)
