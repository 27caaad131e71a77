"""Calls that are no conversations and cross all the same: embeddings, rankings, counts; and calls without a model."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.gateway.test_crossing import MODELS, caller

from portico.testing.faults import Canned
from portico.testing.mock import MockProvider
from portico.testing.shapes.vectors import vector

Portico = Callable[..., Any]

BEDROCK = {"options": {"region": "us-east-1"}}
EMBEDDERS = {
    "openai": "text-embedding-3-small",
    "gemini": "gemini-embedding-001",
    "cohere": "embed-v4.0",
    "bedrock": "amazon.titan-embed-text-v2:0",
    "voyage": "voyage-3.5",
    "jina_ai": "jina-embeddings-v3",
}
TEXTS = ["Rain", "Sun and rain", "Snow"]


ROOTS = {"gemini": "/v1beta", "cohere": "", "bedrock": ""}


def declared(mock: MockProvider, name: str) -> dict[str, Any]:
    """Return the configuration of a provider that is the mock."""
    base = mock.url + ROOTS.get(name, "/v1")
    return {
        "like": name,
        "base_url": base,
        "api_key": "sk-upstream-0123456789",
        **(BEDROCK if name == "bedrock" else {}),
    }


def embedding(shape: str, model: str) -> tuple[str, dict[str, Any]]:
    """Return path and body of a call for embeddings as a client of this shape makes it."""
    quoted = model.replace("/", "%2F")
    match shape:
        case "openai":
            return "/v1/embeddings", {"model": model, "input": TEXTS, "dimensions": 8}
        case "gemini":
            requests = [{"content": {"parts": [{"text": text}]}, "outputDimensionality": 8} for text in TEXTS]
            return f"/v1beta/models/{quoted}:batchEmbedContents", {"requests": requests}
        case "cohere":
            body = {"model": model, "texts": TEXTS, "input_type": "search_document", "output_dimension": 8}
            return "/v2/embed", {**body, "embedding_types": ["float"]}
        case "vertex":
            body = {"instances": [{"content": text} for text in TEXTS], "parameters": {"outputDimensionality": 8}}
            return f"/v1/publishers/google/models/{quoted}:predict", body
    return f"/model/{quoted}/invoke", {"texts": TEXTS, "input_type": "search_document", "output_dimension": 8}


def vectors(shape: str, reply: Any) -> list[list[float]]:
    match shape:
        case "openai":
            return [datum["embedding"] for datum in reply["data"]]
        case "gemini":
            return [each["values"] for each in reply["embeddings"]]
        case "vertex":
            return [each["embeddings"]["values"] for each in reply["predictions"]]
        case "bedrock":
            return reply["embeddings"]
    return reply["embeddings"]["float"]


@pytest.mark.parametrize("to", EMBEDDERS)
@pytest.mark.parametrize("shape", ["openai", "gemini", "cohere", "vertex", "bedrock"])
async def test_vectors_for_a_client_of_any_shape_come_from_a_provider_of_any(
    portico: Portico, mock: MockProvider, shape: str, to: str
) -> None:
    model = f"{to}/{EMBEDDERS[to]}"
    async with portico({"providers": {to: declared(mock, to)}}) as gateway:
        path, body = embedding(shape, model)
        if (shape, to) == ("bedrock", "bedrock"):
            body = {"inputText": TEXTS[0], "dimensions": 8}
        status, headers, reply = await gateway.call(path, body)
        (record,) = gateway.records()
    assert status == 200, reply
    assert headers["x-portico-target"] == model
    if (shape, to) == ("bedrock", "bedrock"):
        assert json.loads(reply)["embedding"] == vector(TEXTS[0], 8)
    else:
        sizes = {len(each) for each in vectors(shape, json.loads(reply))}
        # The mock of OpenAI's shape does not know Voyage's word for the size.
        assert sizes == ({1536} if to == "voyage" else {8})
        assert len(vectors(shape, json.loads(reply))) == len(TEXTS)
    assert record["usage"]["input"] == sum(entry.usage.input for entry in mock.ledger.entries)
    assert record.get("error") is None


async def test_what_takes_one_text_at_a_time_is_asked_for_each_in_one_call(
    portico: Portico, mock: MockProvider
) -> None:
    model = "bedrock/amazon.titan-embed-text-v2:0"
    texts = [f"text number {at}" for at in range(20)]
    async with portico({"providers": {"bedrock": declared(mock, "bedrock")}}) as gateway:
        status, headers, reply = await gateway.call("/v1/embeddings", {"model": model, "input": texts})
        (record,) = gateway.records()
    assert status == 200
    assert [datum["embedding"] for datum in json.loads(reply)["data"]] == [vector(text, 1024) for text in texts]
    assert headers["x-portico-attempts"] == "20"
    assert len(record["attempts"]) == 20
    assert record["usage"]["input"] == sum(entry.usage.input for entry in mock.ledger.entries) > 20
    assert record["cost_nano_usd"] == record["usage"]["input"] * 20  # $0.02 a million


async def test_where_one_of_several_requests_fails_the_call_fails_and_the_others_are_paid(
    portico: Portico, mock: MockProvider
) -> None:
    mock.script("status=200", "status=200", "status=400")
    model = "bedrock/amazon.titan-embed-text-v2:0"
    async with portico({"providers": {"bedrock": declared(mock, "bedrock")}}) as gateway:
        status, _, reply = await gateway.call("/v1/embeddings", {"model": model, "input": ["a", "b", "c"]})
        (record,) = gateway.records()
    assert status == 400
    assert "message" in json.loads(reply)["error"]
    assert record["error"] == "upstream_status"
    assert record["usage"]["input"] == 2


async def test_tokens_that_a_provider_does_not_tell_are_an_estimate_in_the_reply_and_unknown_in_the_record(
    portico: Portico, mock: MockProvider
) -> None:
    mock.script(Canned(200, chunks=[json.dumps({"embeddings": [{"values": [0.5]}]}).encode()]))
    body = {"model": "gemini/gemini-embedding-001", "input": "It rains on the sea."}
    async with portico({"providers": {"gemini": declared(mock, "gemini")}}) as gateway:
        status, headers, reply = await gateway.call("/v1/embeddings", body)
        (record,) = gateway.records()
    assert (status, headers["x-portico-estimate"]) == (200, "true")
    assert 4 <= json.loads(reply)["usage"]["prompt_tokens"] <= 9
    assert record.get("usage") is None


async def test_pictures_are_paid_for_where_they_are_billed_and_not_told(portico: Portico, mock: MockProvider) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    body = {"model": "bedrock/amazon.titan-embed-image-v1", "images": [picture], "input_type": "image"}
    async with portico({"providers": {"bedrock": declared(mock, "bedrock")}}) as gateway:
        status, _, reply = await gateway.call("/v2/embed", {**body, "embedding_types": ["float"]})
        (record,) = gateway.records()
    assert status == 200
    assert json.loads(reply)["meta"]["billed_units"]["images"] == 1
    assert record["usage"]["images"] == 1
    assert record["cost_nano_usd"] >= 60_000  # $0.00006 a picture


async def test_what_an_embedding_loses_is_named_or_refused(portico: Portico, mock: MockProvider) -> None:
    body = {"model": "cohere/embed-v4.0", "input": "Rain", "user": "u-1"}
    async with portico({"providers": {"cohere": declared(mock, "cohere")}}) as gateway:
        status, headers, _ = await gateway.call("/v1/embeddings", body)
        strict, _, refusal = await gateway.call("/v1/embeddings", body, headers={"x-portico-strict": "true"})
        tokens, _, told = await gateway.call("/v1/embeddings", {**body, "input": [[1, 2]]})
    assert (status, headers["x-portico-dropped"]) == (200, "user")
    assert (strict, tokens) == (400, 400)
    assert json.loads(refusal)["error"]["param"] == "user"
    assert json.loads(told)["error"]["param"] == "input"


async def test_an_embedding_falls_back_to_another_shape(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always("status=503")
    config = {
        "providers": {"openai": declared(mock, "openai"), "cohere": declared(other, "cohere")},
        "models": {"vectors": ["openai/text-embedding-3-small", "cohere/embed-v4.0"]},
    }
    async with portico(config) as gateway:
        status, headers, _ = await gateway.call("/v1/embeddings", {"model": "vectors", "input": "Rain"})
    assert (status, headers["x-portico-target"]) == (200, "cohere/embed-v4.0")


async def test_a_model_that_makes_no_vectors_is_refused(portico: Portico, mock: MockProvider) -> None:
    async with portico({"providers": {"bedrock": declared(mock, "bedrock")}}) as gateway:
        body = {"model": "bedrock/amazon.nova-lite-v1:0", "input": "Rain"}
        status, _, reply = await gateway.call("/v1/embeddings", body)
    assert status == 400
    assert "no embeddings endpoint" in json.loads(reply)["error"]["message"]


# Rankings

RANKERS = {
    "cohere": "rerank-v3.5",
    "jina_ai": "jina-reranker-v2-base-multilingual",
    "voyage": "rerank-2.5",
    "bedrock": "cohere.rerank-v3-5:0",
}
DOCUMENTS = ["Snow falls", "Rain falls on the sea", "The sun"]
QUERY = "rain sea"
RANKINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "cohere": ("/v2/rerank", {"query": QUERY, "documents": DOCUMENTS, "top_n": 2}),
    "jina": ("/v1/rerank", {"query": QUERY, "documents": DOCUMENTS, "top_n": 2, "return_documents": True}),
    "cohere v1": (
        "/v1/rerank",
        {"query": QUERY, "documents": [{"text": text} for text in DOCUMENTS], "top_n": 2, "return_documents": True},
    ),
    "voyage": ("/v1/rerank", {"query": QUERY, "documents": DOCUMENTS, "top_k": 2, "truncation": True}),
}


@pytest.mark.parametrize("to", RANKERS)
@pytest.mark.parametrize("shape", RANKINGS)
async def test_a_ranking_for_a_client_of_any_shape_comes_from_a_provider_of_any(
    portico: Portico, mock: MockProvider, shape: str, to: str
) -> None:
    path, body = RANKINGS[shape]
    model = f"{to}/{RANKERS[to]}"
    async with portico({"providers": {to: declared(mock, to)}}) as gateway:
        status, headers, reply = await gateway.call(path, {**body, "model": model})
        (record,) = gateway.records()
    told = json.loads(reply)
    assert status == 200, reply
    assert "x-portico-dropped" not in headers
    results = told["data"] if shape == "voyage" else told["results"]
    assert results[0]["index"] == 1
    assert len(results) == 2
    assert all(0 < each["relevance_score"] <= 1 for each in results)
    if shape in ("jina", "cohere v1"):
        assert results[0]["document"] == {"text": DOCUMENTS[1]}
    used = mock.ledger.last.usage
    counted = {name: value for name, value in record["usage"].items() if value}
    searched = mock.ledger.last.operation in ("cohere_rerank", "invoke")
    if searched:
        assert counted == {"searches": 1}
        assert record["cost_nano_usd"] == 2_000_000  # $2 a thousand
        if shape == "cohere":
            assert told["meta"]["billed_units"] == {"search_units": 1}
    else:
        assert counted == {"input": used.input}
    if shape == "voyage":
        assert told["usage"]["total_tokens"] == (0 if searched else used.input)


# Counts

COUNTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "anthropic": (
        "/v1/messages/count_tokens",
        {"messages": [{"role": "user", "content": "How is the weather?"}], "system": "Be brief."},
        "input_tokens",
    ),
    "responses": (
        "/v1/responses/input_tokens",
        {"input": "How is the weather?", "instructions": "Be brief."},
        "input_tokens",
    ),
    "gemini": (
        "/v1beta/models/{}:countTokens",
        {
            "generateContentRequest": {
                "model": "models/x",
                "contents": [{"role": "user", "parts": [{"text": "How is the weather?"}]}],
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
            }
        },
        "totalTokens",
    ),
    "bedrock": (
        "/model/{}/count-tokens",
        {
            "input": {
                "converse": {
                    "messages": [{"role": "user", "content": [{"text": "How is the weather?"}]}],
                    "system": [{"text": "Be brief."}],
                }
            }
        },
        "inputTokens",
    ),
}
COUNTERS = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
}
TALKERS = {"cohere": "command-a-03-2025", "groq": "llama-3.3-70b-versatile", "bedrock": "amazon.nova-lite-v1:0"}


def counting(shape: str, model: str) -> tuple[str, dict[str, Any], str]:
    path, body, field = COUNTS[shape]
    if "{}" in path:
        return path.format(model.replace("/", "%2F")), body, field
    return path, {**body, "model": model}, field


@pytest.mark.parametrize("to", COUNTERS)
@pytest.mark.parametrize("shape", COUNTS)
async def test_a_provider_with_a_counter_counts_for_a_client_of_any_shape(
    portico: Portico, mock: MockProvider, shape: str, to: str
) -> None:
    async with portico({"providers": {to: declared(mock, to)}}) as gateway:
        path, body, field = counting(shape, f"{to}/{COUNTERS[to]}")
        status, headers, reply = await gateway.call(path, body)
        (record,) = gateway.records()
    assert status == 200, reply
    assert json.loads(reply)[field] == mock.ledger.last.usage.input > 0
    assert "x-portico-estimate" not in headers
    assert record.get("error") is None


@pytest.mark.parametrize("to", TALKERS)
@pytest.mark.parametrize("shape", COUNTS)
async def test_where_there_is_no_counter_an_estimate_is_declared(
    portico: Portico, mock: MockProvider, shape: str, to: str
) -> None:
    model = f"{to}/{TALKERS[to]}"
    async with portico({"providers": {to: declared(mock, to)}}) as gateway:
        path, body, field = counting(shape, model)
        status, headers, reply = await gateway.call(path, body)
        (record,) = gateway.records()
    told = json.loads(reply)
    assert status == 200, reply
    assert (headers["x-portico-estimate"], headers["x-portico-target"]) == ("true", model)
    assert told["estimate"] is True
    assert 8 <= told[field] <= 20
    assert len(record.get("attempts", ())) == len(mock.ledger.entries) == (1 if to == "bedrock" else 0)
    assert record.get("cost_nano_usd") in (None, 0)
    assert (record["status"], record.get("error")) == (200, None)


async def test_a_count_that_cannot_be_read_is_refused_in_the_callers_words(
    portico: Portico, mock: MockProvider
) -> None:
    async with portico({"providers": {"groq": declared(mock, "groq")}}) as gateway:
        body = {"model": "groq/x", "messages": "no list"}
        status, _, reply = await gateway.call("/v1/messages/count_tokens", body)
    assert status == 400
    assert json.loads(reply)["error"]["type"] == "invalid_request_error"


# Calls without a model


async def test_moderations_need_no_model_where_one_provider_has_them(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    config = {"providers": {"openai": declared(mock, "openai"), "anthropic": declared(other, "anthropic")}}
    async with portico(config) as gateway:
        status, headers, reply = await gateway.call("/v1/moderations", {"input": "I like violence"})
        images, *_ = await gateway.call("/v1/images/generations", {"prompt": "a cat"})
        chat, _, refused = await gateway.call("/v1/chat/completions", {"messages": []})
    assert (status, headers["x-portico-target"]) == (200, "openai/omni-moderation-latest")
    assert json.loads(reply)["results"][0]["flagged"] is True
    assert images == 200
    assert b'"model"' not in mock.ledger.last.body, "the provider chooses"
    assert chat == 400
    assert json.loads(refused)["error"]["param"] == "model"


async def test_of_several_providers_the_lone_star_says_who_moderates(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    config = {
        "providers": {"first": declared(mock, "openai"), "second": declared(other, "openai")},
        "models": {"*": ["second/*"]},
    }
    async with portico(config) as gateway:
        status, headers, _ = await gateway.call("/v1/moderations", {"input": "hello"})
    assert (status, headers["x-portico-target"]) == (200, "second/omni-moderation-latest")


async def test_an_alias_for_the_usual_model_comes_first(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    config = {
        "providers": {"openai": declared(mock, "openai"), "mistral": declared(other, "mistral")},
        "models": {"omni-moderation-latest": ["mistral/mistral-moderation-latest"]},
    }
    async with portico(config) as gateway:
        _, headers, _ = await gateway.call("/v1/moderations", {"input": "hello"})
    assert headers["x-portico-target"] == "mistral/mistral-moderation-latest"


async def test_a_key_limited_to_models_may_not_leave_the_model_open(portico: Portico, mock: MockProvider) -> None:
    config = {
        "providers": {"openai": declared(mock, "openai")},
        "keys": {"narrow": {"key": "sk-narrow-0123456789", "models": ["gpt-4o-mini"]}},
    }
    async with portico(config) as gateway:
        status, *_ = await gateway.call("/v1/moderations", {"input": "x"}, key="sk-narrow-0123456789")
        images, *_ = await gateway.call("/v1/images/generations", {"prompt": "x"}, key="sk-narrow-0123456789")
    assert status == images == 403


# A provider that answers whole where a stream was asked for


@pytest.mark.parametrize("to", ["openai", "anthropic"])
@pytest.mark.parametrize("dialect", ["chat", "responses", "messages", "gemini", "converse", "cohere"])
async def test_a_whole_reply_to_a_streamed_question_becomes_a_stream(
    portico: Portico, mock: MockProvider, dialect: str, to: str
) -> None:
    if (dialect, to) in (("chat", "openai"), ("responses", "openai"), ("messages", "anthropic")):
        pytest.skip("the same dialect passes as it is")
    whole = {
        "openai": {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Rain"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        },
        "anthropic": {
            "id": "c",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": "Rain"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 2},
        },
    }[to]
    name = "cohere_openai" if to == "openai" else to  # of OpenAI's APIs it has chat alone
    mock.script(Canned(200, [(b"content-type", b"application/json")], [json.dumps(whole).encode()]))
    async with portico({"providers": {name: declared(mock, name)}}) as gateway:
        path, body = caller(dialect, f"{name}/{MODELS[to]}", True)
        status, headers, reply = await gateway.call(path, body)
        (record,) = gateway.records()
    assert status == 200, reply
    kind = "application/vnd.amazon.eventstream" if dialect == "converse" else "text/event-stream"
    assert headers["content-type"].startswith(kind)
    assert b"Rain" in reply
    ends = {
        "chat": b"[DONE]",
        "responses": b"response.completed",
        "messages": b"message_stop",
        "gemini": b'"finishReason":"STOP"',
        "converse": b"messageStop",
        "cohere": b"message-end",
    }
    assert ends[dialect] in reply
    assert (record["usage"]["input"], record["usage"]["output"]) == (3, 2)
    assert record.get("error") is None


# Errors


@pytest.mark.parametrize("status", [400, 401, 404, 429, 503])
@pytest.mark.parametrize(
    ("shape", "to"), [("openai", "cohere"), ("cohere", "openai"), ("gemini", "bedrock"), ("vertex", "cohere")]
)
async def test_an_error_of_a_foreign_embedder_is_told_in_the_callers_words(
    portico: Portico, mock: MockProvider, shape: str, to: str, status: int
) -> None:
    mock.script.always(f"status={status}&retry_after=7")
    async with portico({"providers": {to: declared(mock, to)}}) as gateway:
        path, body = embedding(shape, f"{to}/{EMBEDDERS[to]}")
        found, headers, reply = await gateway.call(path, body)
        (record,) = gateway.records()
    told = json.loads(reply)
    assert found == status
    assert headers.get("retry-after") == "7"
    message = told["message"] if shape == "cohere" else told["error"]["message"]
    assert message
    assert "{" not in message, "the provider's own words, taken out of its body"
    assert record["error"] == "upstream_status"
    assert record.get("cost_nano_usd") is None


async def test_the_words_of_those_who_rank_are_told(portico: Portico, mock: MockProvider) -> None:
    refused = Canned(400, [(b"content-type", b"application/json")], [b'{"detail":"the model is not known"}'])
    mock.script(refused)
    async with portico({"providers": {"voyage": declared(mock, "voyage")}}) as gateway:
        status, _, reply = await gateway.call("/v2/rerank", {**RANKINGS["cohere"][1], "model": "voyage/rerank-9"})
    assert (status, json.loads(reply)["message"]) == (400, "the model is not known")
