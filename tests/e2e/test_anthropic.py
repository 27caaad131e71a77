"""Anthropic's own SDK through the gateway: every operation, whole and streamed, by its base URL and key alone."""

from collections.abc import AsyncIterator, Iterator

import anthropic
import pytest
from tests.e2e.front import KEY, UPSTREAM, Front

from portico.testing import tokens

pytestmark = pytest.mark.xdist_group("e2e-anthropic")

MODEL = "claude-haiku-4-5"
TARGET = "anthropic/claude-haiku-4-5"
HELLO = [{"role": "user", "content": "Hello [mock tokens=9]"}]
TOOL = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(front: Front) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=front.url, api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
async def aclient(front: Front) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=front.url, api_key=KEY, max_retries=0) as made:
        yield made


def test_a_whole_message_is_answered_counted_and_priced(client, front):
    raw = client.messages.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=100)
    reply = raw.parse()
    settled = front.agrees(raw.headers, target=TARGET)
    assert tokens(reply.content[0].text) == reply.usage.output_tokens == settled.usage.output == 9
    assert reply.usage.input_tokens == settled.usage.input
    assert settled.cost == settled.usage.input * 3000 + 9 * 12000
    assert settled.entry.header("anthropic-version")
    assert settled.entry.header("x-api-key") == UPSTREAM
    assert KEY not in str(settled.entry.headers)


@pytest.mark.parametrize("options", ["", " split=1", " split=7"])
def test_a_streamed_message_says_the_same_as_a_whole_one(client, front, options):
    messages = [{"role": "user", "content": f"Hello [mock tokens=9{options}]"}]
    asked = {"model": MODEL, "messages": messages, "max_tokens": 100}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
        headers = stream.response.headers
    assert streamed.content[0].text == whole.content[0].text
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.stop_reason == "end_turn"
    front.agrees(headers, target=TARGET, stream=True)


def test_raw_events_come_in_their_order(client, front):
    raw = client.messages.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=100, stream=True)
    kinds = [event.type for event in raw.parse()]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    front.agrees(raw.headers, target=TARGET, stream=True)


def test_tools_and_thinking_whole_and_streamed(client, front):
    asked = {"model": MODEL, "messages": HELLO, "max_tokens": 2000, "tools": [TOOL], "tool_choice": {"type": "any"}}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        assert stream.get_final_message().content[0].input == whole.content[0].input
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    asked = {"model": MODEL, "messages": HELLO, "max_tokens": 2000, **thinking}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
        headers = stream.response.headers
    assert [block.type for block in streamed.content] == ["thinking", "text"]
    assert streamed.content[0].thinking == whole.content[0].thinking
    assert streamed.content[0].signature == whole.content[0].signature
    settled = front.settled(headers)
    # Anthropic's reply does not say how much of the output was thought.
    assert settled.usage.output_total == settled.entry.usage.output_total
    assert settled.cost == settled.entry.cost


def test_what_a_cache_holds_has_its_own_price(client, front):
    messages = [{"role": "user", "content": "x" * 400 + "[mock tokens=9 cached=50 cache_write=20]"}]
    raw = client.messages.with_raw_response.create(model=MODEL, messages=messages, max_tokens=99)
    settled = front.agrees(raw.headers, target=TARGET)
    assert (settled.usage.cache_read, settled.usage.cache_write_5m) == (50, 20)
    assert settled.cost == settled.usage.input * 3000 + 50 * 300 + 20 * 3750 + 9 * 12000


def test_betas_and_unknown_fields_go_through(client, front):
    client.messages.create(
        model=MODEL,
        messages=HELLO,
        max_tokens=9,
        extra_headers={"anthropic-beta": "made-up-2026-01-01"},
        extra_body={"made_up": {"deep": [1, None]}},
    )
    entry = front.entries()[-1]
    assert entry.header("anthropic-beta") == "made-up-2026-01-01"
    assert entry.json == {"model": MODEL, "messages": HELLO, "max_tokens": 9, "made_up": {"deep": [1, None]}}


def test_counting_tokens_is_free(client, front):
    raw = client.messages.with_raw_response.count_tokens(model=MODEL, messages=HELLO)
    assert raw.parse().input_tokens > 0
    record = front.record(raw.headers["x-request-id"])
    assert (record["operation"], record["status"], record["target"]) == ("messages_count_tokens", 200, TARGET)
    assert not record["cost_nano_usd"]


def test_the_models_that_a_key_may_use_are_listed(client, front):
    names = [model.id for model in client.models.list()]
    assert TARGET in names
    assert client.models.retrieve(TARGET).id == TARGET
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nobody/nothing")
    assert front.entries() == []


def test_a_bearer_token_is_taken_as_well(front):
    with anthropic.Anthropic(base_url=front.url, auth_token=KEY, api_key=None, max_retries=0) as client:
        assert client.messages.create(model=MODEL, messages=HELLO, max_tokens=9).content[0].text
    assert front.entries()[-1].key == UPSTREAM


async def test_the_async_client_whole_and_streamed(aclient, front):
    whole = await aclient.messages.create(model=MODEL, messages=HELLO, max_tokens=99)
    async with aclient.messages.stream(model=MODEL, messages=HELLO, max_tokens=99) as stream:
        said = "".join([text async for text in stream.text_stream])
    assert said == whole.content[0].text
    assert [entry.outcome for entry in front.entries()] == ["served", "served"]
