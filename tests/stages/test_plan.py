"""From a model's name to targets, in order."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from portico.config.load import load_plain
from portico.errors import InvalidRequest, ModelNotFound
from portico.plan.strategies import weighted
from portico.providers.catalog import resolve
from portico.upstream.routes import Routes
from portico.upstream.target import Upstream
from portico.wire.client import Client

KEY = {"api_key": "sk-0123456789012345"}
CONFIG: dict[str, Any] = {
    "providers": {
        "openai": KEY,
        "anthropic": KEY,
        "azure": {**KEY, "options": {"resource": "mine"}},
        "local": {"like": "vllm", "base_url": "http://127.0.0.1:8000/v1", "models": ["llama", "org/model"]},
    },
    "models": {
        "smart": ["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"],
        "split": {
            "strategy": "weighted",
            "targets": [{"model": "openai/gpt-4o", "weight": 3}, {"model": "local/llama", "weight": 1}],
        },
        "team-*": ["openai/gpt-*"],
        "a-*-b-*": ["local/*-x-*"],
        "openai/o*": ["local/llama"],
        "*": ["local/llama"],
    },
}


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def routes(loop: asyncio.AbstractEventLoop, **changes: Any) -> Routes:
    config = load_plain({**CONFIG, **changes}, {}).config
    client = Client(loop=loop)
    upstreams = {
        name: Upstream(resolve(name, declared, {}), client, config.prices)
        for name, declared in config.providers.items()
    }
    return Routes(config.models, upstreams, config.timeouts)


def names(made: Routes, model: str, operation: str = "chat", draw: float = 0.0) -> list[str]:
    return [target.name for target in made.targets(model, operation, lambda: draw)]


GOES_TO = [
    ("openai/gpt-4o", ["openai/gpt-4o"]),
    ("openai/a-model-of-tomorrow", ["openai/a-model-of-tomorrow"]),
    ("local/org/model", ["local/org/model"]),
    ("@openai/gpt-4o", ["openai/gpt-4o"]),
    ("@local/org/model", ["local/org/model"]),
    ("smart", ["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"]),
    ("team-4o", ["openai/gpt-4o"]),
    ("a-1-b-2", ["local/1-x-2"]),
    ("openai/o3", ["local/llama"]),
    ("anything else", ["local/llama"]),
]


@pytest.mark.parametrize(("model", "targets"), GOES_TO)
def test_a_name_leads_to_its_targets(loop: asyncio.AbstractEventLoop, model: str, targets: list[str]) -> None:
    made = routes(loop)
    assert names(made, model) == targets
    assert names(made, model) == targets, "the remembered plan is the same"


def test_a_target_of_another_dialect_may_serve_a_conversation(loop: asyncio.AbstractEventLoop) -> None:
    made = routes(loop)
    assert names(made, "smart", "messages") == ["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"]
    assert names(made, "openai/gpt-4o", "converse") == ["openai/gpt-4o"]


def test_a_target_that_cannot_serve_an_operation_is_left_out(loop: asyncio.AbstractEventLoop) -> None:
    made = routes(loop)
    assert names(made, "smart", "embeddings") == ["openai/gpt-4.1"]
    with pytest.raises(InvalidRequest, match="claude-sonnet-4-5"):
        names(made, "anthropic/claude-sonnet-4-5", "embeddings")


def test_a_bare_name_goes_to_the_one_provider_that_has_it(loop: asyncio.AbstractEventLoop) -> None:
    made = routes(loop, models={})
    assert names(made, "llama") == ["local/llama"]
    assert names(made, "org/model") == ["local/org/model"]
    assert names(made, "claude-sonnet-4-5", "messages") == ["anthropic/claude-sonnet-4-5"]


def test_a_bare_name_of_several_providers_is_refused_with_the_choice(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(ModelNotFound) as refused:
        names(routes(loop, models={}), "gpt-4o")
    assert "openai/gpt-4o" in refused.value.message
    assert "azure/gpt-4o" in refused.value.message


def test_a_name_that_nobody_answers_to_is_refused_with_what_there_is(loop: asyncio.AbstractEventLoop) -> None:
    made = routes(loop, models={})
    for name in ("no-such-model", "mistral/large", "/x", "x/", "openai/"):
        with pytest.raises(ModelNotFound) as refused:
            names(made, name)
        assert repr(name) in refused.value.message
        assert "openai" in refused.value.message


def test_a_single_provider_is_asked_for_models_that_no_list_has(loop: asyncio.AbstractEventLoop) -> None:
    made = routes(loop, models={}, providers={"openai": KEY})
    assert names(made, "gpt-99") == ["openai/gpt-99"]
    with pytest.raises(ModelNotFound):
        names(made, "anthropic/claude-sonnet-4-5")


MAKERS = {
    "claude-opus-9": "anthropic",
    "gpt-99": "openai",
    "ft:gpt-4o-mini-2024-07-18:acme::abc": "openai",
    "o9-mini": "openai",
    "gemini-9-flash": "gemini",
    "us.anthropic.claude-opus-9-20300101-v1:0": "bedrock",
    "anthropic.claude-3-haiku-20240307-v1:0": "bedrock",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-9": "bedrock",
    "command-z": "cohere",
    "grok-9": "xai",
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_name_that_no_list_has_goes_to_whose_it_is_by_its_look(loop: asyncio.AbstractEventLoop, name: str) -> None:
    made = routes(loop, models={}, providers=dict.fromkeys(sorted(set(MAKERS.values())), KEY))
    assert names(made, name) == [f"{MAKERS[name]}/{name}"]


def test_of_two_that_could_have_made_it_neither_is_taken(loop: asyncio.AbstractEventLoop) -> None:
    two = {"anthropic": KEY, "mine": {"like": "openai", **KEY}, "yours": {"like": "openai", **KEY}}
    for name in ("gpt-99", "gemini-9-flash", "llama-9", "gptx", "o", "claude"):
        with pytest.raises(ModelNotFound):
            names(routes(loop, models={}, providers=two), name)


@pytest.mark.parametrize(("draw", "first"), [(0.0, "openai"), (0.74, "openai"), (0.76, "local"), (0.999, "local")])
def test_a_weighted_alias_begins_where_the_draw_falls(loop: asyncio.AbstractEventLoop, draw: float, first: str) -> None:
    targets = names(routes(loop), "split", draw=draw)
    assert targets[0].startswith(first)
    assert len(targets) == 2


def test_a_weight_of_zero_is_never_drawn_but_serves_as_a_fallback() -> None:
    for point in range(100):
        drawn = weighted([1, 0, 1], lambda point=point: point / 100)  # type: ignore[misc]
        assert drawn[0] != 1
        assert sorted(drawn) == [0, 1, 2]


def test_names_that_callers_invent_are_not_remembered_without_end(loop: asyncio.AbstractEventLoop) -> None:
    made = routes(loop)
    for number in range(10_000):
        names(made, f"openai/invented-{number}")
    assert len(made._known) <= 4096
    assert len(made._upstreams["openai"]._targets) <= 2048
