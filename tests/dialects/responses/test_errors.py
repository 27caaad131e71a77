"""Errors as providers of this dialect tell them."""

import json
from typing import Any

import pytest
from tests.dialects.responses.world import recorded
from tests.framing.recordings import body_of

from portico.dialects.crossing import Complaint
from portico.dialects.responses import parse_error

TOLD: dict[str, tuple[bytes, dict[str, Any]]] = {
    "OpenAI": (
        b'{"error":{"message":"No","type":"invalid_request_error","param":"model","code":"model_not_found"}}',
        {"message": "No", "param": "model", "code": "model_not_found"},
    ),
    "without a code": (
        b'{"error":{"message":"No","type":"server_error","param":null,"code":null}}',
        {"message": "No", "code": "server_error"},
    ),
    "xAI": (b'{"code":"invalid-argument","error":"No"}', {"message": "No", "code": "invalid-argument"}),
    "a detail": (b'{"detail":"No"}', {"message": "No"}),
    "details": (
        b'{"detail":[{"loc":["body","model"],"msg":"missing"},{"msg":"bad"}]}',
        {"message": "body.model: missing; bad"},
    ),
    "a message": (b'{"message":"No","code":7}', {"message": "No"}),
    "words": (b"upstream is gone", {"message": "upstream is gone"}),
    "nothing": (b"", {"message": "The provider answered with the status 400 and no message"}),
    "a list": (b"[1]", {"message": "[1]"}),
}


@pytest.mark.parametrize(("body", "expected"), TOLD.values(), ids=TOLD.keys())
def test_an_error_is_read(body: bytes, expected: dict[str, Any]) -> None:
    assert parse_error(400, [], body) == Complaint(status=400, **expected)


def test_the_headers_say_when_to_come_back_and_which_request_it_was() -> None:
    headers = [(b"x-request-id", b"req_9"), (b"retry-after", b"3"), (b"retry-after-ms", b"2500")]
    complaint = parse_error(429, headers, b"{}")
    assert (complaint.request_id, complaint.retry_after) == ("req_9", 2.5)


def test_every_recorded_error_says_something() -> None:
    tried = 0
    for record in recorded():
        status = record["response"]["status"]
        if status < 400:
            continue
        body = body_of(record)
        complaint = parse_error(status, [], body)
        assert complaint.message in json.dumps(json.loads(body), ensure_ascii=False).replace('\\"', '"').replace(
            "\\n", "\n"
        )
        tried += 1
    assert tried > 20
