"""How each provider is asked for the rest of an answer."""

import json
from typing import Any

import pytest
from tests.dialects.resume.dying import answer, given

from portico.dialects.crossing import Target
from portico.dialects.registry import SPOKEN
from portico.dialects.resume.answer import Answer
from portico.dialects.resume.ask import LEAST, way
from portico.ir import Reasoning, Request
from portico.types import Dialect

SAID = "The river rises in the hills "


def begun(**asked: Any) -> Answer:
    """Return a chat's answer, of which the caller has heard SAID."""
    from portico.dialects.operations import OPERATIONS
    from portico.dialects.translate import Question

    body = {"model": "m", "messages": [{"role": "user", "content": "Tell"}], "stream": True, **asked}
    question = Question(OPERATIONS["chat"], json.dumps(body).encode(), model="m", stream=True)
    stream = Answer(question, "chat", Target(model="m", dialect="chat"), given())
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": SAID}}]}
    stream.feed(b"data: %b\n\n" % json.dumps(chunk).encode())
    return stream


def body(stream: Answer, dialect: Dialect, model: str = "m", *quirks: str) -> Any:
    target = Target(model=model, dialect=dialect, quirks=frozenset(quirks))
    return json.loads(stream.rest(SPOKEN[dialect].streamed, target).body)


@pytest.mark.parametrize(
    ("dialect", "model", "quirks", "how"),
    [
        ("messages", "claude-sonnet-4-5", (), "from"),
        ("messages", "claude-opus-4-6", (), "words"),
        ("messages", "claude-sonnet-5", (), "words"),
        ("messages", "kimi-k2", (), "words"),
        ("messages", "kimi-k2", ("prefill",), "from"),
        ("converse", "us.anthropic.claude-haiku-4-5-20251001-v1:0", (), "from"),
        ("converse", "amazon.nova-pro-v1:0", (), "words"),
        ("chat", "mistral-large-latest", ("prefill_prefix",), "prefix"),
        ("chat", "qwen3", ("prefill_flag",), "flag"),
        ("responses", "qwen3", ("prefill_flag",), "words"),
        ("chat", "gpt-5.5", (), "words"),
        ("gemini", "gemini-2.5-pro", (), "words"),
        ("cohere", "command-a-03-2025", (), "words"),
    ],
)
def test_a_provider_goes_on_from_its_own_words_where_it_can(
    dialect: Dialect, model: str, quirks: tuple[str, ...], how: str
) -> None:
    request = Request(dialect="chat", model="m")
    target = Target(model=model, dialect=dialect, quirks=frozenset(quirks))
    assert way(request, target) == how
    thinking = Request(dialect="chat", model="m", reasoning=Reasoning(enabled=True))
    assert way(thinking, target) == "words"


def test_claude_gets_the_answer_as_its_own_last_message_without_white_space_at_the_end() -> None:
    messages = body(begun(), "messages", "claude-sonnet-4-5")["messages"]
    assert messages[-1]["role"] == "assistant"
    assert SAID.strip() in json.dumps(messages[-1])
    assert SAID not in json.dumps(messages[-1])


def test_mistral_gets_it_marked() -> None:
    message = body(begun(), "chat", "mistral-large", "prefill_prefix")["messages"][-1]
    assert message == {"role": "assistant", "content": SAID, "prefix": True}


def test_vllm_gets_a_flag_beside_it() -> None:
    found = body(begun(), "chat", "qwen3", "prefill_flag")
    assert found["continue_final_message"] is True
    assert found["add_generation_prompt"] is False
    assert found["messages"][-1]["content"] == SAID


@pytest.mark.parametrize("dialect", ["chat", "responses", "messages", "gemini", "converse", "cohere"])
def test_others_are_told_in_words(dialect: Dialect) -> None:
    found = json.dumps(body(begun(), dialect))
    assert "was cut off" in found
    assert found.count("The river rises in the hills") == 2  # the answer, and its last words


def test_what_was_said_counts_towards_the_limit() -> None:
    assert LEAST <= body(begun(max_tokens=100), "chat")["max_tokens"] < 100
    assert body(begun(max_tokens=3), "chat")["max_tokens"] == LEAST


@pytest.mark.parametrize(
    "asked",
    [{"n": 2}, {"response_format": {"type": "json_object"}}],
)
def test_several_answers_and_json_are_not_gone_on_with(asked: dict[str, Any]) -> None:
    assert begun(**asked).state() == "never"


def test_an_answer_is_gone_on_with() -> None:
    assert begun().state() == "text"
    assert answer("chat", "chat").state() == "nothing"
