"""Tools that one maker's models know and the caller runs, at providers of others: functions, told back as known."""

import json
from typing import Any

import pytest
from openai.types.responses import ResponseInputItemParam, ResponseOutputItem, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.dialects.crossing import pairs
from tests.dialects.test_free_text import run

from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question
from portico.types import Dialect

CHAT_AND_OTHERS: list[Dialect] = ["chat", "gemini", "converse", "cohere"]


def ask(caller: Dialect, more: dict[str, Any], *, stream: bool = False) -> Question:
    body = json.dumps(pairs.PLAIN[caller] | more).encode()
    return Question(OPERATIONS[pairs.OPERATION[caller][stream]], body, model="m", stream=stream)


# Anthropic's

BASH = {"type": "bash_20250124", "name": "bash"}
DISPLAY = {"display_width_px": 1024, "display_height_px": 768}
EDITS = {"command", "path", "file_text", "old_str", "new_str", "insert_line", "view_range"}
MOUSE = {"action", "coordinate", "text"}
LATER = MOUSE | {"start_coordinate", "scroll_direction", "scroll_amount", "duration"}
FILES = {"command", "path", "view_range", "file_text", "old_str", "new_str", "insert_line", "insert_text"}
# The tool, what it takes, the words that choose what it does, and what its description says of it.
ANTHROPICS: list[tuple[dict[str, Any], set[str], set[str], str]] = [
    (BASH, {"command", "restart"}, set(), "session"),
    (BASH | {"type": "bash_20241022"}, {"command", "restart"}, set(), "session"),
    (
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 900},
        EDITS | {"insert_text"},
        {"view", "create", "str_replace", "insert"},
        "900 characters",
    ),
    (
        {"type": "text_editor_20250124", "name": "str_replace_editor"},
        EDITS,
        {"view", "create", "str_replace", "insert", "undo_edit"},
        "undo_edit",
    ),
    (
        {"type": "memory_20250818", "name": "memory"},
        FILES | {"old_path", "new_path"},
        {"view", "create", "str_replace", "insert", "delete", "rename"},
        "/memories",
    ),
    ({"type": "computer_20241022", "name": "computer", **DISPLAY}, MOUSE, {"left_click", "key"}, "1024 pixels"),
    ({"type": "computer_20250124", "name": "computer", **DISPLAY}, LATER, {"scroll", "wait"}, "768"),
    (
        {"type": "computer_20251124", "name": "computer", "enable_zoom": True, **DISPLAY},
        LATER | {"region"},
        {"scroll", "zoom"},
        "768",
    ),
]


@pytest.mark.parametrize("provider", [*CHAT_AND_OTHERS, "responses"])
@pytest.mark.parametrize(("tool", "takes", "words", "said"), ANTHROPICS, ids=[case[0]["type"] for case in ANTHROPICS])
def test_a_tool_that_claude_knows_is_a_function_with_its_input(
    tool: dict[str, Any], takes: set[str], words: set[str], said: str, provider: Dialect
) -> None:
    made = pairs.put(ask("messages", {"tools": [tool]}), provider)
    (function,) = [fact for fact in pairs.arrived(provider, made.body) if fact[0] == "tool"]
    assert function[1] == tool["name"]
    assert set(function[3]) == takes
    assert said.replace(" ", "") in function[2]
    assert all(f'"{word}"' in made.body.decode() for word in words)
    assert made.dropped == []


def test_a_tool_that_claude_knows_goes_to_anthropic_as_it_is() -> None:
    made = pairs.put(ask("messages", {"tools": [BASH]}), "messages")
    assert json.loads(made.body)["tools"] == [BASH]


def test_what_else_is_set_of_such_a_tool_is_kept_or_named() -> None:
    tool = BASH | {"cache_control": {"type": "ephemeral"}, "strict": True, "defer_loading": True}
    made = pairs.put(ask("messages", {"tools": [tool]}), "converse")
    tools = json.loads(made.body)["toolConfig"]["tools"]
    assert tools[1] == {"cachePoint": {"type": "default"}}
    assert tools[0]["toolSpec"]["strict"] is True
    assert made.dropped == ["tool_field"]


@pytest.mark.parametrize("provider", ["chat", "gemini"])
def test_a_round_of_such_a_tool_crosses_and_the_next_call_comes_back(provider: Dialect) -> None:
    history = [
        {"role": "user", "content": "list"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "bash", "input": {"command": "ls"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a.txt"}]},
    ]
    choice = {"type": "tool", "name": "bash"}
    made = pairs.put(ask("messages", {"tools": [BASH], "tool_choice": choice, "messages": history}), provider)
    facts = pairs.arrived(provider, made.body)
    assert ("call", "bash", '{"command": "ls"}') in facts
    assert any(fact[0] == "result" and fact[2] == "a.txt" for fact in facts)
    assert ("choice", ("bash",)) in facts
    reply = json.loads(made.reply(called(provider, "bash", '{"restart": true}')))
    assert reply["content"][0] | {"id": ""} == {
        "type": "tool_use",
        "id": "",
        "name": "bash",
        "input": {"restart": True},
    }
    assert reply["stop_reason"] == "tool_use"


@pytest.mark.parametrize("provider", [*CHAT_AND_OTHERS, "responses", "messages"])
def test_a_caller_of_chat_completions_may_use_anthropics_words(provider: Dialect) -> None:
    made = pairs.put(
        ask("chat", {"tools": [BASH, {"type": "computer_20250124", "name": "computer", **DISPLAY}]}), provider
    )
    if provider == "chat":
        assert json.loads(made.body)["tools"][0] == BASH
    elif provider == "messages":
        bash, computer = json.loads(made.body)["tools"]
        assert bash == BASH
        assert computer["input_schema"]["properties"].keys() == LATER
    else:
        assert [fact[1] for fact in pairs.arrived(provider, made.body) if fact[0] == "tool"] == ["bash", "computer"]
    assert made.dropped == []


# OpenAI's

RUN = {"commands": ["ls -a", "pwd"], "timeout_ms": 1000}
PATCH = {"type": "update_file", "path": "a.py", "diff": "@@\n-a\n+ä😀\n"}
EXEC = {"command": ["ls", "-a"], "working_directory": "/tmp"}
# The tool, what a provider calls it with, and what its item says of the call.
OPENAIS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("shell", RUN, {"type": "shell_call", "action": RUN | {"max_output_length": None}}),
    ("apply_patch", PATCH, {"type": "apply_patch_call", "operation": PATCH}),
    (
        "apply_patch",
        {"type": "delete_file", "path": "a.py", "diff": ""},
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a.py"}},
    ),
    ("local_shell", EXEC, {"type": "local_shell_call", "action": {"type": "exec", "env": {}, **EXEC}}),
    (
        "tool_search",
        {"goal": "mail"},
        {"type": "tool_search_call", "execution": "client", "arguments": {"goal": "mail"}},
    ),
]
GOAL = {"type": "object", "properties": {"goal": {"type": "string"}}, "required": ["goal"]}
FIND = {"type": "tool_search", "execution": "client", "description": "Finds tools.", "parameters": GOAL}


def offered(kind: str) -> dict[str, Any]:
    """Return a tool as its caller offers it."""
    return FIND if kind == "tool_search" else {"type": kind}


OUTPUT = TypeAdapter[Any](ResponseOutputItem)
INPUT = TypeAdapter[Any](ResponseInputItemParam)
EVENT = TypeAdapter[Any](ResponseStreamEvent)


def called(provider: Dialect, name: str, arguments: str) -> bytes:
    """Answer with one call."""
    if provider == "gemini":
        parts = [{"functionCall": {"name": name, "args": json.loads(arguments), "id": "c1"}}]
        reply: Any = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    elif provider == "messages":
        use = {"type": "tool_use", "id": "c1", "name": name, "input": json.loads(arguments)}
        reply = {"content": [use], "stop_reason": "tool_use"}
    else:
        call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        reply = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    return json.dumps(reply).encode()


def streamed(name: str, arguments: str, size: int) -> bytes:
    """Answer with words, and one call in pieces, as Chat Completions streams them."""
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": name, "arguments": ""}}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": "So:"},
        {"tool_calls": [first]},
        *[{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces],
    ]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("provider", ["chat", "messages", "gemini"])
@pytest.mark.parametrize(("kind", "arguments", "said"), OPENAIS)
def test_a_call_of_a_tool_that_gpt_knows_is_told_as_its_own_item(
    kind: str, arguments: dict[str, Any], said: dict[str, Any], provider: Dialect
) -> None:
    made = pairs.put(ask("responses", {"tools": [offered(kind)], "tool_choice": {"type": kind}}), provider)
    facts = pairs.arrived(provider, made.body)
    assert [fact[1] for fact in facts if fact[0] == "tool"] == [kind]
    assert ("choice", (kind,)) in facts
    assert made.dropped == []
    reply = json.loads(made.reply(called(provider, kind, json.dumps(arguments))))
    (item,) = reply["output"]
    assert {name: item[name] for name in said} == said
    assert (item["call_id"], item["status"], reply["status"]) == ("c1", "completed", "completed")
    assert OUTPUT.validate_python(item).type == said["type"]


@pytest.mark.parametrize(("chunk", "size"), [(1, 1), (7, 3), (100_000, 1000)])
@pytest.mark.parametrize(("kind", "arguments", "said"), OPENAIS)
def test_a_streamed_call_of_it_is_told_whole(
    kind: str, arguments: dict[str, Any], said: dict[str, Any], chunk: int, size: int
) -> None:
    question = ask("responses", {"tools": [offered(kind)]}, stream=True)
    events = run(pairs.put(question, "chat"), streamed(kind, json.dumps(arguments), size), chunk)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        EVENT.validate_python(event)
    assert not [event for event in events if "arguments" in event["type"]]
    added, done = (
        event
        for event in events
        if event["type"].startswith("response.output_item") and event["item"]["type"] == said["type"]
    )
    assert added["output_index"] == done["output_index"] == 1
    assert added["item"]["status"] == "in_progress"
    assert {name: done["item"][name] for name in said} == said
    words, call = events[-1]["response"]["output"]
    assert words["content"][0]["text"] == "So:"
    assert call == done["item"]


# What is called with something else than the tool takes.
UNFIT = [
    ("shell", '{"commands": "ls"}'),
    ("shell", '{"commands": []}'),
    ("shell", '{"commands": ["l'),
    ("local_shell", '{"command": [1]}'),
    ("apply_patch", '{"type": "move", "path": "a"}'),
    ("apply_patch", '{"type": "create_file", "path": "a"}'),
    ("apply_patch", "[]"),
    ("tool_search", "[]"),
]


@pytest.mark.parametrize(("kind", "arguments"), UNFIT)
def test_a_call_that_does_not_fit_the_tool_is_told_as_a_functions(kind: str, arguments: str) -> None:
    tools = {"tools": [offered(kind)]}
    (item,) = json.loads(pairs.put(ask("responses", tools), "chat").reply(called("chat", kind, arguments)))["output"]
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", kind, arguments)
    events = run(pairs.put(ask("responses", tools, stream=True), "chat"), streamed(kind, arguments, 3), 7)
    for event in events:
        EVENT.validate_python(event)
    assert events[-1]["response"]["output"][1]["arguments"] == arguments
    assert "".join(each["delta"] for each in events if "arguments.delta" in each["type"]) == arguments


SHELLED = [{"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
# The items of a call and of its answer, and what others are told of them.
ROUNDS: list[tuple[dict[str, Any], dict[str, Any], str, str, str]] = [
    (
        {"type": "shell_call", "id": "sh_1", "action": RUN, "environment": {"type": "local"}},
        {"type": "shell_call_output", "output": SHELLED, "max_output_length": 9},
        "shell",
        json.dumps(RUN),
        json.dumps(SHELLED, sort_keys=True).replace(" ", ""),
    ),
    (
        {"type": "apply_patch_call", "id": "apc_1", "operation": PATCH, "status": "completed"},
        {"type": "apply_patch_call_output", "status": "completed"},
        "apply_patch",
        json.dumps(PATCH),
        "completed",
    ),
    (
        {"type": "local_shell_call", "id": "lsh_1", "action": {"type": "exec", "user": None, **EXEC}},
        {"type": "local_shell_call_output", "id": "lsh_1", "call_id": None, "output": "done"},
        "local_shell",
        json.dumps(EXEC),
        "done",
    ),
]


@pytest.mark.parametrize("tools", [True, False], ids=["with its tool", "without"])
@pytest.mark.parametrize("provider", [*CHAT_AND_OTHERS, "messages"])
@pytest.mark.parametrize(("call", "answer", "name", "arguments", "said"), ROUNDS)
def test_a_round_of_it_is_a_call_and_its_answer_elsewhere(
    call: dict[str, Any],
    answer: dict[str, Any],
    name: str,
    arguments: str,
    said: str,
    provider: Dialect,
    tools: bool,
) -> None:
    items = [{"role": "user", "content": "Hi"}, {"call_id": "c9", **call}, {"call_id": "c9", **answer}]
    items = [{key: value for key, value in item.items() if value is not None} for item in items]
    more = {"input": items} | ({"tools": [{"type": name}]} if tools else {})
    made = pairs.put(ask("responses", more), provider)
    facts = pairs.arrived(provider, made.body)
    (asked,) = [fact for fact in facts if fact[0] == "call"]
    assert asked[1] == name
    assert json.loads(asked[2]) == json.loads(arguments)
    (result,) = [fact for fact in facts if fact[0] == "result"]
    assert result[2] == said
    assert made.dropped == []


def test_an_answer_that_failed_says_so_and_one_to_no_call_is_named() -> None:
    call = {"type": "apply_patch_call", "call_id": "c1", "operation": PATCH, "status": "completed"}
    answer = {"type": "apply_patch_call_output", "call_id": "c1", "status": "failed", "output": "no such line"}
    made = pairs.put(ask("responses", {"input": [call, answer]}), "messages")
    result = json.loads(made.body)["messages"][-1]["content"][0]
    assert (result["is_error"], result["content"]) == (True, "no such line")
    assert pairs.put(ask("responses", {"input": [answer]}), "messages").dropped == ["opaque"]


def test_what_ran_in_a_container_of_openais_stays_there() -> None:
    place = {"type": "container_reference", "container_id": "cntr_1"}
    call = {"type": "shell_call", "call_id": "c1", "action": RUN, "environment": place}
    answer = {"type": "shell_call_output", "call_id": "c1", "output": SHELLED}
    assert pairs.put(ask("responses", {"input": [call, answer]}), "chat").dropped == ["opaque"]


@pytest.mark.parametrize("provider", [*CHAT_AND_OTHERS, "messages"])
def test_tools_that_the_caller_has_found_can_be_called(provider: Dialect) -> None:
    function = {"type": "function", "name": "send", "parameters": GOAL}
    group = {"type": "namespace", "name": "mcp__mail", "tools": [function]}
    call = {"type": "tool_search_call", "call_id": "c1", "execution": "client", "arguments": {"goal": "mail"}}
    answer = {"type": "tool_search_output", "call_id": "c1", "execution": "client", "tools": [group]}
    items = [{"role": "user", "content": "Hi"}, call, answer]
    made = pairs.put(ask("responses", {"tools": [FIND], "input": items}), provider)
    facts = pairs.arrived(provider, made.body)
    assert [fact[1] for fact in facts if fact[0] == "tool"] == ["tool_search", "mcp__mail__send"]
    assert [fact[1:] for fact in facts if fact[0] == "call"] == [("tool_search", '{"goal": "mail"}')]
    assert [fact[2] for fact in facts if fact[0] == "result"] == ["Toolsthatcanbecallednow:mcp__mail"]
    assert made.dropped == []
    if provider == "chat":
        (item,) = json.loads(made.reply(called("chat", "mcp__mail__send", "{}")))["output"]
        assert (item["type"], item["name"], item["namespace"]) == ("function_call", "send", "mcp__mail")


@pytest.mark.parametrize("provider", pairs.DIALECTS)
def test_what_claudes_caller_has_found_is_told_to_others_in_words(provider: Dialect) -> None:
    found = {"type": "tool_reference", "tool_name": "send"}
    tools = [{"name": name, "input_schema": GOAL, "defer_loading": name == "send"} for name in ("find", "send")]
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {"goal": "mail"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [found]}]},
    ]
    made = pairs.put(ask("messages", {"tools": tools, "messages": history}), provider)
    if provider == "messages":
        assert json.loads(made.body)["messages"] == history
    else:
        facts = pairs.arrived(provider, made.body)
        assert [fact[2] for fact in facts if fact[0] == "result"] == ["Thetoolsendcanbecallednow."]
        assert made.dropped == ["tool_field"]


def test_a_function_of_the_same_name_keeps_it() -> None:
    schema = {"type": "object", "properties": {}}
    tools = [{"type": "shell"}, {"type": "function", "name": "shell", "parameters": schema}]
    items = [{"role": "user", "content": "Hi"}, {"type": "shell_call", "call_id": "c1", "action": RUN}]
    made = pairs.put(ask("responses", {"tools": tools, "input": items}), "chat")
    body = json.loads(made.body)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["shell_", "shell"]
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "shell_"
    for name, kind in (("shell_", "shell_call"), ("shell", "function_call")):
        (item,) = json.loads(made.reply(called("chat", name, json.dumps(RUN))))["output"]
        assert item["type"] == kind


def test_such_tools_go_to_openai_as_they_are() -> None:
    tools = [{"type": "shell"}, {"type": "apply_patch"}]
    items = [{"role": "user", "content": "Hi"}, {"type": "shell_call", "call_id": "c1", "action": RUN}]
    body = json.loads(pairs.put(ask("responses", {"tools": tools, "input": items}), "responses").body)
    assert (body["tools"], body["input"]) == (tools, items)


def test_the_items_that_are_told_may_come_back() -> None:
    for kind, arguments, _ in OPENAIS:
        made = pairs.put(ask("responses", {"tools": [offered(kind)]}), "chat")
        (item,) = json.loads(made.reply(called("chat", kind, json.dumps(arguments))))["output"]
        INPUT.validate_python(item)
        again = pairs.put(ask("responses", {"tools": [offered(kind)], "input": [item]}), "chat")
        call = json.loads(again.body)["messages"][0]["tool_calls"][0]["function"]
        kept = {key: value for key, value in json.loads(call["arguments"]).items() if value not in ("", {})}
        assert kept == {key: value for key, value in arguments.items() if value != ""}
