"""Google's own SDK through the gateway: every operation, whole and streamed, by its base URL and key alone."""

from collections.abc import Iterator

import pytest
from google import genai
from google.genai import errors, types
from tests.e2e.front import KEY, UPSTREAM, Front

from portico.testing import tokens

pytestmark = pytest.mark.xdist_group("e2e-gemini")

MODEL = "gemini-2.5-flash"
TARGET = "gemini/gemini-2.5-flash"
HELLO = "Hello [mock tokens=9]"
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"]),
        )
    ]
)
ANY = types.GenerateContentConfig(
    tools=[WEATHER],
    tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")),
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


@pytest.fixture
def client(front: Front) -> Iterator[genai.Client]:
    made = genai.Client(api_key=KEY, vertexai=False, http_options=types.HttpOptions(base_url=front.url))
    yield made
    made.close()


def headers_of(reply):
    return {name.lower(): value for name, value in reply.sdk_http_response.headers.items()}


def test_a_whole_answer_is_counted_and_priced(client, front):
    reply = client.models.generate_content(model=MODEL, contents=HELLO)
    settled = front.agrees(headers_of(reply), target=TARGET)
    assert tokens(reply.text) == settled.usage.output == 9
    assert reply.usage_metadata.prompt_token_count == settled.usage.input
    assert settled.cost == settled.usage.input * 3000 + 9 * 12000
    assert settled.entry.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert settled.entry.header("x-goog-api-key") == UPSTREAM
    assert KEY not in str(settled.entry.headers)


@pytest.mark.parametrize("options", ["", " split=1", " split=7", " chunk=4"])
def test_a_streamed_answer_says_the_same_as_a_whole_one(client, front, options):
    asked = f"Hello [mock tokens=9{options}]"
    whole = client.models.generate_content(model=MODEL, contents=asked)
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=asked))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert chunks[-1].usage_metadata.candidates_token_count == whole.usage_metadata.candidates_token_count
    assert chunks[-1].candidates[0].finish_reason.value == "STOP"
    settled = front.agrees(headers_of(chunks[-1]), target=TARGET, stream=True)
    assert settled.entry.query == "alt=sse"


def test_a_name_with_its_provider_goes_in_the_path(client, front):
    reply = client.models.generate_content(model="gemini/gemini-2.5-flash", contents=HELLO)
    assert front.agrees(headers_of(reply), target=TARGET).record["model"] == "gemini/gemini-2.5-flash"


def test_tools_and_thoughts_whole_and_streamed(client, front):
    whole = client.models.generate_content(model=MODEL, contents="Hi", config=ANY)
    assert whole.function_calls[0].args["city"]
    streamed = [
        part.function_call.args
        for chunk in client.models.generate_content_stream(model=MODEL, contents="Hi", config=ANY)
        for part in chunk.candidates[0].content.parts
        if part.function_call
    ]
    assert streamed == [whole.function_calls[0].args]
    thinking = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    thought = client.models.generate_content(model=MODEL, contents="Hi", config=thinking)
    assert thought.candidates[0].content.parts[0].thought
    assert front.agrees(headers_of(thought), target=TARGET).usage.reasoning > 0


def test_counting_is_free_and_embeddings_are_not(client, front):
    assert client.models.count_tokens(model=MODEL, contents=HELLO).total_tokens > 0
    asked = types.EmbedContentConfig(output_dimensionality=8)
    made = client.models.embed_content(model="gemini-embedding-001", contents=["a cat", "a dog"], config=asked)
    assert [len(embedding.values) for embedding in made.embeddings] == [8, 8]
    counted, embedded = (front.of(entry) for entry in front.entries())
    assert (counted["operation"], counted["cost_nano_usd"]) == ("gemini_count_tokens", None)
    assert embedded["operation"] == "batch_embed_contents"
    assert embedded["target"] == "gemini/gemini-embedding-001"


def test_the_models_that_a_key_may_use_are_listed(client, front):
    names = [model.name for model in client.models.list()]
    assert f"models/{TARGET}" in names
    assert client.models.get(model=TARGET).name == f"models/{TARGET}"
    with pytest.raises(errors.ClientError) as caught:
        client.models.get(model="nobody/nothing")
    assert caught.value.code == 404
    assert front.entries() == []


def test_a_key_in_the_query_is_taken_and_goes_no_further(front):
    """Google's REST examples have the key in the URL."""
    body = {"contents": [{"role": "user", "parts": [{"text": HELLO}]}]}
    path = f"/v1beta/models/{MODEL}:generateContent?key={KEY}&prettyPrint=false"
    status, headers, _ = front.portico.request("POST", path, body)
    assert status == 200
    assert front.agrees(headers, target=TARGET).entry.query == "prettyPrint=false"


def test_a_stream_as_an_array_is_passed_on_as_one(front):
    """Without alt=sse Google streams the elements of one JSON array."""
    body = {"contents": [{"role": "user", "parts": [{"text": HELLO}]}]}
    status, headers, reply = front.portico.request(
        "POST", f"/v1beta/models/{MODEL}:streamGenerateContent", body, {"x-goog-api-key": KEY}
    )
    assert status == 200
    assert reply.startswith(b"[")
    assert reply.rstrip().endswith(b"]")
    front.agrees(headers, target=TARGET, stream=True)


async def test_the_async_client_whole_and_streamed(front):
    client = genai.Client(api_key=KEY, vertexai=False, http_options=types.HttpOptions(base_url=front.url))
    whole = await client.aio.models.generate_content(model=MODEL, contents=HELLO)
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents=HELLO)
    assert "".join([chunk.text or "" async for chunk in stream]) == whole.text
    assert [entry.outcome for entry in front.entries()] == ["served", "served"]
    await client.aio.aclose()
    client.close()


def test_vertexs_client_in_express_mode_whole_and_streamed(front):
    client = genai.Client(vertexai=True, api_key=KEY, http_options=types.HttpOptions(base_url=front.url))
    whole = client.models.generate_content(model=MODEL, contents=HELLO)
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=HELLO))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    front.agrees(headers_of(whole), target=TARGET)
    client.close()
