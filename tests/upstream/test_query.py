"""The query of a request: the provider's own parameters and the caller's."""

import pytest

from portico.providers.address import Endpoint
from portico.upstream.target import query_for

CASES = {
    "a caller's parameters go on": ("messages", "/v1/messages", "", "beta=true", "beta=true"),
    "the provider's own are added": ("chat", "/x", "api-version=1", "", "api-version=1"),
    "where both name one, the caller's stands": ("chat", "/x", "a=1&b=2", "a=3", "b=2&a=3"),
    "a caller who asks for events gets them": ("stream_generate_content", "/x", "alt=sse", "alt=sse", "alt=sse"),
    "a caller who does not gets an array": ("stream_generate_content", "/x", "alt=sse", "", ""),
    "a dated version is for Azure's older paths": (
        "responses",
        "/openai/v1/responses",
        "",
        "api-version=2025-04-01-preview&x=1",
        "x=1",
    ),
    "a named version is for its newer ones": (
        "responses",
        "/openai/v1/responses",
        "",
        "api-version=preview",
        "api-version=preview",
    ),
}


@pytest.mark.parametrize(("operation", "path", "own", "asked", "query"), CASES.values(), ids=CASES)
def test_the_query(operation: str, path: str, own: str, asked: str, query: str) -> None:
    endpoint = Endpoint("https", "provider.example", 443, path, own, operation)

    assert query_for(operation, endpoint, asked) == query
