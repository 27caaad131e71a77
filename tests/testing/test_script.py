"""What the mock is told from outside: next, sometimes, always, recordings; in the process and over HTTP."""

import json

import openai
import pytest

from portico.errors import InvalidRequest
from portico.testing import Canned, HostedMock, MockProvider, Script
from portico.testing.faults import KEPT, RateLimits


def test_steps_are_used_once_each_and_in_order():
    script = Script()
    script("status=500", None, {"status": 429, "retry_after": 1.5, "gzip": True})
    assert script.told("m") == {"status": "500"}
    assert script.told("m") == {}
    assert script.told("m") == {"status": "429", "retry_after": "1.5", "gzip": "true"}
    assert script.told("m") == {}
    assert script.left == 0


def test_steps_for_one_model_wait_for_it():
    script = Script()
    script.next("status=500", model="a-*", times=2)
    script.next("status=501")
    assert script.told("b") == {"status": "501"}
    assert script.told("b") == {}
    assert [script.told("a-1"), script.told("a-2"), script.told("a-3")] == [{"status": "500"}, {"status": "500"}, {}]


def test_one_in_n_is_drawn_by_the_seed():
    def drawn(seed: int) -> list[bool]:
        script = Script(seed)
        script.sometimes("status=500", one_in=4)
        return [bool(script.told("m")) for _ in range(400)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 60 < sum(drawn(1)) < 140
    script = Script(1)
    script.sometimes("status=500", one_in=4)
    first = [bool(script.told("m")) for _ in range(50)]
    script.clear()
    script.sometimes("status=500", one_in=4)
    assert [bool(script.told("m")) for _ in range(50)] == first


def test_what_holds_always_is_under_the_steps():
    script = Script()
    script.always("latency=1&tokens=5")
    script("tokens=6")
    assert script.told("m") == {"latency": "1", "tokens": "6"}
    assert script.told("m") == {"latency": "1", "tokens": "5"}
    script.always(None)
    assert script.told("m") == {}


def test_a_misspelt_control_is_refused_where_it_is_said():
    for wrong in ("statsu=500", {"fault": "cut-everything"}, "latency=fast", "gzip=1&fault=broken-json"):
        with pytest.raises(InvalidRequest, match="mock"):
            Script().next(wrong)
    with pytest.raises(InvalidRequest, match="one_in"):
        Script().sometimes("status=500", one_in=0)


def test_counts_and_windows_are_bounded():
    script, limits = Script(), RateLimits()
    for number in range(KEPT + 10):
        assert script.happens(str(number), 1, None)
        limits.take(str(number), 1, 0)
    assert script.happens("0", 1, None)  # forgotten, so it happens anew
    assert not script.happens(str(KEPT + 9), 1, None)
    assert limits.take("0", 1, 1)[0] == 0
    assert limits.take(str(KEPT + 9), 1, 1)[0] == -1


def test_a_recording_is_given_as_it_is(hosted: HostedMock):
    chunks = [b"data: {}\n", b"\ndata: [DO", b"NE]\n\n"]
    hosted.script(Canned(headers=[(b"content-type", b"text/event-stream")], chunks=chunks))
    body = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}).encode()
    hosted.script(Canned(chunks=[body[:9], body[9:]], length=len(body)))
    with openai.OpenAI(base_url=f"{hosted.url}/v1", api_key="k", max_retries=0) as client:
        messages = [{"role": "user", "content": "Hello"}]
        assert len(list(client.chat.completions.create(model="m", messages=messages, stream=True))) == 1
        assert client.chat.completions.create(model="m", messages=messages).id == "x"
    assert [entry.bytes_out for entry in hosted.ledger.entries] == [len(b"".join(chunks)), len(body)]


def _client(hosted: HostedMock) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{hosted.url}/v1", api_key="k", max_retries=0)


def test_script_and_ledger_are_reached_over_http(hosted: HostedMock):
    with _client(hosted) as client:
        http = client._client

        def mock(method: str, path: str, body: object = None) -> tuple[int, dict]:
            reply = http.request(method, f"{hosted.url}/_mock{path}", json=body)
            return reply.status_code, reply.json()

        assert mock("POST", "/script", {"next": ["status=500", None], "times": 1})[0] == 200
        assert mock("POST", "/script", {"sometimes": [{"say": "tokens=3", "one_in": 1}]})[0] == 200
        assert mock("POST", "/script", {"next": ["statsu=500"]})[0] == 400
        assert mock("POST", "/script", {"then": []})[0] == 400
        messages = [{"role": "user", "content": "Hello"}]
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="m", messages=messages)
        client.chat.completions.create(model="m", messages=messages)
        reply = client.chat.completions.create(model="m", messages=messages)
        assert reply.usage.completion_tokens == 3
        status, found = mock("GET", "/ledger?limit=2")
        assert status == 200
        assert (found["totals"]["calls"], found["totals"]["refused"], found["open"]) == (3, 1, 0)
        assert [entry["status"] for entry in found["entries"]] == [200, 200]
        assert json.loads(found["entries"][1]["body"])["model"] == "m"
        assert found["entries"][1]["usage"] == {"input": 6, "output": 3}
        last = found["entries"][1]["id"]
        assert mock("GET", f"/ledger?after={last}")[1]["entries"] == []
        assert mock("DELETE", "/ledger")[0] == 200
        assert mock("GET", "/ledger")[1]["totals"]["calls"] == 0
        assert mock("POST", "/reset")[0] == 200
        assert client.chat.completions.create(model="m", messages=messages).usage.completion_tokens != 3
        assert "latency" in mock("GET", "")[1]["controls"]
        assert mock("GET", "/nothing")[0] == 404
        assert mock("GET", "/ledger?limit=x")[0] == 400


async def test_defaults_give_way_to_what_a_request_says():
    async with (
        MockProvider(defaults="tokens=3") as mock,
        openai.AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="k", max_retries=0) as client,
    ):
        messages = [{"role": "user", "content": "Hello"}]
        used = [
            (await client.chat.completions.create(model=model, messages=messages)).usage.completion_tokens
            for model in ("m", "m?tokens=5")
        ]
    assert used == [3, 5]
