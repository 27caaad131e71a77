"""Which operation a path is, whatever stands before it: `/v1/chat/completions`, `/any/prefix/chat/completions` …"""

from functools import lru_cache
from urllib.parse import unquote

import msgspec

from portico.types import Dialect


class Route(msgspec.Struct, frozen=True):
    """An operation, the dialect its errors are in, and the model where the path names it."""

    operation: str
    dialect: Dialect
    model: str | None = None


_ONE: dict[str, Route] = {
    "completions": Route("completions", "chat"),
    "embeddings": Route("embeddings", "chat"),
    "responses": Route("responses", "responses"),
    "moderations": Route("moderations", "chat"),
    "rerank": Route("rerank", "chat"),
    "messages": Route("messages", "messages"),
}
_TWO: dict[tuple[str, str], Route] = {
    ("chat", "completions"): Route("chat", "chat"),
    ("responses", "input_tokens"): Route("responses_input_tokens", "responses"),
    ("responses", "compact"): Route("responses_compact", "responses"),
    ("images", "generations"): Route("images_generations", "chat"),
    ("images", "edits"): Route("images_edits", "chat"),
    ("images", "variations"): Route("images_variations", "chat"),
    ("audio", "speech"): Route("audio_speech", "chat"),
    ("audio", "transcriptions"): Route("audio_transcriptions", "chat"),
    ("audio", "translations"): Route("audio_translations", "chat"),
    ("messages", "count_tokens"): Route("messages_count_tokens", "messages"),
    ("v2", "chat"): Route("cohere_chat", "cohere"),
    ("v2", "embed"): Route("cohere_embed", "cohere"),
    ("v2", "rerank"): Route("cohere_rerank", "cohere"),
}
_VERBS: dict[str, tuple[str, Dialect]] = {
    "generateContent": ("generate_content", "gemini"),
    "streamGenerateContent": ("stream_generate_content", "gemini"),
    "countTokens": ("gemini_count_tokens", "gemini"),
    "embedContent": ("embed_content", "gemini"),
    "batchEmbedContents": ("batch_embed_contents", "gemini"),
    "predict": ("vertex_predict", "gemini"),
    "rawPredict": ("vertex_raw", "messages"),
    "streamRawPredict": ("vertex_raw_stream", "messages"),
}
_BEDROCK: dict[str, str] = {
    "converse": "converse",
    "converse-stream": "converse_stream",
    "count-tokens": "converse_count_tokens",
    "invoke": "invoke",
    "invoke-with-response-stream": "invoke_stream",
}


@lru_cache(maxsize=4096)
def route(method: str, path: str) -> Route | None:
    """Return what a request is for, or None for a path that no provider here has."""
    parts = path.rstrip("/").split("/")
    last = parts[-1]
    before = parts[-2] if len(parts) > 1 else ""
    if method == "POST":
        found = _TWO.get((before, last))
        if found is None and last in _BEDROCK and len(parts) > 2 and "model" in parts[:-1]:
            model = unquote("/".join(parts[parts.index("model") + 1 : -1]))
            return Route(_BEDROCK[last], "converse", model)
        found = found or _ONE.get(last)
        if found is None and ":" in unquote(last):
            model, _, verb = unquote(last).rpartition(":")
            if model == "count-tokens":
                return Route("messages_count_tokens", "messages")
            if verb in _VERBS:
                operation, dialect = _VERBS[verb]
                return Route(operation, dialect, model)
        if found is not None and "deployments" in parts:
            at = parts.index("deployments") + 1
            return Route(found.operation, found.dialect, unquote(parts[at]))
        return found
    if method == "GET" and last == "models":
        return Route("models", "chat")
    if method == "GET" and "models" in parts:
        return Route("model", "chat", unquote("/".join(parts[parts.index("models") + 1 :])))
    return None
