"""Signatures are those of the AWS SDK, byte for byte."""

import time
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portico.providers.auth.sigv4 import NOT_SIGNED, AwsKeys, Signer

NOW = 1_440_938_160.0  # 2015-08-30T12:36:00Z, the moment of the published examples

TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=", min_size=1, max_size=80)
SEGMENTS = st.text("abcXYZ019-_~!$&'()*+,;=:@", min_size=1, max_size=12) | st.sampled_from(
    [
        "us.anthropic.claude-3-5-sonnet-20241022-v2%3A0",
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprofile%2Fx",
        "%C3%A9",
        "%20",
    ]
)
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda parts: "/" + "/".join(parts))
QUERIES = st.lists(
    st.tuples(st.text("abAB-_.~%20", max_size=5), st.text("abAB-_.~%2F", max_size=5)).map("=".join)
    | st.text("abcAB", min_size=1, max_size=4),
    max_size=4,
).map("&".join)
BROUGHT = {"authorization", "x-amz-date", "x-amz-security-token"}
NAMES = st.sampled_from(
    ["x-amz-target", "X-Amzn-Bedrock-Trace", "content-type", "Accept", "x-custom", *sorted(NOT_SIGNED - BROUGHT)]
)
VALUES = st.text('abc XYZ/;=*\t"0', max_size=20)


def oracle(
    method: str,
    host: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
    keys: AwsKeys,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """Return the headers that botocore adds."""
    url = f"https://{host}{path}{'?' + query if query else ''}"
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in headers:
        request.headers[name] = value
    request.headers["Host"] = host
    signer = botocore.auth.SigV4Auth(Credentials(keys.access_key, keys.secret_key, keys.token), service, region)
    moment = datetime.fromtimestamp(now, UTC)
    with patch.object(botocore.auth, "get_current_datetime", lambda *_: moment.replace(tzinfo=None)):
        signer.add_auth(request)
    added: dict[str, Any] = dict(request.headers.items())
    return {name.lower(): value for name, value in added.items()}


def same(
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
    keys: AwsKeys,
    region: str,
    service: str,
    now: float,
) -> None:
    host = f"{service}.{region}.amazonaws.com"
    theirs = oracle(method, host, path, query, headers, body, keys, region, service, now)
    ours = Signer(keys, region, service).sign(method, host, path, query, headers, body, now)
    assert dict(ours) == {name: theirs[name] for name, _ in ours}
    assert [name for name, _ in ours] == ["authorization", "x-amz-date"] + ["x-amz-security-token"] * bool(keys.token)


@settings(deadline=None)
@given(
    st.sampled_from(["POST", "GET", "PUT", "DELETE"]),
    PATHS,
    QUERIES,
    st.lists(st.tuples(NAMES, VALUES), max_size=6, unique_by=lambda pair: pair[0].lower()),
    st.binary(max_size=64),
    st.builds(AwsKeys, TOKENS, TOKENS, st.none() | TOKENS),
    st.sampled_from(["us-east-1", "cn-north-1", "eu-central-1"]),
    st.sampled_from(["bedrock", "sts", "bedrock-mantle"]),
    st.integers(0, 4_000_000_000),
)
@example("POST", "/", "", [], b"", AwsKeys("A", "s"), "us-east-1", "bedrock", 0)
@example("POST", "/a", "", [("x-custom", "  two   spaces\t ")], b"x", AwsKeys("A", "s"), "us-east-1", "bedrock", 0)
@example("GET", "/", "b=2&a=1&a=0&c", [], b"", AwsKeys("A", "s", "t"), "us-east-1", "sts", 1)
def test_a_signature_is_the_one_that_botocore_makes(
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
    keys: AwsKeys,
    region: str,
    service: str,
    now: int,
) -> None:
    same(method, path, query, headers, body, keys, region, service, float(now))


PUBLISHED = [
    # The test suite that AWS publishes with Signature Version 4: request, signed headers, signature.
    ("GET", "/", "", [], b"", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("POST", "/", "", [], b"", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "GET",
        "/",
        "Param2=value2&Param1=value1",
        [],
        b"",
        "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "POST",
        "/",
        "",
        [("Content-Type", "application/x-www-form-urlencoded")],
        b"Param1=value1",
        "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
]


@pytest.mark.parametrize(("method", "path", "query", "headers", "body", "names", "signature"), PUBLISHED)
def test_a_signature_is_the_one_that_aws_publishes(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes, names: str, signature: str
) -> None:
    keys = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    signed = dict(
        Signer(keys, "us-east-1", "service").sign(method, "example.amazonaws.com", path, query, headers, body, NOW)
    )
    assert signed["x-amz-date"] == "20150830T123600Z"
    assert signed["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_the_key_of_the_day_changes_with_the_day() -> None:
    keys = AwsKeys("A", "s")
    signer = Signer(keys, "us-east-1", "bedrock")
    for now in (86_399.9, 86_400.0, 86_400.9, 86_401.0, 10.0):
        again = Signer(keys, "us-east-1", "bedrock")
        assert signer.sign("POST", "h", "/", "", [], b"", now) == again.sign("POST", "h", "/", "", [], b"", now)


def test_repeated_headers_are_signed_as_one() -> None:
    signed = Signer(AwsKeys("A", "s"), "r", "x").sign("POST", "h", "/", "", [("a", "1"), ("A", "2")], b"", 0.0)
    joined = Signer(AwsKeys("A", "s"), "r", "x").sign("POST", "h", "/", "", [("a", "1,2")], b"", 0.0)
    assert signed == joined


def test_a_callers_own_signature_is_not_signed() -> None:
    signer = Signer(AwsKeys("A", "s"), "r", "x")
    theirs = [(name, "theirs") for name in sorted(BROUGHT)]
    assert signer.sign("POST", "h", "/", "", theirs, b"", 0.0) == signer.sign("POST", "h", "/", "", [], b"", 0.0)


def test_no_repr_shows_the_secret() -> None:
    keys = AwsKeys("AKIDEXAMPLE", "PLANTED-SECRET", "PLANTED-TOKEN")
    shown = f"{keys!r} {keys} {Signer(keys, 'r', 's')!r} {(keys,)}"
    assert "PLANTED" not in shown
    assert "AKIDEXAMPLE" not in shown


def test_time_is_passed_in() -> None:
    with patch.object(time, "time", side_effect=AssertionError):
        signed = dict(Signer(AwsKeys("A", "s"), "r", "s").sign("GET", "h", "/", "", [], b"", 1.0))
    assert signed["x-amz-date"] == "19700101T000001Z"
