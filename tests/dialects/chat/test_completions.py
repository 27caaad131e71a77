"""The legacy completions over a chat model: what is asked, refused and answered."""

import json
from typing import Any

import httpx2
import openai
import pytest
from tests.dialects.chat.given import documents, given, own, recorded

from portico.dialects.chat import completions
from portico.errors import InvalidRequest, UpstreamError
from portico.ir import Choice, Ended, Failed, Finished, Frame, PartStarted, Reply, Request, Started, Text, TextDelta
from portico.ir import Used as UsedEvent
from portico.types import Usage

LOGPROBS = {
    "content": [
        {"token": "He", "logprob": -0.5, "top_logprobs": [{"token": "He", "logprob": -0.5}]},
        {"token": "y", "logprob": -1.5, "top_logprobs": []},
    ]
}
LEGACY = {
    "tokens": ["He", "y"],
    "token_logprobs": [-0.5, -1.5],
    "top_logprobs": [{"He": -0.5}, {}],
    "text_offset": [0, 2],
}


def read(**body: Any) -> Request:
    return completions.parse_request(json.dumps(body).encode(), model="m", stream=False)


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_a_prompt_is_one_user_message(prompt: Any) -> None:
    request = read(prompt=prompt, max_tokens=5, stop="\n", n=2, logprobs=3, best_of=2)
    assert [(message.role, message.parts) for message in request.messages] == [("user", (Text(text="Once"),))]
    assert (request.max_tokens, request.stop, request.n) == (5, ("\n",), 2)
    assert (request.logprobs, request.top_logprobs) == (True, 3)
    assert "best_of" not in request.extra


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "prompt"),
    "several prompts": ({"prompt": ["a", "b"]}, "prompt"),
    "no prompts": ({"prompt": []}, "prompt"),
    "tokens": ({"prompt": [1, 2]}, "prompt"),
    "one token": ({"prompt": [1]}, "prompt"),
    "lists of tokens": ({"prompt": [[1, 2]]}, "prompt"),
    "an empty prompt": ({"prompt": ""}, "prompt"),
    "a suffix": ({"prompt": "a", "suffix": "b"}, "suffix"),
    "an echo": ({"prompt": "a", "echo": True}, "echo"),
    "the best of many": ({"prompt": "a", "best_of": 3}, "best_of"),
    "too many log probabilities": ({"prompt": "a", "logprobs": 6}, "logprobs"),
    "a temperature in words": ({"prompt": "a", "temperature": "hot"}, "temperature"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_chat_model_cannot_do_is_refused_by_its_field(name: str) -> None:
    body, param = REFUSED[name]
    with pytest.raises(InvalidRequest) as raised:
        read(**body)
    assert raised.value.param == param


def param_of(body: dict[str, Any]) -> str | None:
    """Return the field for which a request is refused, None where it is read."""
    try:
        read(**body)
    except InvalidRequest as error:
        return error.param
    return None


def test_every_recorded_request_with_one_prompt_is_read() -> None:
    asked = [record["request"]["body"] for record in recorded("completions")]
    refused = [param_of(body) for body in asked if type(body) is dict]
    assert refused.count(None) > 30
    assert set(refused) == {None, "prompt", "suffix"}


def answer() -> Reply:
    choices = (
        Choice(index=0, parts=(Text(text="He"), Text(text="y")), finish="stop", logprobs=LOGPROBS),
        Choice(index=1, parts=(Text(text="Yo"),), finish="length"),
    )
    return Reply(dialect="messages", model="claude-x", choices=choices, usage=Usage(input=3, output=2))


def client(body: bytes, content_type: str) -> openai.OpenAI:
    answered = httpx2.Response(200, headers={"content-type": content_type}, content=body)
    transport = httpx2.MockTransport(lambda request: answered)
    return openai.OpenAI(api_key="k", base_url="http://x", http_client=httpx2.Client(transport=transport))


def test_the_sdk_reads_a_reply() -> None:
    body = completions.render_reply(answer(), own(), given())
    with client(body, "application/json") as sdk:
        reply = sdk.completions.create(model="m", prompt="Once")
    assert (reply.id, reply.object, reply.model) == ("cmpl-1", "text_completion", "claude-x")
    assert [(choice.text, choice.finish_reason) for choice in reply.choices] == [("Hey", "stop"), ("Yo", "length")]
    assert reply.usage is not None
    assert reply.usage.total_tokens == 5
    assert json.loads(body)["choices"][0]["logprobs"] == LEGACY


STREAM = (
    Started(model="claude-x"),
    PartStarted(index=0, part=Text(text="H")),
    TextDelta(index=0, text="ey"),
    Finished(finish="stop"),
    UsedEvent(usage=Usage(input=3, output=2)),
    Ended(),
)


def streamed(*events: Any, **request: Any) -> bytes:
    encoder = completions.Encoder(own(stream=True, **request), given())
    out = b"".join([encoder.feed(Frame(dialect="messages", events=(event,))) for event in events])
    return out + encoder.finish()


def test_the_sdk_reads_a_stream() -> None:
    with client(streamed(*STREAM, include_usage=True), "text/event-stream") as sdk:
        pieces = list(sdk.completions.create(model="m", prompt="Once", stream=True))
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == "Hey"
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices] == [None, None, "stop"]
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.total_tokens == 5
    assert {piece.id for piece in pieces} == {"cmpl-1"}


def test_usage_is_told_only_if_it_was_asked_for() -> None:
    assert all("usage" not in piece for piece in documents(streamed(*STREAM))[:-1])


def test_offsets_of_log_probabilities_count_on() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -1}]}
    pieces = documents(
        streamed(TextDelta(index=0, text="a", logprobs=logprobs), TextDelta(index=0, text="a", logprobs=logprobs))
    )
    assert [piece["choices"][0]["logprobs"]["text_offset"] for piece in pieces[:2]] == [[0], [1]]


def test_nothing_follows_a_failure() -> None:
    out = streamed(TextDelta(index=0, text="a"), Failed(error=UpstreamError("gone")), TextDelta(index=0, text="b"))
    assert [list(piece) for piece in documents(out)][1] == ["error"]
    assert len(documents(out)) == 2
