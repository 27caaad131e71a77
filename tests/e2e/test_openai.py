"""OpenAI's own SDK through the gateway: every operation, whole and streamed, by its base URL and key alone."""

import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import openai
import pytest
from pydantic import BaseModel
from tests.e2e.front import KEY, UPSTREAM, Front

from portico.testing import tokens

pytestmark = pytest.mark.xdist_group("e2e-openai")

HELLO = [{"role": "user", "content": "Hello [mock tokens=9]"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Book(BaseModel):
    title: str
    pages: int


@pytest.fixture
def client(front: Front) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture
async def aclient(front: Front) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{front.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def said(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# chat


def test_a_whole_chat_call_is_answered_counted_and_priced(client, front):
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HELLO)
    reply = raw.parse()
    settled = front.agrees(raw.headers, target="openai/gpt-4o-mini")
    assert tokens(reply.choices[0].message.content) == settled.usage.output == 9
    assert reply.usage.prompt_tokens == settled.usage.input
    assert settled.cost == settled.usage.input * 3000 + 9 * 12000
    assert (settled.entry.model, settled.entry.path) == ("gpt-4o-mini", "/v1/chat/completions")


@pytest.mark.parametrize("name", ["gpt-4o-mini", "openai/gpt-4o-mini"])
def test_a_provider_sees_its_own_name_of_the_model(client, front, name):
    client.chat.completions.create(model=name, messages=HELLO)
    assert front.entries()[-1].json == {"model": "gpt-4o-mini", "messages": HELLO}


@pytest.mark.parametrize("options", ["", " split=1", " split=7", " chunk=3"])
def test_a_streamed_chat_call_says_the_same_as_a_whole_one(client, front, options):
    asked = [{"role": "user", "content": f"Hello [mock tokens=9{options}]"}]
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=asked)
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=asked, stream=True)
    chunks = list(raw.parse())
    assert said(chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    settled = front.agrees(raw.headers, target="openai/gpt-4o-mini", stream=True)
    assert settled.usage.output == whole.usage.completion_tokens == 9


def test_usage_is_asked_for_and_kept_from_a_caller_who_did_not_ask(client, front):
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HELLO, stream=True)
    chunks = list(raw.parse())
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)
    assert front.entries()[-1].json["stream_options"] == {"include_usage": True}
    assert front.agrees(raw.headers, target="openai/gpt-4o-mini", stream=True).usage.output == 9


def test_usage_comes_last_for_a_caller_who_asked(client, front):
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(raw.parse())
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    settled = front.agrees(raw.headers, target="openai/gpt-4o-mini", stream=True)
    assert chunks[-1].usage.completion_tokens == settled.usage.output
    assert chunks[-1].choices == []


def test_tools_are_called_whole_and_streamed(client, front):
    asked = {"model": "gpt-4o-mini", "messages": HELLO, "tools": [TOOL], "tool_choice": "required"}
    whole = client.chat.completions.create(**asked).choices[0]
    assert whole.finish_reason == "tool_calls"
    made = whole.message.tool_calls[0].function
    assert json.loads(made.arguments)["city"]
    raw = client.chat.completions.with_raw_response.create(**asked, stream=True)
    calls = [call for chunk in raw.parse() for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].function.name == "weather"
    assert "".join(call.function.arguments for call in calls) == made.arguments
    front.agrees(raw.headers, target="openai/gpt-4o-mini", stream=True)


def test_what_was_cached_and_thought_has_its_own_price(client, front):
    asked = [{"role": "user", "content": "x" * 400 + "[mock tokens=9 cached=50 reasoning=20]"}]
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=asked)
    settled = front.agrees(raw.headers, target="openai/gpt-4o-mini")
    assert (settled.usage.cache_read, settled.usage.reasoning) == (50, 20)
    assert settled.cost == settled.usage.input * 3000 + 50 * 300 + 29 * 12000


def test_the_stream_and_parse_conveniences_work(client):
    parsed = client.chat.completions.parse(model="gpt-4o-mini", messages=HELLO, response_format=Book)
    with client.chat.completions.stream(model="gpt-4o-mini", messages=HELLO, response_format=Book) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == parsed.choices[0].message.parsed
    assert isinstance(parsed.choices[0].message.parsed, Book)


def test_fields_that_nobody_knows_arrive_as_they_were_sent(client, front):
    extra = {"made_up": {"deep": [1, 2.5, None]}, "stop": ["\u00e4\U0001f600"]}
    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, extra_body=extra)
    assert front.entries()[-1].json == {"model": "gpt-4o-mini", "messages": HELLO, **extra}


def test_the_callers_key_goes_no_further(client, front):
    client.chat.completions.create(
        model="gpt-4o-mini", messages=HELLO, extra_headers={"Cookie": "a=b", "OpenAI-Organization": "org-caller"}
    )
    entry = front.entries()[-1]
    assert entry.header("authorization") == f"Bearer {UPSTREAM}"
    assert entry.header("cookie") is None
    assert entry.header("openai-organization") is None
    assert KEY not in str(entry.headers)


async def test_the_async_client_whole_and_streamed(aclient, front):
    whole = await aclient.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    stream = await aclient.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)
    assert said([chunk async for chunk in stream]) == whole.choices[0].message.content
    assert [entry.outcome for entry in front.entries()] == ["served", "served"]


# the older completions, embeddings, responses


def test_completions_whole_and_streamed(client, front):
    asked = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once [mock tokens=9]"}
    raw = client.completions.with_raw_response.create(**asked)
    whole = raw.parse()
    front.agrees(raw.headers, target="openai/gpt-3.5-turbo-instruct")
    raw = client.completions.with_raw_response.create(**asked, stream=True)
    chunks = list(raw.parse())
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert all(chunk.usage is None for chunk in chunks)
    assert front.agrees(raw.headers, target="openai/gpt-3.5-turbo-instruct", stream=True).usage.output == 9


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings(client, front, encoding):
    raw = client.embeddings.with_raw_response.create(
        model="text-embedding-3-small", input=["a cat", "a dog"], dimensions=8, encoding_format=encoding
    )
    settled = front.agrees(raw.headers, target="openai/text-embedding-3-small")
    assert settled.usage.output == 0
    assert settled.usage.input == raw.parse().usage.prompt_tokens
    made = client.embeddings.create(model="text-embedding-3-small", input=["a cat", "a dog"], dimensions=8)
    assert [len(row.embedding) for row in made.data] == [8, 8]


def test_responses_whole_streamed_and_counted(client, front):
    asked = {"model": "gpt-4o-mini", "input": "Hello [mock tokens=9]"}
    raw = client.responses.with_raw_response.create(**asked)
    whole = raw.parse()
    front.agrees(raw.headers, target="openai/gpt-4o-mini")
    raw = client.responses.with_raw_response.create(**asked, stream=True)
    events = list(raw.parse())
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == whole.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert front.agrees(raw.headers, target="openai/gpt-4o-mini", stream=True).usage.output == 9
    counted = client.responses.input_tokens.count(model="gpt-4o-mini", input="Hello")
    assert counted.input_tokens > 0


def test_responses_with_tools(client, front):
    tool = {"type": "function", "name": "weather", "parameters": TOOL["function"]["parameters"]}
    asked = {"model": "gpt-4o-mini", "input": "Hi", "tools": [tool], "tool_choice": "required"}
    called = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        assert stream.get_final_response().output[0].arguments == called.output[0].arguments


# what is not text


def test_moderations(client, front):
    raw = client.moderations.with_raw_response.create(model="omni-moderation-latest", input="I love violence")
    assert raw.parse().results[0].categories.violence
    assert front.record(raw.headers["x-request-id"])["status"] == 200


def test_images_made_and_edited(client, front):
    raw = client.images.with_raw_response.generate(model="gpt-image-1", prompt="a cat", n=2)
    assert len(raw.parse().data) == 2
    settled = front.settled(raw.headers)
    assert (settled.usage, settled.record["basis"]) == (settled.entry.usage, "reported")
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
    raw = client.images.with_raw_response.edit(model="gpt-image-1", prompt="a dog", image=("a.png", picture))
    settled = front.settled(raw.headers)
    assert raw.parse().usage.input_tokens_details.image_tokens > 0
    assert settled.usage == settled.entry.usage
    assert picture in settled.entry.body


def heard(entry):
    """What a transcript reports of the mock's account: tokens, but not for how many seconds somebody spoke."""
    return msgspec.structs.replace(entry.usage, seconds=0.0)


def test_an_upload_larger_than_memory_goes_through_whole(client, front):
    """3 MB of sound: more than the gateway holds in memory, so it is spooled to a file on its way."""
    sound = b"RIFF" + bytes(range(256)) * (3 * 4096)
    raw = client.audio.transcriptions.with_raw_response.create(
        model="openai/gpt-4o-transcribe", file=("long.wav", io.BytesIO(sound)), prompt="a \u00fcber \u2603 prompt"
    )
    settled = front.settled(raw.headers)
    assert raw.parse().usage.input_token_details.audio_tokens == settled.usage.input_audio
    assert settled.usage == heard(settled.entry)
    assert settled.entry.body_bytes > len(sound) > 3_000_000
    sent = settled.entry.body
    assert b"openai/gpt" not in sent
    assert "a \u00fcber \u2603 prompt".encode() in sent


def test_transcripts_whole_streamed_and_plain(client, front):
    asked = {"model": "gpt-4o-transcribe", "file": ("a.wav", b"RIFF" + bytes(2000))}
    whole = client.audio.transcriptions.create(**asked)
    raw = client.audio.transcriptions.with_raw_response.create(**asked, stream=True)
    events = list(raw.parse())
    assert events[-1].text == "".join(event.delta for event in events[:-1]) == whole.text
    settled = front.settled(raw.headers)
    assert settled.usage == heard(settled.entry)
    plain = client.audio.transcriptions.create(**{**asked, "model": "whisper-1"}, response_format="text")
    assert plain.strip()
    with pytest.warns(DeprecationWarning, match="deprecated"):  # the SDK's word on translations
        assert client.audio.translations.create(**{**asked, "model": "whisper-1"}).text


def test_speech_whole_and_streamed_to_a_file(client, front, tmp_path: Path):
    asked = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello there", "response_format": "wav"}
    whole = client.audio.speech.create(**asked)
    assert whole.content[:4] == b"RIFF"
    assert whole.response.headers["content-type"] == "audio/wav"
    with client.audio.speech.with_streaming_response.create(**asked) as reply:
        reply.stream_to_file(tmp_path / "spoken.wav")
        request_id = reply.headers["x-request-id"]
    assert (tmp_path / "spoken.wav").read_bytes() == whole.content
    assert front.record(request_id)["status"] == 200


def test_the_models_that_a_key_may_use_are_listed(client, front):
    names = {model.id: model.owned_by for model in client.models.list()}
    assert names["openai/gpt-4o-mini"] == "openai"
    assert names["anthropic/claude-haiku-4-5"] == "anthropic"
    assert client.models.retrieve("openai/gpt-4o-mini").id == "openai/gpt-4o-mini"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/nothing")
    assert front.entries() == []


# Azure's client, and what has no SDK


def test_azures_client_whole_and_streamed(front):
    asked = {"model": "gpt-4o-mini", "messages": HELLO}
    with openai.AzureOpenAI(azure_endpoint=front.url, api_key=KEY, api_version="2024-10-21", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(**asked)
        front.agrees(raw.headers, target="openai/gpt-4o-mini")
        streamed = said(client.chat.completions.create(**asked, stream=True))
        made = client.embeddings.create(model="text-embedding-3-small", input="a cat")
        answered = client.responses.create(model="gpt-4o-mini", input="Hello")
    assert streamed == raw.parse().choices[0].message.content
    assert made.usage.prompt_tokens == tokens("a cat")
    assert answered.output_text
    assert {entry.key for entry in front.entries()} == {UPSTREAM}


def test_rerank_in_the_common_shape(front):
    body = {"model": "rerank-v3.5", "query": "what is ruby", "documents": ["paris", "ruby is a language"], "top_n": 1}
    status, headers, reply = front.portico.request("POST", "/v1/rerank", body, key=KEY)
    assert status == 200
    assert json.loads(reply)["results"][0]["index"] == 1
    settled = front.settled(headers)
    assert settled.record["target"] == "cohere/rerank-v3.5"
    # The mock ranks as most do, which count tokens; Cohere's own replies count searches.
    assert settled.usage == settled.entry.usage
    assert settled.record["basis"] == "reported"
