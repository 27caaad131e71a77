"""Errors of providers that speak this dialect, as they told them."""

import json
from typing import Any

import pytest
from tests.dialects.chat.given import recorded
from tests.framing.recordings import body_of

from portico.dialects.chat import parse_error

TOLD: dict[str, tuple[Any, str, str | None, str | None]] = {
    "OpenAI": (
        {"error": {"message": "No.", "type": "invalid_request_error", "param": "n", "code": "bad_n"}},
        "No.",
        "bad_n",
        "n",
    ),
    "a type alone": (
        {"error": {"message": "No.", "type": "invalid_request_error"}},
        "No.",
        "invalid_request_error",
        None,
    ),
    "a number for a code": ({"error": {"message": "No.", "code": 404}}, "No.", None, None),
    "OpenRouter, with its provider's words": (
        {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error":{"message":"No."}}'}}},
        "Provider returned error: No.",
        None,
        None,
    ),
    "OpenRouter, with its provider's text": (
        {"error": {"message": "Provider returned error", "metadata": {"raw": "No."}}},
        "Provider returned error: No.",
        None,
        None,
    ),
    "Mistral": ({"object": "error", "message": "No.", "type": "t", "code": "3051"}, "No.", "3051", None),
    "xAI": ({"code": "Not found", "error": "No."}, "No.", "Not found", None),
    "FastAPI": ({"detail": [{"loc": ["body", "n"], "msg": "No."}]}, "body.n: No.", None, None),
    "a word": ({"detail": "No."}, "No.", None, None),
    "Gemini's list": ([{"error": {"message": "No.", "code": 400}}], "No.", None, None),
    "nothing": ({}, "{}", None, None),
}


@pytest.mark.parametrize("name", TOLD)
def test_an_error_is_read(name: str) -> None:
    body, message, code, param = TOLD[name]
    found = parse_error(400, [], json.dumps(body).encode())
    assert (found.status, found.message, found.code, found.param) == (400, message, code, param)


def test_headers_say_which_call_it_was_and_when_to_come_back() -> None:
    headers = [(b"x-request-id", b"req_1"), (b"retry-after", b"3"), (b"retry-after-ms", b"2500")]
    found = parse_error(429, headers, b"slow down")
    assert (found.message, found.request_id, found.retry_after) == ("slow down", "req_1", 2.5)


def test_every_recorded_error_has_a_message() -> None:
    seen = 0
    for record in recorded():
        if record["response"]["status"] < 400:
            continue
        body = body_of(record)
        found = parse_error(record["response"]["status"], [], body)
        assert found.message, record["id"]
        assert not found.message.startswith("{"), record["id"]
        seen += 1
    assert seen > 100
