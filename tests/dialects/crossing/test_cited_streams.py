"""Citations that come before the words they are about, as Anthropic's do: told with the place where these stand."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.crossing import Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question, Translation
from portico.types import Dialect

CITATION = {
    "type": "web_search_result_location",
    "url": "https://example.com",
    "title": "T",
    "cited_text": "c",
    "encrypted_index": "",
}
SEARCHING: dict[Dialect, dict[str, Any]] = {
    "chat": {"web_search_options": {}},
    "responses": {"tools": [{"type": "web_search"}]},
    "cohere": {},
}


def block(index: int, words: list[str], *, cited: str = "") -> list[dict[str, Any]]:
    start: dict[str, Any] = {"type": "text", "text": ""} | ({"citations": []} if cited else {})
    texts: list[dict[str, Any]] = [{"type": "text_delta", "text": each} for each in words]
    citation = {"type": "citations_delta", "citation": CITATION}
    deltas = [citation, *texts] if cited == "before" else [*texts, citation] if cited else texts
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


def stream(cited: str) -> bytes:
    message = {"id": "msg_1", "model": "c", "usage": {"input_tokens": 1, "output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        *block(0, ["One, "]),
        *block(1, ["two", " ä€"], cited=cited),
        *block(2, [", three"]),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in events)


def told(caller: Dialect, cited: str, size: int) -> list[dict[str, Any]]:
    body = json.dumps(pairs.PLAIN[caller] | SEARCHING[caller]).encode()
    question = Question(OPERATIONS[pairs.OPERATION[caller][True]], body, model="m", stream=True)
    made = Translation(question, "messages", Target(model="claude-sonnet-4-5", dialect="messages"), pairs.given())
    sent = stream(cited)
    out = b"".join(made.feed(sent[at : at + size]) for at in range(0, len(sent), size)) + made.flush()
    assert made.finished
    return [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: {")]


CASES = [(cited, size) for cited in ("before", "behind") for size in (1, 7, 100_000)]


@pytest.mark.parametrize(("cited", "size"), CASES)
def test_a_chat_completion_says_where_in_the_whole_text_the_words_stand(cited: str, size: int) -> None:
    deltas = [each["choices"][0]["delta"] for each in told("chat", cited, size) if each["choices"]]
    found = [one["url_citation"] for delta in deltas for one in delta.get("annotations", ())]
    assert [(one["url"], one["start_index"], one["end_index"]) for one in found] == [("https://example.com", 5, 11)]
    assert "".join(delta.get("content") or "" for delta in deltas)[5:11] == "two ä€"


@pytest.mark.parametrize(("cited", "size"), CASES)
def test_a_response_says_where_in_their_part_the_words_stand(cited: str, size: int) -> None:
    events = told("responses", cited, size)
    added = [each for each in events if each["type"] == "response.output_text.annotation.added"]
    assert [(one["content_index"], one["annotation"]["end_index"]) for one in added] == [(1, 6)]
    message = events[-1]["response"]["output"][-1]
    annotations = [one for part in message["content"] for one in part["annotations"]]
    assert [(one["start_index"], one["end_index"]) for one in annotations] == [(0, 6)]


@pytest.mark.parametrize(("cited", "size"), CASES)
def test_a_citation_of_cohere_has_the_words_that_it_is_about(cited: str, size: int) -> None:
    added = [each for each in told("cohere", cited, size) if each["type"] == "citation-start"]
    found = [each["delta"]["message"]["citations"] for each in added]
    assert [(one["start"], one["end"], one["text"], one["content_index"]) for one in found] == [(0, 6, "two ä€", 1)]
