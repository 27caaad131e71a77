"""Ids of end users that a provider would refuse."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question
from portico.types import Dialect

LONG = json.dumps({"device_id": "d" * 64, "account_uuid": "a" * 36, "session_id": "s" * 36})
OLDER = f"user_{'d' * 64}_account_{'a' * 36}_session_{'s' * 36}"


def told(caller: Dialect, user: str, provider: Dialect, more: dict[str, Any] | None = None) -> str:
    asked = {"metadata": {"user_id": user}} if caller == "messages" else {"user": user}
    body = json.dumps(pairs.PLAIN[caller] | asked | (more or {})).encode()
    question = Question(OPERATIONS[pairs.OPERATION[caller][False]], body, model="m", stream=False)
    sent = json.loads(pairs.put(question, provider).body)
    found: str = sent["metadata"]["user_id"] if provider == "messages" else sent["user"]
    return found


@pytest.mark.parametrize("more", [{}, {"temperature": 0.5, "top_k": 5}])
@pytest.mark.parametrize("provider", ["chat", "responses"])
@pytest.mark.parametrize("user", [LONG, OLDER, "ä" * 65])
def test_an_id_that_is_too_long_goes_as_a_hash_that_stays_the_same(
    user: str, provider: Dialect, more: dict[str, Any]
) -> None:
    first = told("messages", user, provider, more)
    assert len(first) == 37
    assert first == told("messages", user, provider)
    assert first != told("messages", user + "2", provider)


@pytest.mark.parametrize("user", ["u1", "eve@example.com", "u" * 64])
def test_an_id_that_openai_takes_stays(user: str) -> None:
    assert told("messages", user, "chat") == user
    assert told("messages", user, "responses") == user
    assert told("responses", user, "chat") == user


@pytest.mark.parametrize(
    ("user", "stays"),
    [("u-1_a", True), ("u" * 64, True), ("eve@example.com", False), ("+49 170 1234567", False), ("0170123456", False)],
)
@pytest.mark.parametrize("caller", ["chat", "responses"])
def test_an_id_that_anthropic_refuses_goes_as_a_hash(caller: Dialect, user: str, stays: bool) -> None:
    assert (told(caller, user, "messages") == user) is stays


def test_an_id_passes_as_it_is_where_both_speak_the_same() -> None:
    assert told("messages", LONG, "messages") == LONG
    assert told("chat", "u" * 100, "chat") == "u" * 100
