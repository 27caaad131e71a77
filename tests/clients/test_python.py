"""The official Python SDKs, each with a provider of each dialect: 36 pairs, and each SDK with its own provider alone.

Without the gateway between them (`alone`), the same cases show that the SDK is used as it is meant to be.
"""

from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from google.genai import types
from tests.clients.expect import (
    LOOP,
    PNG,
    TOOLS,
    Weather,
    answered,
    asks,
    facts,
    run,
    sealed,
    signed,
    told,
    wants,
    went_on,
    words,
)
from tests.clients.said import Call, Client
from tests.clients.sdk.chat import Chat
from tests.clients.sdk.cohere import Cohere
from tests.clients.sdk.converse import Converse
from tests.clients.sdk.gemini import Gemini
from tests.clients.sdk.messages import Messages
from tests.clients.sdk.responses import Responses
from tests.clients.stage import DIALECTS, KEY, OPEN, UPSTREAM, Stage, asked, model
from tests.dialects.crossing.facts import digest

pytestmark = [pytest.mark.xdist_group("clients-python"), pytest.mark.timeout(180)]

SDKS: dict[str, Callable[[str, str], Client]] = {
    "chat": Chat,
    "responses": Responses,
    "messages": Messages,
    "gemini": Gemini,
    "converse": Converse,
    "cohere": Cohere,
}
PAIRS = [(dialect, upstream) for dialect in DIALECTS for upstream in (*DIALECTS, "alone")]


@cache
def made(dialect: str, url: str, key: str) -> Client:
    return SDKS[dialect](url, key)


class Pair:
    """A client, whom it calls, and the dialect that is spoken there."""

    def __init__(self, stage: Stage, dialect: str, upstream: str) -> None:
        alone = upstream == "alone"
        self.stage = stage
        self.dialect = dialect
        self.client = made(dialect, stage.mock.url if alone else stage.url, UPSTREAM if alone else KEY)
        self.upstream = dialect if alone else "chat" if upstream == OPEN else upstream
        self.model = "mock-model" if alone else model(upstream)

    def __repr__(self) -> str:
        return f"<Pair {self.dialect} {self.upstream}>"


@pytest.fixture
def pair(stage: Stage, request: pytest.FixtureRequest) -> Pair:
    return Pair(stage, *request.param)


every_pair = pytest.mark.parametrize("pair", PAIRS, indirect=True, ids="-".join)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both_ways
@every_pair
def test_a_chat(pair: Pair, stream: bool):
    text = "Hello, 世界 — “quoted”\n[mock tokens=23 rare=true]"
    said = pair.client.say(pair.model, [pair.client.user(text)], stream=stream)
    (entry,) = pair.stage.taken()
    assert entry.stream is stream
    told(said, entry, pair.upstream, pair.client.finishes, thinking=False)
    assert facts(entry, pair.upstream) == asks(text)
    history = [pair.client.user(text), *said.turn, pair.client.user("And then?")]
    pair.client.say(pair.model, history, stream=stream)
    (entry,) = pair.stage.taken()
    if pair.dialect != pair.upstream:  # with its own provider, Google's SDK may keep a text in the pieces it came in
        assert said.text in words(entry.json)  # in one piece, and to the letter


@both_ways
@every_pair
def test_an_answer_cut_for_its_length(pair: Pair, stream: bool):
    history = [pair.client.user("Go on and on [mock tokens=40 rare=true]")]
    said = pair.client.say(pair.model, history, stream=stream, limit=16)
    (entry,) = pair.stage.taken()
    assert answered(entry).choices[0].finish == "length"
    told(said, entry, pair.upstream, pair.client.finishes, thinking=False)


@both_ways
@every_pair
def test_an_image(pair: Pair, stream: bool):
    said = pair.client.say(pair.model, [pair.client.user("What is it?", PNG)], stream=stream)
    (entry,) = pair.stage.taken()
    told(said, entry, pair.upstream, pair.client.finishes, thinking=False)
    assert facts(entry, pair.upstream) == asks("What is it?", image=PNG)


@both_ways
@every_pair
def test_output_by_a_schema(pair: Pair, stream: bool):
    said = pair.client.say(pair.model, [pair.client.user("How is the weather?")], stream=stream, form=Weather)
    (entry,) = pair.stage.taken()
    wants(entry, Weather)
    (choice,) = answered(entry).choices
    made = Weather.model_validate_json(choice.text or choice.calls[0].arguments)
    assert Weather.model_validate_json(said.text) == made
    if said.parsed is not None:
        assert said.parsed == made
    assert said.calls == []
    assert said.finish == pair.client.finishes["stop"]


@both_ways
@every_pair
def test_reasoning(pair: Pair, stream: bool):
    text = "Think first. [mock reasoning=17 rare=true]"
    said = pair.client.say(pair.model, [pair.client.user(text)], stream=stream, think=True)
    (entry,) = pair.stage.taken()
    assert asked(entry).think != "no"
    told(said, entry, pair.upstream, pair.client.finishes, thinking=True)


@pytest.mark.parametrize("think", [False, True], ids=["plain", "thinking"])
@both_ways
@every_pair
def test_a_loop_of_parallel_tools(pair: Pair, stream: bool, think: bool):
    run_a_loop(pair, stream, think)


@both_ways
@pytest.mark.parametrize("pair", [(dialect, OPEN) for dialect in DIALECTS], indirect=True, ids="-".join)
def test_thoughts_in_the_clear_go_back_to_who_wants_them(pair: Pair, stream: bool):
    run_a_loop(pair, stream, think=True)


def run_a_loop(pair: Pair, stream: bool, think: bool) -> None:
    """Go through three rounds of three parallel calls, and hold each call against what the mock got and gave."""
    client = pair.client
    text = f"Look around. [mock {LOOP}{' reasoning=11' if think else ''}]"
    history: list[Any] = [client.user(text)]
    expected = asks(text, TOOLS)
    seals: list[str] = []
    for turn in range(4):
        said = client.say(pair.model, history, stream=stream, tools=TOOLS, think=think)
        (entry,) = pair.stage.taken()
        told(said, entry, pair.upstream, client.finishes, thinking=think)
        assert facts(entry, pair.upstream) == expected
        assert len(said.calls) == (3 if turn < 3 else 0)
        assert len({call.id for call in said.calls if call.id}) in (0, len(said.calls))
        if think:
            assert sealed(entry) == seals
            seals += signed(entry, pair.upstream)
        answers = [(call, run(call, 3 * turn + place)) for place, call in enumerate(said.calls)]
        history += [*said.turn, *client.results(answers, stream=stream)]
        expected += went_on(said, answers, 3 * turn, pair.upstream)


@pytest.mark.parametrize("status", [400, 404, 429, 500])
@both_ways
@every_pair
def test_an_error(pair: Pair, stream: bool, status: int):
    history = [pair.client.user(f"Hello [mock status={status} retry_after=7]")]
    try:
        said = pair.client.say(pair.model, history, stream=stream)
    except Exception as error:
        failure = pair.client.failure(error)
    else:
        raise AssertionError(f"nothing was raised, and this was said: {said}")
    (entry,) = pair.stage.taken()
    assert entry.status == status
    assert failure.kind == pair.client.failures[status]
    assert failure.status == status
    assert failure.retry_after == "7"
    said_by = {400: "The request is invalid", 404: "does not exist", 429: "Rate limit reached", 500: "told to answer"}
    assert said_by[status] in failure.message


BREAKS = [
    (pair, fault)
    for pair in PAIRS
    for fault in ("error-mid-stream", "end-early", "cut-mid-chunk")
    # Alone, some SDKs take a stream without an end for whole; Gemini's own grammar has no end.
    if fault != "end-early" or pair[1] not in ("alone", "gemini" if pair[0] == "gemini" else "")
]


@pytest.mark.parametrize(("pair", "fault"), BREAKS, indirect=["pair"], ids=[f"{'-'.join(p)}-{f}" for p, f in BREAKS])
def test_a_stream_that_breaks_is_no_answer(pair: Pair, fault: str):
    history = [pair.client.user(f"Hello [mock fault={fault} at=9 tokens=40]")]
    with pytest.raises(Exception) as broken:  # noqa: PT011  # each SDK has its own, and some leave it to the wire
        pair.client.say(pair.model, history, stream=True)
    (entry,) = pair.stage.taken()
    assert (entry.outcome, entry.fault) == ("cut", fault)
    if fault == "error-mid-stream":
        message = str(broken.value)
        assert "verloaded" in message or "told to answer with" in message


def shown(dialect: str, call: Call, text: str) -> Any:
    """Return the turn in which a tool answers with words and a picture."""
    data = b64encode(PNG).decode()
    if dialect == "messages":
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        content = [{"type": "text", "text": text}, picture]
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": content}]}
    if dialect == "responses":
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{data}", "detail": "auto"}
        output = [{"type": "input_text", "text": text}, picture]
        return {"type": "function_call_output", "call_id": call.id, "output": output}
    if dialect == "converse":
        content = [{"text": text}, {"image": {"format": "png", "source": {"bytes": PNG}}}]
        return {"role": "user", "content": [{"toolResult": {"toolUseId": call.id, "content": content}}]}
    blob = types.FunctionResponseBlob(data=PNG, mime_type="image/png")
    said = types.FunctionResponse(
        id=call.id or None,
        name=call.name,
        response={"output": text},
        parts=[types.FunctionResponsePart(inline_data=blob)],
    )
    return types.Content(role="user", parts=[types.Part(function_response=said)])


SHOW = ("responses", "messages", "gemini", "converse")
"""The dialects in which a tool may answer with a picture."""


@pytest.mark.parametrize(
    "pair", [(dialect, upstream) for dialect in SHOW for upstream in DIALECTS], indirect=True, ids="-".join
)
def test_a_picture_as_a_tools_answer(pair: Pair):
    text = "Show me. [mock turns=1]"
    history = [pair.client.user(text)]
    said = pair.client.say(pair.model, history, stream=False, tools=TOOLS)
    (call,) = said.calls
    history += [*said.turn, shown(pair.dialect, call, "Here it is")]
    pair.client.say(pair.model, history, stream=False, tools=TOOLS)
    _, entry = pair.stage.taken()
    before = [*asks(text, TOOLS), *went_on(said, [(call, "")], 0, pair.upstream)[:-1]]
    found = facts(entry, pair.upstream)
    assert found[: len(before)] == before
    picture = digest(b64encode(PNG).decode())
    inside = [("result", 0, "Hereitis", (picture,))]
    beside = [("result", 0, "Hereitis", ()), ("image", "user", picture)]
    # Where an answer has no place for it, the picture follows; Cohere takes none there, by the table of what crosses.
    assert found[len(before) :] in ([beside[:1]] if pair.upstream == "cohere" else [inside, beside])
