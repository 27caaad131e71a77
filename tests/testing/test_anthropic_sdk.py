"""Anthropic's own SDK against the mock."""

from collections.abc import AsyncIterator, Iterator

import anthropic
import pytest

from portico.testing import HostedMock, MockProvider, tokens

TOOL = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def client(hosted: HostedMock) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=hosted.url, api_key="sk-ant", max_retries=0) as made:
        yield made


@pytest.fixture
async def aclient(mock: MockProvider) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=mock.url, api_key="sk-ant", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("options", ["", "&split=1", "&split=7"])
def test_whole_and_streamed_messages_are_the_same(client, hosted, options):
    asked = {"model": f"any?tokens=9{options}", "messages": HELLO, "max_tokens": 100}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert tokens(whole.content[0].text) == 9
    assert streamed.content[0].text == whole.content[0].text
    assert streamed.stop_reason == whole.stop_reason == "end_turn"
    assert streamed.usage.output_tokens == whole.usage.output_tokens == hosted.ledger.last.usage.output
    assert whole.usage.input_tokens == hosted.ledger.last.usage.input
    assert hosted.ledger.last.key == "sk-ant"


def test_tools_whole_and_streamed(client):
    asked = {"model": "any", "messages": HELLO, "max_tokens": 100, "tools": [TOOL], "tool_choice": {"type": "any"}}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert whole.stop_reason == "tool_use"
    assert whole.content[0].input["city"]
    assert streamed.content[0].input == whole.content[0].input
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_thinking_whole_and_streamed(client, hosted):
    asked = {
        "model": "any",
        "messages": HELLO,
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert streamed.content[0].thinking == whole.content[0].thinking
    assert streamed.content[0].signature == whole.content[0].signature
    assert hosted.ledger.last.usage.reasoning == tokens(whole.content[0].thinking)
    assert whole.usage.output_tokens == hosted.ledger.last.usage.output_total


def test_stop_sequences_and_bounds(client):
    stopped = client.messages.create(model="any?text=one+two", messages=HELLO, max_tokens=100, stop_sequences=["two"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "two")
    cut = client.messages.create(model="any", messages=HELLO, max_tokens=3)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)


def test_cached_tokens_stand_beside_the_others(client, hosted):
    messages = [{"role": "user", "content": "x" * 400}]
    usage = client.messages.create(model="any?cached=50&cache_write=20", messages=messages, max_tokens=9).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (34, 50, 20)
    assert hosted.ledger.last.usage.input_total == 104


def test_counting_and_models(client, hosted):
    counted = client.messages.count_tokens(model="any", messages=HELLO, tools=[TOOL])
    served = client.messages.create(model="any", messages=HELLO, tools=[TOOL], max_tokens=9)
    assert counted.input_tokens == served.usage.input_tokens
    assert [model.id for model in client.models.list()] == list(hosted.mock.models)
    assert client.models.retrieve("mock-model").display_name == "mock-model"


@pytest.mark.parametrize(
    ("control", "raised"),
    [
        ("status=400", anthropic.BadRequestError),
        ("status=401", anthropic.AuthenticationError),
        ("status=404", anthropic.NotFoundError),
        ("status=413", anthropic.RequestTooLargeError),
        ("status=429&retry_after=3", anthropic.RateLimitError),
        ("status=500", anthropic.InternalServerError),
        ("status=529", anthropic.OverloadedError),
        ("fault=cut-after-head", anthropic.APIConnectionError),
    ],
)
def test_errors_are_raised_as_the_sdk_names_them(client, control, raised):
    with pytest.raises(raised) as caught:
        client.messages.create(model=f"any?{control}", messages=HELLO, max_tokens=9)
    if "status" in control:
        assert caught.value.body["type"] == "error"
        assert caught.value.body["error"]["type"].endswith(("_error", "_large"))


def test_an_error_in_mid_stream_is_raised(client, hosted):
    got = []
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(
            model="any?tokens=30&fault=error-mid-stream&at=5", messages=HELLO, max_tokens=99
        ) as stream,
    ):
        got.extend(stream.text_stream)
    assert caught.value.body["error"]["type"] == "overloaded_error"
    assert tokens("".join(got)) == hosted.ledger.last.usage.output == 2


async def test_the_async_client_whole_and_streamed(aclient, mock):
    whole = await aclient.messages.create(model="any", messages=HELLO, max_tokens=99)
    async with aclient.messages.stream(model="any", messages=HELLO, max_tokens=99) as stream:
        said = "".join([text async for text in stream.text_stream])
    assert said == whole.content[0].text
    assert mock.ledger.totals.served == 2
