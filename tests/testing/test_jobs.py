"""Batches and background responses at the mock, through the SDKs: they end when it is time, or a test says so."""

import json
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from portico.testing import MockProvider
from portico.testing.clock import FakeClock

LINES = b"".join(
    json.dumps(
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "mock-model", "messages": [{"role": "user", "content": f"Hello {number}"}]},
        }
    ).encode()
    + b"\n"
    for number in range(4)
)
PARAMS: Any = {"model": "mock-model", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}


async def batch(sdk: AsyncOpenAI) -> Any:
    file = await sdk.files.create(file=("a.jsonl", LINES), purpose="batch")
    return await sdk.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


async def test_a_batch_ends_after_its_time_and_its_sum_is_that_of_its_lines() -> None:
    clock = FakeClock()
    mock = MockProvider(clock=clock, defaults="job=60")
    async with mock:
        sdk = AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="k", max_retries=0)
        async with sdk:
            made = await batch(sdk)
            assert (await sdk.batches.retrieve(made.id)).status == "validating"
            await clock.advance(61)
            done = await sdk.batches.retrieve(made.id)
            assert done.status == "completed"
            assert done.output_file_id is not None
            told = [json.loads(line) for line in (await sdk.files.content(done.output_file_id)).text.splitlines()]
            assert [one["custom_id"] for one in told] == ["0", "1", "2", "3"]
            usages = [one["response"]["body"]["usage"] for one in told]
            assert done.usage is not None
            assert done.usage.input_tokens == sum(one["prompt_tokens"] for one in usages)
            assert done.usage.output_tokens == sum(one["completion_tokens"] for one in usages) > 0
            assert done.request_counts is not None
            assert (done.request_counts.total, done.request_counts.completed) == (4, 4)


async def test_a_request_that_cannot_be_answered_fails_alone(mock: MockProvider) -> None:
    async with AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="k", max_retries=0) as sdk:
        wrong = LINES.replace(b'"messages"', b'"massages"', 1).replace(b"chat/completions", b"else", 2)
        file = await sdk.files.create(file=("a.jsonl", wrong), purpose="batch")
        made = await sdk.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        mock.objects.end(made.id)
        done = await sdk.batches.retrieve(made.id)
        assert done.request_counts is not None
        assert done.request_counts.failed >= 1
        assert done.request_counts.completed + done.request_counts.failed == 4


async def test_a_cancelled_batch_of_claude_has_the_results_of_what_was_done(mock: MockProvider) -> None:
    async with AsyncAnthropic(base_url=mock.url, api_key="k", max_retries=0) as sdk:
        mock.defaults = {"job": "1000"}
        requests: Any = [{"custom_id": str(number), "params": PARAMS} for number in range(4)]
        made = await sdk.messages.batches.create(requests=requests)
        mock.defaults = {"job": "0"}
        assert (await sdk.messages.batches.cancel(made.id)).processing_status == "canceling"
        done = await sdk.messages.batches.retrieve(made.id)
        assert done.processing_status == "ended"
        assert (done.request_counts.succeeded, done.request_counts.canceled) == (2, 2)
        results = [one.result.type async for one in await sdk.messages.batches.results(made.id)]
        assert results == ["succeeded", "succeeded", "canceled", "canceled"]


@pytest.mark.parametrize("ends", ["completed", "failed", "cancelled"])
async def test_a_background_response_is_queued_until_it_ends(mock: MockProvider, ends: Any) -> None:
    mock.defaults = {"job": "1000"}
    async with AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="k", max_retries=0) as sdk:
        made = await sdk.responses.create(model="mock-model", input="Hello", background=True)
        assert (made.status, made.usage, made.output) == ("queued", None, [])
        mock.objects.end(made.id, ends)
        done = await sdk.responses.retrieve(made.id)
        assert done.status == ends
        assert (done.usage is not None) == (ends == "completed")
        plain = await sdk.responses.create(model="mock-model", input="Hello")
        assert plain.status == "completed"
