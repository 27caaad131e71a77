"""The turns of one conversation are known by what begins them, in every dialect, and no other call is taken for one."""

import json
from typing import Any

import pytest
from tests.plan.routing import facts

from portico.plan.conversation import CACHEABLE, WINDOW, Conversation, conversation_of
from portico.plan.facts import Facts

SECRET = b"a secret"
SYSTEM = "You look after the weather of the whole world, and say what you know of it. " * 60
ASKED = 'Will it rain in the north tomorrow? Say it in "role": "assistant" words. ' * 20


def text(role: str, said: str) -> dict[str, Any]:
    return {"role": role, "content": said}


def item(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


TOOLS = [{"type": "function", "function": {"name": "look", "description": "Look out of the window. " * 40}}]
DIALECTS: dict[str, tuple[dict[str, Any], str, list[Any], list[Any]]] = {
    "chat": (
        {"tools": TOOLS},
        "messages",
        [text("system", SYSTEM), text("user", ASKED)],
        [text("assistant", "It will."), text("user", "And then?")],
    ),
    "messages": (
        {"tools": TOOLS, "system": SYSTEM},
        "messages",
        [text("user", ASKED)],
        [text("assistant", "It will."), text("user", "And then?")],
    ),
    "responses": (
        {"tools": TOOLS, "instructions": SYSTEM},
        "input",
        [text("user", ASKED)],
        [item("reasoning", summary=[]), item("function_call", name="look"), item("function_call_output", output="x")],
    ),
    "gemini": (
        {"systemInstruction": {"parts": [{"text": SYSTEM}]}},
        "contents",
        [{"role": "user", "parts": [{"text": ASKED}]}],
        [{"role": "model", "parts": [{"text": "It will."}]}, {"role": "user", "parts": [{"text": "And then?"}]}],
    ),
    "converse": (
        {"system": [{"text": SYSTEM}], "toolConfig": {"tools": TOOLS}},
        "messages",
        [{"role": "user", "content": [{"text": ASKED}]}],
        [{"role": "assistant", "content": [{"text": "It will."}]}, {"role": "user", "content": [{"text": "And?"}]}],
    ),
}


def known(body: dict[str, Any], *, indent: int | None = None, **more: Any) -> Conversation | None:
    found = facts("m", body, **more)
    if indent is not None:
        written = json.dumps({"model": "m", **body}, indent=indent).encode()
        import msgspec

        found = Facts("m", body=written, members=msgspec.json.decode(written, type=dict[str, msgspec.Raw]))
    return conversation_of(found, SECRET)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_turn_has_the_fingerprint_of_the_first(dialect: str, indent: int | None) -> None:
    fixed, where, first, more = DIALECTS[dialect]
    turns = [known({**fixed, where: [*first, *more * count]}, indent=indent) for count in range(4)]
    assert turns[0] is not None
    assert set(turns) == {turns[0]}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_another_question_is_another_conversation_of_the_same_stem(dialect: str) -> None:
    fixed, where, first, _ = DIALECTS[dialect]
    other = json.loads(json.dumps(first).replace("rain", "snow"))
    one, two = known({**fixed, where: first}), known({**fixed, where: other})
    assert one is not None
    assert two is not None
    assert one.id != two.id
    assert one.stem == two.stem
    assert one.stem_tokens > 900


def test_teams_and_instructions_are_told_apart() -> None:
    fixed, where, first, _ = DIALECTS["messages"]
    body = {**fixed, where: first}
    other = {**body, "system": SYSTEM + "Be brief."}
    found = [known(body), known(body, team="a"), known(body, team="b"), known(body, key="k"), known(other)]
    assert len({each.stem for each in found if each is not None}) == 5


def test_who_names_a_conversation_is_believed_whatever_else_is_said() -> None:
    fixed, where, first, more = DIALECTS["chat"]
    one = known({**fixed, where: first, "prompt_cache_key": "c1"})
    assert one == known({**fixed, where: more * 100, "prompt_cache_key": "c1"})
    assert one != known({**fixed, where: first, "prompt_cache_key": "c2"})
    assert known({**fixed, where: first}, session="s") == known({**fixed, where: more * 100}, session="s")
    assert known({**fixed, where: first, "prompt_cache_key": 7}) == known({**fixed, where: first})


def test_a_prompt_that_is_asked_to_be_kept_for_a_day_is_known_to_be() -> None:
    fixed, where, first, _ = DIALECTS["chat"]
    for more, extended in (({"prompt_cache_retention": "24h"}, True), ({"prompt_cache_retention": "in_memory"}, False)):
        for name in ({}, {"prompt_cache_key": "c1"}):
            found = known({**fixed, where: first, **more, **name})
            assert found is not None
            assert found.extended is extended


def test_the_users_of_one_key_are_told_apart() -> None:
    fixed, where, first, _ = DIALECTS["chat"]
    assert known({**fixed, where: first}, user="a") != known({**fixed, where: first}, user="b")


def test_a_first_question_longer_than_what_is_looked_at_is_one_conversation_all_the_same() -> None:
    first, answer = text("user", "word " * WINDOW), text("assistant", "yes")
    assert known({"messages": [first]}) == known({"messages": [first, answer, first]})


def test_instructions_longer_than_what_is_looked_at_leave_conversations_apart() -> None:
    long = text("system", SYSTEM * 20)
    rain, snow, answer = text("user", "Will it rain?"), text("user", "Will it snow?"), text("assistant", "yes")
    one, two = known({"messages": [long, rain]}), known({"messages": [long, snow]})
    assert one is not None
    assert two is not None
    assert (one.stem, one.stem_tokens) == (two.stem, two.stem_tokens)
    assert one.id != two.id
    assert one == known({"messages": [long, rain, answer, snow]})


def test_a_text_in_place_of_messages_is_known_too() -> None:
    assert known({"input": ASKED * 4}) == known({"input": ASKED * 4})
    assert known({"input": ASKED * 4}) != known({"input": "Another. " + ASKED * 4})


def test_what_is_too_short_for_any_cache_belongs_to_none() -> None:
    assert known({"messages": [text("user", "x" * (CACHEABLE - 200))]}) is None
    assert known({"messages": [text("user", "x" * CACHEABLE)]}) is not None
    assert known({"nothing": "x" * CACHEABLE}) is None
    assert conversation_of(Facts("m", body=b"x" * CACHEABLE), SECRET) is None
