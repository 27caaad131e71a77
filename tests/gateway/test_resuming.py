"""Streams that die on the way and are gone on with: one answer for the caller, every try's money on one record."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import APIError, AsyncOpenAI
from tests.dialects.resume.dying import heard
from tests.gateway.test_crossing import DIALECTS, MODELS, caller

from gateway_in_loop import MASTER, Running, provider
from portico.config.schema import Price
from portico.state.clock import moment
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
WORDS = "The river rises in the hills and runs south through three old towns before it meets the wide grey sea."
FIRST = WORDS[:42]
DEATHS = ["cut-mid-stream", "cut-mid-chunk", "end-early", "error-mid-stream", "stall", "broken-json", "bad-chunk"]


def two(mock: MockProvider, other: MockProvider, first: str = "openai", second: str = "anthropic") -> dict[str, Any]:
    """Return the configuration of an alias whose streams are gone on with at another provider."""
    region = {"options": {"region": "us-east-1"}}
    return {
        "providers": {
            "one": {**provider(mock, first, **(region if first == "bedrock" else {}))},
            "two": {**provider(other, second, **(region if second == "bedrock" else {}))},
        },
        "models": {
            "smart": {"targets": [f"one/{MODELS[first]}", f"two/{MODELS[second]}"], "resume": True},
            "plain": {"targets": [f"one/{MODELS[first]}", f"two/{MODELS[second]}"]},
        },
        "timeouts": {"between_chunks": "300ms"},
    }


def openai(gateway: Running) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=MASTER, max_retries=0)


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("second", MODELS)
@pytest.mark.parametrize("first", MODELS)
async def test_an_answer_goes_on_at_another_provider_however_its_stream_died(
    portico: Portico, mock: MockProvider, other: MockProvider, first: str, second: str, death: str
) -> None:
    mock.script.always({"text": WORDS, "fault": death, "at": 8, "hold": 5})
    other.script.always({"text": WORDS})
    async with portico(two(mock, other, first, second)) as gateway, openai(gateway) as client:
        stream = await client.chat.completions.create(
            model="smart", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        pieces = [chunk async for chunk in stream]
        (record,) = gateway.records()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices)
    assert text == WORDS
    assert [chunk.choices[0].finish_reason for chunk in pieces if chunk.choices and chunk.choices[0].finish_reason] == [
        "stop"
    ]
    assert "end" not in record  # served
    assert len({chunk.id for chunk in pieces}) == 1
    assert [attempt["target"].partition("/")[0] for attempt in record["attempts"]] == ["one", "two"]


@pytest.mark.parametrize("first", MODELS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_callers_of_every_dialect_hear_one_answer(
    portico: Portico, mock: MockProvider, other: MockProvider, dialect: str, first: str
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-chunk", "at": 9})
    other.script.always({"text": WORDS})
    second = "cohere" if first != "cohere" else "gemini"
    async with portico(two(mock, other, first, second)) as gateway:
        path, body = caller(dialect, "smart", stream=True)
        if dialect == "responses":
            body["store"] = False
        status, _, reply = await gateway.call(path, body)
    assert status == 200
    said = heard(dialect, (reply,))  # type: ignore[arg-type]  # it is a dialect
    assert said is not None
    assert said.text == WORDS
    assert said.finished is not None


@pytest.mark.parametrize("first", MODELS)
async def test_anthropics_sdk_takes_an_answer_that_was_gone_on_with(
    portico: Portico, mock: MockProvider, other: MockProvider, first: str
) -> None:
    mock.script.always({"text": WORDS, "reasoning": 4, "fault": "stall", "at": 12, "hold": 5})
    other.script.always({"text": WORDS})
    async with (
        portico(two(mock, other, first)) as gateway,
        AsyncAnthropic(base_url=gateway.url, api_key=MASTER, max_retries=0) as client,
        client.messages.stream(model="smart", max_tokens=500, messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        message = await stream.get_final_message()
    assert "".join(block.text for block in message.content if block.type == "text") == WORDS
    assert message.stop_reason == "end_turn"


@pytest.mark.parametrize("first", MODELS)
async def test_openais_sdk_takes_a_response_that_was_gone_on_with(
    portico: Portico, mock: MockProvider, other: MockProvider, first: str
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 12})
    other.script.always({"text": WORDS})
    config = two(mock, other, first)
    async with (
        portico(config) as gateway,
        openai(gateway) as client,
        client.responses.stream(model="smart", input="Hello", store=False) as stream,
    ):
        numbers = [event.sequence_number async for event in stream]
        response = await stream.get_final_response()
    assert response.output_text == WORDS
    assert response.status == "completed"
    assert numbers == sorted(set(numbers))


async def test_without_it_a_broken_stream_ends_with_an_error(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 8})
    async with portico(two(mock, other)) as gateway, openai(gateway) as client:
        stream = await client.chat.completions.create(
            model="plain", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        with pytest.raises(APIError):
            [chunk async for chunk in stream]
        (record,) = gateway.records()
    assert record["end"] == "cut"
    assert not other.ledger.totals.calls


async def test_an_answer_that_its_provider_keeps_is_not_gone_on_with(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 12})
    async with portico(two(mock, other)) as gateway:
        body = {"model": "smart", "input": "Hello", "stream": True}
        _, _, reply = await gateway.call("/v1/responses", body, cut=True)
        (record,) = gateway.records()
    assert b"event: error" in reply
    assert record["end"] == "cut"
    assert not other.ledger.totals.calls


async def test_a_half_written_tool_call_ends_with_an_error(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    tool: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    mock.script.always({"calls": 1, "fault": "cut-mid-stream", "at": 3})
    async with portico(two(mock, other)) as gateway, openai(gateway) as client:
        stream = await client.chat.completions.create(
            model="smart", messages=[{"role": "user", "content": "Hello"}], tools=[tool], stream=True
        )
        with pytest.raises(APIError):
            [chunk async for chunk in stream]
        (record,) = gateway.records()
    assert record["end"] == "cut"
    assert len(record["attempts"]) == 1


async def test_when_nobody_goes_on_the_caller_gets_the_error(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.next({"text": WORDS, "fault": "cut-mid-stream", "at": 8}, {"status": 500})
    other.script.always({"status": 400})
    async with portico({**two(mock, other), "retries": {"attempts": 1}}) as gateway, openai(gateway) as client:
        stream = await client.chat.completions.create(
            model="smart", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        with pytest.raises(APIError):
            [chunk async for chunk in stream]
        (record,) = gateway.records()
    assert record["end"] == "cut"
    assert [attempt.get("status") for attempt in record["attempts"]] == [200, 400, 500]


PRICE = {"input": 1.0, "output": 2.0}


@pytest.mark.parametrize("second", MODELS)
async def test_both_tries_are_on_one_record_and_the_second_is_as_its_provider_says(
    portico: Portico, second: str
) -> None:
    price = Price(input=1.0, output=2.0)
    async with MockProvider(price=price) as mock, MockProvider(price=price) as other:
        mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 8})
        other.script.always({"text": WORDS})
        config = two(mock, other, "anthropic", second)
        config["prices"] = {f"one/{MODELS['anthropic']}": PRICE, f"two/{MODELS[second]}": PRICE}
        async with portico(config) as gateway, openai(gateway) as client:
            stream = await client.chat.completions.create(
                model="smart",
                messages=[{"role": "user", "content": "Hello"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            usages = [chunk.usage async for chunk in stream if chunk.usage]
            (record,) = gateway.records()
        entry, cut = other.ledger.last, mock.ledger.last
    one, two_ = record["attempts"]
    assert two_["basis"] == "reported"
    assert two_["cost_nano_usd"] == entry.cost
    assert one["basis"] in ("counted", "estimated")
    assert record["basis"] == one["basis"]
    assert one["usage"]["input"] == cut.usage.input
    assert record["cost_nano_usd"] == one["cost_nano_usd"] + two_["cost_nano_usd"]
    for name in ("input", "output"):
        assert record["usage"][name] == one["usage"][name] + two_["usage"][name]
    (usage,) = usages
    assert usage.prompt_tokens == record["usage"]["input"]
    assert usage.completion_tokens == record["usage"]["output"]


async def test_what_the_rest_may_cost_is_reserved_first(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 8})
    other.script.always({"text": WORDS})
    config = two(mock, other)
    config["prices"] = {f"one/{MODELS['openai']}": PRICE, f"two/{MODELS['anthropic']}": PRICE}
    # Enough for one try of 100 tokens, and not for two.
    config["budgets"] = [{"usd": 0.0008, "per": "day"}]
    body = {"model": "smart", "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 100}
    async with portico(config) as gateway:
        status, _, reply = await gateway.call("/v1/chat/completions", body, cut=True)
        (record,) = gateway.records()
    assert status == 200
    assert b"error" in reply
    assert record["end"] == "cut"
    assert not other.ledger.totals.calls


@pytest.mark.parametrize("second", MODELS)
async def test_a_budget_holds_what_both_tries_cost_and_nothing_stays_reserved(
    portico: Portico, mock: MockProvider, other: MockProvider, second: str
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 8})
    other.script.always({"text": WORDS})
    config = two(mock, other, "openai", second)
    config["prices"] = {f"one/{MODELS['openai']}": PRICE, f"two/{MODELS[second]}": PRICE}
    config["budgets"] = [{"usd": 5.0, "per": "day"}]
    body = {"model": "smart", "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 100}
    async with portico(config) as gateway:
        _, _, reply = await gateway.call("/v1/chat/completions", body)
        await gateway.call("/v1/chat/completions", {**body, "model": f"two/{MODELS[second]}"})
        record, after = gateway.records()
        state = gateway.gateway.state
        (counter,) = state.counters([row.decode() for row in state._rows], moment())
    assert b"[DONE]" in reply
    assert "over_bound" not in record
    assert record["bound_nano_usd"] > record["cost_nano_usd"] > after["cost_nano_usd"]
    # What the first may have had on its way when it was cut is charged too.
    on_its_way = record["attempts"][0]["assumed_nano_usd"]
    assert "assumed_nano_usd" not in record["attempts"][1]
    assert counter.used == record["cost_nano_usd"] + on_its_way + after["cost_nano_usd"]
    assert counter.reserved == 0


@pytest.mark.parametrize("second", ["openai", "anthropic"])
async def test_what_is_lost_on_the_way_to_the_rest_was_reserved_for_it(
    portico: Portico, mock: MockProvider, other: MockProvider, second: str
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 8})
    other.script.always({"fault": "cut-before-head"})
    config = two(mock, other, "openai", second)
    # The rest is asked for where it is cheap: what is lost there counts as much as of the dearest of the plan.
    dear, cheap = {"input": 0.01, "output": 20.0}, {"input": 0.01, "output": 1.0}
    config["prices"] = {f"one/{MODELS['openai']}": dear, f"two/{MODELS[second]}": cheap}
    config["budgets"] = [{"usd": 5.0, "tokens": 10**6, "per": "day"}]
    config["retries"] = {"attempts": 1}
    body = {"model": "smart", "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 100}
    async with portico(config) as gateway:
        await gateway.call("/v1/chat/completions", body, cut=True)
        (record,) = gateway.records()
        again, _, _ = await gateway.call("/v1/chat/completions", body, cut=True)
        state = gateway.gateway.state
        counters = state.counters([row.decode() for row in state._rows], moment())
    assert [attempt["target"].partition("/")[0] for attempt in record["attempts"]] == ["one", *["two", "one"] * 3]
    assert again == 200, "no call has closed the budget of all"
    assert record["bound_nano_usd"] > record["cost_nano_usd"] + sum(
        attempt.get("assumed_nano_usd", 0) for attempt in record["attempts"]
    )
    assert [counter.reserved for counter in counters] == [0, 0]


async def test_each_try_for_the_rest_needs_room_in_a_budget_of_where_it_is_asked_for_alone(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 8})
    other.script.always({"fault": "cut-before-head"})
    config = two(mock, other)
    config["prices"] = {f"one/{MODELS['openai']}": PRICE, f"two/{MODELS['anthropic']}": PRICE}
    # Enough for one try of 100 tokens, and not for two.
    config["budgets"] = [{"usd": 0.0008, "per": "day", "for": {"provider": ["two"]}}]
    config["retries"] = {"attempts": 3}
    body = {"model": "smart", "messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 100}
    async with portico(config) as gateway:
        await gateway.call("/v1/chat/completions", body, cut=True)
        (record,) = gateway.records()
        state = gateway.gateway.state
        (counter,) = state.counters([row.decode() for row in state._rows], moment())
    at_two = [attempt for attempt in record["attempts"] if attempt["target"].startswith("two/")]
    assert len(other.ledger.entries) == len(at_two) == 1
    assert at_two[0]["assumed_nano_usd"] <= counter.used <= 800_000
    assert counter.reserved == 0


async def test_an_answer_goes_on_where_a_bare_name_led_to_an_entry_by_its_makers(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 8})
    other.script.always({"text": WORDS})
    providers = {"one": provider(mock), "two": {**provider(other), "like": "openai"}}
    models = {"openai/*": {"targets": ["one/*", "two/*"], "resume": True}}
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    async with portico({"providers": providers, "models": models}) as gateway:
        await gateway.call("/v1/chat/completions", body)
        (record,) = gateway.records()
    assert [attempt["target"] for attempt in record["attempts"]] == ["one/gpt-4o-mini", "two/gpt-4o-mini"]
    assert record.get("error") is None


async def test_openais_sdk_gathers_a_chat_that_was_gone_on_with(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"text": WORDS, "fault": "error-mid-stream", "at": 7})
    other.script.always({"text": WORDS})
    async with (
        portico(two(mock, other)) as gateway,
        openai(gateway) as client,
        client.chat.completions.stream(model="smart", messages=[{"role": "user", "content": "Hello"}]) as stream,
    ):
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.content == WORDS
    assert completion.choices[0].finish_reason == "stop"


async def test_an_answer_goes_on_a_second_time(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    mock.script.next({"text": WORDS, "fault": "cut-mid-stream", "at": 6}, {"text": WORDS})
    other.script.always({"text": WORDS, "fault": "error-mid-stream", "at": 14})
    config = two(mock, other)
    config["prices"] = {f"one/{MODELS['openai']}": PRICE, f"two/{MODELS['anthropic']}": PRICE}
    async with portico(config) as gateway, openai(gateway) as client:
        stream = await client.chat.completions.create(
            model="smart", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
        (record,) = gateway.records()
    assert text == WORDS
    assert [attempt["target"].partition("/")[0] for attempt in record["attempts"]] == ["one", "two", "one"]
    assert sum(attempt["cost_nano_usd"] for attempt in record["attempts"]) == record["cost_nano_usd"]
    assert [attempt["basis"] for attempt in record["attempts"]][-1] == "reported"


async def test_a_caller_who_leaves_in_the_second_try_is_charged_for_both(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always({"text": WORDS, "fault": "cut-mid-stream", "at": 6})
    other.script.always({"text": WORDS, "fault": "stall", "at": 14, "hold": 30})
    config = two(mock, other)
    config["prices"] = {f"one/{MODELS['openai']}": PRICE, f"two/{MODELS['anthropic']}": PRICE}
    config["timeouts"] = {"between_chunks": "30s"}
    async with portico(config) as gateway:
        async with openai(gateway) as client:
            stream = await client.chat.completions.create(
                model="smart", messages=[{"role": "user", "content": "Hello"}], stream=True
            )
            text = ""
            async for chunk in stream:
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
                if len(text) > len(FIRST):
                    break
            await stream.close()
        while not (records := gateway.records()):
            await asyncio.sleep(0)
    (record,) = records
    assert WORDS.startswith(text)
    assert record["end"] == "cut"
    assert record["error"] == "caller_gone"
    one, two_ = record["attempts"]
    assert record["cost_nano_usd"] == one["cost_nano_usd"] + two_["cost_nano_usd"]
    assert two_["usage"]["output"] > 0
