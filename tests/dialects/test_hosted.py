"""Tools that a provider runs itself, at providers that have none such: left out and named, or the call is refused."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.crossing import Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.errors import InvalidRequest
from portico.types import Dialect

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTIONS: dict[Dialect, dict[str, Any]] = {
    "chat": {"type": "function", "function": {"name": "run", "parameters": SCHEMA}},
    "responses": {"type": "function", "name": "run", "parameters": SCHEMA},
    "messages": {"name": "run", "input_schema": SCHEMA},
    "gemini": {"functionDeclarations": [{"name": "run", "parametersJsonSchema": SCHEMA}]},
}
# Tools that a caller's provider runs, by what the caller calls them, and the dialects that have them too.
SEARCH: list[Dialect] = ["responses", "messages", "gemini"]
HOSTED: list[tuple[Dialect, dict[str, Any], str, list[Dialect]]] = [
    ("responses", {"type": "web_search"}, "web_search", SEARCH),
    ("responses", {"type": "web_search_preview"}, "web_search", SEARCH),
    ("responses", {"type": "code_interpreter", "container": {"type": "auto"}}, "code_execution", SEARCH),
    ("responses", {"type": "file_search", "vector_store_ids": ["vs_1"]}, "file_search", []),
    ("responses", {"type": "mcp", "server_label": "wiki", "server_url": "https://x"}, "wiki", []),
    ("responses", {"type": "tool_search"}, "tool_search", []),
    ("responses", {"type": "computer_use_preview", "environment": "browser"}, "computer", []),
    ("responses", {"type": "shell", "environment": {"type": "container_auto"}}, "shell", []),
    ("messages", {"type": "web_search_20250305", "name": "web_search"}, "web_search", SEARCH),
    ("messages", {"type": "web_fetch_20250910", "name": "web_fetch"}, "web_fetch", ["gemini"]),
    ("messages", {"type": "tool_search_tool_bm25_20251119", "name": "bm25"}, "bm25", []),
    ("messages", {"type": "bash_20990101", "name": "bash"}, "bash", []),
    ("chat", {"type": "openrouter:web_search"}, "web_search", SEARCH),
    ("gemini", {"googleSearch": {}}, "web_search", SEARCH),
    ("gemini", {"googleMaps": {}}, "google_maps", []),
    ("gemini", {"somethingNew": {"on": True}}, "somethingNew", []),
]
LOST = [
    (caller, tool, name, provider)
    for caller, tool, name, having in HOSTED
    for provider in pairs.DIALECTS
    if provider != caller and provider not in having
]
ABOUT = "{0[0]} {0[2]} at {0[3]}"


def put(caller: Dialect, more: dict[str, Any], provider: Dialect, *quirks: str, strict: bool = False) -> Translation:
    body = json.dumps(pairs.PLAIN[caller] | more).encode()
    question = Question(OPERATIONS[pairs.OPERATION[caller][False]], body, model="m", stream=False)
    target = Target(model=pairs.MODELS[provider], dialect=provider, quirks=frozenset(quirks))
    return Translation(question, pairs.OPERATION[provider][False], target, pairs.given(), strict=strict)


def told(provider: Dialect, made: Translation) -> list[str]:
    """Return the names of the tools that a provider is told of."""
    return [fact[1] for fact in pairs.arrived(provider, made.body) if fact[0] == "tool"]


@pytest.mark.parametrize(("caller", "tool", "name", "provider"), LOST, ids=[ABOUT.format(each) for each in LOST])
def test_beside_other_tools_it_is_left_out_and_named(
    caller: Dialect, tool: dict[str, Any], name: str, provider: Dialect
) -> None:
    more = {"tools": [tool, FUNCTIONS[caller]]}
    made = put(caller, more, provider)
    assert made.dropped == ["server_tool"]
    assert told(provider, made) == ["run"]
    with pytest.raises(InvalidRequest, match=name):
        put(caller, more, provider, strict=True)


@pytest.mark.parametrize(("caller", "tool", "name", "provider"), LOST, ids=[ABOUT.format(each) for each in LOST])
def test_a_call_that_has_no_other_tool_is_refused_by_its_name(
    caller: Dialect, tool: dict[str, Any], name: str, provider: Dialect
) -> None:
    with pytest.raises(InvalidRequest, match=name) as raised:
        put(caller, {"tools": [tool]}, provider)
    assert raised.value.param == "tools"
    assert "send it to a provider that has the tool" in raised.value.message


FUNCTION = FUNCTIONS["responses"]
WEB = {"type": "web_search"}
NAMED = {"type": "function", "name": "run"}
ALLOWED = {"type": "allowed_tools", "mode": "auto"}
# The choice, the tools, and what the provider of Chat Completions is told of the choice; None where it is refused.
CHOICES: list[tuple[Any, list[Any], Any]] = [
    ("auto", [WEB, FUNCTION], "auto"),
    ("required", [WEB, FUNCTION], "required"),
    ("none", [WEB, FUNCTION], "none"),
    ("none", [WEB], "nothing"),
    (NAMED, [WEB, FUNCTION], {"type": "function", "function": {"name": "run"}}),
    (ALLOWED | {"tools": [WEB, NAMED]}, [WEB, FUNCTION], ["run"]),
    (WEB, [WEB, FUNCTION], None),
    ("required", [WEB], None),
    (ALLOWED | {"tools": [WEB]}, [WEB, FUNCTION], None),
]


@pytest.mark.parametrize(("choice", "tools", "expected"), CHOICES)
def test_a_choice_is_made_among_the_tools_that_are_left(choice: Any, tools: list[Any], expected: Any) -> None:
    more = {"tool_choice": choice, "tools": tools}
    if expected is None:
        with pytest.raises(InvalidRequest, match="web_search"):
            put("responses", more, "chat")
        return
    made = put("responses", more, "chat")
    chosen = json.loads(made.body).get("tool_choice", "nothing")
    if isinstance(expected, list):
        chosen = [each["function"]["name"] for each in chosen["allowed_tools"]["tools"]]
    assert chosen == expected
    assert made.dropped == ["server_tool"]


def test_a_tool_forced_by_anthropics_callers_is_refused_by_the_name_they_know() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    more = {"tools": [search, FUNCTIONS["messages"]], "tool_choice": {"type": "tool", "name": "web_search"}}
    with pytest.raises(InvalidRequest, match="web_search"):
        put("messages", more, "chat")


def test_the_function_of_a_name_is_not_taken_for_the_tool_of_that_name() -> None:
    more = {
        "tools": [WEB, FUNCTION | {"name": "web_search"}],
        "tool_choice": {"type": "function", "name": "web_search"},
    }
    made = put("responses", more, "chat")
    assert told("chat", made) == ["web_search"]
    assert made.dropped == ["server_tool"]


@pytest.mark.parametrize("provider", SEARCH)
def test_one_that_the_provider_has_too_goes_along(provider: Dialect) -> None:
    tools = [{"type": "openrouter:web_search"}]
    assert put("chat", {"tools": tools}, provider).dropped == []


@pytest.mark.parametrize("provider", ["messages", "gemini", "chat"])
def test_a_search_that_is_to_keep_away_from_the_live_web_has_no_equal(provider: Dialect) -> None:
    codexs = [WEB | {"external_web_access": False}, FUNCTION]
    made = put("responses", {"tools": codexs}, provider, "web_search_options")
    assert made.dropped == ["server_tool"]
    assert "web_search" not in made.body.decode()
    assert "googleSearch" not in made.body.decode()


def test_a_search_of_the_live_web_is_as_any_other() -> None:
    made = put("responses", {"tools": [WEB | {"external_web_access": True}, FUNCTION]}, "messages")
    assert made.dropped == []
    assert [tool["name"] for tool in json.loads(made.body)["tools"]] == ["web_search", "run"]


@pytest.mark.parametrize("caller", ["responses", "messages"])
def test_google_takes_its_own_tools_alone_or_functions_alone(caller: Dialect) -> None:
    search = next(tool for dialect, tool, name, _ in HOSTED if dialect == caller and name == "web_search")
    assert json.loads(put(caller, {"tools": [search]}, "gemini").body)["tools"] == [{"googleSearch": {}}]
    made = put(caller, {"tools": [search, FUNCTIONS[caller]]}, "gemini")
    assert [list(each) for each in json.loads(made.body)["tools"]] == [["functionDeclarations"]]
    assert made.dropped == ["server_tool"]


def test_the_same_tools_are_told_alike_each_time() -> None:
    long = FUNCTION | {"description": "x" * 1000}
    first, second = (put("responses", {"tools": [WEB, long]}, "chat") for _ in range(2))
    assert first.body == second.body
    assert first.dropped == second.dropped == ["server_tool"]
