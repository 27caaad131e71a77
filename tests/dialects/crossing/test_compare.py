"""The comparer sees a loss where there is one: what it finds the same is the same."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.dialects.crossing import compare, declared
from tests.dialects.crossing.facts import Facts, answer, arguments, digest
from tests.dialects.crossing.pairs import PAIRS

from portico.types import Dialect

SAID: Facts = [
    ("tool", "look", "Looks.", ("at",)),
    ("tool", "say", "Says.", ("what",)),
    ("text", "system", "Bebrief."),
    ("text", "user", "Whatisthis?"),
    ("image", "user", "a1"),
    ("image", "user", "b2"),
    ("thinking", "Hm."),
    ("text", "assistant", "Letmelook."),
    ("call", "look", '{"at": 1}'),
    ("call", "look", '{"at": 2}'),
    ("result", 0, "acat", ()),
    ("result", 1, "adog", ("c3",)),
    ("text", "user", "Andnow?"),
]
ANSWER: Facts = [
    ("thinking", "Hm."),
    ("text", "assistant", "Acat."),
    ("call", "say", '{"what": "meow"}'),
    ("finish", "calls"),
    ("usage", "in", 9),
    ("usage", "out", 5),
]


def without(at: int) -> Callable[[Facts], Facts]:
    return lambda facts: facts[:at] + facts[at + 1 :]


def swapped(at: int) -> Callable[[Facts], Facts]:
    return lambda facts: [*facts[:at], facts[at + 1], facts[at], *facts[at + 2 :]]


def changed(at: int, value: Any) -> Callable[[Facts], Facts]:
    return lambda facts: [*facts[:at], (*facts[at][:-1], value), *facts[at + 1 :]]


LOSSES = [
    *(pytest.param(without(at), id=f"without {fact[0]} {at}") for at, fact in enumerate(SAID)),
    pytest.param(swapped(4), id="images in another order"),
    pytest.param(swapped(8), id="calls in another order"),
    pytest.param(swapped(10), id="results in another order"),
    pytest.param(changed(8, '{"at": 3}'), id="another argument"),
    pytest.param(changed(3, "Whatisthat?"), id="another text"),
    pytest.param(changed(0, ()), id="a tool without its arguments"),
    pytest.param(changed(11, ()), id="a result without its image"),
    pytest.param(lambda facts: [*facts, facts[-1]], id="a text twice"),
]


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
@pytest.mark.parametrize("lose", LOSSES)
def test_what_a_request_loses_is_seen(caller: Dialect, provider: Dialect, lose: Callable[[Facts], Facts]) -> None:
    assert compare.questions(caller, provider, SAID, SAID, []) == []
    assert compare.questions(caller, provider, SAID, lose(SAID), []) != []


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
@pytest.mark.parametrize("at", range(len(ANSWER)))
def test_what_an_answer_loses_is_seen(caller: Dialect, provider: Dialect, at: int) -> None:
    assert compare.answers(caller, provider, ANSWER, ANSWER) == []
    assert compare.answers(caller, provider, ANSWER, without(at)(ANSWER)) != []


def test_a_thought_may_be_missing_only_where_that_is_told() -> None:
    lost = [fact for fact in SAID if fact[0] != "thinking"]
    assert compare.questions("chat", "messages", SAID, lost, ["thinking_history"]) == []
    assert compare.questions("chat", "messages", SAID, lost, ["seed"]) != []


def test_how_json_is_written_is_no_difference() -> None:
    assert arguments('{ "b":1.0, "a":[] }') == arguments({"a": [], "b": 1})
    assert answer('{"output": "12 C"}') == answer("12C")
    assert answer({"a": 1}) == answer('{"a":1}') != answer({"a": 2})
    assert digest("data:image/png;base64,aGk=") == digest("aGk") != digest("aGo=")


def test_every_declared_recording_has_its_reason() -> None:
    assert all(len(key) == 20 and reason for key, reason in declared.UNREADABLE.items())
