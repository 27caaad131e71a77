"""Which operation of a provider serves a call, where the model decides too."""

import pytest

from portico.dialects.stand_ins import upstream_operation
from portico.providers.row import CATALOG

VERTEX = frozenset(
    (
        "generate_content",
        "stream_generate_content",
        "gemini_count_tokens",
        "embed_content",
        "batch_embed_contents",
        "predict",
        "messages",
        "messages_count_tokens",
        "chat",
    )
)
BEDROCK = frozenset(("converse", "converse_stream", "converse_count_tokens", "invoke", "invoke_stream", "chat"))
MANTLE = frozenset(("chat", "responses", "models", "messages"))
CLAUDE, GEMINI = "claude-sonnet-4-5@20250929", "gemini-2.5-flash"


@pytest.mark.parametrize(
    ("operation", "offered", "model", "expected"),
    [
        # Vertex AI: the path says whose model it is
        ("messages", VERTEX, CLAUDE, "messages"),
        ("messages", VERTEX, GEMINI, "generate_content"),
        ("generate_content", VERTEX, CLAUDE, "messages"),
        ("generate_content", VERTEX, GEMINI, "generate_content"),
        ("chat", VERTEX, CLAUDE, "messages"),
        ("chat", VERTEX, GEMINI, "generate_content"),
        ("chat", VERTEX, "google/gemini-2.5-flash", "chat"),
        ("chat", VERTEX, "meta/llama-4-maverick-17b-128e-instruct-maas", "chat"),
        ("messages_count_tokens", VERTEX, GEMINI, "gemini_count_tokens"),
        ("gemini_count_tokens", VERTEX, CLAUDE, "messages_count_tokens"),
        ("responses_input_tokens", VERTEX, GEMINI, "gemini_count_tokens"),
        ("embeddings", VERTEX, "text-embedding-005", "predict"),
        ("embeddings", VERTEX, "gemini-embedding-2", "batch_embed_contents"),
        ("embed_content", VERTEX, "text-embedding-005", "predict"),
        ("predict", VERTEX, "imagen-4.0-generate-001", "predict"),
        # Bedrock: invoke is for whatever the model takes
        ("embeddings", BEDROCK, "amazon.titan-embed-text-v2:0", "invoke"),
        ("cohere_embed", BEDROCK, "us.cohere.embed-v4:0", "invoke"),
        ("embeddings", BEDROCK, "amazon.nova-lite-v1:0", None),
        ("cohere_rerank", BEDROCK, "cohere.rerank-v3-5:0", "invoke"),
        ("cohere_rerank", BEDROCK, "cohere.embed-v4:0", None),
        ("invoke", BEDROCK, "amazon.nova-lite-v1:0", "invoke"),
        ("messages_count_tokens", BEDROCK, "anthropic.claude-haiku-4-5-20251001-v1:0", "converse_count_tokens"),
        # Bedrock: Chat Completions is for OpenAI's models, Converse for all
        ("chat", BEDROCK, "openai.gpt-oss-120b-1:0", "chat"),
        ("responses", BEDROCK, "arn:aws:bedrock:us-east-1::foundation-model/openai.gpt-oss-20b-1:0", "chat"),
        ("converse", BEDROCK, "openai.gpt-oss-120b-1:0", "converse"),
        ("chat", BEDROCK, "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "converse"),
        ("completions", BEDROCK, "amazon.nova-lite-v1:0", "converse"),
        ("responses", BEDROCK, "amazon.nova-lite-v1:0", "converse"),
        ("generate_content", BEDROCK, "meta.llama3-1-8b-instruct-v1:0", "converse"),
        ("cohere_chat", BEDROCK, "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", "converse"),
        ("chat", frozenset(("chat",)), "anthropic.claude-haiku-4-5-20251001-v1:0", "chat"),
        # Bedrock's second endpoint: Claude by Messages, others by OpenAI's
        ("chat", MANTLE, "anthropic.claude-opus-4-7", "messages"),
        ("responses", MANTLE, "us.anthropic.claude-opus-4-7", "messages"),
        ("chat", MANTLE, "openai.gpt-oss-120b", "chat"),
        ("converse", MANTLE, "anthropic.claude-opus-4-7", "messages"),
        # another gateway, which has both for all its models
        ("chat", frozenset(("chat", "messages")), "bedrock/anthropic.claude-opus-4-7", "chat"),
        # where a provider's operations are for all its models
        ("embed_content", frozenset(("batch_embed_contents", "generate_content")), "m", "batch_embed_contents"),
        ("batch_embed_contents", frozenset(("embeddings", "chat")), "m", "embeddings"),
        ("rerank", frozenset(("cohere_rerank",)), "m", "cohere_rerank"),
        ("invoke", frozenset(("embeddings",)), "m", "embeddings"),
        ("embeddings", frozenset(("chat",)), "m", None),
        ("rerank", frozenset(("embeddings",)), "m", None),
        ("gemini_count_tokens", frozenset(("chat",)), "m", None),
        ("moderations", frozenset(("chat",)), "m", None),
    ],
)
def test_an_operation_that_fits_the_model_is_taken(
    operation: str, offered: frozenset[str], model: str, expected: str | None
) -> None:
    quirks = ("claude_by_messages",) if offered is MANTLE else ()
    assert upstream_operation(operation, offered, stream=False, model=model, quirks=quirks) == expected


def test_a_row_says_that_claude_speaks_messages_alone() -> None:
    assert "claude_by_messages" in CATALOG["bedrock_mantle"].quirks
