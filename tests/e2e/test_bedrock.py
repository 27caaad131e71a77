"""AWS's own SDK through the gateway: by its endpoint and key alone, the key as a bearer token or as the id of AWS keys.

botocore checks the checksums of every message of a stream, so what arrives in pieces arrives whole.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from tests.e2e.front import KEY, SECRET, UPSTREAM, Front

from portico.testing import tokens

pytestmark = pytest.mark.xdist_group("e2e-bedrock")

MODEL = "amazon.nova-lite-v1:0"
TARGET = "bedrock/amazon.nova-lite-v1:0"
CLAUDE = "anthropic.claude-haiku-4-5-20251001-v1:0"
HELLO = [{"role": "user", "content": [{"text": "Hello [mock tokens=9]"}]}]
TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": "weather",
                "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
            }
        }
    ],
    "toolChoice": {"any": {}},
}
BODY = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello [mock tokens=9]"}],
    }
)


def connect(front: Front, **options: Any) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=front.url,
        region_name="eu-central-1",
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
        **options,
    )


@pytest.fixture
def client(front: Front) -> Iterator[Any]:
    """A client that signs its requests, as with keys of AWS: the gateway's key is the id, the secret is anything."""
    with contextlib.closing(connect(front, aws_access_key_id=KEY, aws_secret_access_key=SECRET)) as made:
        yield made


@pytest.fixture
def bearer(secure_front: Front, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client with a bearer token, which botocore sends over HTTPS only."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    with contextlib.closing(connect(secure_front, verify=str(secure_front.ca))) as made:
        yield made


@pytest.fixture(params=["signed", "bearer"])
def either(request: pytest.FixtureRequest) -> tuple[Any, Front]:
    """A client of one kind or the other, and its gateway."""
    if request.param == "signed":
        return request.getfixturevalue("client"), request.getfixturevalue("front")
    return request.getfixturevalue("bearer"), request.getfixturevalue("secure_front")


def headers_of(reply):
    return reply["ResponseMetadata"]["HTTPHeaders"]


def text_of(events):
    return "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)


def test_a_converse_call_is_answered_counted_and_priced(either):
    client, front = either
    reply = client.converse(modelId=MODEL, messages=HELLO)
    settled = front.agrees(headers_of(reply), target=TARGET)
    assert tokens(reply["output"]["message"]["content"][0]["text"]) == settled.usage.output == 9
    assert reply["usage"]["inputTokens"] == settled.usage.input
    assert settled.cost == settled.usage.input * 3000 + 9 * 12000
    sent = settled.entry
    assert sent.path == "/model/amazon.nova-lite-v1%3A0/converse"
    assert sent.header("authorization") == f"Bearer {UPSTREAM}"
    assert sent.header("x-amz-date") is None
    assert KEY not in str(sent.headers)


@pytest.mark.parametrize("options", ["", " split=1", " split=7"])
def test_a_converse_stream_says_the_same_as_a_whole_reply(either, options):
    client, front = either
    messages = [{"role": "user", "content": [{"text": f"Hello [mock tokens=9{options}]"}]}]
    whole = client.converse(modelId=MODEL, messages=messages)
    reply = client.converse_stream(modelId=MODEL, messages=messages)
    events = list(reply["stream"])
    assert text_of(events) == whole["output"]["message"]["content"][0]["text"]
    assert events[-1]["metadata"]["usage"] == whole["usage"]
    front.agrees(headers_of(reply), target=TARGET, stream=True)


def test_a_model_is_invoked_whole_and_streamed(either):
    client, front = either
    reply = client.invoke_model(modelId=CLAUDE, body=BODY)
    whole = json.loads(reply["body"].read())
    front.agrees(headers_of(reply), target=f"bedrock/{CLAUDE}")
    reply = client.invoke_model_with_response_stream(modelId=CLAUDE, body=BODY)
    events = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
    said = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert said == whole["content"][0]["text"]
    assert front.agrees(headers_of(reply), target=f"bedrock/{CLAUDE}", stream=True).usage.output == 9


def test_tools_whole_and_streamed(client):
    whole = client.converse(modelId=MODEL, messages=HELLO, toolConfig=TOOLS)
    made = whole["output"]["message"]["content"][0]["toolUse"]
    assert made["input"]["city"]
    events = list(client.converse_stream(modelId=MODEL, messages=HELLO, toolConfig=TOOLS)["stream"])
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert json.loads("".join(delta["toolUse"]["input"] for delta in deltas)) == made["input"]


def test_a_name_with_its_provider_and_an_arn_go_in_the_path(client, front):
    reply = client.converse(modelId=f"bedrock/{MODEL}", messages=HELLO)
    front.agrees(headers_of(reply), target=TARGET)
    arn = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
    reply = client.converse(modelId=f"bedrock/{arn}", messages=HELLO)
    settled = front.settled(headers_of(reply))
    assert settled.record["target"] == f"bedrock/{arn}"
    assert settled.entry.model == arn
