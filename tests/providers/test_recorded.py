"""Where the recorded calls went is where the catalog sends them."""

from urllib.parse import quote, unquote

import pytest
from tests.framing.recordings import load

from portico.config import schema
from portico.providers.catalog import CATALOG, Provider, resolve

NAMES = {"jina": "jina_ai", "friendli": "friendliai", "aleph_alpha": "", "vercel_gateway": "vercel_ai_gateway"}
APIS = {
    "chat": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    "responses": "responses",
    "messages": "messages",
    "count_tokens": "messages_count_tokens",
    "moderations": "moderations",
    "rerank": "rerank",
    "images_generations": "images_generations",
    "images_edits": "images_edits",
    "audio_speech": "audio_speech",
    "audio_transcriptions": "audio_transcriptions",
    "audio_translations": "audio_translations",
    "generateContent": "generate_content",
    "streamGenerateContent": "stream_generate_content",
    "countTokens": "gemini_count_tokens",
    "embedContent": "embed_content",
    "batchEmbedContents": "batch_embed_contents",
    "v2_chat": "cohere_chat",
    "v2_embed": "cohere_embed",
    "v2_rerank": "cohere_rerank",
    "converse": "converse",
    "converse_stream": "converse_stream",
    "invoke": "invoke",
    "invoke_with_response_stream": "invoke_stream",
}
ELSEWHERE = {
    # where recorded calls went to a place that is not the provider's documented one, or to an older one
    ("openai", "/v1/organization/usage/embeddings"): "the administration's API",
    ("azure_ai", "/models/chat/completions"): "the older model inference API",
    ("ollama", "/api/chat"): "its own API",
    ("ollama", "/api/embed"): "its own API",
    ("ollama", "/api/embeddings"): "its own API",
    ("ollama", "/api/generate"): "its own API",
    ("anthropic", "/v1/chat/completions"): "its OpenAI-compatible layer, which it advises against",
    ("deepseek", "/beta/chat/completions"): "the beta of chat prefix completion",
    ("gemini", "/v1beta/openai/chat/completions"): "the row gemini_openai",
    ("huggingface", "/hyperbolic/v1/chat/completions"): "an older address per partner",
    ("huggingface", "/together/v1/chat/completions"): "an older address per partner",
    ("zai", "/api/coding/paas/v4/chat/completions"): "a subscription's address, which is no API's",
}
RECORDED = [
    "ai21",
    "anthropic",
    "azure_ai",
    "bedrock",
    "bedrock_mantle",
    "cerebras",
    "cloudflare",
    "cohere",
    "crusoe",
    "dashscope",
    "databricks",
    "deepseek",
    "doubleword",
    "gemini",
    "groq",
    "heroku",
    "huggingface",
    "llamacpp",
    "mistral",
    "moonshot",
    "ollama",
    "openai",
    "openrouter",
    "perplexity",
    "snowflake",
    "together",
    "venice",
    "vercel_ai_gateway",
    "voyage",
    "writer",
    "xai",
    "zai",
]
OPTIONS = {
    "snowflake": {"account": "example-account"},
    "databricks": {"host": "example-workspace.azuredatabricks.net"},
    "azure_ai": {"resource": "example-resource"},
    "cloudflare": {"account_id": "ACCOUNT"},
}


def provider(name: str) -> Provider:
    return resolve(name, schema.Provider(api_key="KEY", options=OPTIONS.get(name, {})), {"HOME": "/nonexistent"})


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_calls_went_where_the_catalog_sends_them(name: str) -> None:
    chosen = provider(name)
    checked = 0
    for record in load():
        request = record["request"]
        operation = APIS.get(record["api"])
        path, host = request.get("path") or "", request.get("host")
        if NAMES.get(record["provider"], record["provider"]) != name or operation is None or "{model}" in path:
            continue
        if operation == "images_edits" and path.endswith("/images/variations"):
            operation = "images_variations"  # the recordings count them together
        if host != chosen.base.authority or (name, path) in ELSEWHERE or operation not in chosen.operations:
            continue
        endpoint = chosen.endpoint(operation, "MODEL")
        assert endpoint is not None
        before, hole, after = endpoint.path.partition("MODEL")
        assert path.startswith(before), record["id"]
        assert path.endswith(after), record["id"]
        if hole:
            model = unquote(path[len(before) : len(path) - len(after)])
            written = chosen.endpoint(operation, model)
            assert written is not None
            assert unquote(written.path) == unquote(quote(path, safe="/%:@!"))
        else:
            assert path == endpoint.path, record["id"]
        checked += 1
    assert checked, f"nothing was recorded of {name}: leave it out of this list"


def test_every_provider_in_the_exceptions_is_in_the_catalog() -> None:
    assert {name for name, _ in ELSEWHERE} <= set(CATALOG)
    assert set(OPTIONS) <= set(CATALOG)
