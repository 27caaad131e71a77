"""OpenAI's own SDK against the mock."""

import json
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from pydantic import BaseModel

from portico.testing import HostedMock, MockProvider, tokens

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 3}},
            "required": ["city"],
        },
    },
}
HELLO = [{"role": "user", "content": "Hello"}]


class Book(BaseModel):
    title: str
    pages: int
    genres: list[str]


@pytest.fixture
def client(hosted: HostedMock) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hosted.url}/v1", api_key="sk-test", max_retries=0) as made:
        yield made


@pytest.fixture
async def aclient(mock: MockProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="sk-test", max_retries=0) as made:
        yield made


def test_a_whole_chat_call_reports_what_the_ledger_has(client, hosted):
    reply = client.chat.completions.create(model="any?tokens=9", messages=HELLO)
    entry = hosted.ledger.last
    assert tokens(reply.choices[0].message.content) == 9
    assert reply.model == "any"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (entry.usage.input, entry.usage.output)
    assert entry.usage.output == 9
    assert (entry.operation, entry.key, entry.outcome) == ("chat", "sk-test", "served")


@pytest.mark.parametrize("options", ["", "&split=1", "&split=7", "&gzip=1", "&chunk=3"])
def test_a_streamed_chat_call_says_the_same_as_a_whole_one(client, hosted, options):
    model = f"any?tokens=9{options}"
    whole = client.chat.completions.create(model=model, messages=HELLO)
    chunks = list(
        client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage
    assert hosted.ledger.entries[0].usage == hosted.ledger.entries[1].usage


def test_usage_is_in_a_stream_only_when_asked_for(client):
    chunks = list(client.chat.completions.create(model="any", messages=HELLO, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    chunks = list(client.chat.completions.create(model="any?usage=always", messages=HELLO, stream=True))
    assert chunks[-1].usage is not None


def test_tools_are_called_when_demanded_or_named_and_not_after_their_result(client):
    def call(content, **more):
        messages = [{"role": "user", "content": content}]
        return client.chat.completions.create(model="any", messages=messages, tools=[TOOL], **more).choices[0]

    for choice in (call("Hi", tool_choice="required"), call("What is the weather?")):
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        made = choice.message.tool_calls[0].function
        assert made.name == "weather"
        assert 1 <= json.loads(made.arguments)["days"] <= 3
    assert call("Hi").finish_reason == "stop"
    assert call("What is the weather?", tool_choice="none").finish_reason == "stop"
    answered = client.chat.completions.create(
        model="any",
        tools=[TOOL],
        messages=[
            {"role": "user", "content": "What is the weather?"},
            {"role": "assistant", "tool_calls": [made_call()]},
            {"role": "tool", "tool_call_id": "c1", "content": "the weather is fine"},
        ],
    )
    assert answered.choices[0].finish_reason == "stop"


def made_call():
    return {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def test_streamed_tool_calls_add_up_to_the_whole_ones(client):
    asked = {"model": "any?calls=2", "messages": HELLO, "tools": [TOOL]}
    whole = client.chat.completions.create(**asked).choices[0].message.tool_calls
    parts: dict[int, list[str]] = {}
    for chunk in client.chat.completions.create(**asked, stream=True):
        for call in chunk.choices[0].delta.tool_calls or ():
            parts.setdefault(call.index, []).append(call.function.arguments)
    assert ["".join(parts[index]) for index in (0, 1)] == [call.function.arguments for call in whole]


def test_a_json_schema_is_followed_whole_and_streamed(client):
    reply = client.chat.completions.parse(model="any", messages=HELLO, response_format=Book)
    assert isinstance(reply.choices[0].message.parsed, Book)
    with client.chat.completions.stream(model="any", messages=HELLO, response_format=Book) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == reply.choices[0].message.parsed


def test_n_stop_and_max_tokens_are_honoured(client):
    reply = client.chat.completions.create(model="any", messages=HELLO, n=3)
    assert len({choice.message.content for choice in reply.choices}) == 3
    assert reply.usage.completion_tokens == sum(tokens(choice.message.content) for choice in reply.choices)
    reply = client.chat.completions.create(model="any", messages=HELLO, max_tokens=5)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 5
    reply = client.chat.completions.create(model="any?text=one+two+three", messages=HELLO, stop=["two"])
    assert reply.choices[0].message.content == "one "
    assert reply.choices[0].finish_reason == "stop"


def test_reasoning_is_counted_and_shown_only_when_its_words_are_asked_for(client):
    hidden = client.chat.completions.create(model="any", messages=HELLO, reasoning_effort="high")
    assert hidden.usage.completion_tokens_details.reasoning_tokens > 0
    assert not hasattr(hidden.choices[0].message, "reasoning_content")
    shown = client.chat.completions.create(model="any?reasoning=7", messages=HELLO)
    assert tokens(shown.choices[0].message.reasoning_content) == 7
    assert shown.usage.completion_tokens_details.reasoning_tokens == 7


@pytest.mark.parametrize(
    ("control", "raised"),
    [
        ("status=400", openai.BadRequestError),
        ("status=401", openai.AuthenticationError),
        ("status=403", openai.PermissionDeniedError),
        ("status=404", openai.NotFoundError),
        ("status=422", openai.UnprocessableEntityError),
        ("status=429&retry_after=2", openai.RateLimitError),
        ("status=500", openai.InternalServerError),
        ("status=503", openai.InternalServerError),
        ("fault=cut-before-head", openai.APIConnectionError),
        ("fault=cut-mid-stream", openai.APIConnectionError),
        ("tokns=4", openai.BadRequestError),
    ],
)
def test_errors_are_raised_as_the_sdk_names_them(client, hosted, control, raised):
    with pytest.raises(raised) as caught:
        client.chat.completions.create(model=f"any?{control}", messages=HELLO)
    assert hosted.ledger.last.outcome == ("cut" if "fault" in control else "refused")
    assert hosted.ledger.last.usage.total == 0 or "mid" in control
    if "429" in control:
        assert caught.value.response.headers["retry-after"] == "2"


def test_an_error_in_mid_stream_is_raised_after_the_chunks_before_it(client, hosted):
    got = []
    stream = client.chat.completions.create(
        model="any?tokens=30&fault=error-mid-stream&at=4", messages=HELLO, stream=True
    )
    with pytest.raises(openai.APIError):
        got.extend(stream)
    assert len(got) == 4
    assert hosted.ledger.last.usage.output == 3  # the first chunk has the role alone


def test_a_retrying_client_gets_through_faults_that_end(hosted):
    with openai.OpenAI(base_url=f"{hosted.url}/v1", api_key="k", max_retries=2) as client:
        client.chat.completions.create(model="any?status=503&retry_after=0.01&first=2", messages=HELLO)
    assert [entry.status for entry in hosted.ledger.entries] == [503, 503, 200]


def test_responses_whole_streamed_tools_schema_and_reasoning(client, hosted):
    reply = client.responses.create(model="any?tokens=9", input="Hello")
    assert tokens(reply.output_text) == 9
    events = list(client.responses.create(model="any?tokens=9", input="Hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == reply.output_text
    assert events[-1].response.usage == reply.usage
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == reply.output_text
    tool = {"type": "function", "name": "weather", "parameters": TOOL["function"]["parameters"]}
    called = client.responses.create(model="any", input="Hi", tools=[tool], tool_choice="required")
    assert json.loads(called.output[0].arguments)["city"]
    with client.responses.stream(model="any", input="Hi", tools=[tool], tool_choice="required") as stream:
        assert stream.get_final_response().output[0].arguments == called.output[0].arguments
    assert isinstance(client.responses.parse(model="any", input="Hi", text_format=Book).output_parsed, Book)
    thought = client.responses.create(model="any", input="Hi", reasoning={"effort": "low", "summary": "auto"})
    assert thought.output[0].type == "reasoning"
    assert thought.usage.output_tokens_details.reasoning_tokens == tokens(thought.output[0].summary[0].text)
    counted = client.responses.input_tokens.count(model="any", input="Hello")
    assert counted.input_tokens == reply.usage.input_tokens
    assert hosted.ledger.entries[0].usage.total == reply.usage.total_tokens


def test_a_response_says_what_it_read_from_a_cache_and_wrote_to_one(client):
    for model, read, written in (("any", 0, 0), ("any?cached=2&cache_write=3", 2, 3)):
        details = client.responses.create(model=model, input="Hello there").usage.input_tokens_details
        assert details.to_dict() == {"cached_tokens": read, "cache_write_tokens": written}


def test_a_response_cut_by_its_bound_is_incomplete(client):
    reply = client.responses.create(model="any", input="Hello", max_output_tokens=4)
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_the_older_completions(client):
    reply = client.completions.create(model="any?tokens=5", prompt=["one", "two"], n=2, echo=True)
    assert [choice.text[:3] for choice in reply.choices] == ["one", "one", "two", "two"]
    assert reply.usage.completion_tokens == 20
    said = "".join(
        chunk.choices[0].text for chunk in client.completions.create(model="any?tokens=5", prompt="one", stream=True)
    )
    assert said == client.completions.create(model="any?tokens=5", prompt="one").choices[0].text


def test_embeddings_as_floats_and_as_base64_are_the_same(client):
    packed = client.embeddings.create(model="any", input=["a cat", "a dog"], dimensions=8)
    plain = client.embeddings.create(model="any", input=["a cat", "a dog"], dimensions=8, encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert sum(value * value for value in plain.data[0].embedding) == pytest.approx(1, abs=1e-4)
    assert plain.data[0].embedding != plain.data[1].embedding
    assert plain.usage.prompt_tokens == tokens("a cat") + tokens("a dog")


def test_moderations_images_and_models(client, hosted):
    assert client.moderations.create(input="I love violence").results[0].categories.violence
    assert not client.moderations.create(input="I love flowers").results[0].flagged
    made = client.images.generate(model="any", prompt="a cat", n=2)
    assert len(made.data) == 2
    entry = hosted.ledger.last
    assert (entry.usage.images, entry.usage.output_image) == (2, made.usage.output_tokens)
    edited = client.images.edit(model="any", prompt="a dog", image=b"\x89PNG bytes")
    assert edited.usage.input_tokens_details.image_tokens > 0
    assert [model.id for model in client.models.list()] == list(hosted.mock.models)
    assert client.models.retrieve("mock-model").id == "mock-model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_speech_and_transcripts(client, hosted):
    audio = client.audio.speech.create(model="tts", voice="alloy", input="Hello there", response_format="wav")
    assert audio.content[:4] == b"RIFF"
    assert hosted.ledger.last.usage.characters == len("Hello there")
    heard = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", audio.content))
    assert heard.usage.input_tokens == hosted.ledger.last.usage.input_audio
    assert heard.usage.output_tokens == tokens(heard.text)
    plain = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", audio.content), response_format="text")
    assert isinstance(plain, str)
    events = list(
        client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.wav", audio.content), stream=True)
    )
    assert events[-1].text == "".join(event.delta for event in events[:-1]) == heard.text
    with pytest.warns(DeprecationWarning, match="deprecated"):  # the SDK's word
        assert client.audio.translations.create(model="whisper-1", file=("a.wav", audio.content)).text


def test_azure_paths_work_with_the_azure_client(hosted):
    with openai.AzureOpenAI(azure_endpoint=hosted.url, api_key="az", api_version="2025-01-01") as client:
        reply = client.chat.completions.create(model="my-deployment", messages=HELLO)
    assert reply.choices[0].finish_reason == "stop"
    assert hosted.ledger.last.path == "/openai/deployments/my-deployment/chat/completions"
    assert hosted.ledger.last.key == "az"


async def test_the_async_client_whole_and_streamed(aclient, mock):
    whole = await aclient.chat.completions.create(model="any", messages=HELLO)
    stream = await aclient.chat.completions.create(model="any", messages=HELLO, stream=True)
    said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert said == whole.choices[0].message.content
    assert [entry.outcome for entry in mock.ledger.entries] == ["served", "served"]
