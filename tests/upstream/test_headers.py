"""What crosses the gateway, and what never does."""

import pytest

from portico.upstream.headers import FORWARDS, MEMO_BOUND, RETURNS, reply_headers, request_lines

GOES_ON = [
    "content-type",
    "accept",
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "x-stainless-lang",
    "http-referer",
]
STAYS = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "x-forwarded-for",
    "forwarded",
    "x-amz-security-token",
    "x-amz-date",
    "openai-organization",
    "x-portico-strict",
    "x-internal-secret",
    "user-agent",
]


@pytest.mark.parametrize("name", GOES_ON)
def test_what_providers_read_goes_on(name: str) -> None:
    assert FORWARDS[name.encode()]


@pytest.mark.parametrize("name", STAYS)
def test_keys_and_what_is_the_callers_own_stay(name: str) -> None:
    assert not FORWARDS[name.encode()]


def test_a_header_fixed_by_the_provider_is_not_sent_twice() -> None:
    headers = [(b"anthropic-beta", b"a"), (b"content-type", b"application/json")]
    assert request_lines(headers, frozenset((b"anthropic-beta",)), ()) == [b"content-type: application/json\r\n"]


def test_a_default_is_sent_only_where_the_caller_said_nothing() -> None:
    default = ((b"anthropic-version", b"2023-06-01"),)
    assert request_lines([], frozenset(), default) == [b"anthropic-version: 2023-06-01\r\n"]
    own = [(b"anthropic-version", b"2099-01-01")]
    assert request_lines(own, frozenset(), default) == [b"anthropic-version: 2099-01-01\r\n"]


@pytest.mark.parametrize(
    "name", ["content-type", "retry-after", "x-ratelimit-remaining-requests", "request-id", "x-amzn-requestid"]
)
def test_what_a_provider_reports_comes_back(name: str) -> None:
    assert RETURNS[name.encode()]


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "connection", "transfer-encoding", "content-length", "openai-organization", "x-portico-target"],
)
def test_what_is_the_providers_own_does_not_come_back(name: str) -> None:
    assert reply_headers([(name.encode(), b"x")]) == []


def test_the_memory_of_names_is_bounded() -> None:
    for number in range(10_000):
        assert not FORWARDS[b"x-odd-%d" % number]
        assert RETURNS[b"x-odd-%d" % number]
    assert len(FORWARDS) <= MEMO_BOUND
    assert len(RETURNS) <= MEMO_BOUND
