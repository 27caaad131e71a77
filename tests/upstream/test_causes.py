"""What providers' errors come to, in their own words."""

import json
from typing import Any

import pytest

from portico.upstream.causes import Cause, of_reply

SAID: dict[str, tuple[str, int, Any, Cause]] = {
    "OpenAI, too long": (
        "chat",
        400,
        {
            "error": {
                "message": "This model's maximum context length is 8192 tokens.",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        },
        "context_window",
    ),
    "OpenAI, policy": (
        "images_generations",
        400,
        {"error": {"message": "Rejected", "type": "image_generation_user_error", "code": "moderation_blocked"}},
        "content_policy",
    ),
    "Azure, policy": (
        "chat",
        400,
        {"error": {"message": "The response was filtered", "code": "content_filter", "status": 400}},
        "content_policy",
    ),
    "OpenAI, quota": (
        "responses",
        429,
        {"error": {"message": "You exceeded", "type": "insufficient_quota", "code": "insufficient_quota"}},
        "quota",
    ),
    "OpenAI, rate": (
        "chat",
        429,
        {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}},
        "rate_limit",
    ),
    "OpenAI, a key": (
        "chat",
        401,
        {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}},
        "key",
    ),
    "OpenAI, a field": (
        "chat",
        400,
        {"error": {"message": "Invalid value", "type": "invalid_request_error", "code": None}},
        "request",
    ),
    "vLLM, too long": (
        "chat",
        400,
        {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400},
        "context_window",
    ),
    "Anthropic, too long": (
        "messages",
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
        },
        "context_window",
    ),
    "Anthropic, credit": (
        "messages",
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."},
        },
        "quota",
    ),
    "Anthropic, policy": (
        "messages",
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
        },
        "content_policy",
    ),
    "Anthropic, overloaded": (
        "messages",
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        "server",
    ),
    "Gemini, a key": (
        "generate_content",
        400,
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid key.",
                "status": "INVALID_ARGUMENT",
            }
        },
        "key",
    ),
    "Gemini, too long": (
        "generate_content",
        400,
        {
            "error": {
                "code": 400,
                "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575).",
                "status": "INVALID_ARGUMENT",
            }
        },
        "context_window",
    ),
    "Gemini, a field": (
        "generate_content",
        400,
        {"error": {"code": 400, "message": "Invalid JSON payload received.", "status": "INVALID_ARGUMENT"}},
        "request",
    ),
    "Bedrock, too long": ("converse", 400, {"message": "Input is too long for requested model."}, "context_window"),
    "Bedrock, a field": ("converse", 400, {"message": "Malformed input request"}, "request"),
    "Cohere, too long": (
        "cohere_chat",
        400,
        {"id": "x", "message": "too many tokens: total number of tokens in the prompt exceeds the limit"},
        "context_window",
    ),
    "Cohere, a timeout": ("cohere_chat", 504, {"message": "timed out"}, "timeout"),
    "a page": ("chat", 502, "<html>", "server"),
    "nothing": ("chat", 400, "", "request"),
    "a conflict": ("chat", 409, {}, "server"),
    "a model that is not there": ("chat", 404, {"error": {"message": "x", "code": "model_not_found"}}, "request"),
}


@pytest.mark.parametrize("case", SAID)
def test_an_error_comes_to_what_it_says(case: str) -> None:
    operation, status, body, expected = SAID[case]
    text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert of_reply(status, [(b"content-type", b"application/json")], text, operation) == expected


@pytest.mark.parametrize("body", [b"\xff", b"{" * 5000, b"[]", b"null", b'{"error":7}', b'{"error":{"code":[1]}}'])
@pytest.mark.parametrize("operation", ["chat", "responses", "messages", "generate_content", "converse", "cohere_chat"])
@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_no_body_breaks_it(operation: str, body: bytes, status: int) -> None:
    assert of_reply(status, [], body, operation) in ("request", "key", "rate_limit", "server")
