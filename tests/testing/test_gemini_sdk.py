"""Google's own SDK against the mock, as the Gemini API and as Vertex AI."""

import json
import urllib.request
from collections.abc import Iterator

import pytest
from google import genai
from google.auth.credentials import AnonymousCredentials
from google.genai import errors, types

from portico.testing import HostedMock, MockProvider, tokens

WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="The weather in a city.",
            parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"]),
        )
    ]
)


@pytest.fixture
def client(hosted: HostedMock) -> Iterator[genai.Client]:
    made = genai.Client(api_key="g-key", vertexai=False, http_options=types.HttpOptions(base_url=hosted.url))
    yield made
    made.close()


@pytest.mark.parametrize("options", ["", ";split=1", ";split=7", ";chunk=4"])
def test_whole_and_streamed_are_the_same(client, hosted, options):
    model = f"any;tokens=9{options}"
    whole = client.models.generate_content(model=model, contents="Hello")
    chunks = list(client.models.generate_content_stream(model=model, contents="Hello"))
    assert tokens(whole.text) == 9
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    usage, last = whole.usage_metadata, chunks[-1].usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count) == (
        hosted.ledger.last.usage.input,
        hosted.ledger.last.usage.output,
    )
    assert (last.prompt_token_count, last.candidates_token_count) == (
        usage.prompt_token_count,
        usage.candidates_token_count,
    )
    assert chunks[-1].candidates[0].finish_reason.value == "STOP"
    assert (hosted.ledger.last.key, hosted.ledger.last.query) == ("g-key", "alt=sse")


@pytest.mark.parametrize("model", ["any;tokens=3", "any;tokens=9;fault=error-mid-stream"])
def test_an_array_ends_with_its_bracket(hosted, model):
    """Google's older SDK refuses whatever comes after it, a new line too."""
    request = urllib.request.Request(
        f"{hosted.url}/v1beta/models/{model}:streamGenerateContent?%24alt=json%3Benum-encoding%3Dint",
        json.dumps({"contents": [{"parts": [{"text": "Hello"}]}]}).encode(),
        {"content-type": "application/json", "x-goog-api-key": "g-key"},
    )
    with urllib.request.urlopen(request) as reply:
        body = reply.read()
    assert json.loads(body)
    assert body.endswith(b"]")


def test_tools_whole_and_streamed(client):
    config = types.GenerateContentConfig(
        tools=[WEATHER],
        tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    whole = client.models.generate_content(model="any", contents="Hi", config=config)
    call = whole.function_calls[0]
    assert call.name == "weather"
    assert call.args["city"]
    streamed = [
        part.function_call
        for chunk in client.models.generate_content_stream(model="any", contents="Hi", config=config)
        for part in chunk.candidates[0].content.parts
        if part.function_call
    ]
    assert [made.args for made in streamed] == [call.args]


def test_json_schema_thoughts_candidates_and_bounds(client, hosted):
    schema = {"type": "OBJECT", "properties": {"title": {"type": "STRING"}, "pages": {"type": "INTEGER"}}}
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=schema)
    made = json.loads(client.models.generate_content(model="any", contents="Hi", config=config).text)
    assert isinstance(made["title"], str)
    assert isinstance(made["pages"], int)
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    thought = client.models.generate_content(model="any", contents="Hi", config=config)
    assert thought.candidates[0].content.parts[0].thought
    assert thought.usage_metadata.thoughts_token_count == hosted.ledger.last.usage.reasoning > 0
    config = types.GenerateContentConfig(candidate_count=2, max_output_tokens=3)
    several = client.models.generate_content(model="any", contents="Hi", config=config)
    assert [candidate.finish_reason.value for candidate in several.candidates] == ["MAX_TOKENS"] * 2
    assert several.usage_metadata.candidates_token_count == 6


def test_counting_embedding_and_models(client, hosted):
    counted = client.models.count_tokens(model="any", contents="Hello").total_tokens
    assert counted == client.models.generate_content(model="any", contents="Hello").usage_metadata.prompt_token_count
    made = client.models.embed_content(
        model="any", contents=["a cat", "a dog"], config=types.EmbedContentConfig(output_dimensionality=8)
    )
    assert [len(embedding.values) for embedding in made.embeddings] == [8, 8]
    assert hosted.ledger.last.operation == "batch_embed_contents"
    assert [model.name for model in client.models.list()] == [f"models/{name}" for name in hosted.mock.models]


@pytest.mark.parametrize(
    ("control", "raised", "status"),
    [
        ("status=400", errors.ClientError, "INVALID_ARGUMENT"),
        ("status=404", errors.ClientError, "NOT_FOUND"),
        ("status=429;retry_after=3", errors.ClientError, "RESOURCE_EXHAUSTED"),
        ("status=500", errors.ServerError, "INTERNAL"),
        ("status=503", errors.ServerError, "UNAVAILABLE"),
    ],
)
def test_errors_are_raised_as_the_sdk_names_them(client, control, raised, status):
    with pytest.raises(raised) as caught:
        client.models.generate_content(model=f"any;{control}", contents="Hello")
    assert caught.value.status == status


def test_an_error_in_mid_stream_is_raised(client, hosted):
    got = []
    stream = client.models.generate_content_stream(model="any;tokens=30;fault=error-mid-stream;at=4", contents="Hello")
    with pytest.raises(errors.APIError):
        got.extend(chunk.text for chunk in stream)
    assert tokens("".join(got)) == hosted.ledger.last.usage.output == 4


async def test_the_async_client_whole_and_streamed(mock: MockProvider):
    client = genai.Client(api_key="g-key", vertexai=False, http_options=types.HttpOptions(base_url=mock.url))
    whole = await client.aio.models.generate_content(model="any", contents="Hello")
    chunks = [
        chunk.text or ""
        async for chunk in await client.aio.models.generate_content_stream(model="any", contents="Hello")
    ]
    assert "".join(chunks) == whole.text
    await client.aio.aclose()
    client.close()


def test_vertex_paths_work_with_the_vertex_client(hosted):
    client = genai.Client(
        vertexai=True,
        project="p",
        location="europe-west1",
        credentials=_Token(),
        http_options=types.HttpOptions(base_url=hosted.url),
    )
    whole = client.models.generate_content(model="gemini-any", contents="Hello")
    streamed = "".join(
        c.text or "" for c in client.models.generate_content_stream(model="gemini-any", contents="Hello")
    )
    assert streamed == whole.text
    assert "/publishers/google/models/gemini-any:" in hosted.ledger.last.path
    assert hosted.ledger.last.key == "a-token"
    client.close()


class _Token(AnonymousCredentials):
    """A credential that needs no fetching."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "a-token"
        self.expiry = None
