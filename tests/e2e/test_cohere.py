"""Cohere's own SDK through the gateway: every operation, whole and streamed, by its base URL and key alone."""

import json
from collections.abc import Iterator

import cohere
import pytest
from tests.e2e.front import KEY, UPSTREAM, Front

from portico.testing import tokens

pytestmark = pytest.mark.xdist_group("e2e-cohere")

MODEL = "command-a-03-2025"
TARGET = "cohere/command-a-03-2025"
HELLO = [{"role": "user", "content": "Hello [mock tokens=9]"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(front: Front) -> Iterator[cohere.ClientV2]:
    with cohere.ClientV2(base_url=front.url, api_key=KEY) as made:
        yield made


def test_a_whole_chat_is_answered_counted_and_priced(client, front):
    raw = client.with_raw_response.chat(model=MODEL, messages=HELLO)
    settled = front.agrees(raw.headers, target=TARGET)
    assert tokens(raw.data.message.content[0].text) == settled.usage.output == 9
    assert raw.data.usage.tokens.input_tokens == settled.usage.input
    assert settled.cost == settled.usage.input * 3000 + 9 * 12000
    assert settled.entry.header("authorization") == f"Bearer {UPSTREAM}"
    assert KEY not in str(settled.entry.headers)


@pytest.mark.parametrize("options", ["", " split=1", " split=7"])
def test_a_streamed_chat_says_the_same_as_a_whole_one(client, front, options):
    asked = {"model": MODEL, "messages": [{"role": "user", "content": f"Hello [mock tokens=9{options}]"}]}
    whole = client.chat(**asked)
    with client.with_raw_response.chat_stream(**asked) as raw:
        events = list(raw.data)
    said = "".join(event.delta.message.content.text for event in events if event.type == "content-delta")
    assert said == whole.message.content[0].text
    assert events[-1].delta.usage.tokens == whole.usage.tokens
    front.agrees(raw.headers, target=TARGET, stream=True)


def test_tools_whole_and_streamed(client):
    asked = {"model": MODEL, "messages": HELLO, "tools": [TOOL], "tool_choice": "REQUIRED"}
    made = client.chat(**asked).message.tool_calls[0].function
    assert json.loads(made.arguments)["city"]
    parts = [
        event.delta.message.tool_calls.function.arguments
        for event in client.chat_stream(**asked)
        if event.type == "tool-call-delta"
    ]
    assert "".join(parts) == made.arguments


def test_embed_and_rerank(client, front):
    raw = client.with_raw_response.embed(
        model="embed-v4.0",
        texts=["a cat"],
        input_type="search_document",
        embedding_types=["float"],
        output_dimension=16,
    )
    assert [len(row) for row in raw.data.embeddings.float_] == [16]
    settled = front.settled(raw.headers)
    assert (settled.usage, settled.record["basis"]) == (settled.entry.usage, "reported")
    raw = client.with_raw_response.rerank(
        model="rerank-v3.5", query="what is ruby", documents=["paris", "ruby is a language", "ruby"], top_n=2
    )
    assert [result.index for result in raw.data.results] == [1, 2]
    settled = front.settled(raw.headers)
    assert (settled.usage.searches, settled.cost) == (1, 2_000_000)


async def test_the_async_client_whole_and_streamed(front):
    async with cohere.AsyncClientV2(base_url=front.url, api_key=KEY) as client:
        whole = await client.chat(model=MODEL, messages=HELLO)
        said = [
            event.delta.message.content.text
            async for event in client.chat_stream(model=MODEL, messages=HELLO)
            if event.type == "content-delta"
        ]
    assert "".join(said) == whole.message.content[0].text
    assert [entry.outcome for entry in front.entries()] == ["served", "served"]
