"""Cohere's own SDK against the mock."""

import json
from collections.abc import Iterator

import cohere
import pytest

from portico.testing import HostedMock, MockProvider, tokens

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def client(hosted: HostedMock) -> Iterator[cohere.ClientV2]:
    with cohere.ClientV2(base_url=hosted.url, api_key="co-key") as made:
        yield made


@pytest.mark.parametrize("options", ["", "&split=1", "&split=7"])
def test_whole_and_streamed_are_the_same(client, hosted, options):
    asked = {"model": f"any?tokens=9{options}", "messages": HELLO}
    whole = client.chat(**asked)
    events = list(client.chat_stream(**asked))
    text = whole.message.content[0].text
    assert tokens(text) == 9
    assert "".join(e.delta.message.content.text for e in events if e.type == "content-delta") == text
    assert events[-1].delta.finish_reason == whole.finish_reason == "COMPLETE"
    assert events[-1].delta.usage.tokens == whole.usage.tokens
    usage = hosted.ledger.last.usage
    assert (whole.usage.tokens.input_tokens, whole.usage.tokens.output_tokens) == (usage.input, usage.output)
    assert hosted.ledger.last.key == "co-key"


def test_tools_whole_and_streamed(client):
    asked = {"model": "any", "messages": HELLO, "tools": [TOOL], "tool_choice": "REQUIRED"}
    whole = client.chat(**asked)
    assert whole.finish_reason == "TOOL_CALL"
    made = whole.message.tool_calls[0].function
    assert json.loads(made.arguments)["city"]
    parts = [
        event.delta.message.tool_calls.function.arguments
        for event in client.chat_stream(**asked)
        if event.type == "tool-call-delta"
    ]
    assert "".join(parts) == made.arguments


def test_json_schema_thinking_and_bounds(client, hosted):
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    reply = client.chat(model="any", messages=HELLO, response_format={"type": "json_object", "json_schema": schema})
    assert json.loads(reply.message.content[0].text)["title"]
    thought = client.chat(model="any", messages=HELLO, thinking={"type": "enabled"})
    assert thought.message.content[0].type == "thinking"
    assert hosted.ledger.last.usage.reasoning == tokens(thought.message.content[0].thinking)
    assert client.chat(model="any", messages=HELLO, max_tokens=3).finish_reason == "MAX_TOKENS"


def test_embed_and_rerank(client, hosted):
    made = client.embed(
        model="any",
        texts=["a cat", "a dog"],
        input_type="search_document",
        embedding_types=["float", "int8", "ubinary"],
        output_dimension=16,
    )
    assert [len(row) for row in made.embeddings.float_] == [16, 16]
    assert [len(row) for row in made.embeddings.ubinary] == [2, 2]
    assert made.meta.billed_units.input_tokens == hosted.ledger.last.usage.input
    ranked = client.rerank(
        model="any", query="what is ruby", documents=["paris", "ruby is a language", "ruby"], top_n=2
    )
    assert [result.index for result in ranked.results] == [1, 2]
    assert ranked.meta.billed_units.search_units == hosted.ledger.last.usage.searches == 1


@pytest.mark.parametrize(
    ("control", "raised"),
    [
        ("status=400", cohere.BadRequestError),
        ("status=401", cohere.UnauthorizedError),
        ("status=404", cohere.NotFoundError),
        ("status=429&retry_after=0", cohere.TooManyRequestsError),
        ("status=500&retry_after=0", cohere.InternalServerError),
    ],
)
def test_errors_are_raised_as_the_sdk_names_them(client, control, raised):
    with pytest.raises(raised) as caught:
        client.chat(model=f"any?{control}", messages=HELLO, request_options={"max_retries": 0})
    assert "message" in caught.value.body


def test_an_error_in_mid_stream_ends_it_with_the_reason(client, hosted):
    events = list(client.chat_stream(model="any?tokens=30&fault=error-mid-stream&at=4", messages=HELLO))
    assert events[-1].delta.finish_reason == "ERROR"
    assert hosted.ledger.last.usage.output == 2


async def test_the_async_client_whole_and_streamed(mock: MockProvider):
    async with cohere.AsyncClientV2(base_url=mock.url, api_key="co-key") as client:
        whole = await client.chat(model="any", messages=HELLO)
        said = [
            event.delta.message.content.text
            async for event in client.chat_stream(model="any", messages=HELLO)
            if event.type == "content-delta"
        ]
    assert "".join(said) == whole.message.content[0].text
