"""Every recorded call of the endpoints served: its bytes go both ways unchanged, and its usage is right."""

import base64
import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote

import pytest
from tests.dialects.slow import at, documents, slow
from tests.framing.recordings import APIS, SIZES, body_of, chunks, load, recorded_chunks

from portico.dialects.operations import OPERATIONS, Operation, route
from portico.dialects.request import peek, rewrite
from portico.dialects.usage import observer, read_usage
from portico.types import Usage

# Recorded under an api's name, but of another shape: Ollama's own API, and AWS's token count.
OTHER_SHAPES = ("/api/chat", "/count-tokens")
# Its body has a comma too many, which its provider took.
NOT_JSON = "801c85d611f2ac7b0ef4"
# Two streams kept in one file, one after the other.
TWO_STREAMS = "b1daa2a23bfb7bb436ac"
# Streams beyond this many bytes are not cut into single bytes: there are enough below it.
LONG = 10_000
# A stream whose blank lines were taken out when it was kept.
NOT_EVENTS = "33801f76831c55573178"


@cache
def recorded() -> tuple[tuple[Operation, dict[str, Any]], ...]:
    found = []
    for record in load():
        operation = OPERATIONS.get(APIS.get(record["api"], ""))
        request = record["request"]
        if operation is None or request["method"] != "POST" or request["path"].endswith(OTHER_SHAPES):
            continue
        if record["id"] == NOT_EVENTS:
            continue
        if request["path"].startswith("/openai/deployments/"):
            deployed = route("POST", request["path"], ())
            assert deployed is not None
            operation = deployed.operation
        # An event stream rewrapped as lines.
        if operation.name.endswith("_stream") and not record["response"].get("body_b64"):
            continue
        found.append((operation, record))
    assert len(found) > 5000
    return tuple(found)


def replies(*, streaming: bool) -> Iterator[tuple[Operation, dict[str, Any]]]:
    for operation, record in recorded():
        if record["streaming"] is streaming and record["response"]["status"] < 400 and body_of(record):
            yield operation, record


def request_body(record: dict[str, Any]) -> bytes | None:
    request = record["request"]
    if request.get("body_b64"):
        return base64.b64decode(request["body_b64"])
    body = request.get("body")
    if body is None or record.get("response_only") or record["id"] == NOT_JSON:
        return None
    return body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()


def headers_of(record: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(k.lower().encode(), str(v).encode()) for k, v in (record["response"]["headers"] or {}).items()]


def content_type(record: dict[str, Any]) -> bytes:
    return next((v.encode() for k, v in record["request"]["headers"].items() if k.lower() == "content-type"), b"")


def summary(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "in": usage.input_total,
        "out": usage.output_total,
        "read": usage.cache_read,
        "cost": usage.reported_cost,
        "seconds": usage.seconds,
        "images": usage.images,
    }


def test_every_request_is_understood_and_keeps_its_bytes_when_the_model_stays() -> None:
    seen = 0
    for operation, record in recorded():
        body = request_body(record)
        if body is None:
            continue
        asked = peek(operation, body, content_type(record))
        model = asked.model
        if operation.dialect == "gemini":
            path = record["request"]["path"]
            model = unquote(path.rpartition("/models/")[2].rpartition(":")[0])
        if model is not None:
            assert rewrite(operation, body, asked, model=model, ask_usage=False) is body, record["id"]
        seen += 1
    assert seen > 4500


def test_every_request_can_name_another_model_and_nothing_else_changes() -> None:
    for operation, record in recorded():
        body = request_body(record)
        if body is None or operation.dialect in ("gemini", "converse") or operation.body == "multipart":
            continue
        table = json.loads(body)
        asked = peek(operation, body, content_type(record))
        ask_usage = operation.name == "chat" and asked.stream and not asked.include_usage
        out = json.loads(rewrite(operation, body, asked, model="new-model", ask_usage=ask_usage))
        if ask_usage:
            table["stream_options"] = (table.get("stream_options") or {}) | {"include_usage": True}
        assert out == table | {"model": "new-model"}, record["id"]


@pytest.mark.parametrize("size", SIZES)
def test_every_stream_passes_through_unchanged_and_its_usage_is_what_a_slow_reader_finds(size: int | None) -> None:
    for operation, record in replies(streaming=True):
        body = body_of(record)
        if size == 1 and len(body) > LONG:
            continue
        watch = observer(operation, hide_usage=False)
        cut = recorded_chunks(record) if size is None else chunks(body, size)
        out = b"".join(map(watch.feed, cut)) + watch.flush()
        assert out == body, record["id"]
        assert summary(watch.usage) == slow(operation.name, record), record["id"]


def test_every_whole_reply_s_usage_is_what_a_slow_reader_finds() -> None:
    for operation, record in replies(streaming=False):
        found = read_usage(operation, body_of(record), headers_of(record))
        assert summary(found) == slow(operation.name, record), record["id"]


# The total of each is not the sum of its parts, and the parts are what is billed.
TOTALS_THAT_DO_NOT_ADD_UP = {
    "1a983f92becb009227c6": "a hand-edited file: 17 + 492 + 1209 tokens, and a total of 61",
}


def reported_total(record: dict[str, Any]) -> int | None:
    found = None
    for document in documents(record):
        for usage in (
            at(document, "usage"),
            at(document, "response", "usage"),
            at(document, "x_groq", "usage"),
            at(document, "usageMetadata"),
        ):
            names = ("total_tokens", "totalTokenCount", "totalTokens")
            found = next((n for name in names if (n := at(usage, name))), found)
    return found


def test_buckets_add_up_to_the_total_that_a_provider_reports() -> None:
    compared = 0
    odd = set()
    for streaming in (False, True):
        for operation, record in replies(streaming=streaming):
            total = reported_total(record)
            if total is None:
                continue
            watch = observer(operation, hide_usage=False)
            watch.feed(body_of(record))
            watch.flush()
            found = watch.usage if streaming else read_usage(operation, body_of(record), headers_of(record))
            assert found is not None, record["id"]
            compared += 1
            if found.total != total:
                odd.add(record["id"])
    assert odd == TOTALS_THAT_DO_NOT_ADD_UP.keys()
    assert compared > 4500


# Streams that report an error and do not come to their end.
FAILED = {
    "6bf9a3525f91e71f0446": "tool_use_failed",
    "dd52ae2db03e0af3d4cf": "tool_use_failed",
    "810bcdf004c2b04c7dba": "unknown-error",
    "01b81e4b1d805afbf239": "Provider returned error",
    "e0c0a0ca63412b359607": "Token limit reached",
}


def test_every_stream_is_finished_or_failed_and_none_is_finished_halfway() -> None:
    for operation, record in replies(streaming=True):
        body = body_of(record)
        watch = observer(operation, hide_usage=False)
        watch.feed(body[: len(body) // 2])
        if record["id"] != TWO_STREAMS and operation.dialect != "gemini" and body.count(b"\n\n") > 20:
            assert not watch.finished, record["id"]
        watch.feed(body[len(body) // 2 :])
        watch.flush()
        assert (watch.failed is not None) is (record["id"] in FAILED), record["id"]
        assert watch.finished is (watch.failed is None), record["id"]
        assert FAILED.get(record["id"], "") in (watch.failed or "")


@pytest.mark.parametrize("size", SIZES)
def test_hidden_usage_takes_away_usage_and_nothing_else(size: int | None) -> None:
    removed = kept = 0
    for operation, record in replies(streaming=True):
        body = body_of(record)
        if operation.name not in ("chat", "completions") or (size == 1 and len(body) > LONG):
            continue
        watch = observer(operation, hide_usage=True)
        out = b"".join(map(watch.feed, chunks(body, size))) + watch.flush()
        assert summary(watch.usage) == slow(operation.name, record), record["id"]
        before, after = ([json.loads(data) for data in data_of(text)] for text in (body, out))
        expected = []
        for document in before:
            if document.get("usage") and document.get("choices") == []:
                removed += 1
                continue
            if document.get("usage", 0) is None:
                document.pop("usage")
            expected.append(document)
        for document in after:
            if document.get("usage", 0) is None:
                document.pop("usage")
        assert after == expected, record["id"]
        assert out.count(b"[DONE]") == body.count(b"[DONE]")
        kept += out == body
    assert removed > 100
    assert kept > 30


def data_of(body: bytes) -> Iterator[bytes]:
    for line in body.splitlines():
        if line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]"):
            yield line[5:]
