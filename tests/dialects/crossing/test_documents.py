"""Documents and what search found, told to providers that have no such parts."""

import json
from typing import Any

import pytest
from tests.dialects.crossing import pairs

from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import Question
from portico.errors import InvalidRequest
from portico.types import Dialect

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
FOUND: dict[Dialect, Any] = {
    "messages": {
        "type": "search_result",
        "source": "https://example.com/found",
        "title": "Title",
        "content": [{"type": "text", "text": "Words"}],
        "citations": {"enabled": True},
    },
    "converse": {
        "searchResult": {
            "source": "https://example.com/found",
            "title": "Title",
            "content": [{"text": "Words"}],
            "citations": {"enabled": True},
        }
    },
}


def sent(dialect: Dialect, block: object, provider: Dialect) -> Any:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [block]}]}
    if dialect == "messages":
        body |= {"model": "m", "max_tokens": 9}
    question = Question(OPERATIONS[pairs.OPERATION[dialect][False]], json.dumps(body).encode(), model="m", stream=False)
    return json.loads(pairs.put(question, provider).body)


@pytest.mark.parametrize("provider", pairs.DIALECTS)
@pytest.mark.parametrize("caller", FOUND)
def test_what_search_found_keeps_its_place_title_and_words(caller: Dialect, provider: Dialect) -> None:
    body = json.dumps(sent(caller, FOUND[caller], provider))
    assert all(words in body for words in ("https://example.com/found", "Title", "Words"))


@pytest.mark.parametrize(("caller", "provider"), [("messages", "converse"), ("converse", "messages")])
def test_what_search_found_is_the_same_where_both_have_it(caller: Dialect, provider: Dialect) -> None:
    assert sent(caller, FOUND[caller], provider)["messages"][0]["content"][0] == FOUND[provider]


@pytest.mark.parametrize("provider", pairs.DIALECTS)
def test_an_image_in_a_document_is_shown_beside_its_words(provider: Dialect) -> None:
    source = {"type": "content", "content": [{"type": "text", "text": "Words"}, IMAGE]}
    body = json.dumps(sent("messages", {"type": "document", "source": source, "title": "Title"}, provider))
    assert all(words in body for words in ("Title", "Words", "aGk="))


@pytest.mark.parametrize("provider", ["chat", "responses", "gemini", "converse", "messages"])
def test_what_is_said_of_a_document_of_bytes_is_told(provider: Dialect) -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    body = json.dumps(sent("messages", {"type": "document", "source": source, "context": "From 1993."}, provider))
    assert "From 1993." in body
    assert "JVBERi0=" in body


NAMES = [
    ("pdf", "Report", "Report.pdf"),
    ("docx", "Report", "Report.docx"),
    ("csv", "All of 2026", "All of 2026.csv"),
    ("pdf", "report.pdf", "report.pdf"),
]


@pytest.mark.parametrize(("form", "name", "expected"), NAMES)
def test_a_document_has_a_name_that_ends_by_what_it_is_where_that_is_how_it_is_known(
    form: str, name: str, expected: str
) -> None:
    document = {"document": {"format": form, "name": name, "source": {"bytes": "aGk="}}}
    if form != "csv":
        assert sent("converse", document, "chat")["messages"][0]["content"][0]["file"]["filename"] == expected
    assert sent("converse", document, "responses")["input"][0]["content"][0]["filename"] == expected


def test_a_document_of_bytes_that_are_text_is_text_where_there_is_no_other() -> None:
    document = {"document": {"format": "csv", "name": "Table", "source": {"bytes": "YSxi"}}}
    body = sent("converse", document, "cohere")
    assert body["documents"] == [{"id": "doc:0", "data": {"text": "a,b", "title": "Table"}}]


BYTES = "data:application/octet-stream;base64,dGVzdA=="


@pytest.mark.parametrize(
    ("name", "provider", "told"),
    [
        ("notes.md", "messages", {"type": "text", "media_type": "text/plain", "data": "test"}),
        ("data.JSON", "messages", {"type": "text", "media_type": "text/plain", "data": "test"}),
        ("a.pdf", "messages", {"type": "base64", "media_type": "application/pdf", "data": "dGVzdA=="}),
        ("notes.md", "converse", "md"),
        ("data.csv", "converse", "csv"),
        ("data.json", "converse", "txt"),
        ("sheet.xlsx", "converse", "xlsx"),
        ("notes.md", "cohere", "test"),
    ],
)
def test_a_document_that_is_said_to_be_only_bytes_is_what_its_name_ends_in(
    name: str, provider: Dialect, told: object
) -> None:
    block = {"type": "file", "file": {"file_data": BYTES, "filename": name}}
    body = sent("chat", block, provider)
    if provider == "cohere":
        assert body["documents"][0]["data"]["text"] == told
        return
    part = next(one for one in body["messages"][0]["content"] if "document" in (one.get("type"), *one))
    assert (part["source"] if provider == "messages" else part["document"]["format"]) == told


@pytest.mark.parametrize("name", ["thing.bin", "thing", ""])
@pytest.mark.parametrize("provider", ["messages", "converse"])
def test_bytes_that_nothing_tells_of_are_refused(name: str, provider: Dialect) -> None:
    with pytest.raises(InvalidRequest, match="a document of a type"):
        sent("chat", {"type": "file", "file": {"file_data": BYTES, "filename": name}}, provider)


@pytest.mark.parametrize("provider", ["chat", "responses", "messages", "gemini", "cohere"])
@pytest.mark.parametrize("kind", ["image", "document"])
def test_what_is_kept_at_amazon_is_refused_elsewhere(kind: str, provider: Dialect) -> None:
    place = {"s3Location": {"uri": "s3://bucket/key", "bucketOwner": "1"}}
    block = {kind: {"format": "png" if kind == "image" else "pdf", "source": place, "name": "N"}}
    with pytest.raises(InvalidRequest, match="kept at another provider"):
        sent("converse", block, provider)
    assert sent("converse", block, "converse")["messages"][0]["content"][0] == block
