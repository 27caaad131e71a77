"""Departures from a dialect: each is defined once, read somewhere, and arrives in the request for which it is meant."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import portico
from portico.config import schema
from portico.dialects.chat.thoughts import DETAILS, TEXTS
from portico.dialects.crossing import Notes, Target
from portico.dialects.registry import PACKAGES
from portico.errors import ConfigError
from portico.ir import Image, Message, Output, Reasoning, Request, Source, Text, Thinking, Tool, ToolCall, ToolChoice
from portico.ir import ToolResult as Result
from portico.providers.catalog import CATALOG, MODELS, QUIRKS, Provider, resolve
from portico.types import Dialect

READ = re.compile(r'"(\w+)" (?:not )?in (?:[\w.]+\.)?_?quirks\b')


def read_somewhere() -> set[str]:
    """Return every quirk that the code looks for."""
    found = {*TEXTS, DETAILS}  # looked for by the name of the field
    for path in Path(portico.__file__).parent.rglob("*.py"):
        found |= set(READ.findall(path.read_text(encoding="utf-8")))
    return found


def made(like: str, *quirks: str) -> Provider:
    given = {"resource": "r", "project": "p", "account": "a", "account_id": "a", "host": "h"}
    options = {name: given[name] for name in CATALOG[like].options if name in given}
    declared = schema.Provider(like=like, api_key=None if like == "vertex" else "k", options=options, quirks=quirks)
    return resolve("mine", declared, {"HOME": "/nonexistent"})


def test_every_quirk_that_is_looked_for_is_defined_and_every_one_defined_is_looked_for() -> None:
    assert read_somewhere() == set(QUIRKS)


def test_every_quirk_of_a_row_or_a_model_is_defined() -> None:
    named = {quirk for row in CATALOG.values() for quirk in row.quirks}
    named |= {quirk for models in MODELS for quirk in models.quirks}
    assert named <= set(QUIRKS)


def test_a_quirk_is_explained_in_a_sentence() -> None:
    assert all(meaning.endswith(".") and 20 < len(meaning) < 120 for meaning in QUIRKS.values())
    assert list(QUIRKS) == sorted(QUIRKS)


def test_no_row_says_a_quirk_twice() -> None:
    for name, row in CATALOG.items():
        assert len(row.quirks) == len(set(row.quirks)), name
        assert not {"reasoning", "reasoning_content"} <= set(row.quirks), name


def test_models_are_those_of_rows_and_each_table_has_its_source() -> None:
    for models in MODELS:
        assert set(models.of) <= set(CATALOG)
        assert models.named
        assert models.source.startswith("https://")


# By model


@pytest.mark.parametrize(
    ("like", "model", "has", "lacks"),
    [
        ("openai", "gpt-5.6", {"custom_tools"}, set()),
        ("openai", "gpt-4.1", set(), {"custom_tools"}),
        ("deepseek", "deepseek-chat", set(), {"custom_tools"}),
        (
            "openai",
            "gpt-5-nano",
            {"custom_tools", "max_completion_tokens", "no_sampling", "developer_role"},
            {"effort_none"},
        ),
        ("openai", "gpt-5-chat-latest", {"no_reasoning"}, {"no_sampling", "developer_role"}),
        ("openai", "gpt-5.1", {"effort_none", "no_sampling_with_reasoning"}, {"no_sampling"}),
        ("openai", "gpt-5.1-codex-mini", {"no_sampling", "no_effort_none"}, {"effort_none"}),
        ("openai", "o4-mini", {"no_effort_none", "no_effort_minimal", "no_stop"}, {"no_reasoning"}),
        ("openai", "o1-mini", {"no_reasoning"}, {"developer_role"}),
        ("openai", "gpt-4o-search-preview", {"web_search_options"}, {"developer_role"}),
        ("openai", "ft:gpt-4o:me::1", {"max_completion_tokens"}, {"developer_role", "no_reasoning"}),
        ("azure", "gpt-5", {"no_sampling"}, set()),
        ("azure", "my-deployment", {"max_completion_tokens"}, {"no_sampling"}),
        ("azure_ai", "DeepSeek-V3.1", set(), {"max_completion_tokens"}),
        ("azure_ai", "gpt-5-nano", {"max_completion_tokens"}, set()),
        ("github", "openai/gpt-5", {"max_completion_tokens"}, set()),
        ("openrouter", "openai/gpt-5", {"developer_role"}, {"no_sampling"}),
        ("groq", "qwen/qwen3-32b", {"effort_none"}, set()),
        ("groq", "openai/gpt-oss-120b", set(), {"effort_none"}),
        ("xai", "grok-4", {"no_reasoning"}, set()),
        ("xai", "grok-3-mini", set(), {"no_reasoning"}),
        ("xai", "grok-4.3", set(), {"no_reasoning"}),
    ],
)
def test_a_model_has_the_quirks_of_its_kind(like: str, model: str, has: set[str], lacks: set[str]) -> None:
    quirks = made(like).quirks(model)
    assert has <= quirks
    assert not lacks & quirks


# By configuration


def test_a_model_with_a_name_of_its_own_has_the_quirks_of_what_it_is() -> None:
    declared = schema.Provider(like="openai", api_key="k", base_models={"ours": "gpt-5-nano"})
    provider = resolve("mine", declared, {"HOME": "/nonexistent"})
    assert provider.quirks("ours") == provider.quirks("gpt-5-nano") != provider.quirks("theirs")


def test_a_provider_of_ones_own_has_the_quirks_that_it_is_given() -> None:
    quirks = made("openai", "reasoning_content", "-max_completion_tokens", "-no_sampling").quirks("gpt-5-nano")
    assert "reasoning_content" in quirks
    assert not {"max_completion_tokens", "no_sampling"} & quirks
    assert "developer_role" in quirks


def test_a_quirk_that_nobody_knows_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as refused:
        made("openai", "reasoning_contents", "-no_store")
    assert refused.value.message == (
        "Provider 'mine': there is no quirk 'reasoning_contents' (did you mean 'reasoning_content'?)."
    )


# In the request


def asked(*parts: Any, **more: Any) -> Request:
    """Ask as an Anthropic client would."""
    return Request(
        dialect="messages", model="m", messages=(Message(role="user", parts=(Text(text="Hi"), *parts)),), **more
    )


SCHEMA = Output(kind="json_schema", schema={"type": "object"}, name="it")
THOUGHT = Message(role="assistant", parts=(Thinking(text="Hm."), Text(text="Yes.")))
CALLED = (
    Message(role="assistant", parts=(ToolCall(id="toolu_1", name="look"),)),
    Message(role="tool", parts=(Result(id="toolu_1", name="look", parts=(Text(text="seen"),)),)),
)
LOOK = Tool(name="look", parameters={"type": "object"})
ASKED: list[tuple[str, str, Dialect, Request, dict[str, Any], list[str]]] = [
    # row, model, dialect there, what is asked, what of the body is to be so, what is dropped
    ("openai", "gpt-5-nano", "chat", asked(max_tokens=9), {"max_completion_tokens": 9, "max_tokens": None}, []),
    ("groq", "openai/gpt-oss-20b", "chat", asked(max_tokens=9), {"max_completion_tokens": 9, "max_tokens": None}, []),
    ("deepseek", "deepseek-chat", "chat", asked(max_tokens=9), {"max_tokens": 9, "max_completion_tokens": None}, []),
    (
        "openai",
        "gpt-5-nano",
        "chat",
        asked(temperature=0.5, top_p=1),
        {"temperature": None, "top_p": None},
        ["sampling"],
    ),
    ("openai", "gpt-5-nano", "responses", asked(temperature=0.5), {"temperature": None}, ["sampling"]),
    ("openai", "gpt-5-nano", "chat", asked(stop=("x",)), {"stop": None}, ["stop_refused"]),
    ("openai", "gpt-4o", "chat", asked(temperature=0.5, stop=("x",)), {"temperature": 0.5, "stop": ["x"]}, []),
    ("openai", "gpt-5.1", "responses", asked(temperature=0.5), {"temperature": 0.5}, []),
    (
        "openai",
        "gpt-5.1",
        "responses",
        asked(temperature=0.5, reasoning=Reasoning(effort="high")),
        {"temperature": None, "reasoning": {"effort": "high"}},
        ["sampling"],
    ),
    (
        "openai",
        "gpt-5.1",
        "chat",
        asked(temperature=0.5, reasoning=Reasoning(enabled=False)),
        {"temperature": 0.5, "reasoning_effort": "none"},
        [],
    ),
    (
        "openai",
        "gpt-4o",
        "responses",
        asked(reasoning=Reasoning(budget=4000)),
        {"reasoning": None, "include": None},
        ["thinking"],
    ),
    ("openai", "gpt-4o", "chat", asked(reasoning=Reasoning(budget=4000)), {"reasoning_effort": None}, ["thinking"]),
    ("openai", "o4-mini", "responses", asked(reasoning=Reasoning(enabled=False)), {"reasoning": {"effort": "low"}}, []),
    (
        "openai",
        "gpt-5",
        "responses",
        asked(reasoning=Reasoning(enabled=False)),
        {"reasoning": {"effort": "minimal"}},
        [],
    ),
    (
        "openai",
        "gpt-5.1",
        "responses",
        asked(reasoning=Reasoning(effort="minimal")),
        {"reasoning": {"effort": "low"}},
        [],
    ),
    ("mistral", "mistral-large-latest", "chat", asked(seed=7), {"random_seed": 7, "seed": None}, []),
    (
        "mistral",
        "mistral-large-latest",
        "chat",
        asked(tools=(LOOK,), tool_choice=ToolChoice(mode="required")),
        {"tool_choice": "any"},
        [],
    ),
    (
        "openrouter",
        "openai/gpt-5",
        "chat",
        asked(reasoning=Reasoning(budget=4000)),
        {"reasoning": {"max_tokens": 4000}},
        [],
    ),
    (
        "deepseek",
        "deepseek-chat",
        "chat",
        asked(reasoning=Reasoning(enabled=False)),
        {"thinking": {"type": "disabled"}},
        [],
    ),
    (
        "dashscope",
        "qwen-plus",
        "chat",
        asked(reasoning=Reasoning(budget=4000)),
        {"enable_thinking": True, "thinking_budget": 4000},
        [],
    ),
    ("groq", "qwen/qwen3-32b", "chat", asked(reasoning=Reasoning(enabled=False)), {"reasoning_effort": "none"}, []),
    (
        "groq",
        "openai/gpt-oss-20b",
        "chat",
        asked(reasoning=Reasoning(enabled=False)),
        {"reasoning_effort": None},
        ["reasoning_off"],
    ),
    ("zai", "glm-4.6", "chat", asked(output=SCHEMA), {"response_format": {"type": "json_object"}}, []),
    (
        "vllm",
        "m",
        "chat",
        asked(top_k=5, stop=("a", "b", "c", "d", "e")),
        {"top_k": 5, "stop": ["a", "b", "c", "d", "e"]},
        [],
    ),
    ("openai", "gpt-4o", "chat", asked(top_k=5), {"top_k": None}, ["top_k"]),
    (
        "groq",
        "openai/gpt-oss-20b",
        "responses",
        asked(reasoning=Reasoning(effort="low", show=True)),
        {"include": None, "reasoning": {"effort": "low"}},
        [],
    ),
    ("vertex", "gemini-2.5-pro", "gemini", asked(metadata={"a": "b"}), {"labels": {"a": "b"}}, []),
    ("gemini", "gemini-2.5-pro", "gemini", asked(metadata={"a": "b"}), {"labels": None}, ["metadata"]),
]


def rendered(like: str, model: str, dialect: Dialect, request: Request) -> tuple[dict[str, Any], list[str]]:
    provider = made(like) if like != "vertex" else vertex()
    notes = Notes(dialect)
    body = PACKAGES[dialect].render_request(
        request, Target(model=model, dialect=dialect, quirks=provider.quirks(model)), notes
    )
    return json.loads(body), notes.dropped


def vertex() -> Provider:
    login = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    environ = {"HOME": "/nonexistent", "GOOGLE_APPLICATION_CREDENTIALS": json.dumps(login)}
    return resolve("vertex", schema.Provider(options={"project": "p"}), environ)


@pytest.mark.parametrize(
    ("like", "model", "dialect", "request_", "fields", "dropped"),
    ASKED,
    ids=[f"{at}-{case[0]}-{case[1]}-{case[2]}" for at, case in enumerate(ASKED)],
)
def test_a_request_is_written_as_the_provider_takes_it(
    like: str, model: str, dialect: Dialect, request_: Request, fields: dict[str, Any], dropped: list[str]
) -> None:
    body, lost = rendered(like, model, dialect, request_)
    assert {name: body.get(name) for name in fields} == fields
    assert lost == dropped


@pytest.mark.parametrize(
    ("like", "field"),
    [("deepseek", "reasoning_content"), ("cerebras", "reasoning"), ("openrouter", "reasoning"), ("openai", None)],
)
def test_thoughts_of_an_earlier_turn_go_where_the_provider_reads_them(like: str, field: str | None) -> None:
    request = asked()
    request = Request(dialect="messages", model="m", messages=(*request.messages, THOUGHT, *request.messages))
    body, lost = rendered(like, "m", "chat", request)
    (answer,) = [message for message in body["messages"] if message["role"] == "assistant"]
    assert {name for name in ("reasoning", "reasoning_content") if name in answer} == ({field} if field else set())
    assert lost == ([] if field else ["thinking_history"])


def test_an_id_of_a_call_is_nine_letters_at_mistral_and_the_same_for_its_answer() -> None:
    request = Request(dialect="messages", model="m", messages=(*asked().messages, *CALLED), tools=(LOOK,))
    body, _ = rendered("mistral", "mistral-large-latest", "chat", request)
    (call,) = [message["tool_calls"][0]["id"] for message in body["messages"] if "tool_calls" in message]
    (answer,) = [message for message in body["messages"] if message["role"] == "tool"]
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", call)
    assert (answer["tool_call_id"], answer["name"]) == (call, "look")


@pytest.mark.parametrize(("like", "inside"), [("openrouter", True), ("openai", False)])
def test_an_image_that_a_tool_answered_stays_where_the_provider_takes_it(like: str, inside: bool) -> None:
    image = Image(source=Source(data="AA==", media_type="image/png"))
    answer = Message(role="tool", parts=(Result(id="toolu_1", parts=(image,)),))
    messages = (*asked().messages, CALLED[0], answer)
    body, _ = rendered(like, "m", "chat", Request(dialect="messages", model="m", messages=messages, tools=(LOOK,)))
    roles = [message["role"] for message in body["messages"] if "image_url" in json.dumps(message)]
    assert roles == (["tool"] if inside else ["user"])
