"""What an error says whose body is not its dialect's: servers and proxies before a provider have their own words."""

import json
from typing import Any

import pytest

from portico.dialects.registry import DIALECTS
from portico.dialects.translate import LANGUAGES
from portico.types import Dialect

FOREIGN: dict[str, Any] = {
    "OpenAI": {"error": {"message": "No room.", "type": "t", "code": "c"}},
    "Anthropic": {"type": "error", "error": {"type": "t", "message": "No room."}},
    "Google": {"error": {"code": 400, "message": "No room.", "status": "S"}},
    "a list of Google's": [{"error": {"code": 400, "message": "No room.", "status": "S"}}],
    "AWS": {"message": "No room."},
    "AWS, of old": {"Message": "No room."},
    "a word": {"error": "No room."},
    "FastAPI": {"detail": "No room."},
    "FastAPI, in an object": {"detail": {"error": {"message": "No room."}}},
    "a list of errors": {"success": False, "errors": [{"code": 7003, "message": "No room."}], "messages": []},
    "a list of words": {"errors": ["No room."]},
    "Apigee": {"fault": {"faultstring": "No room.", "detail": {"errorcode": "x"}}},
    "RFC 9457": {"type": "about:blank", "title": "No room.", "status": 400},
    "a short name": {"msg": "No room."},
    "OAuth": {"error": {"error": "invalid", "error_description": "No room."}},
    "a message in a message": {"message": {"message": "No room."}},
    "text": "No room.",
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_an_error_in_other_words_is_told_by_its_message(dialect: Dialect, body: Any) -> None:
    assert LANGUAGES[dialect].parse_error(400, [], json.dumps(body).encode()).message == "No room."


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"detail":[{"loc":["body","n"],"msg":"No room."}]}', "body.n: No room."),
        (b"<html><head><TITLE>502 Bad Gateway </TITLE></head><body>...</body></html>", "502 Bad Gateway"),
        (b" upstream connect error \n", "upstream connect error"),
        (b'{"status": 3}', '{"status": 3}'),
        (
            b'{"error":{"error":{"error":{"error":{"error":"deep"}}}}}',
            '{"error":{"error":{"error":{"error":{"error":"deep"}}}}}',
        ),
        (b"[" * 5000, "[" * 500),
        (b"", "The provider answered with the status 400 and no message"),
    ],
)
def test_a_body_that_is_no_error_is_told_by_what_it_shows(dialect: Dialect, body: bytes, message: str) -> None:
    assert LANGUAGES[dialect].parse_error(400, [], body).message == message
