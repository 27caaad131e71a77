"""Nothing that a caller writes into a path leads anywhere but to the provider."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portico.config import schema
from portico.errors import InvalidRequest
from portico.providers.address import Endpoint, encoded, join, parse
from portico.providers.catalog import CATALOG, Provider, resolve

ENVIRON = {
    "HOME": "/nonexistent",
    "CLOUDFLARE_ACCOUNT_ID": "abc",
    **{variable: "KEY" for row in CATALOG.values() for variable in row.keys if variable.endswith(("KEY", "TOKEN"))},
}


def provider(name: str, **declared: str) -> Provider:
    return resolve(name, schema.Provider(**declared), ENVIRON)


ALLOWED = [
    ("openai", "/v1/files", "https://api.openai.com/v1/files"),
    ("openai", "/files", "https://api.openai.com/v1/files"),
    ("openai", "/v1/fine_tuning/jobs/ft-1:cancel", "https://api.openai.com/v1/fine_tuning/jobs/ft-1:cancel"),
    ("openai", "/", "https://api.openai.com/v1/"),
    ("openai", "/v1", "https://api.openai.com/v1"),
    ("openai", "/v1beta", "https://api.openai.com/v1/v1beta"),
    ("anthropic", "/v1/messages/batches", "https://api.anthropic.com/v1/messages/batches"),
    ("groq", "/openai/v1/batches", "https://api.groq.com/openai/v1/batches"),
    ("groq", "/v1/batches", "https://api.groq.com/openai/v1/batches"),
    ("groq", "/batches", "https://api.groq.com/openai/v1/batches"),
    ("deepinfra", "/v1/inference/m", "https://api.deepinfra.com/v1/inference/m"),
    ("moonshot", "/anthropic/v1/messages", "https://api.moonshot.ai/anthropic/v1/messages"),
    ("moonshot", "/users/me/balance", "https://api.moonshot.ai/v1/users/me/balance"),
    ("gemini", "/upload/v1beta/files", "https://generativelanguage.googleapis.com/upload/v1beta/files"),
    ("openai", "/v1/files/a%20b~c", "https://api.openai.com/v1/files/a%20b~c"),
    ("openai", "/v1/files/...", "https://api.openai.com/v1/files/..."),
]


@pytest.mark.parametrize(("name", "rest", "url"), ALLOWED)
def test_a_path_is_joined_once_to_the_base(name: str, rest: str, url: str) -> None:
    assert provider(name).address(rest).url == url


REFUSED = [
    "",
    "v1/files",
    "//evil.example/v1",
    "/v1//files",
    "/v1/../files",
    "/v1/..",
    "/..",
    "/./v1",
    "/v1/..;x/y",
    "/v1/%2e%2e/files",
    "/v1/%2E./files",
    "/v1/.%2e/files",
    "/v1/a%2fb",
    "/v1/a%2Fb",
    "/v1/a%5cb",
    "/v1/a%252fb",
    "/v1/a%25252e%25252e",
    "/v1/a\\b",
    "/v1/a b",
    "/v1/a\r\nhost: evil",
    "/v1/a%0d%0ax",
    "/v1/a%00",
    "/v1/a\x00",
    "/v1/a\x7f",
    "/v1/a%7f",
    "/v1/ä",
    "/v1/a?x=1",
    "/v1/a#b",
    "/v1/%zz",
    "/v1/%",
    "/v1/%4",
    "http://evil.example/v1",
    "https://api.openai.com/v1",
    "/v1/@evil.example/../..",
]


@pytest.mark.parametrize("rest", REFUSED)
def test_a_path_that_could_mean_another_place_is_refused(rest: str) -> None:
    with pytest.raises(InvalidRequest):
        provider("openai").address(rest)


@pytest.mark.parametrize("query", ["a b", "a\r\nb", "a#b", "ä", "a\\b", "%zz", "a\x00"])
def test_a_query_that_would_break_the_request_line_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest):
        provider("openai").address("/v1/files", query)


def test_a_query_goes_on_as_it_is() -> None:
    assert (
        provider("openai").address("/v1/files", "limit=2&after=a%2Fb&x[]=1").target
        == "/v1/files?limit=2&after=a%2Fb&x[]=1"
    )


@given(
    st.sampled_from(["openai", "groq", "moonshot", "anthropic", "cloudflare"]),
    st.text(alphabet="/.%2eEfF5cC\\v1ax:@;?#&=~\r\n \t\x00é", max_size=24),
    st.text(alphabet="/.%2eaA=&?#\r\n ", max_size=12),
)
@example("openai", "/%2e%2e/%2e%2e/", "")
def test_whatever_is_asked_stays_at_the_provider_and_below_the_root(name: str, rest: str, query: str) -> None:
    chosen = provider(name)
    try:
        address = chosen.address(rest, query)
    except InvalidRequest:
        return
    parts = urlsplit(address.url)
    assert (parts.scheme, parts.netloc) == (chosen.base.scheme, chosen.base.authority)
    assert parts.path == address.path
    decoded = parts.path
    for _ in range(3):
        decoded = unquote(decoded)
        assert not re.search(r"(^|/)\.\.?(/|;|$)|//|[\x00-\x20\x7f\\]", decoded.replace(" ", ""))
    assert not re.search(r"[\x00-\x20\x7f#]", address.target)


@given(st.text(max_size=40))
@example("..")
@example("../../admin")
@example("a/../b")
@example("\ud800")
def test_a_model_is_one_segment_of_a_path_or_refused(model: str) -> None:
    try:
        segment = encoded(model)
    except InvalidRequest:
        return
    assert re.fullmatch(r"[A-Za-z0-9\-._~@%]+", segment)
    assert segment not in (".", "..")
    assert unquote(segment) == model


JOINS = [
    ("", "/v1/models", "/v1/models"),
    ("/v1", "/models", "/v1/models"),
    ("/v1", "/v1/models", "/v1/models"),
    ("/v1", "/v1", "/v1"),
    ("/openai/v1", "/v1/models", "/openai/v1/models"),
    ("/openai/v1", "/openai/deployments/x", "/openai/deployments/x"),
    ("/a/b/c", "/b/c/d", "/a/b/c/d"),
    ("/a/b", "/c/a", "/a/b/c/a"),
]


@pytest.mark.parametrize(("base", "path", "joined"), JOINS)
def test_what_base_and_path_share_is_written_once(base: str, path: str, joined: str) -> None:
    assert join(base, path) == joined


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "x.example",
        "https://",
        "https://u:p@x",
        "https://u@x",
        "https://x/#f",
        "https://a b/",
        "https://x:99999/",
    ],
)
def test_what_is_no_plain_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # the standard library raises it too
        parse(url)
    assert "u:p" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://x.example", "x.example", ""),
        ("https://x.example:443/v1/", "x.example", "/v1"),
        ("http://x.example:443/v1", "x.example:443", "/v1"),
        ("http://[::1]:8000/v1?a=b", "[::1]:8000", "/v1?a=b"),
        ("http://X.Example/", "x.example", ""),
    ],
)
def test_a_url_is_taken_apart_and_put_together(url: str, authority: str, target: str) -> None:
    endpoint = parse(url)
    assert (endpoint.authority, endpoint.target) == (authority, target)
    assert isinstance(endpoint, Endpoint)


@pytest.mark.parametrize("model", ["..", ".", "../files", "a/../../files", "a/..", "./a", "a\\..\\..\\files"])
def test_a_model_name_cannot_climb_out_of_its_path(model: str) -> None:
    with pytest.raises(InvalidRequest):
        encoded(model)


@pytest.mark.parametrize("model", ["a..b", "...", "gpt-4.1", "ft:gpt-4o:org::id", "arn:aws:x/y.z", "models/.a"])
def test_dots_within_a_model_name_are_dots(model: str) -> None:
    assert "/" not in encoded(model)
