"""The providers' own SDKs at the gateway, for embeddings, rankings, counts and the list of models."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import boto3
import cohere
import openai
import pytest
from anthropic import AsyncAnthropic
from botocore.config import Config
from google import genai
from google.genai import types
from google.genai.client import AsyncClient
from openai import AsyncOpenAI
from tests.gateway.test_beyond_chat import COUNTERS, EMBEDDERS, RANKERS, TALKERS, declared

from gateway_in_loop import MASTER, Running
from portico.testing.mock import MockProvider
from portico.testing.shapes.vectors import vector

Portico = Callable[..., Any]

TEXTS = ["Rain", "Sun"]


def openai_client(gateway: Running) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=MASTER, max_retries=0)


@asynccontextmanager
async def gemini_client(gateway: Running) -> AsyncIterator[AsyncClient]:
    client = genai.Client(api_key=MASTER, vertexai=False, http_options=types.HttpOptions(base_url=gateway.url))
    try:
        yield client.aio
    finally:
        await client.aio.aclose()
        client.close()


def cohere_client(gateway: Running) -> cohere.AsyncClientV2:
    return cohere.AsyncClientV2(api_key=MASTER, base_url=gateway.url)


@contextmanager
def bedrock_client(gateway: Running) -> Iterator[Any]:
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=gateway.url,
        region_name="us-east-1",
        aws_access_key_id=MASTER,
        aws_secret_access_key="unused-secret",
        config=Config(retries={"max_attempts": 0, "mode": "standard"}),
    )
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("to", ["openai", "gemini", "cohere", "bedrock", "jina_ai"])
async def test_openais_client_gets_floats_though_it_asks_for_base64(
    portico: Portico, mock: MockProvider, to: str
) -> None:
    async with portico({"providers": {to: declared(mock, to)}}) as gateway, openai_client(gateway) as client:
        model = f"{to}/{EMBEDDERS[to]}"
        reply = await client.embeddings.create(model=model, input=TEXTS, dimensions=8)
        plain = await client.embeddings.create(model=model, input="Rain", dimensions=8, encoding_format="float")
    assert [datum.index for datum in reply.data] == [0, 1]
    for datum, text in zip(reply.data, TEXTS, strict=True):
        assert datum.embedding == pytest.approx(vector(text, 8), abs=1e-6)
    assert plain.data[0].embedding == pytest.approx(vector("Rain", 8), abs=1e-6)
    assert reply.usage.prompt_tokens > 0


@pytest.mark.parametrize("to", ["openai", "gemini", "cohere", "bedrock"])
async def test_googles_client_gets_vectors_of_any_provider(portico: Portico, mock: MockProvider, to: str) -> None:
    async with portico({"providers": {to: declared(mock, to)}}) as gateway, gemini_client(gateway) as client:
        config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=8)
        reply = await client.models.embed_content(model=f"{to}/{EMBEDDERS[to]}", contents=TEXTS, config=config)
    assert reply.embeddings is not None
    assert [each.values for each in reply.embeddings] == [vector(text, 8) for text in TEXTS]


@pytest.mark.parametrize("to", ["openai", "gemini", "cohere", "bedrock"])
async def test_coheres_client_gets_vectors_of_any_provider(portico: Portico, mock: MockProvider, to: str) -> None:
    async with portico({"providers": {to: declared(mock, to)}}) as gateway, cohere_client(gateway) as client:
        reply = await client.embed(
            model=f"{to}/{EMBEDDERS[to]}",
            texts=TEXTS,
            input_type="search_document",
            embedding_types=["float", "base64"],
            output_dimension=8,
        )
    assert reply.embeddings.float_ == [vector(text, 8) for text in TEXTS]
    assert reply.embeddings.base64 is not None
    assert len(reply.embeddings.base64) == 2
    assert reply.meta is not None
    assert reply.meta.billed_units is not None
    assert reply.meta.billed_units.input_tokens == 2


async def test_tokens_for_another_provider_are_an_error_that_openais_client_knows(
    portico: Portico, mock: MockProvider
) -> None:
    config = {"providers": {"cohere": declared(mock, "cohere")}}
    async with portico(config) as gateway, openai_client(gateway) as client:
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length") as caught:
            await client.embeddings.create(model="cohere/embed-v4.0", input=[[1, 2, 3]])
    assert caught.value.param == "input"


@pytest.mark.parametrize("to", RANKERS)
async def test_coheres_client_gets_rankings_of_any_provider(portico: Portico, mock: MockProvider, to: str) -> None:
    documents = ["Snow falls", "Rain falls on the sea"]
    async with portico({"providers": {to: declared(mock, to)}}) as gateway, cohere_client(gateway) as client:
        reply = await client.rerank(model=f"{to}/{RANKERS[to]}", query="rain sea", documents=documents, top_n=1)
    assert [each.index for each in reply.results] == [1]
    assert reply.meta is not None
    billed = reply.meta.billed_units
    assert billed is not None
    assert billed.search_units == 1 or (billed.input_tokens or 0) > 0


@pytest.mark.parametrize("to", COUNTERS)
async def test_every_client_counts_with_the_providers_counter(portico: Portico, mock: MockProvider, to: str) -> None:
    model = f"{to}/{COUNTERS[to]}"
    async with portico({"providers": {to: declared(mock, to)}}) as gateway:
        counts = await counted(gateway, model)
    assert all(count > 0 for count in counts.values()), counts
    assert len(mock.ledger.entries) == 4


@pytest.mark.parametrize("to", ["cohere", "groq"])
async def test_every_client_reads_an_estimate(portico: Portico, mock: MockProvider, to: str) -> None:
    async with portico({"providers": {to: declared(mock, to)}}) as gateway:
        counts = await counted(gateway, f"{to}/{TALKERS[to]}")
    assert all(3 <= count <= 30 for count in counts.values()), counts
    assert not mock.ledger.entries


async def counted(gateway: Running, model: str) -> dict[str, int]:
    """Return what each SDK that counts tokens says of the same message."""
    said = "How is the weather?"
    async with AsyncAnthropic(base_url=gateway.url, api_key=MASTER, max_retries=0) as client:
        anthropics = await client.messages.count_tokens(model=model, messages=[{"role": "user", "content": said}])
    async with openai_client(gateway) as openais:
        responses = await openais.responses.input_tokens.count(model=model, input=said)
    async with gemini_client(gateway) as geminis:
        gemini = await geminis.models.count_tokens(model=model, contents=said)
    with bedrock_client(gateway) as bedrocks:
        bedrock = await asyncio.to_thread(
            bedrocks.count_tokens,
            modelId=model,
            input={"converse": {"messages": [{"role": "user", "content": [{"text": said}]}]}},
        )
    return {
        "anthropic": anthropics.input_tokens,
        "responses": responses.input_tokens,
        "gemini": gemini.total_tokens or 0,
        "bedrock": bedrock["inputTokens"],
    }


async def test_openais_client_moderates_without_a_model(portico: Portico, mock: MockProvider) -> None:
    config = {"providers": {"openai": declared(mock, "openai"), "cohere": declared(mock, "cohere")}}
    async with portico(config) as gateway, openai_client(gateway) as client:
        reply = await client.moderations.create(input="some violence")
    assert reply.results[0].categories.violence is True


# The list of models

LISTED = {
    "providers": {},
    "models": {f"model-{at}": ["openai/gpt-4o-mini"] for at in range(7)},
}


def listing(mock: MockProvider) -> dict[str, Any]:
    return {**LISTED, "providers": {"openai": declared(mock, "openai")}}


async def test_openais_client_lists_and_finds_models(portico: Portico, mock: MockProvider) -> None:
    async with portico(listing(mock)) as gateway, openai_client(gateway) as client:
        names = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("model-3")
        target = await client.models.retrieve("openai/gpt-4o-mini")
        bare = await client.models.retrieve("gpt-4o-mini")  # calls may name it so
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nobody")
    assert names[:7] == [f"model-{at}" for at in range(7)]
    assert "openai/gpt-4o-mini" in names
    assert (one.id, target.id) == ("model-3", "openai/gpt-4o-mini")
    assert (bare.id, bare.owned_by) == ("gpt-4o-mini", "openai")


async def test_anthropics_client_pages_through_models(portico: Portico, mock: MockProvider) -> None:
    async with (
        portico(listing(mock)) as gateway,
        AsyncAnthropic(base_url=gateway.url, api_key=MASTER, max_retries=0) as client,
    ):
        first = await client.models.list(limit=3)
        names = [model.id async for model in first]
        every = [model.id async for model in client.models.list(limit=1000)]
        before = await client.models.list(limit=2, before_id="model-4")
        one = await client.models.retrieve("model-3")
    assert [model.id for model in first.data] == ["model-0", "model-1", "model-2"]
    assert first.has_more
    assert names == every
    assert [model.id for model in before.data] == ["model-2", "model-3"]
    assert (one.id, one.type) == ("model-3", "model")


async def test_googles_client_pages_through_models(portico: Portico, mock: MockProvider) -> None:
    async with portico(listing(mock)) as gateway, gemini_client(gateway) as client:
        pager = await client.models.list(config={"page_size": 3})
        sizes = len(pager.page)
        names = [model.name async for model in pager]
        one = await client.models.get(model="model-3")
    assert sizes == 3
    assert names[:7] == [f"models/model-{at}" for at in range(7)]
    assert "models/openai/gpt-4o-mini" in names
    assert len(names) == len(set(names))
    assert one.name == "models/model-3"
    assert one.supported_actions is not None
    assert "generateContent" in one.supported_actions
