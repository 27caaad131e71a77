"""Rankings: what a caller of each shape asks, as a provider of each other shape gets it; and what comes back."""

import json
from typing import Any

import pytest

from portico.dialects.crossing import Given, Target
from portico.dialects.operations import OPERATIONS
from portico.dialects.stand_ins import rewords
from portico.dialects.tasks import Errand, Task
from portico.errors import BadUpstreamReply, InvalidRequest

DOCUMENTS = ["snow", "rain", "sun"]
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "cohere": ("cohere_rerank", {"model": "m", "query": "q", "documents": DOCUMENTS, "top_n": 2}),
    "jina": ("rerank", {"model": "m", "query": "q", "documents": DOCUMENTS, "top_n": 2}),
    "voyage": ("rerank", {"model": "m", "query": "q", "documents": DOCUMENTS, "top_k": 2, "truncation": True}),
    "bedrock": ("invoke", {"query": "q", "documents": DOCUMENTS, "top_n": 2, "api_version": 2}),
}
EXPECTED: dict[str, tuple[str, str, tuple[str, ...], dict[str, Any]]] = {
    "cohere": ("cohere_rerank", "up", (), {"model": "up", "query": "q", "documents": DOCUMENTS, "top_n": 2}),
    "jina": (
        "rerank",
        "up",
        (),
        {"model": "up", "query": "q", "documents": DOCUMENTS, "top_n": 2, "return_documents": False},
    ),
    "voyage": (
        "rerank",
        "up",
        ("rerank_top_k",),
        {"model": "up", "query": "q", "documents": DOCUMENTS, "top_k": 2, "return_documents": False},
    ),
    "bedrock cohere": (
        "invoke",
        "cohere.rerank-v3-5:0",
        (),
        {"query": "q", "documents": DOCUMENTS, "top_n": 2, "api_version": 2},
    ),
    "bedrock amazon": ("invoke", "amazon.rerank-v1:0", (), {"query": "q", "documents": DOCUMENTS, "top_n": 2}),
}
GIVEN = Given(request_id="r", created=0, new_id=lambda prefix: f"{prefix}1")


def errand(operation: str, body: Any, to: str, *, quirks: tuple[str, ...] = (), model: str = "up") -> Errand:
    if operation == "invoke":
        operation = "cohere_rerank"  # a Bedrock caller's body for rankings is Cohere's
    task = Task(OPERATIONS[operation], json.dumps(body).encode(), model="m")
    target = Target(model=model, dialect=OPERATIONS[to].dialect, quirks=frozenset(quirks))
    return Errand(task, to, target, GIVEN)


@pytest.mark.parametrize("to", EXPECTED)
@pytest.mark.parametrize("caller", ["cohere", "jina", "voyage"])
def test_what_is_asked_arrives_in_the_providers_words(caller: str, to: str) -> None:
    operation, body = ASKED[caller]
    name, model, quirks, expected = EXPECTED[to]
    made = errand(operation, body, name, quirks=quirks, model=model)
    truncation = {"truncation": True} if (caller, to) == ("voyage", "voyage") else {}
    assert json.loads(made.body) == {**expected, **truncation}
    assert (made.more, made.dropped) == ([], [])


TABLES = [{"title": "Rain", "text": "It rains.", "year": 2024}, {"title": "Sun", "text": "It shines.", "year": 2025}]


def test_documents_that_are_tables_become_texts() -> None:
    body = {"model": "m", "query": "q", "documents": TABLES, "top_n": 1}
    every = json.loads(errand("rerank", body, "cohere_rerank").body)
    some = json.loads(errand("rerank", {**body, "rank_fields": ["title", "year"]}, "cohere_rerank").body)
    plain = json.loads(errand("rerank", {**body, "documents": [{"text": "rain"}]}, "cohere_rerank").body)
    assert every["documents"][0] == "title: Rain\ntext: It rains.\nyear: 2024"
    assert some["documents"] == ["title: Rain\nyear: 2024", "title: Sun\nyear: 2025"]
    assert plain["documents"] == ["rain"]


ANSWER = {"results": [{"index": 1, "relevance_score": 0.90}, {"index": 0, "relevance_score": 1.5e-5}]}


@pytest.mark.parametrize(
    ("answer", "units", "tokens"),
    [
        ({**ANSWER, "meta": {"billed_units": {"search_units": 3}}}, 3, 0),
        ({**ANSWER, "usage": {"total_tokens": 17}}, 0, 17),
        ({"object": "list", "data": ANSWER["results"], "usage": {"total_tokens": 17}}, 0, 17),
    ],
)
def test_scores_and_usage_come_back_as_each_caller_reads_them(answer: Any, units: int, tokens: int) -> None:
    raw = json.dumps(answer).encode()
    shown = {"return_documents": True}
    cohere = json.loads(errand(*ASKED["cohere"], "rerank").reply(raw))
    jina = json.loads(errand("rerank", {**ASKED["jina"][1], **shown}, "cohere_rerank").reply(raw))
    voyage = json.loads(errand("rerank", {**ASKED["voyage"][1], **shown}, "cohere_rerank").reply(raw))
    places = [(each["index"], each["relevance_score"]) for each in cohere["results"]]
    assert places == [(1, 0.9), (0, 1.5e-5)]
    assert cohere["meta"]["billed_units"] == ({"search_units": units} if units else {"input_tokens": tokens})
    assert [each["document"] for each in jina["results"]] == [{"text": "rain"}, {"text": "snow"}]
    assert jina["usage"]["total_tokens"] == tokens
    assert [each["document"] for each in voyage["data"]] == ["rain", "snow"]
    assert voyage["usage"]["total_tokens"] == tokens


def test_a_table_comes_back_as_it_was_sent() -> None:
    body = {"model": "m", "query": "q", "documents": TABLES, "top_n": 1, "return_documents": True}
    reply = json.loads(errand("rerank", body, "cohere_rerank").reply(json.dumps(ANSWER).encode()))
    assert [each["document"] for each in reply["results"]] == [TABLES[1], TABLES[0]]


@pytest.mark.parametrize(
    ("caller", "more", "to", "dropped"),
    [
        ("cohere", {"max_tokens_per_doc": 100}, "rerank", ["rerank_per_document"]),
        ("jina", {"max_chunks_per_doc": 3}, "cohere_rerank", ["rerank_chunks"]),
        ("voyage", {"truncation": False}, "cohere_rerank", ["rerank_truncate"]),
        ("cohere", {"priority": 1}, "rerank", ["field"]),
        ("jina", {"top_n": None}, "cohere_rerank", []),
    ],
)
def test_what_is_dropped_is_named(caller: str, more: dict[str, Any], to: str, dropped: list[str]) -> None:
    operation, body = ASKED[caller]
    assert errand(operation, {**body, **more}, to).dropped == dropped


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"query": None}, "query"),
        ({"query": 3}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": "x"}, "documents"),
        ({"documents": [3]}, "documents"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": True}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_field(more: dict[str, Any], param: str) -> None:
    operation, body = ASKED["cohere"]
    with pytest.raises(InvalidRequest) as caught:
        errand(operation, {**body, **more}, "rerank")
    assert caught.value.param == param


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"results":[{}]}', b'{"results":"x"}', b"\xff"])
def test_a_reply_that_is_none_is_the_providers_fault(answer: bytes) -> None:
    with pytest.raises(BadUpstreamReply):
        errand(*ASKED["cohere"], "rerank").reply(answer)


@pytest.mark.parametrize(
    ("operation", "members", "quirks", "crosses"),
    [
        ("rerank", {"top_n": b"2"}, {"rerank_top_k"}, True),
        ("rerank", {"top_k": b"2"}, {"rerank_top_k"}, False),
        ("rerank", {"truncation": b"true"}, {"rerank_top_k"}, False),
        ("rerank", {"top_k": b"2"}, set(), True),
        ("rerank", {"top_n": b"2"}, set(), False),
        ("embeddings", {"dimensions": b"8"}, {"embeddings_input_type"}, True),
        ("embeddings", {"encoding_format": b'"float"'}, {"embeddings_input_type"}, True),
        ("embeddings", {"encoding_format": b'"base64"'}, {"embeddings_input_type"}, False),
        ("embeddings", {"dimensions": b"8"}, set(), False),
        ("chat", {}, {"embeddings_input_type"}, False),
    ],
)
def test_a_provider_with_words_of_its_own_is_spoken_to_in_them(
    operation: str, members: dict[str, bytes], quirks: set[str], crosses: bool
) -> None:
    assert rewords(operation, members, quirks) is crosses
