"""Callers who close a stream early, by their own SDK: the provider's call ends with theirs, and the record says so."""

import asyncio
import contextlib

import anthropic
import cohere
import openai
import pytest
from google import genai
from google.genai import types
from tests.e2e.callers import aws
from tests.e2e.front import KEY, Front

pytestmark = pytest.mark.xdist_group("e2e-leaving")

PROMPT = "[mock tokens=5000 pace=0.02]"
"""A stream that would go on for more than a minute and a half."""


def chat(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
        asked = [{"role": "user", "content": PROMPT}]
        with client.chat.completions.create(model="gpt-4o-mini", messages=asked, stream=True) as chunks:
            for chunk in chunks:
                if chunk.choices[0].delta.content:
                    break


def responses(url: str) -> None:
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key=KEY) as client,
        client.responses.create(model="gpt-4o-mini", input=PROMPT, stream=True) as events,
    ):
        for event in events:
            if event.type == "response.output_text.delta":
                break


def messages(url: str) -> None:
    asked = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 9000}
    with anthropic.Anthropic(base_url=url, api_key=KEY) as client, client.messages.stream(**asked) as stream:
        next(iter(stream.text_stream))


def gemini(url: str) -> None:
    client = genai.Client(api_key=KEY, vertexai=False, http_options=types.HttpOptions(base_url=url))
    with contextlib.closing(client):
        stream = client.models.generate_content_stream(model="gemini-2.5-flash", contents=PROMPT)
        with contextlib.closing(stream) as chunks:
            next(chunks)


def converse(url: str) -> None:
    with contextlib.closing(aws(url, KEY)) as client:
        asked = [{"role": "user", "content": [{"text": PROMPT}]}]
        reply = client.converse_stream(modelId="amazon.nova-lite-v1:0", messages=asked)
        with contextlib.closing(reply["stream"]) as events:
            for event in events:
                if "contentBlockDelta" in event:
                    break


def chat_v2(url: str) -> None:
    with cohere.ClientV2(base_url=url, api_key=KEY) as client:
        stream = client.chat_stream(model="command-a-03-2025", messages=[{"role": "user", "content": PROMPT}])
        with contextlib.closing(stream) as events:
            for event in events:
                if event.type == "content-delta":
                    break


LEAVERS = {
    "openai chat": chat,
    "openai responses": responses,
    "anthropic": messages,
    "google-genai": gemini,
    "boto3": converse,
    "cohere": chat_v2,
}


@pytest.mark.parametrize("name", LEAVERS)
def test_a_stream_that_its_caller_closes(front: Front, name):
    LEAVERS[name](front.url)
    front.mock.idle()
    entry = front.mock.ledger.last
    record = front.of(entry)
    assert entry.outcome == "gone"
    assert 0 < entry.usage.output < 5000
    assert (record["status"], record["error"], record["stream"]) == (499, "caller_gone", True)
    assert record["total_us"] < 60_000_000


async def test_a_call_that_its_caller_cancels(front: Front):
    """A whole call is given up as well: the caller's task is cancelled while the provider thinks."""
    async with openai.AsyncOpenAI(base_url=f"{front.url}/v1", api_key=KEY, max_retries=0) as client:
        asked = [{"role": "user", "content": "[mock latency=60]"}]
        call = asyncio.create_task(client.chat.completions.create(model="gpt-4o-mini", messages=asked))
        while not front.entries():
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.to_thread(front.mock.idle)
    assert front.mock.ledger.last.outcome == "gone"
    record = front.record_with('"caller_gone"')
    assert (record["status"], record["attempts"][0]["error"]) == (499, "caller_gone")
    assert record["usage"] is None


def test_others_go_on_while_one_leaves(front: Front):
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=KEY, max_retries=0) as client:
        asked = [{"role": "user", "content": "[mock tokens=30 pace=0.002]"}]
        with client.chat.completions.create(model="gpt-4o-mini", messages=asked, stream=True) as chunks:
            first = next(iter(chunks))
            chat(front.url)
            rest = list(chunks)
    assert first.id == rest[-1].id
    assert rest[-1].choices[0].finish_reason == "stop"
