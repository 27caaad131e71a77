"""Settings of tools and parts that another API has, has not, or would refuse: told, or named as lost."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.crossing import Target
from portico.dialects.openai import fits_strict
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.errors import InvalidRequest
from portico.types import Dialect

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
USER = {"role": "user", "content": "Hi"}


def put(caller: Dialect, more: dict[str, Any], provider: Dialect, *quirks: str) -> Translation:
    body = json.dumps(pairs.PLAIN[caller] | more).encode()
    question = Question(OPERATIONS[pairs.OPERATION[caller][False]], body, model="m", stream=False)
    target = Target(model=pairs.MODELS[provider], dialect=provider, quirks=frozenset(quirks))
    return Translation(question, pairs.OPERATION[provider][False], target, pairs.given())


def searching(caller: Dialect) -> dict[str, Any]:
    """Ask for a search in one city and a few places of the web, as each of them says it."""
    place = {"type": "approximate", "city": "Paris"}
    if caller == "chat":
        return {"web_search_options": {"search_context_size": "low", "user_location": {"approximate": place}}}
    if caller == "responses":
        filters = {"allowed_domains": ["a.com"]}
        tool = {"type": "web_search", "filters": filters, "user_location": place, "search_context_size": "low"}
        return {"tools": [tool]}
    older: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2, "user_location": place}
    return {"tools": [older | {"blocked_domains": ["b.com"]}]}


PLACE = {"type": "approximate", "city": "Paris"}
SEARCHES: list[tuple[Dialect, Dialect, list[dict[str, Any]], list[str]]] = [
    ("chat", "responses", [{"type": "web_search", "user_location": PLACE, "search_context_size": "low"}], []),
    (
        "chat",
        "messages",
        [{"type": "web_search_20250305", "name": "web_search", "user_location": PLACE}],
        ["server_tool_setting"],
    ),
    ("chat", "gemini", [{"googleSearch": {}}], ["server_tool_setting"]),
    (
        "responses",
        "messages",
        [
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "user_location": PLACE,
                "allowed_domains": ["a.com"],
            }
        ],
        ["server_tool_setting"],
    ),
    ("responses", "gemini", [{"googleSearch": {}}], ["server_tool_setting"]),
    (
        "messages",
        "responses",
        [{"type": "web_search", "filters": {"blocked_domains": ["b.com"]}, "user_location": PLACE}],
        ["server_tool_setting"],
    ),
    ("messages", "gemini", [{"googleSearch": {}}], ["server_tool_setting"]),
]


@pytest.mark.parametrize(("caller", "provider", "expected", "dropped"), SEARCHES)
def test_where_a_search_may_look_is_told_as_far_as_the_other_has_it(
    caller: Dialect, provider: Dialect, expected: list[dict[str, Any]], dropped: list[str]
) -> None:
    made = put(caller, searching(caller), provider)
    assert json.loads(made.body)["tools"] == expected
    assert made.dropped == dropped


def test_a_search_among_chat_completions_is_told_where_to_look() -> None:
    made = put("responses", searching("responses"), "chat", "web_search_options")
    expected = {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"city": "Paris"}},
    }
    assert json.loads(made.body)["web_search_options"] == expected
    assert made.dropped == ["server_tool_setting"]


@pytest.mark.parametrize("tool", [{"googleSearch": {}}, {"type": "web_search_20250305", "name": "web_search"}])
def test_a_search_that_a_caller_of_chat_completions_asks_for_in_its_makers_words_is_one(tool: dict[str, Any]) -> None:
    made = put("chat", {"tools": [tool]}, "gemini")
    assert json.loads(made.body)["tools"] == [{"googleSearch": {}}]
    assert json.loads(put("chat", {"tools": [tool]}, "chat").body)["tools"] == [tool]


FIELDS: list[tuple[Dialect, dict[str, Any]]] = [
    ("messages", {"tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}]}),
    ("messages", {"tools": [{"name": "f", "input_schema": {"type": "object"}, "input_examples": [{"a": 1}]}]}),
    ("gemini", {"tools": [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}]}),
    ("responses", {"tools": [{"type": "function", "name": "f", "defer_loading": True}]}),
]


@pytest.mark.parametrize(("caller", "more"), FIELDS)
@pytest.mark.parametrize("provider", pairs.DIALECTS)
def test_what_only_one_api_knows_of_a_tool_is_named(caller: Dialect, more: dict[str, Any], provider: Dialect) -> None:
    assert put(caller, more, provider).dropped == ([] if provider == caller else ["tool_field"])


def test_what_says_nothing_of_a_tool_is_not_named() -> None:
    tool = {"type": "custom", "name": "f", "input_schema": {"type": "object"}, "defer_loading": False}
    assert put("messages", {"tools": [tool]}, "chat").dropped == []


@pytest.mark.parametrize("provider", ["chat", "responses", "messages", "converse", "cohere"])
def test_a_tool_of_googles_that_nobody_knows_is_refused(provider: Dialect) -> None:
    with pytest.raises(InvalidRequest, match="mcpServers"):
        put("gemini", {"tools": [{"mcpServers": [{"name": "x"}]}]}, provider)


@pytest.mark.parametrize("provider", ["chat", "responses", "messages", "converse", "cohere"])
def test_what_google_keeps_of_a_conversation_is_refused_elsewhere(provider: Dialect) -> None:
    with pytest.raises(InvalidRequest, match="stored at a provider"):
        put("gemini", {"cachedContent": "cachedContents/x"}, provider)


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
STRICT: list[tuple[Any, bool]] = [
    (None, True),
    (CLOSED, True),
    (CLOSED | {"required": []}, False),
    (CLOSED | {"additionalProperties": True}, False),
    ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, False),
    (CLOSED | {"properties": {"a": CLOSED}}, True),
    (CLOSED | {"properties": {"a": {"type": "array", "items": {"type": "object", "properties": {}}}}}, False),
    (CLOSED | {"properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}}, True),
    (CLOSED | {"properties": {"a": {"allOf": [CLOSED]}}}, False),
    ({"anyOf": [CLOSED]}, False),
    (CLOSED | {"$defs": {"b": {"type": "object", "properties": {"c": {}}}}}, False),
    ({"type": "array", "items": {"type": "string"}}, False),
    (CLOSED | {"properties": []}, False),
    (CLOSED | {"$defs": 7}, False),
]


@pytest.mark.parametrize(("schema", "fits"), STRICT)
def test_a_tool_is_strict_at_openai_where_its_schema_may_be(schema: Any, fits: bool) -> None:
    assert fits_strict(schema) is fits
    tool: dict[str, Any] = {"name": "f", "strict": True} | ({"input_schema": schema} if schema else {})
    for provider, where in (("chat", "function"), ("responses", None)):
        made = put("messages", {"tools": [tool]}, provider)  # type: ignore[arg-type]  # one of the dialects
        told = json.loads(made.body)["tools"][0]
        assert (told[where] if where else told).get("strict", False) is fits
        assert made.dropped == ([] if fits else ["tool_strict"])


def image(detail: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": detail}}
    return {"messages": [{"role": "user", "content": [part]}]}


ERROR = {"type": "tool_result", "tool_use_id": "t", "is_error": True}
CALLED = [
    USER,
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
    {"role": "user", "content": [ERROR]},
]
NAMED = {"messages": [USER | {"name": "eve"}]}
SIGNED = {"contents": [{"role": "model", "parts": [{"text": "a", "thoughtSignature": "c2ln"}]}]}
# What clients send that want nothing of it.
IDLE = {
    "frequency_penalty": 0,
    "presence_penalty": 0.0,
    "logprobs": False,
    "logit_bias": {},
    "n": 1,
    "metadata": {},
    "verbosity": "medium",
}
DROPPED: list[tuple[Dialect, dict[str, Any], Dialect, list[str]]] = [
    ("chat", image("high"), "messages", ["image_detail"]),
    ("chat", image("low"), "gemini", ["image_detail"]),
    ("chat", image("low"), "converse", ["image_detail"]),
    ("chat", image("auto"), "messages", []),
    ("chat", image("high"), "responses", []),
    ("chat", image("high"), "cohere", []),
    ("messages", {"messages": CALLED}, "chat", ["tool_error"]),
    ("chat", NAMED, "messages", ["participant_name"]),
    ("chat", NAMED, "gemini", ["participant_name"]),
    ("chat", NAMED, "converse", ["participant_name"]),
    ("chat", NAMED, "cohere", ["participant_name"]),
    ("gemini", SIGNED, "messages", ["thinking_history"]),
    ("gemini", SIGNED, "chat", ["thinking_history"]),
    ("chat", {"logit_bias": {}}, "responses", []),
    *[("chat", IDLE, provider, []) for provider in pairs.DIALECTS],
    ("responses", {"top_logprobs": 0}, "chat", []),
    ("chat", {"frequency_penalty": 0.5}, "messages", ["frequency_penalty"]),
    ("chat", {"seed": 0}, "messages", ["seed"]),
    ("chat", {"parallel_tool_calls": False}, "converse", []),
    ("messages", {"metadata": {"user_id": None}}, "chat", []),
]


@pytest.mark.parametrize(("caller", "more", "provider", "dropped"), DROPPED)
def test_what_cannot_be_said_is_named(
    caller: Dialect, more: dict[str, Any], provider: Dialect, dropped: list[str]
) -> None:
    assert put(caller, more, provider).dropped == dropped


def test_no_probabilities_are_asked_for_by_the_number_zero() -> None:
    body = json.loads(put("responses", {"top_logprobs": 0}, "chat").body)
    assert "logprobs" not in body
    assert "top_logprobs" not in body


def test_a_tool_that_failed_without_a_word_says_so_where_it_must_say_something() -> None:
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    history = [USER, {"role": "assistant", "tool_calls": calls}]
    response = {"functionResponse": {"id": "t", "name": "f", "response": {"error": ""}}}
    contents = [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "t", "name": "f", "args": {}}}]},
        {"role": "user", "parts": [response]},
    ]
    result = json.loads(put("gemini", {"contents": contents}, "messages").body)["messages"][-1]["content"][0]
    assert result["content"]
    assert json.loads(put("chat", {"messages": history}, "messages").body)["messages"]


@pytest.mark.parametrize("provider", ["gemini", "converse"])
def test_what_a_model_spoke_and_its_maker_alone_keeps_is_refused(provider: Dialect) -> None:
    spoken = {"role": "assistant", "audio": {"id": "audio_1"}}
    with pytest.raises(InvalidRequest, match="kept at another provider"):
        put("chat", {"messages": [USER, spoken, USER]}, provider)


BLOCKS = [
    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "c2VjcmV0"},
]


def test_anthropics_blocks_in_the_history_of_a_caller_of_chat_completions_go_back_to_claude() -> None:
    answer = {"role": "assistant", "content": "Yes", "reasoning_content": "Hm.", "thinking_blocks": BLOCKS}
    history = {"messages": [USER, answer, USER]}
    body = json.loads(put("chat", history, "messages").body)
    assert body["messages"][1]["content"] == [*BLOCKS, {"type": "text", "text": "Yes"}]
    assert json.loads(put("chat", history, "chat").body)["messages"][1] == answer
    assert put("chat", history, "responses").dropped == ["thinking_history"]


def test_citations_of_several_texts_stand_in_the_one_that_they_become() -> None:
    cited = {"type": "web_search_result_location", "url": "https://u", "title": "T", "cited_text": "c"}
    content = [{"type": "text", "text": "One, "}, {"type": "text", "text": "two", "citations": [cited]}]
    made = put("chat", {}, "messages")
    message = json.loads(made.reply(json.dumps({"content": content}).encode()))["choices"][0]["message"]
    assert message["content"] == "One, two"
    citation = message["annotations"][0]["url_citation"]
    assert (citation["start_index"], citation["end_index"]) == (5, 8)


def test_counts_that_are_written_with_a_point_are_counts() -> None:
    made = put("chat", {}, "messages")
    reply = {"content": [], "usage": {"input_tokens": 3.0, "output_tokens": 4}}
    made.reply(json.dumps(reply).encode())
    assert made.usage is not None
    assert (made.usage.input, made.usage.output) == (3, 4)


def put_to(model: str, caller: Dialect, more: dict[str, Any], provider: Dialect) -> Translation:
    body = json.dumps(pairs.PLAIN[caller] | more).encode()
    question = Question(OPERATIONS[pairs.OPERATION[caller][False]], body, model="m", stream=False)
    target = Target(model=model, dialect=provider)
    return Translation(question, pairs.OPERATION[provider][False], target, pairs.given())


BEGUN = {"messages": [USER, {"role": "assistant", "content": "The answer is"}]}
PREFILLED: list[tuple[str, Dialect, str, list[str]]] = [
    ("claude-sonnet-4-5", "messages", "assistant", []),
    ("claude-sonnet-4-6", "messages", "user", ["prefill"]),
    ("claude-opus-5", "messages", "user", ["prefill"]),
    ("kimi-k2", "messages", "assistant", []),
    ("us.anthropic.claude-opus-4-7-v1:0", "converse", "user", ["prefill"]),
    ("anthropic.claude-sonnet-4-5-20250929-v1:0", "converse", "assistant", []),
    ("amazon.nova-pro-v1:0", "converse", "assistant", []),
]


@pytest.mark.parametrize(("model", "provider", "last", "dropped"), PREFILLED)
def test_a_begun_answer_is_gone_on_with_by_models_that_can(
    model: str, provider: Dialect, last: str, dropped: list[str]
) -> None:
    made = put_to(model, "chat", BEGUN, provider)
    turns = json.loads(made.body)["messages"]
    assert turns[-1]["role"] == last
    assert "The answer is" in json.dumps(turns)
    assert made.dropped == dropped


LEVELS = [
    ("gemini-3-pro-preview", "minimal", "LOW"),
    ("gemini-3-flash-preview", "minimal", "MINIMAL"),
    ("gemini-3.1-pro-preview", "low", "LOW"),
    ("gemini-3-pro-preview", "high", "HIGH"),
]


@pytest.mark.parametrize(("model", "effort", "level"), LEVELS)
def test_a_model_is_asked_to_think_by_a_level_that_it_has(model: str, effort: str, level: str) -> None:
    body = json.loads(put_to(model, "chat", {"reasoning_effort": effort}, "gemini").body)
    assert body["generationConfig"]["thinkingConfig"]["thinkingLevel"] == level


@pytest.mark.parametrize(
    ("ttl", "expected"), [({}, {"type": "default"}), ({"ttl": "1h"}, {"type": "default", "ttl": "1h"})]
)
def test_a_request_that_is_to_be_cached_as_a_whole_is_marked_at_its_end(ttl: dict[str, Any], expected: Any) -> None:
    cached = {"cache_control": {"type": "ephemeral", **ttl}}
    made = put("messages", cached, "converse")
    assert json.loads(made.body)["messages"][-1]["content"] == [{"text": "Hi"}, {"cachePoint": expected}]
    assert made.dropped == []
    for provider in ("chat", "responses", "gemini", "cohere"):
        assert put("messages", cached, provider).dropped == ["cache_mark"]  # type: ignore[arg-type]  # one of them
    marked = json.loads(put("messages", cached, "chat", "cache_control").body)["messages"][-1]["content"]
    assert marked == [{"type": "text", "text": "Hi", **cached}]
    assert json.loads(put("messages", cached, "messages").body)["cache_control"] == cached["cache_control"]
