"""AWS's own SDK against the mock: it checks the checksums of every message of a stream."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from portico.testing import HostedMock, tokens

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
HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]
CLAUDE = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
}


@pytest.fixture(scope="module")
def client(one_hosted: HostedMock) -> Iterator[Any]:
    made = boto3.client(
        "bedrock-runtime",
        endpoint_url=one_hosted.url,
        region_name="us-east-1",
        aws_access_key_id="AKIAMOCK",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 1, "mode": "standard"}),
    )
    yield made
    made.close()


def text_of(events):
    return "".join(
        event["contentBlockDelta"]["delta"].get("text", "") for event in events if "contentBlockDelta" in event
    )


@pytest.mark.parametrize("options", ["", "&split=1", "&split=7"])
def test_converse_whole_and_streamed_are_the_same(client, hosted, options):
    model = f"any.model-v1:0?tokens=9{options}"
    whole = client.converse(modelId=model, messages=HELLO)
    events = list(client.converse_stream(modelId=model, messages=HELLO)["stream"])
    text = whole["output"]["message"]["content"][0]["text"]
    assert tokens(text) == 9
    assert text_of(events) == text
    assert events[-1]["metadata"]["usage"] == whole["usage"]
    assert whole["usage"]["outputTokens"] == hosted.ledger.last.usage.output == 9
    assert whole["usage"]["inputTokens"] == hosted.ledger.last.usage.input
    assert (hosted.ledger.last.key, hosted.ledger.last.model) == ("AKIAMOCK", "any.model-v1:0")


def test_tools_whole_and_streamed(client, hosted):
    whole = client.converse(modelId="any", messages=HELLO, toolConfig=TOOLS)
    assert whole["stopReason"] == "tool_use"
    made = whole["output"]["message"]["content"][0]["toolUse"]
    assert made["input"]["city"]
    events = list(client.converse_stream(modelId="any", messages=HELLO, toolConfig=TOOLS)["stream"])
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert json.loads("".join(delta["toolUse"]["input"] for delta in deltas)) == made["input"]


def test_reasoning_bounds_and_caches(client, hosted):
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    whole = client.converse(modelId="any", messages=HELLO, additionalModelRequestFields=thinking)
    first = whole["output"]["message"]["content"][0]["reasoningContent"]["reasoningText"]
    assert tokens(first["text"]) == hosted.ledger.last.usage.reasoning
    stream = client.converse_stream(modelId="any", messages=HELLO, additionalModelRequestFields=thinking)["stream"]
    thought = [
        event["contentBlockDelta"]["delta"]["reasoningContent"].get("text", "")
        for event in stream
        if "reasoningContent" in event.get("contentBlockDelta", {}).get("delta", {})
    ]
    assert "".join(thought) == first["text"]
    cut = client.converse(modelId="any?cached=2", messages=HELLO, inferenceConfig={"maxTokens": 3})
    assert (cut["stopReason"], cut["usage"]["outputTokens"], cut["usage"]["cacheReadInputTokens"]) == (
        "max_tokens",
        3,
        2,
    )


def test_invoke_with_anthropic_bodies_whole_and_streamed(client, hosted):
    whole = json.loads(client.invoke_model(modelId="anthropic.any", body=json.dumps(CLAUDE))["body"].read())
    stream = client.invoke_model_with_response_stream(modelId="anthropic.any", body=json.dumps(CLAUDE))["body"]
    events = [json.loads(event["chunk"]["bytes"]) for event in stream]
    said = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert said == whole["content"][0]["text"]
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["outputTokenCount"] == whole["usage"]["output_tokens"] == hosted.ledger.last.usage.output


@pytest.mark.parametrize(
    ("control", "code"),
    [
        ("status=400", "ValidationException"),
        ("status=403", "AccessDeniedException"),
        ("status=404", "ResourceNotFoundException"),
        ("status=429&retry_after=2", "ThrottlingException"),
        ("status=500", "InternalServerException"),
        ("status=503", "ServiceUnavailableException"),
    ],
)
def test_errors_are_raised_as_the_sdk_names_them(client, control, code):
    with pytest.raises(ClientError) as caught:
        client.converse(modelId=f"any?{control}", messages=HELLO)
    assert caught.value.response["Error"]["Code"] == code


def test_an_error_in_mid_stream_is_raised_as_an_exception_message(client, hosted):
    stream = client.converse_stream(modelId="any?tokens=30&fault=error-mid-stream&at=4&status=429", messages=HELLO)
    got = []
    with pytest.raises(EventStreamError, match="throttlingException"):
        got.extend(iter(stream["stream"]))
    assert hosted.ledger.last.usage.output == 3
