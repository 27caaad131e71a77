"""Calls about objects: what a path is, what a list asks for, what a request names."""

import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.dialects.objects import FAMILIES, THINGS, Page, find, heard, made_id, page_asked, render_page
from portico.dialects.operations import OPERATIONS, route
from portico.dialects.references import references
from portico.errors import InvalidRequest, MethodNotAllowed
from portico.providers.catalog import CATALOG

IDS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=40).filter(
    lambda name: name.isprintable() and "/" not in name and name not in (".", "..")
)
VERSIONS = {"chat": ("/v1", "", "/openai"), "responses": ("/v1", "", "/openai"), "messages": ("/v1",), "gemini": ("/v1beta", "/v1alpha", "/v1")}  # fmt: skip # noqa: E501


@given(
    st.sampled_from(
        sorted(name for name in THINGS if name != "gemini_files_create" and "{model}" not in THINGS[name].path)
    ),
    IDS,
    IDS,
)
def test_every_call_is_found_again_by_its_path_with_its_ids(name: str, object_id: str, part: str) -> None:
    thing = THINGS[name]
    ids = [one for hole, one in (("{id}", object_id), ("{part}", part)) if hole in thing.path]
    tail = thing.path.replace("{id}", quote(object_id, safe="")).replace("{part}", quote(part, safe=""))
    for version in VERSIONS[thing.operation.dialect]:
        if thing.family == "responses" and (object_id == "input_tokens" or "compact" in object_id):
            continue
        found = find(thing.method, f"{version}/{FAMILIES[thing.family].at}{tail}")
        assert found is not None
        assert heard(found, thing.operation.dialect).thing is thing
        assert list(found.ids) == ids


@given(st.text(max_size=60), st.sampled_from(["GET", "POST", "DELETE", "PATCH", "PUT", "BREW"]))
def test_no_path_is_more_than_refused(path: str, method: str) -> None:
    for before in ("/v1/files/", "/v1beta/", "/v1/", "/upload/", "/"):
        try:
            found = find(method, before + path)
        except (InvalidRequest, MethodNotAllowed):
            continue
        if found is not None:
            assert all("/" not in one and one not in (".", "..") and one.isprintable() for one in found.ids)


@pytest.mark.parametrize("encoded", ["..", "%2e%2e", "a%2Fb", "%00", "a%0Ab", "%FF", "x" * 600, ""])
def test_an_id_that_cannot_be_one_is_refused_or_no_id(encoded: str) -> None:
    with pytest.raises(InvalidRequest):
        find("GET", f"/v1/files/{encoded}")


def test_another_method_is_refused_with_those_that_are_right() -> None:
    with pytest.raises(MethodNotAllowed, match="GET or POST"):
        find("PUT", "/v1/files")
    with pytest.raises(MethodNotAllowed, match="POST"):
        find("GET", "/upload/v1beta/files")


def test_no_path_of_a_conversation_is_taken() -> None:
    for path in ("/v1/responses", "/v1/responses/input_tokens", "/v1/messages", "/v1/messages/count_tokens"):
        found = route("POST", path, ())
        assert found is not None
        assert found.found is None


def test_no_name_is_used_twice_and_every_family_of_the_catalog_is_known() -> None:
    assert not set(THINGS) & set(OPERATIONS)
    for row in CATALOG.values():
        assert set(row.objects) <= set(FAMILIES)
        assert all(path.startswith("/") for path in row.objects.values())


PAGES = {
    ("files_list", ""): Page(100),
    ("files_list", "limit=5&order=asc&purpose=batch&after=f-1"): Page(5, "f-1", "", True, "batch"),
    ("files_list", "limit=10000"): Page(100),
    ("batches_list", ""): Page(20),
    ("message_batches_list", "limit=3&before_id=b"): Page(3, "", "b"),
    ("message_files_list", "page=page_f1"): Page(20, "f1"),
    ("message_files_list", "ids=a&ids=b"): Page(20, only=frozenset("ab")),
    ("gemini_files_list", "pageSize=0"): Page(10),
    ("cached_contents_list", "pageSize=7&pageToken=c"): Page(7, "c"),
}


@pytest.mark.parametrize("asked", PAGES)
def test_what_part_of_a_list_is_asked_for(asked: tuple[str, str]) -> None:
    name, query = asked
    assert page_asked(THINGS[name], query) == PAGES[asked]


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=", "limit=1e3", "limit=99999999"])
def test_a_limit_that_makes_no_sense_is_refused(query: str) -> None:
    if query == "limit=":
        assert page_asked(THINGS["files_list"], query).size == 100
        return
    with pytest.raises(InvalidRequest, match="limit"):
        page_asked(THINGS["files_list"], query)


def test_a_page_holds_the_objects_as_they_were_told() -> None:
    told = b'{"id": "a",  "new": 1.10}'
    page = render_page(THINGS["files_list"], [("a", told)], "")
    assert told in page
    assert json.loads(page)["has_more"] is False
    assert json.loads(render_page(THINGS["gemini_files_list"], [("a", told)], "a"))["nextPageToken"] == "a"
    assert json.loads(render_page(THINGS["gemini_files_list"], [], "")) == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id":1}', b'{"id":"a/b"}', b'{"id":""}', b"\xff", b'{"id":{}}'])
def test_a_reply_without_an_id_made_nothing(body: bytes) -> None:
    assert made_id(THINGS["files_create"], body) is None


def test_the_name_of_what_was_made_is_told_without_what_stands_before_it() -> None:
    assert made_id(THINGS["gemini_files_create"], b'{"file":{"name":"files/abc"}}') == "abc"
    assert made_id(THINGS["cached_contents_create"], b'{"name":"cachedContents/abc"}') == "abc"


def names(operation: str, body: dict[str, Any], *, escaped: bool = False) -> list[tuple[str, str]]:
    written = json.dumps(body).encode()
    if escaped:
        written = written.replace(b"file_id", b"\\u0066ile_id").replace(b"fileUri", b"\\u0066ileUri")
    return references(OPERATIONS[operation], msgspec.json.decode(written, type=dict[str, msgspec.Raw]), written)


URI = "https://generativelanguage.googleapis.com/v1beta/files/abc"
NAMED: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("responses", {"input": "x"}, []),
    ("responses", {"previous_response_id": None, "conversation": None}, []),
    ("responses", {"previous_response_id": "resp_1"}, [("responses", "resp_1")]),
    ("responses", {"conversation": "conv_1"}, [("conversations", "conv_1")]),
    ("responses", {"conversation": {"id": "conv_1"}}, [("conversations", "conv_1")]),
    ("responses", {"input": [{"content": [{"type": "input_file", "file_id": "f"}]}]}, [("files", "f")]),
    ("responses", {"input": [{"content": [{"type": "input_image", "file_id": "f"}] * 2}]}, [("files", "f")]),
    (
        "responses",
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f", "g"]}}]},
        [("files", "f"), ("files", "g")],
    ),
    ("chat", {"messages": [{"content": [{"type": "file", "file": {"file_id": "f"}}]}]}, [("files", "f")]),
    ("messages", {"messages": [{"content": [{"source": {"type": "file", "file_id": "f"}}]}]}, [("message_files", "f")]),
    ("messages", {"messages": [{"content": [{"type": "container_upload", "file_id": "f"}]}]}, [("message_files", "f")]),
    ("generate_content", {"contents": [{"parts": [{"fileData": {"fileUri": URI}}]}]}, [("gemini_files", "abc")]),
    ("generate_content", {"contents": [{"parts": [{"fileData": {"fileUri": "https://youtu.be/x"}}]}]}, []),
    ("generate_content", {"cachedContent": "cachedContents/c"}, [("cached_contents", "c")]),
]


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("case", NAMED)
def test_what_a_request_names_is_found_however_it_is_written(
    case: tuple[str, dict[str, Any], list[tuple[str, str]]], escaped: bool
) -> None:
    operation, body, named = case
    assert names(operation, body, escaped=escaped) == named


def test_what_is_a_tools_own_names_nothing() -> None:
    inner = {"type": "file", "file_id": "f"}
    assert names("messages", {"messages": [{"content": [{"type": "tool_use", "input": {"source": inner}}]}]}) == []
    hidden = {"type": "x", "input": [{"content": [{"type": "input_file", "file_id": "f"}]}]}
    assert names("responses", hidden) == [("files", "f")], "the top of a request is no tool's"
    call = {"functionCall": {"args": {"fileData": {"fileUri": URI}}}}
    assert names("generate_content", {"contents": [{"parts": [call]}]}) == []
    assert names("chat", {"messages": [{"content": json.dumps(inner)}]}) == []


MADE_WITH = [("batchGenerateContent", "gemini_batches_create"), ("asyncBatchEmbedContent", "gemini_embeddings_batches_create")]  # fmt: skip # noqa: E501


@pytest.mark.parametrize(("verb", "name"), MADE_WITH)
@pytest.mark.parametrize("version", ["v1beta", "v1alpha", "v1"])
def test_a_batch_of_geminis_is_made_with_the_model_of_its_path(verb: str, name: str, version: str) -> None:
    for path in (f"/{version}/models/tuned/my:model:{verb}", f"/{version}/models/tuned%2Fmy:model%3A{verb}"):
        found = find("POST", path)
        assert found is not None
        assert (found.thing.operation.name, found.ids, found.model) == (name, (), "tuned/my:model")
    with pytest.raises(MethodNotAllowed):
        find("GET", f"/{version}/models/m:{verb}")
    with pytest.raises(InvalidRequest):
        find("POST", f"/{version}/models/:{verb}")
    assert find("POST", f"/{version}/models/m:generateContent") is None


SPELLINGS = [
    "/gemini/v1beta/batches/abc",
    "/gemini/v1beta/b%61tches/abc",
    "/gemini//v1beta//batches/abc",
    "/gemini/v1/batches/abc",
    "/gemini/v1beta/batches/abc:cancel",
    "/gemini/v1beta/batches/abc%3acancel",
    "/gemini/v1beta/batches/abc:updateGenerateContentBatch",
    "/gemini/v1beta/f%69les/abc",
    "/gemini/%761beta/files/abc",
    "/gemini/v1beta/cached%43ontents/abc",
]


@pytest.mark.parametrize("path", SPELLINGS)
def test_however_a_path_is_written_what_is_kept_there_is_somebodys(path: str) -> None:
    method = "POST" if "cancel" in path else "PATCH" if "update" in path else "GET"
    found = route(method, path, ("gemini",))
    assert found is not None
    assert found.found is not None
    assert found.found.ids == ("abc",)
