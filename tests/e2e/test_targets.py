"""Several targets and several keys: what fails is passed over before the SDK hears of it, and is in the record."""

import socket
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import openai
import pytest
from tests.e2e.callers import CALLERS, aws
from tests.e2e.front import KEY, PRICE, UPSTREAM, Front, plain

from portico.testing import HostedMock
from portico.testing.running import eventually, running_portico

pytestmark = pytest.mark.xdist_group("e2e-targets")

GOOD = ("sk-e2e-good-1-0123456789", "sk-e2e-good-2-0123456789")
BAD = "sk-e2e-bad-0123456789abcd"
HELLO = [{"role": "user", "content": "Hello [mock tokens=9]"}]


class Two(NamedTuple):
    """A Portico before two mocks; `front` looks at the second."""

    front: Front
    first: HostedMock
    second: HostedMock


@pytest.fixture(scope="module")
def nobody() -> Iterator[int]:
    """A port that refuses connections: bound, so that it stays nobody's, and not listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture(scope="module")
def running(nobody: int) -> Iterator[Two]:
    with HostedMock(price=PRICE, keys=[UPSTREAM]) as first, HostedMock(price=PRICE, keys=[UPSTREAM, *GOOD]) as second:
        one, two = f"{first.url}/v1", f"{second.url}/v1"
        config = {
            "providers": {
                "down": {"like": "openai", "base_url": f"http://127.0.0.1:{nobody}/v1", "api_key": UPSTREAM},
                "one": {"like": "openai", "base_url": one, "api_key": UPSTREAM},
                "two": {"like": "openai", "base_url": two, "api_key": UPSTREAM},
                # A target whose limit is used up is passed over for a while: each case has its own.
                "limited-whole": {"like": "openai", "base_url": one, "api_key": UPSTREAM},
                "limited-streamed": {"like": "openai", "base_url": one, "api_key": UPSTREAM},
                "keys": {"like": "openai", "base_url": two, "api_keys": [GOOD[0], BAD, GOOD[1]]},
                "claude-one": {"like": "anthropic", "base_url": first.url, "api_key": UPSTREAM},
                "claude-two": {"like": "anthropic", "base_url": second.url, "api_key": UPSTREAM},
                "signed": {
                    "like": "bedrock",
                    "base_url": second.url,
                    "options": {"region": "us-east-1", "access_key_id": UPSTREAM, "secret_access_key": "its-secret"},
                },
            },
            # Every case is to find the first target tried, however many failed there before.
            "breaker": {"failures": 100_000, "calls": 100_000},
            "models": {
                "smart": ["one/gpt-4o-mini", "two/gpt-4o-mini"],
                "limited-whole": ["limited-whole/gpt-4o-mini", "two/gpt-4o-mini"],
                "limited-streamed": ["limited-streamed/gpt-4o-mini", "two/gpt-4o-mini"],
                "refused": ["down/gpt-4o-mini", "two/gpt-4o-mini"],
                "late": [
                    {"model": "one/gpt-4o-mini", "timeouts": {"first_byte": "250ms"}},
                    {"model": "two/gpt-4o-mini"},
                ],
                "lost": ["down/gpt-4o-mini", "one/gpt-4o-mini"],
                "claude": ["claude-one/claude-haiku-4-5", "claude-two/claude-haiku-4-5"],
            },
            "prices": {
                name: plain(PRICE) for name in ("two/gpt-4o-mini", "keys/gpt-4o-mini", "claude-two/claude-haiku-4-5")
            },
            "keys": {"app": KEY},
        }
        with running_portico(config, arguments=("--workers", "1")) as portico:
            yield Two(Front(portico, second), first, second)


@pytest.fixture
def two(running: Two) -> Two:
    for mock in (running.first, running.second):
        mock.idle()
        mock.mock.reset()
    running.front.begin()
    return running


@pytest.fixture
def client(two: Two) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{two.front.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def ask(client, model, *, stream):
    """Make a call; return what was said and the headers of the reply."""
    raw = client.chat.completions.with_raw_response.create(model=model, messages=HELLO, stream=stream)
    if not stream:
        return raw.parse().choices[0].message.content, raw.headers
    return "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse()), raw.headers


FAILURES = {
    "429": ("limited", "status=429&retry_after=9", 429, None),
    "500": ("smart", "status=500", 500, None),
    "503": ("smart", "status=503", 503, None),
    "cut before the head": ("smart", "fault=cut-before-head", None, "upstream_connection_lost"),
    "cut before the first piece": ("smart", "fault=cut-after-head", 200, "upstream_connection_lost"),
    "a page for an answer": ("smart", "fault=wrong-type", 200, "upstream_bad_reply"),
    "too late": ("late", "latency=60", None, "upstream_timeout"),
    "refused": ("refused", None, None, "upstream_unreachable"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("failure", FAILURES)
def test_the_sdk_sees_one_clean_answer(two: Two, client, failure, stream):
    model, told, status, error = FAILURES[failure]
    if model == "limited":
        model = "limited-streamed" if stream else "limited-whole"
    two.first.script.always(told)
    expected, _ = ask(client, "two/gpt-4o-mini", stream=False)
    said, headers = ask(client, model, stream=stream)
    settled = two.front.settled(headers)
    tried = settled.record["attempts"]
    assert said == expected
    assert headers["x-portico-target"] == settled.record["target"] == "two/gpt-4o-mini"
    assert headers["x-portico-attempts"] == str(len(tried))
    assert int(headers["x-portico-attempts"]) >= 2
    assert all(attempt["target"] == tried[0]["target"] != "two/gpt-4o-mini" for attempt in tried[:-1])
    assert {(attempt.get("status"), attempt.get("error")) for attempt in tried[:-1]} == {(status, error)}
    assert (tried[-1]["target"], tried[-1]["status"], tried[-1].get("error")) == ("two/gpt-4o-mini", 200, None)
    assert (settled.record["model"], settled.record["status"]) == (model, 200)
    assert settled.usage == settled.entry.usage
    assert settled.cost == settled.entry.cost


def test_the_time_spent_waiting_for_providers_is_no_overhead(two: Two, client):
    two.first.script.always("latency=60")
    _, headers = ask(client, "late", stream=False)
    record = two.front.record(headers["x-request-id"])
    assert record["total_us"] > 250_000 > int(headers["x-portico-overhead-us"])


def test_another_dialect_falls_back_as_well(two: Two):
    two.first.script.always("status=503")
    caller = CALLERS["anthropic"]
    for stream in (False, True):
        assert caller.call(two.front.url, KEY, "claude", "Hello [mock tokens=9]", stream)
        record = two.front.of(two.second.ledger.last)
        assert [attempt["target"].partition("/")[0] for attempt in record["attempts"]] == ["claude-one", "claude-two"]
        assert (record["usage"]["output"], record["cost_nano_usd"]) == (9, two.second.ledger.last.cost)


def test_a_mistake_of_the_caller_is_not_tried_elsewhere(two: Two, client):
    two.first.script.always("status=400")
    with pytest.raises(openai.BadRequestError):
        ask(client, "smart", stream=False)
    assert two.second.ledger.entries == []


def test_the_last_failure_is_told_when_all_fail(two: Two, client):
    two.first.script.always("status=429&retry_after=3")
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, "lost", stream=True)
    headers = caught.value.response.headers
    assert headers["retry-after"] == "3"
    assert headers["x-portico-attempts"] == "2"
    record = two.front.record(headers["x-request-id"])
    assert [attempt.get("error") for attempt in record["attempts"]] == ["upstream_unreachable", None]
    assert (record["status"], record["error"]) == (429, "upstream_status")


# several keys of one provider


def test_keys_are_balanced_and_one_that_is_refused_rests(two: Two, client):
    headers = [ask(client, "keys/gpt-4o-mini", stream=False)[1] for _ in range(12)]
    used = Counter(entry.key for entry in two.second.ledger.entries)
    assert used[BAD] == 1  # once refused, it rests
    assert used[GOOD[0]] + used[GOOD[1]] == 12
    assert min(used[GOOD[0]], used[GOOD[1]]) >= 5
    tries = Counter(header["x-portico-attempts"] for header in headers)
    assert tries == {"1": 11, "2": 1}
    records = [two.front.record(header["x-request-id"]) for header in headers]
    refused = next(record for record in records if len(record["attempts"]) == 2)
    assert [(attempt["credential"], attempt["status"]) for attempt in refused["attempts"]] == [
        ("keys#2", 401),
        ("keys#3", 200),
    ]
    assert all(record["status"] == 200 for record in records)
    assert not any(key in line for key in (*GOOD, BAD) for line in two.front.portico.records.lines)


# a provider that wants signatures


def test_a_signed_request_is_signed_anew_for_the_provider(two: Two):
    client = aws(two.front.url, KEY)
    asked = [{"role": "user", "content": [{"text": "Hello [mock tokens=9]"}]}]
    whole = client.converse(modelId="signed/amazon.nova-lite-v1:0", messages=asked)
    streamed = list(client.converse_stream(modelId="signed/amazon.nova-lite-v1:0", messages=asked)["stream"])
    client.close()
    assert whole["usage"]["outputTokens"] == streamed[-1]["metadata"]["usage"]["outputTokens"] == 9
    for entry in two.second.ledger.entries:
        assert entry.header("authorization").startswith(f"AWS4-HMAC-SHA256 Credential={UPSTREAM}/")
        assert "/us-east-1/bedrock/aws4_request" in entry.header("authorization")
        assert KEY not in str(entry.headers)
    eventually(lambda: all(entry.outcome == "served" for entry in two.second.ledger.entries), "both were served")
