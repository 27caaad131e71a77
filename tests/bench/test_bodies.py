"""The requests that everything is measured with."""

import hashlib
import json

import pytest

from bench import bodies

SUMS = {
    bodies.CHAT: "eb865ecc91ddeef441cf494793939c47437c7116d8c21210f62f4f120dac234a",
    bodies.AGENT: "4b2344b9f707ea8f596f395afb5cf0cd09f11e763fe4d00aa0832e3366ea6a13",
}


@pytest.mark.parametrize("model", ["gpt-4o-mini", "bench-plain", "a", "a-model-with-a-rather-long-name/and-a-provider"])
@pytest.mark.parametrize("size", bodies.SIZES.values())
def test_a_body_has_its_size_to_the_byte_whatever_the_model_is_called(size, model):
    body = bodies.body(size, model)
    assert len(body) == size
    assert json.loads(body)["model"] == model


@pytest.mark.parametrize("size", bodies.SIZES.values())
def test_a_body_is_the_same_in_every_run(size):
    assert hashlib.sha256(bodies.body(size, "gpt-4o-mini")).hexdigest() == SUMS[size]


def test_the_agents_request_has_twelve_tools_and_thirty_turns_with_calls_and_results():
    request = json.loads(bodies.body(bodies.AGENT, "m"))
    turns = request["messages"][1:-1]
    calls = [call["id"] for turn in turns for call in turn.get("tool_calls", ())]
    assert len(request["tools"]) == len({tool["function"]["name"] for tool in request["tools"]}) == 12
    assert len(turns) == 30
    assert calls
    assert calls == [turn["tool_call_id"] for turn in turns if turn["role"] == "tool"]


def test_a_request_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="bytes more than the 200"):
        bodies.body(200, "m")


def test_a_stream_is_asked_for_with_and_without_usage():
    asked = json.loads(bodies.stream_body("m", "bench_1_2_3_4_none"))
    hidden = json.loads(bodies.stream_body("m", "bench_1_2_3_4_none", include_usage=False))
    assert asked["stream"] is hidden["stream"] is True
    assert asked["stream_options"] == {"include_usage": True}
    assert "stream_options" not in hidden
