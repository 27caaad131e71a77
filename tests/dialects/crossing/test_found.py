"""What the proof has found lost, each as a small case."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question

ONE: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Who made Ruby?"}]}


def sent(operation: str, body: object, provider: str) -> str:
    asked = Question(OPERATIONS[operation], json.dumps(body).encode(), model="m", stream=False)
    return pairs.put(asked, provider).body.decode()  # type: ignore[arg-type]  # one of the dialects


def test_every_field_of_a_document_is_told_where_documents_have_no_fields() -> None:
    document = {"id": "d1", "data": {"title": "Facts", "text": "Matz did.", "url": "https://example.com/ruby"}}
    for provider in pairs.DIALECTS:
        body = sent("cohere_chat", ONE | {"documents": [document]}, provider)
        assert all(words in body for words in ("Facts", "Matz did.", "https://example.com/ruby")), provider


def test_a_document_with_a_text_alone_is_that_text() -> None:
    document = {"id": "d1", "data": {"title": "Facts", "text": 'Matz "did".\nIn 1993.'}}
    body = json.loads(sent("cohere_chat", ONE | {"documents": [document]}, "messages"))
    assert body["messages"][0]["content"][0]["source"]["data"] == 'Matz "did".\nIn 1993.'
    body = json.loads(sent("cohere_chat", ONE | {"documents": [document]}, "converse"))
    assert body["messages"][0]["content"][0]["document"]["source"] == {"text": 'Matz "did".\nIn 1993.'}


def test_a_thought_in_several_pieces_is_one_thought_and_is_written_as_it_was() -> None:
    pieces = [{"type": "text", "text": "Hm. "}, {"type": "text", "text": "Aha."}]
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": pieces}, {"type": "text", "text": "Yes"}]},
        {"role": "user", "content": "Why?"},
    ]
    body = {"model": "m", "messages": turns}
    assert json.loads(sent("chat", body, "chat"))["messages"] == turns
    assert "Hm. Aha." in sent("chat", body, "cohere")


def test_what_was_spoken_is_told_to_a_caller_of_gemini_too() -> None:
    for sound in ("aGk=", ""):
        audio = {"id": "a", "data": sound, "transcript": "Hi there!", "expires_at": 1}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": None, "audio": audio},
            "finish_reason": "stop",
        }
        translation = pairs.put(pairs.plain("gemini", stream=False), "chat")
        reply = json.loads(translation.reply(json.dumps({"choices": [choice]}).encode()))
        parts = reply["candidates"][0]["content"]["parts"]
        assert parts[-1] == {"text": "Hi there!"}
        assert [part["inlineData"]["data"] for part in parts[:-1]] == [sound] * bool(sound)


def test_an_error_in_a_stream_of_gemini_may_have_fields_that_look_like_our_own_hints() -> None:
    translation = pairs.put(pairs.plain("gemini", stream=True), "gemini")
    out = translation.feed(b'data: {"error": {"message": "no"}, "$snake": null, "$candidates": 1}\n\n')
    assert out == b'data: {"error":{"message":"no"}}\r\n\r\n'
    assert translation.failed is not None


EMPTY_ANSWERS: list[tuple[str, dict[str, object]]] = [
    ("chat", ONE | {"messages": [ONE["messages"][0], {"role": "assistant", "content": ""}, ONE["messages"][0]]}),
    (
        "responses",
        {"input": [ONE["messages"][0], {"type": "mcp_list_tools", "id": "l", "tools": []}, ONE["messages"][0]]},
    ),
]


@pytest.mark.parametrize(("operation", "body"), EMPTY_ANSWERS)
@pytest.mark.parametrize("provider", ["converse", "messages"])
def test_turns_alternate_where_nothing_is_left_of_the_answer_between(
    provider: str, operation: str, body: dict[str, object]
) -> None:
    turns = json.loads(sent(operation, body, provider))["messages"]
    assert [turn["role"] for turn in turns] == ["user"]
    assert json.dumps(turns).count("Who made Ruby?") == 2
