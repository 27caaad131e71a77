"""One chat call, whole or streamed, by each provider's own SDK: how it is made, and how its errors are told apart."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import anthropic
import boto3
import cohere
import openai
from botocore.config import Config
from google import genai
from google.genai import types

Call = Callable[[str, str, str, str, bool], str]
"""(URL, key, model, prompt, streamed) → what the model said. Raises what the SDK raises."""


class Caller(NamedTuple):
    """An SDK: `model` is one that the gateway's configuration prices, `status` reads the status of an exception."""

    call: Call
    model: str
    target: str
    status: Callable[[BaseException], int | None]
    headers: Callable[[BaseException], Mapping[str, str]]


def chat(url: str, key: str, model: str, prompt: str, stream: bool) -> str:
    """Call OpenAI's chat completions."""
    messages: Any = [{"role": "user", "content": prompt}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        if not stream:
            return client.chat.completions.create(model=model, messages=messages).choices[0].message.content or ""
        with client.chat.completions.create(model=model, messages=messages, stream=True) as chunks:
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def responses(url: str, key: str, model: str, prompt: str, stream: bool) -> str:
    """Call OpenAI's responses."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        if not stream:
            return client.responses.create(model=model, input=prompt).output_text
        with client.responses.create(model=model, input=prompt, stream=True) as events:
            return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def messages(url: str, key: str, model: str, prompt: str, stream: bool) -> str:
    """Call Anthropic's messages."""
    asked: Any = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 99}
    with anthropic.Anthropic(base_url=url, api_key=key, max_retries=0) as client:
        if not stream:
            return str(client.messages.create(**asked).content[0].text)
        with client.messages.stream(**asked) as events:
            return "".join(events.text_stream)


def gemini(url: str, key: str, model: str, prompt: str, stream: bool) -> str:
    """Call Gemini's generateContent."""
    client = genai.Client(api_key=key, vertexai=False, http_options=types.HttpOptions(base_url=url))
    with contextlib.closing(client):
        if not stream:
            return client.models.generate_content(model=model, contents=prompt).text or ""
        with contextlib.closing(client.models.generate_content_stream(model=model, contents=prompt)) as chunks:
            return "".join(chunk.text or "" for chunk in chunks)


def aws(url: str, key: str) -> Any:
    """Return a client of Bedrock that signs its requests; the gateway goes by the id."""
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id=key,
        aws_secret_access_key="any",  # nobody checks it
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
    )


def converse(url: str, key: str, model: str, prompt: str, stream: bool) -> str:
    """Call Bedrock's converse."""
    asked = {"modelId": model, "messages": [{"role": "user", "content": [{"text": prompt}]}]}
    with contextlib.closing(aws(url, key)) as client:
        if not stream:
            return str(client.converse(**asked)["output"]["message"]["content"][0]["text"])
        with contextlib.closing(client.converse_stream(**asked)["stream"]) as events:
            return "".join(_deltas(events))


def _deltas(events: Any) -> Iterator[str]:
    for event in events:
        if "contentBlockDelta" in event:
            yield event["contentBlockDelta"]["delta"]["text"]


class ToldOfAnError(Exception):
    """Cohere's SDK raises nothing at an error in mid-stream; it hands out the event that says so."""


def chat_v2(url: str, key: str, model: str, prompt: str, stream: bool) -> str:
    """Call Cohere's chat."""
    asked: Any = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    asked["request_options"] = {"max_retries": 0}
    with cohere.ClientV2(base_url=url, api_key=key) as client:
        if not stream:
            return client.chat(**asked).message.content[0].text
        said = ""
        with contextlib.closing(client.chat_stream(**asked)) as events:
            for event in events:
                if event.type == "content-delta":
                    said += event.delta.message.content.text
                elif event.type == "message-end":
                    if event.delta.finish_reason == "ERROR":
                        raise ToldOfAnError(event.delta.error)
                    return said
    raise AssertionError("the stream had no end")


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


def _of_reply(error: Any) -> int | None:
    return getattr(error, "status_code", None)


def _reply_headers(error: Any) -> dict[str, str]:
    return _lower(error.response.headers)


def _of_aws(error: Any) -> int | None:
    status: int | None = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


CALLERS = {
    "openai chat": Caller(chat, "gpt-4o-mini", "openai/gpt-4o-mini", _of_reply, _reply_headers),
    "openai responses": Caller(responses, "gpt-4o-mini", "openai/gpt-4o-mini", _of_reply, _reply_headers),
    "anthropic": Caller(messages, "claude-haiku-4-5", "anthropic/claude-haiku-4-5", _of_reply, _reply_headers),
    "google-genai": Caller(
        gemini,
        "gemini-2.5-flash",
        "gemini/gemini-2.5-flash",
        lambda error: getattr(error, "code", None),
        _reply_headers,
    ),
    "boto3": Caller(
        converse,
        "amazon.nova-lite-v1:0",
        "bedrock/amazon.nova-lite-v1:0",
        _of_aws,
        lambda error: _lower(error.response["ResponseMetadata"]["HTTPHeaders"]),
    ),
    "cohere": Caller(
        chat_v2, "command-a-03-2025", "cohere/command-a-03-2025", _of_reply, lambda error: _lower(error.headers)
    ),
}
