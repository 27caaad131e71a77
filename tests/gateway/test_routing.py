"""What callers say of where a call is to go, end to end: it goes there, and the provider hears nothing of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway_in_loop import chat, provider
from portico.plan.traits import NAMES
from portico.testing.mock import MockProvider

Portico = Callable[..., Any]
LIMITED = "sk-limited-0123456789abcdef"


def both(mock: MockProvider, other: MockProvider, **more: Any) -> dict[str, Any]:
    """Two providers, a name for each, and one for both."""
    return {
        "providers": {"one": {**provider(mock), "region": "us"}, "two": {**provider(other), "region": "eu"}},
        "models": {
            "smart": {"targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"]},
            "nested": {"targets": ["smart"]},
            "trial": {
                "strategy": "split",
                "sticky": "customer",
                "targets": [{"model": "one/gpt-4o-mini", "arm": "a"}, {"model": "two/gpt-4o-mini", "arm": "b"}],
            },
        },
        "keys": {"limited": {"key": LIMITED, "models": ["smart"]}},
        **more,
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_target_of_portkeys_has_the_time_that_its_caller_gives_it_and_does_not_rest_for_it(
    portico: Portico, mock: MockProvider, other: MockProvider, stream: bool
) -> None:
    first = {"provider": "one", "request_timeout": 40}
    config = {"strategy": {"mode": "fallback"}, "targets": [first, {"provider": "two"}]}
    mock.script.always("latency=30")
    asked = chat("gpt-4o-mini", stream=stream)
    settings = both(mock, other, retries={"attempts": 1}, breaker={"failures": 2})
    async with portico(settings) as gateway:
        for _ in range(6):
            told = {"x-portkey-config": json.dumps(config)}
            status, headers, _ = await gateway.call("/v1/chat/completions", asked, headers=told)
            assert (status, headers["x-portico-target"]) == (200, "two/gpt-4o-mini")
        assert len(mock.ledger) == 6, "it is asked each time"
        assert not gateway.gateway.healths("one/gpt-4o-mini").resting


@pytest.mark.parametrize("stream", [False, True])
async def test_fields_for_a_gateway_are_followed_and_do_not_go_on(
    portico: Portico, mock: MockProvider, other: MockProvider, stream: bool
) -> None:
    said = {"provider": {"order": ["two"]}, "models": ["one/gpt-4o"], "route": "fallback", "fallbacks": []}
    async with portico(both(mock, other)) as gateway:
        status, headers, _ = await gateway.call("/v1/chat/completions", chat("smart", stream=stream, **said))
    assert status == 200
    assert headers["x-portico-target"] == "two/gpt-4o-mini"
    assert not set(said) & set(other.ledger.last.json)
    assert other.ledger.last.json["model"] == "gpt-4o-mini"
    assert not mock.ledger.entries


@pytest.mark.parametrize("stream", [False, True])
async def test_what_litellms_callers_say_beside_the_messages_is_followed_and_does_not_go_on(
    portico: Portico, mock: MockProvider, other: MockProvider, stream: bool
) -> None:
    mock.script.always("status=500")
    said: dict[str, Any] = {"num_retries": 0, "timeout": 20, "cache": {"no-cache": True}, "guardrails": []}
    said |= {"tags": ["prod", "feature:search"], "litellm_session_id": "s1", "fallbacks": ["two/gpt-4o-mini"]}
    async with portico(both(mock, other)) as gateway:
        status, _, _ = await gateway.call("/v1/chat/completions", chat("one/gpt-4o-mini", stream=stream, **said))
        refused, _, body = await gateway.call("/v1/chat/completions", chat("smart", guardrails=["pii"]))
        many, _, _ = await gateway.call("/v1/chat/completions", chat("smart", tags=[f"t{n}" for n in range(17)]))
        record = gateway.records()[0]
    assert (status, refused, many) == (200, 400, 400)
    assert json.loads(body)["error"]["param"] == "guardrails"
    assert not set(said) & set(other.ledger.last.json)
    assert (len(mock.ledger), len(other.ledger)) == (1, 1), "nothing is tried again"
    assert (record["tags"], record["session"]) == (["feature:search", "tag:prod"], "s1")


async def test_a_gateway_that_knows_what_callers_say_to_gateways_hears_it_but_for_litellms_words(
    portico: Portico, mock: MockProvider
) -> None:
    settings = {"providers": {"openrouter": {**provider(mock), "like": "openrouter"}}}
    said: dict[str, Any] = {"provider": {"order": ["x"]}, "num_retries": 1, "tags": ["prod"]}
    async with portico(settings) as gateway:
        status, _, _ = await gateway.call("/v1/chat/completions", chat("openrouter/openai/gpt-4o", **said))
    assert status == 200
    assert mock.ledger.last.json["provider"] == {"order": ["x"]}
    assert not {"num_retries", "tags"} & set(mock.ledger.last.json)


async def test_a_list_of_models_names_the_model_of_a_call_that_names_none(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always("status=500")
    body = {"models": ["one/gpt-4o-mini", "two/gpt-4o-mini"], "messages": [{"role": "user", "content": "hello"}]}
    async with portico(both(mock, other)) as gateway:
        status, headers, _ = await gateway.call("/v1/chat/completions", body)
        (record,) = gateway.records()
    assert (status, headers["x-portico-target"]) == (200, "two/gpt-4o-mini")
    assert record["model"] == "one/gpt-4o-mini"
    assert "models" not in other.ledger.last.json


async def test_fall_backs_of_a_header_are_tried_and_its_strategy_is_taken(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    mock.script.always("status=500")
    headers = {"x-portico-fallbacks": "two/gpt-4o-mini", "x-portico-retries": "1"}
    async with portico(both(mock, other)) as gateway:
        status, told, _ = await gateway.call("/v1/chat/completions", chat("one/gpt-4o-mini"), headers=headers)
    assert (status, told["x-portico-target"]) == (200, "two/gpt-4o-mini")
    assert len(mock.ledger.entries) == 2


async def test_a_config_of_portkey_decides_and_its_parameters_replace_those_of_the_call(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    config = {
        "strategy": {
            "mode": "conditional",
            "conditions": [{"query": {"metadata.plan": {"$eq": "paid"}}, "then": "b"}],
            "default": "a",
        },
        "targets": [
            {"name": "a", "provider": "one"},
            {"name": "b", "provider": "two", "override_params": {"model": "gpt-4o", "temperature": 0.5}},
        ],
    }
    headers = {"x-portkey-config": json.dumps(config), "x-portkey-metadata": '{"plan": "paid"}'}
    async with portico(both(mock, other)) as gateway:
        status, told, _ = await gateway.call("/v1/chat/completions", chat("gpt-4o-mini"), headers=headers)
    assert (status, told["x-portico-target"]) == (200, "two/gpt-4o")
    assert other.ledger.last.json["temperature"] == 0.5


ESCAPES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"models": ["one/gpt-4o"]}, {}),
    ({"fallbacks": ["one/gpt-4o"]}, {}),
    ({}, {"x-portico-fallbacks": "one/gpt-4o"}),
    ({}, {"x-portkey-provider": "one"}),
]


@pytest.mark.parametrize(("body", "headers"), ESCAPES)
async def test_nothing_that_a_caller_says_reaches_a_model_that_the_key_may_not_use(
    portico: Portico, mock: MockProvider, other: MockProvider, body: dict[str, Any], headers: dict[str, str]
) -> None:
    async with portico(both(mock, other)) as gateway:
        status, _, told = await gateway.call(
            "/v1/chat/completions", chat("smart", **body), headers=headers, key=LIMITED
        )
    assert status == 403, told
    assert not mock.ledger.entries


async def test_a_reply_says_why_a_call_went_where_it_did_if_it_was_asked_to(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    wants = {"provider": {"ignore": ["one"]}}
    async with portico(both(mock, other)) as gateway:
        _, told, _ = await gateway.call(
            "/v1/chat/completions", chat("nested", **wants), headers={"x-portico-route": "1"}
        )
        _, silent, _ = await gateway.call("/v1/chat/completions", chat("nested"))
    assert told["x-portico-route"] == "two/gpt-4o-mini; not one/gpt-4o-mini: the request ignores its provider"
    assert "x-portico-route" not in silent


async def test_the_arm_of_an_experiment_is_on_the_record_and_stays_with_its_customer(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with portico(both(mock, other)) as gateway:
        for _ in range(2):
            for number in range(8):
                headers = {"x-portico-customer": f"c{number}", "x-portico-session": "s1"}
                await gateway.call("/v1/chat/completions", chat("trial"), headers=headers)
        records = gateway.records()
    arms = {(record["customer"], record["arm"]) for record in records}
    assert len(arms) == 8
    assert {arm for _, arm in arms} == {"a", "b"}
    assert {record["session"] for record in records} == {"s1"}
    assert all(record["target"].startswith("one" if record["arm"] == "a" else "two") for record in records)


async def test_a_call_that_nothing_can_serve_is_told_so_and_nothing_is_asked(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    async with portico(both(mock, other)) as gateway:
        status, _, body = await gateway.call("/v1/chat/completions", chat("smart", provider={"only": ["groq"]}))
    assert status == 400
    assert json.loads(body)["error"]["code"] == "no_target"
    assert not mock.ledger.entries


async def test_a_call_of_a_model_that_a_scorer_decides_on_keeps_its_traits(
    portico: Portico, mock: MockProvider, other: MockProvider
) -> None:
    said = both(mock, other)
    said["models"] = {"either": {"strategy": "complexity", "targets": ["one/gpt-4o-mini", "two/gpt-4o-mini"]}}
    async with portico(said) as gateway:
        _, headers, _ = await gateway.call("/v1/chat/completions", chat("either"))
        await gateway.call("/v1/chat/completions", chat("one/gpt-4o-mini"))
        scored, plain = gateway.records()
    assert headers["x-portico-target"] == "two/gpt-4o-mini"
    assert len(scored["traits"]) == len(NAMES)
    assert "traits" not in plain
