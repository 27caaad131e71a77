"""Flaws that once raised what was none of our errors."""

import json

import pytest
from tests.dialects.crossing import pairs
from tests.dialects.odd_cases import outcome

from portico.dialects.translate import Question
from portico.errors import InvalidRequest
from portico.types import Dialect


def sse(*events: dict[str, object]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (str(e["type"]).encode(), json.dumps(e).encode()) for e in events)


CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
TEXT = {"type": "text", "text": ""}
START: dict[str, object] = {"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": []}}
WORDS: dict[str, object] = {
    "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "these words"},
}  # fmt: skip
STOP: dict[str, object] = {"type": "content_block_stop", "index": 0}
END = ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}, {"type": "message_stop"})


def begun(block: dict[str, object]) -> dict[str, object]:
    return {"type": "content_block_start", "index": 0, "content_block": block}


@pytest.mark.parametrize(
    "events",
    [
        (START, begun(CALL), WORDS, STOP),
        (START, begun(TEXT), begun(TEXT), WORDS, STOP),
        (START, begun(TEXT), WORDS, begun(TEXT), WORDS, STOP),
        (START, begun(TEXT), STOP, WORDS),
        (START, begun(TEXT), WORDS, STOP, WORDS, STOP),
    ],
)
def test_words_out_of_place_are_told_in_a_text_of_their_own(events: tuple[dict[str, object], ...]) -> None:
    translation = pairs.put(pairs.plain("responses", True), "messages")
    out = translation.feed(sse(*events, *END)) + translation.flush()
    assert translation.finished
    assert out.count(b"response.content_part.added") == out.count(b"response.content_part.done")
    told = pairs.documents("responses", out, True)
    texts = [part["text"] for item in told[-1]["response"]["output"] for part in item.get("content", ())]
    assert "".join(texts) == "these words" * sum(event is WORDS for event in events)


PROPERTIES = {"type": "object", "properties": {"a": {"type": "string"}}, "required": [{}, [], "a"]}
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": PROPERTIES}}
FILE = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,é"}}
ODD: dict[str, tuple[dict[str, object], Dialect, str]] = {
    "a kind of answer that nobody makes": ({"modalities": ["text", "smell"]}, "messages", "taken"),
    "the same for Bedrock": ({"modalities": ["text", "smell"]}, "converse", "taken"),
    "the same for Cohere": ({"modalities": ["text", "smell"]}, "cohere", "taken"),
    "names in a schema that are none": ({"tools": [FUNCTION]}, "gemini", "taken"),
    "base64 that is none": ({"messages": [{"role": "user", "content": [FILE, FILE]}]}, "messages", "refused"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_request_is_asked_or_refused(case: str) -> None:
    more, provider, expected = ODD[case]
    body = json.dumps(pairs.PLAIN["chat"] | more).encode()
    question = Question(pairs.operation("chat", False), body, model="m", stream=False)
    quirks = frozenset(("schema_subset",))
    assert outcome(lambda: json.loads(pairs.put(question, provider, quirks).body), InvalidRequest) == expected


def test_an_annotation_of_an_odd_type_is_kept_or_left_out() -> None:
    content = [{"type": "output_text", "text": "hi", "annotations": [{"type": []}, {"type": {}}]}]
    item = {"type": "message", "role": "assistant", "content": content}
    translation = pairs.put(pairs.plain("chat", False), "responses")
    told = json.loads(translation.reply(json.dumps({"id": "r", "status": "completed", "output": [item]}).encode()))
    assert told["choices"][0]["message"]["content"] == "hi"
