"""`/{provider}/…`: an API as its provider has it, with the provider's key, for the keys that may; and still priced."""

import json
from collections.abc import Iterator

import openai
import pytest
from tests.e2e.front import KEY, NARROW, UPSTREAM, Front

pytestmark = pytest.mark.xdist_group("e2e-targets")

HELLO = [{"role": "user", "content": "Hello [mock tokens=9]"}]


def client_of(front: Front, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{front.url}/openai/v1", api_key=key, max_retries=0)


@pytest.fixture
def client(front: Front) -> Iterator[openai.OpenAI]:
    with client_of(front, KEY) as made:
        yield made


def test_a_call_passes_through_counted_and_priced(client, front):
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HELLO)
    settled = front.agrees(raw.headers, target="openai/gpt-4o-mini")
    assert settled.entry.path == "/v1/chat/completions"
    assert settled.entry.json == {"model": "gpt-4o-mini", "messages": HELLO}
    assert KEY not in str(settled.entry.headers)


def test_a_stream_passes_through_as_it_is(client, front):
    """Nothing is added to a request that passes through: a stream has usage where its caller asked for it."""
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert list(raw.parse())[-1].usage.completion_tokens == 9
    front.agrees(raw.headers, target="openai/gpt-4o-mini", stream=True)
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HELLO, stream=True)
    assert all(chunk.usage is None for chunk in raw.parse())
    settled = front.settled(raw.headers)
    assert "stream_options" not in settled.entry.json
    assert settled.record["basis"] == "counted"
    assert 5 <= settled.record["usage"]["output"] <= 20


def test_a_list_of_models_is_the_providers_own(client, front):
    assert [model.id for model in client.models.list()] == list(front.mock.mock.models)
    assert front.entries()[-1].key == UPSTREAM


def test_what_the_provider_does_not_have_is_its_to_say(client, front):
    with pytest.raises(openai.NotFoundError) as caught:
        client.get("/nothing", cast_to=object)
    record = front.record(caught.value.response.headers["x-request-id"])
    assert (record["operation"], record["target"], record["status"]) == ("passthrough", "openai", 404)
    assert front.entries()[-1].path == "/v1/nothing"


def test_a_key_that_may_not_is_refused(front: Front):
    with client_of(front, NARROW) as client, pytest.raises(openai.PermissionDeniedError, match="passthrough"):
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert front.entries() == []


def test_a_provider_that_a_key_does_not_list_is_refused(front: Front):
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": HELLO}
    status, headers, reply = front.portico.request("POST", "/anthropic/v1/messages", body, key=KEY)
    assert status == 403
    assert json.loads(reply)["error"]["type"] == "permission_error"
    assert front.record(headers["x-request-id"])["error"] == "permission_denied"
    assert front.entries() == []


def test_the_master_key_may_reach_every_provider(front: Front):
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": HELLO}
    key = front.portico.master_key
    status, headers, reply = front.portico.request("POST", "/anthropic/v1/messages", body, key=key)
    assert (status, json.loads(reply)["usage"]["output_tokens"]) == (200, 9)
    record = front.record(headers["x-request-id"])
    assert (record["key"], record["target"], record["basis"]) == ("master", "anthropic/claude-haiku-4-5", "reported")


def test_a_path_that_means_another_place_is_refused(front: Front):
    for path in ("/openai/v1/../secret", "/openai/v1/%2e%2e/secret", "/openai//evil.example/v1"):
        status, _, _ = front.portico.request("GET", path, key=KEY)
        assert status == 400, path
    assert front.entries() == []
