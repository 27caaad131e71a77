"""What is said of a plan that is not sent is what the gateway would do, with every target and its reason."""

from typing import Any

import pytest
from tests.plan.routing import KEY

from portico.analysis.explain import explain
from portico.config.load import load_plain
from portico.errors import Forbidden, InvalidRequest, ModelNotFound
from portico.measures import Measured, Seen
from portico.plan.asked import Question
from portico.plan.conversation import Conversation
from portico.rules import Holder
from portico.types import Usage
from portico.upstream.caches import Caches

CONFIG: dict[str, Any] = {
    "providers": {"openai": {**KEY, "region": "us"}, "anthropic": {**KEY, "region": "eu"}, "groq": KEY},
    "models": {
        "cheap": ["groq/llama"],
        "smart": {
            "targets": [
                "openai/gpt-4.1",
                "anthropic/claude-sonnet-4-5",
                {"model": "cheap"},
                {"model": "groq/nothing", "capabilities": []},
            ]
        },
        "fast": {"strategy": "lowest_latency", "targets": ["openai/gpt-4.1", "cheap"]},
        "trial": {"strategy": "split", "targets": [{"model": "cheap", "arm": "a"}, "openai/gpt-4.1"]},
    },
    "prices": {"groq/llama": {"input": 1, "output": 2}},
}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def asked(body: dict[str, Any], holder: Holder | None = None, **question: Any) -> Any:
    config = load_plain(CONFIG, {}).config
    return explain(config, Question(body=body, **question), holder=holder or Holder("k", "k"), environ={})


def test_every_target_has_a_place_or_a_reason_and_a_price() -> None:
    found = asked({"model": "smart", "tools": TOOLS, "messages": [{"role": "user", "content": "x" * 3900}]})
    weighed = {one.target: one for one in found.targets}
    assert [one.place for one in found.targets] == [1, 2, 3, None]
    assert weighed["groq/nothing"].why_not == "it has no tools"
    assert weighed["groq/nothing"].cost_nano_usd is None
    assert weighed["groq/llama"].cost_nano_usd == found.input_tokens * 1000 + found.output_tokens * 2000
    assert (weighed["openai/gpt-4.1"].region, weighed["anthropic/claude-sonnet-4-5"].region) == ("us", "eu")
    assert (found.strategy, found.has_tools, found.has_images, found.refused) == ("fallback", True, False, None)
    assert 900 < found.input_tokens < 1100


def test_a_call_that_would_be_refused_is_explained_all_the_same() -> None:
    found = asked({"model": "smart", "provider": {"only": ["azure"]}})
    assert found.refused is not None
    assert all(one.place is None and one.why_not for one in found.targets)
    assert len(found.targets) == 4


def test_what_headers_say_is_part_of_it() -> None:
    headers = {"X-Portico-Fallbacks": "groq/other", "x-portico-retries": "2", "x-portico-timeout": "9s"}
    found = asked({"model": "cheap"}, headers=headers)
    assert [one.target for one in found.targets] == ["groq/llama", "groq/other"]
    assert (found.retries, found.timeout) == (2, 9.0)


def test_a_key_gets_what_it_may_use_under_its_own_names() -> None:
    holder = Holder("k", "mine", models=("cheap",), aliases={"best": "cheap"})
    assert asked({"model": "best"}, holder).model == "cheap"
    with pytest.raises(Forbidden):
        asked({"model": "smart"}, holder)
    with pytest.raises(Forbidden):
        asked({"model": "cheap", "models": ["smart"]}, holder)


def test_what_workers_measure_is_said_not_to_be_known() -> None:
    assert asked({"model": "fast"}).measured
    assert not asked({"model": "smart"}).measured


def test_chance_is_what_the_question_says_and_a_key_keeps_its_arm() -> None:
    arms = {asked({"model": "trial"}, Holder(f"k{n}", "k")).arm for n in range(20)}
    assert arms == {"a", "openai/gpt-4.1"}
    assert len({asked({"model": "trial"}, Holder("k1", "k"), draw=draw).arm for draw in (0.1, 0.9)}) == 1


def test_other_dialects_are_planned_by_their_paths() -> None:
    found = asked({"contents": []}, path="/v1beta/models/cheap:generateContent")
    assert (found.model, found.operation) == ("cheap", "generate_content")


WRONG: list[tuple[dict[str, Any], dict[str, Any], type[Exception]]] = [
    ({"model": "nothing"}, {}, ModelNotFound),
    ({}, {}, InvalidRequest),
    ({"model": "smart"}, {"path": "/v1/models"}, InvalidRequest),
    ({"model": "smart"}, {"path": "/elsewhere"}, InvalidRequest),
    ({"model": "smart"}, {"headers": {"naïve": "x"}}, InvalidRequest),
]


@pytest.mark.parametrize(("body", "question", "error"), WRONG)
def test_a_question_about_no_call_is_refused(
    body: dict[str, Any], question: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        asked(body, **question)


def worker(name: str, first: float, whole: float, in_flight: int = 0) -> Measured:
    return Measured(name, "", in_flight, 0.0, False, [first] * 4, [0.01] * 4, [whole] * 4)


def test_what_running_workers_measure_puts_targets_in_order_and_is_shown() -> None:
    config = load_plain(CONFIG, {}).config
    one = [worker("openai/gpt-4.1", 0.9, 8.0, 2), worker("groq/llama", 0.1, 1.0)]
    two = [worker("openai/gpt-4.1", 0.7, 6.0, 1)]
    found = explain(config, Question(body={"model": "fast"}), workers=Seen([one, two]), environ={})
    assert (found.workers, found.measured) == (2, False)
    assert [each.target for each in found.targets] == ["groq/llama", "openai/gpt-4.1"]
    slow = found.targets[1].measures
    assert slow is not None
    assert (slow.in_flight, slow.whole_ms, slow.first_token_ms, slow.token_ms) == (3, 7000.0, 800.0, 10.0)
    inner = {**CONFIG, "models": {**CONFIG["models"], "outer": {"targets": ["fast", "groq/x"]}}}
    assert explain(load_plain(inner, {}).config, Question(body={"model": "outer"}), environ={}).measured


def test_what_is_cached_of_a_conversation_is_shown_and_counted() -> None:
    models = {"kept": {"strategy": "lowest_cost", "targets": ["openai/gpt-4.1", "groq/llama"]}}
    prices = {
        "openai/gpt-4.1": {"input": 1.5, "output": 2, "cache_read": 0.15},
        "groq/llama": {"input": 1, "output": 2},
    }
    config = load_plain({**CONFIG, "models": models, "prices": prices}, {}).config
    body = {"model": "kept", "messages": [{"role": "user", "content": "x" * 40_000}]}
    caches = Caches()
    before = explain(config, Question(body=body), caches=caches, environ={})
    assert before.conversation is not None
    assert before.targets[0].target == "groq/llama"
    caches.note(Conversation(int(before.conversation, 16)), "openai/gpt-4.1", "openai", Usage(input=9_000), 0)
    after = explain(config, Question(body=body), caches=caches, environ={})
    assert [(each.target, each.cached_tokens) for each in after.targets] == [
        ("openai/gpt-4.1", 9_000),
        ("groq/llama", 0),
    ]
    short = explain(config, Question(body={"model": "kept"}), caches=caches, environ={})
    assert (short.conversation, short.targets[0].cached_tokens) == (None, None)
