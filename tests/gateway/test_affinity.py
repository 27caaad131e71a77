"""The turns of a conversation go to the provider that has its prompt cached, end to end, in each dialect and form."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import provider
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
SYSTEM = "You know the weather of the whole world. " * 150


def config(mock: MockProvider, other: MockProvider, **more: Any) -> dict[str, Any]:
    return {
        "providers": {"one": provider(mock), "two": provider(other)},
        "models": {"spread": {"strategy": "round_robin", "targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"], **more}},
    }


def turn(number: int, about: str, path: str) -> dict[str, Any]:
    said = [{"role": "user", "content": about}]
    for place in range(number):
        said += [{"role": "assistant", "content": f"answer {place}"}, {"role": "user", "content": f"question {place}"}]
    if path == "/v1/messages":
        return {"model": "spread", "system": SYSTEM, "messages": said, "max_tokens": 50}
    if path == "/v1/responses":
        return {"model": "spread", "instructions": SYSTEM, "input": said, "store": False}
    return {"model": "spread", "messages": [{"role": "system", "content": SYSTEM}, *said]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
async def test_every_turn_goes_where_the_first_went_and_conversations_are_spread(
    portico: Portico, mock: MockProvider, other: MockProvider, path: str, stream: bool
) -> None:
    firsts = set()
    async with portico(config(mock, other, affinity=True)) as gateway:
        for about in [f"the weather on day {day}" for day in range(30)]:  # all in one place once in 500 million runs
            went = []
            for number in range(3):
                body = {**turn(number, about, path), "stream": stream}
                status, headers, told = await gateway.call(path, body, headers={"x-portico-route": "1"})
                assert status == 200, told
                went.append(headers["x-portico-target"])
            assert len(set(went)) == 1
            assert headers["x-portico-route"].endswith("its prompt is cached there")
            firsts.add(went[0])
    assert len(firsts) == 2


async def test_without_it_calls_take_turns(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    path = "/v1/chat/completions"
    async with portico(config(mock, other)) as gateway:
        went = [(await gateway.call(path, turn(number, "rain", path)))[1]["x-portico-target"] for number in range(4)]
    assert went == ["one/gpt-4o-mini", "two/gpt-4o-mini"] * 2


async def test_a_conversation_stays_where_it_fell_back_to(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    path = "/v1/chat/completions"
    async with portico({**config(mock, other, affinity=True), "breaker": {"failures": 1, "rest": 60}}) as gateway:
        _, headers, _ = await gateway.call(path, turn(0, "rain", path))
        first = headers["x-portico-target"]
        down = mock if first.startswith("one") else other
        down.script.always("status=500")
        _, headers, _ = await gateway.call(path, turn(1, "rain", path))
        second = headers["x-portico-target"]
        down.script.clear()
        gateway.gateway.healths(first).close()
        _, headers, _ = await gateway.call(path, turn(2, "rain", path))
    assert second != first
    assert headers["x-portico-target"] == second


async def test_the_lowest_cost_is_of_what_is_not_cached(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    priced = {
        **config(mock, other, strategy="lowest_cost"),
        "prices": {
            "one/gpt-4o-mini": {"input": 2, "output": 2, "cache_read": 0.2},
            "two/gpt-4o-mini": {"input": 2.2, "output": 2, "cache_read": 0.22},
        },
    }
    path = "/v1/chat/completions"
    only = {"provider": {"only": ["two"]}}
    async with portico(priced) as gateway:
        _, fresh, _ = await gateway.call(path, turn(0, "snow", path))
        await gateway.call(path, {**turn(0, "rain", path), **only})
        _, headers, _ = await gateway.call(path, turn(1, "rain", path))
    assert fresh["x-portico-target"] == "one/gpt-4o-mini"
    assert headers["x-portico-target"] == "two/gpt-4o-mini"


async def test_a_conversation_keeps_to_one_key_of_its_provider(portico: Portico, mock: MockProvider) -> None:
    path = "/v1/chat/completions"
    keys = [f"sk-upstream-of-account-{number}" for number in range(3)]
    said = {**provider(mock), "api_keys": keys}
    del said["api_key"]
    models = {"spread": {"targets": ["one/gpt-4o-mini"], "affinity": True}, "plain": ["one/gpt-4o-mini"]}
    async with portico({"providers": {"one": said}, "models": models}) as gateway:
        for about in [f"the weather on day {day}" for day in range(30)]:  # all in one place once in 500 million runs
            for number in range(3):
                assert (await gateway.call(path, turn(number, about, path)))[0] == 200
        for number in range(3):
            await gateway.call(path, {**turn(number, "rain", path), "model": "plain"})
        used = [record["attempts"][0]["credential"] for record in gateway.records()]
    conversations = [set(used[place : place + 3]) for place in range(0, 90, 3)]
    assert all(len(each) == 1 for each in conversations)
    assert len(set().union(*conversations)) > 1
    assert len(set(used[90:])) == 3


async def test_what_is_no_conversation_takes_turns(portico: Portico, mock: MockProvider, other: MockProvider) -> None:
    said = config(mock, other, affinity=True)
    said["models"]["spread"]["targets"] = ["one/text-embedding-3-small", "two/text-embedding-3-small"]
    async with portico(said) as gateway:
        body = {"model": "spread", "input": SYSTEM}
        went = [(await gateway.call("/v1/embeddings", body))[1]["x-portico-target"] for _ in range(4)]
    assert went == ["one/text-embedding-3-small", "two/text-embedding-3-small"] * 2
