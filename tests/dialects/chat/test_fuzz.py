"""Whatever the bytes: parsers raise only our errors, what is read can be written, what is written reads the same."""

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from tests.dialects.chat.given import answered, given, own, rendered, requests
from tests.dialects.odd_cases import outcome
from tests.framing.recordings import body_of

from portico.dialects.chat import (
    Decoder,
    Encoder,
    completions,
    parse_error,
    parse_reply,
    parse_request,
    render_reply,
    render_request,
)
from portico.dialects.crossing import Notes, Target
from portico.errors import BadUpstreamReply, InvalidRequest
from portico.ir import (
    Audio,
    CacheMark,
    Choice,
    File,
    Frame,
    Image,
    Message,
    Output,
    Part,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

PLAIN = Target(model="m", dialect="chat")
QUIRKY = Target(
    model="m",
    dialect="chat",
    quirks=frozenset(
        (
            "cache_control",
            "images",
            "json_object_only",
            "max_completion_tokens",
            "reasoning",
            "reasoning_details",
            "reasoning_object",
            "thought_signature",
            "tool_ids_of_nine",
            "tool_result_media",
        )
    ),
)

# Generated conversations

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
arguments = st.dictionaries(words, st.integers(-99, 99) | words, max_size=3).map(json.dumps)
base64 = st.binary(max_size=12).map(lambda data: msgspec.json.encode(data).decode().strip('"'))
marks = st.none() | st.builds(CacheMark, ttl=st.sampled_from(("5m", "1h")))
texts = st.builds(Text, text=words, cache=marks)
urls = words.map(lambda word: "https://x/" + word)
pictures = st.builds(Source, data=base64, media_type=st.just("image/png")) | st.builds(Source, url=urls)
images = st.builds(Image, source=pictures, detail=st.none() | st.sampled_from(("low", "high")), cache=marks)
sounds = st.builds(
    Audio, source=st.builds(Source, data=base64, media_type=st.sampled_from(("audio/wav", "audio/mpeg")))
)
files = st.builds(
    File, source=st.builds(Source, data=base64, media_type=st.just("application/pdf")), name=names, cache=marks
)
user_parts = st.lists(texts | images | sounds | files, min_size=1, max_size=3).map(tuple)
calls = st.builds(ToolCall, id=names, name=names, arguments=arguments, cache=marks)


@st.composite
def turns(draw: st.DrawFn) -> tuple[Message, ...]:
    made: list[Message] = []
    for _ in range(draw(st.integers(1, 4))):
        role = draw(st.sampled_from(("system", "developer", "user")))
        name = draw(st.none() | names)
        parts = draw(user_parts if role == "user" else st.lists(texts, min_size=1, max_size=2).map(tuple))
        made.append(Message(role=role, name=name, parts=parts))
        if not draw(st.booleans()):
            continue
        asked = draw(st.lists(calls, max_size=3))
        said: list[Part] = [*draw(st.lists(texts, max_size=2)), *asked]
        if not said:
            said = [Text(text="well")]
        if draw(st.booleans()):
            said.insert(len(said) - len(asked), Refusal(text=draw(words)))
        made.append(Message(role="assistant", parts=tuple(said)))
        for one in asked:
            answer = tuple(draw(st.lists(texts, min_size=1, max_size=2)))
            made.append(
                Message(role="tool", parts=(ToolResult(id=one.id, name=draw(st.none() | names), parts=answer),))
            )
    return tuple(made)


schemas = st.dictionaries(names, st.dictionaries(words, words, max_size=2), max_size=2)
tools = st.builds(
    Tool,
    name=names,
    description=st.none() | words,
    parameters=st.none() | schemas,
    strict=st.none() | st.booleans(),
    cache=marks,
)
choices = st.builds(ToolChoice, mode=st.sampled_from(("auto", "none", "required"))) | st.builds(
    ToolChoice, mode=st.just("tool"), name=names
)
outputs = st.builds(Output, kind=st.sampled_from(("text", "json"))) | st.builds(
    Output, kind=st.just("json_schema"), schema=schemas, name=st.none() | names, strict=st.none() | st.booleans()
)
conversations = st.builds(
    Request,
    dialect=st.just("chat"),
    model=st.just("m"),
    messages=turns(),
    tools=st.lists(tools, max_size=3).map(tuple),
    tool_choice=st.none() | choices,
    parallel_tools=st.none() | st.booleans(),
    output=st.none() | outputs,
    reasoning=st.none() | st.builds(Reasoning, effort=st.sampled_from(("low", "medium", "high"))),
    stream=st.booleans(),
    include_usage=st.none() | st.booleans(),
    max_tokens=st.none() | st.integers(1, 9999),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    seed=st.none() | st.integers(0, 2**62),
    n=st.none() | st.integers(1, 4),
    stop=st.lists(words, max_size=4).map(tuple),
    logprobs=st.none() | st.booleans(),
    top_logprobs=st.none() | st.integers(0, 20),
    user=st.none() | words,
    metadata=st.none() | st.dictionaries(words, words, max_size=2),
    service_tier=st.none() | words,
    modalities=st.sampled_from(((), ("text",), ("text", "audio"))),
)


def bare(value: Any) -> Any:
    """Return a conversation as data, without how it was written."""
    if isinstance(value, dict):
        return {name: bare(inner) for name, inner in value.items() if name != "extra"}
    if isinstance(value, list):
        return [bare(inner) for inner in value]
    return value


def data(node: Any) -> Any:
    return bare(json.loads(msgspec.json.encode(node)))


@settings(max_examples=300, deadline=None)
@for_all(conversations)
def test_a_generated_conversation_reads_as_it_was_written(request: Request) -> None:
    body = render_request(request, PLAIN, Notes("chat"))
    again = parse_request(body, model="m", stream=request.stream)
    assert data(again) == data(request)
    assert json.loads(render_request(again, PLAIN, Notes("chat"))) == json.loads(body)


@settings(max_examples=300, deadline=None)
@for_all(conversations)
def test_a_generated_foreign_conversation_loses_no_words(request: Request) -> None:
    foreign = msgspec.structs.replace(request, dialect="messages")
    body, _ = rendered(foreign)
    told = json.dumps(body["messages"])
    for message in request.messages:
        for part in message.parts:
            found = part.parts if isinstance(part, ToolResult) else (part,)
            for each in found:
                if isinstance(each, Text | Refusal):
                    assert json.dumps(each.text)[1:-1] in told
                elif isinstance(each, ToolCall):
                    assert json.dumps(each.arguments)[1:-1] in told
    for message in body["messages"]:
        content = message["content"]
        assert content is None or content == "" or content
        for part in content if type(content) is list else ():
            assert part.get("text", "-") != ""


thoughts = st.builds(Thinking, text=words, opaque=words, maker=st.just("messages"))
replies = st.builds(
    Reply,
    dialect=st.just("messages"),
    model=words,
    choices=st.lists(
        st.builds(
            Choice,
            parts=st.tuples(
                thoughts, st.builds(Text, text=words), st.builds(ToolCall, id=names, name=names, arguments=arguments)
            ),
            finish=st.sampled_from(("stop", "length", "tool_calls")),
        ),
        min_size=1,
        max_size=1,
    ).map(tuple),
)


@settings(max_examples=200, deadline=None)
@for_all(replies)
def test_a_generated_reply_reads_as_it_was_written(reply: Reply) -> None:
    again = parse_reply(render_reply(reply, own(), given()))
    assert [data(part) for part in again.choices[0].parts] == [data(part) for part in reply.choices[0].parts]


# Bytes that nobody meant

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "messages",
                    "role",
                    "content",
                    "type",
                    "text",
                    "tools",
                    "function",
                    "name",
                    "choices",
                    "delta",
                    "$",
                    "index",
                )
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def read_request(body: bytes) -> None:
    request = parse_request(body, model="m", stream=False)
    for dialect in ("chat", "messages"):
        for target in (PLAIN, QUIRKY):
            try:
                json.loads(render_request(msgspec.structs.replace(request, dialect=dialect), target, Notes("chat")))
            except InvalidRequest:
                continue


def read_completion(body: bytes) -> None:
    completions.parse_request(body, model="m", stream=False)


def read_reply(body: bytes) -> None:
    reply = parse_reply(body)
    for each in (reply, msgspec.structs.replace(reply, dialect="messages")):
        json.loads(render_reply(each, own(), given()))
        json.loads(completions.render_reply(each, own(), given()))


def read_stream(body: bytes) -> None:
    decoder = Decoder()
    encoders = [Encoder(own(stream=True, include_usage=True), given()) for _ in range(2)]
    legacy = completions.Encoder(own(stream=True), given())
    for frame in [*decoder.feed(body), *decoder.flush()]:
        encoders[0].feed(frame)
        encoders[1].feed(Frame(dialect="messages", events=frame.events))
        legacy.feed(frame)
    for encoder in (*encoders, legacy):
        encoder.finish()


def read_error(body: bytes) -> None:
    assert parse_error(400, [(b"retry-after", body[:20])], body).message


READERS = (read_request, read_completion, read_reply, read_stream, read_error)


def only_ours(read: Callable[[bytes], None], body: bytes) -> str:
    return outcome(lambda: read(body), InvalidRequest, BadUpstreamReply)


@settings(max_examples=400, deadline=None)
@for_all(anything, st.sampled_from(READERS))
def test_any_json_is_read_or_refused(value: Any, read: Callable[[bytes], None]) -> None:
    body = json.dumps(value).encode()
    only_ours(read, body)
    only_ours(read, json.dumps({"messages": [value], "choices": [{"message": value}]}).encode())
    only_ours(read, b"data: " + json.dumps({"choices": [{"delta": value}]}).encode() + b"\n\n")


@settings(max_examples=300, deadline=None)
@for_all(st.binary(max_size=60), st.sampled_from(READERS))
def test_any_bytes_are_read_or_refused(body: bytes, read: Callable[[bytes], None]) -> None:
    only_ours(read, body)
    only_ours(read, b"data: " + body + b"\n\n")


DEEP = (b"[" * 100_000, b'{"messages":' + b"[" * 100_000, b'{"a":' * 100_000)


@pytest.mark.parametrize("read", [read_request, read_completion, read_reply, read_stream])
@pytest.mark.parametrize("body", DEEP, ids=len)
def test_deep_nesting_is_refused(read: Callable[[bytes], None], body: bytes) -> None:
    with pytest.raises((InvalidRequest, BadUpstreamReply)):
        read(b"data: %b\n\n" % body if read is read_stream else body)


@pytest.mark.parametrize("body", DEEP, ids=len)
def test_an_error_that_is_nested_deeply_is_told_all_the_same(body: bytes) -> None:
    read_error(body)


JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**70,
    "",
    "x",
    "portico:call:AAAA",
    "portico:messages:x",
    [],
    {},
    [None],
    {"$": 1},
    {"type": "text"},
    {"type": "text", "text": 1},
    {"type": "function", "function": {"name": "f"}},
)
KEYS = (
    "$",
    "type",
    "content",
    "role",
    "tool_calls",
    "reasoning",
    "reasoning_details",
    "refusal",
    "audio",
    "images",
    "annotations",
    "function_call",
    "index",
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def mutated(value: Any, rng: random.Random) -> Any:
    """Return JSON with one place made something else, taken away or added to."""
    value = copy.deepcopy(value)
    path = rng.choice(list(places(value)))
    if not path:
        return rng.choice(JUNK)
    node = value
    for key in path[:-1]:
        node = node[key]
    how = rng.random()
    if how < 0.6:
        node[path[-1]] = copy.deepcopy(rng.choice(JUNK))
    elif how < 0.8:
        del node[path[-1]]
    elif isinstance(node, dict):
        node[rng.choice(KEYS)] = copy.deepcopy(rng.choice(JUNK))
    else:
        node.append(copy.deepcopy(rng.choice(JUNK)))
    return value


@cache
def whole_replies() -> tuple[Any, ...]:
    return tuple(json.loads(body_of(record)) for record in answered(streaming=False) if body_of(record))


@cache
def streams() -> tuple[bytes, ...]:
    return tuple(body_of(record)[:6000].rpartition(b"\n\n")[0] for record in answered(streaming=True))


@pytest.mark.parametrize("seed", range(4))
def test_mutated_recordings_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    asked = [body for _, body in requests()]
    sent, came, streamed = Counter[str](), Counter[str](), Counter[str]()
    for _ in range(400):
        body = json.dumps(mutated(rng.choice(asked), rng)).encode()
        sent[only_ours(read_request, body)] += 1
        read_error(body)
        came[only_ours(read_reply, json.dumps(mutated(rng.choice(whole_replies()), rng)).encode())] += 1
        events = rng.choice(streams()).split(b"\n\n")
        at = rng.randrange(len(events))
        if events[at].startswith(b"data: {") and b"\n" not in events[at]:
            events[at] = b"data: " + json.dumps(mutated(msgspec.json.decode(events[at][6:]), rng)).encode()
        streamed[only_ours(read_stream, b"\n\n".join(events))] += 1
    assert min(sent["taken"], sent["refused"]) > 100, sent
    assert min(came["taken"], came["refused"]) > 30, came
    assert min(streamed["taken"], streamed["refused"]) > 8, streamed
