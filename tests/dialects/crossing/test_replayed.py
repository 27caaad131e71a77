"""Whole replies, told on as streams: what each of the six grammars then says is what the reply said."""

import json
from typing import Any

import pytest
from tests.framing.recordings import body_of, load

from portico.dialects.crossing import Given, Target
from portico.dialects.emulate import unwrap
from portico.dialects.operations import OPERATIONS
from portico.dialects.translate import LANGUAGES, Question, Translation
from portico.errors import BadUpstreamReply
from portico.ir import ArgumentsDelta, Finished, PartStarted, Reply, Text, TextDelta, ToolCall, Used

APIS = {
    "chat": "chat",
    "responses": "responses",
    "messages": "messages",
    "generateContent": "generate_content",
    "converse": "converse",
    "v2_chat": "cohere_chat",
}
EACH = 40
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "chat",
        {
            "model": "m",
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    "responses": ("responses", {"model": "m", "input": "Hi", "stream": True}),
    "messages": ("messages", {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
    "gemini": ("stream_generate_content", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
    "converse": ("converse_stream", {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
    "cohere": ("cohere_chat", {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}),
}


def replies(operation: str) -> list[tuple[bytes, Reply]]:
    """Return recorded whole replies of an operation, and what they say."""
    found = []
    for record in load():
        if APIS.get(record["api"]) == operation and not record["streaming"] and record["response"]["status"] == 200:
            body = body_of(record)
            try:
                found.append((body, unwrap(LANGUAGES[OPERATIONS[operation].dialect].parse_reply(body))))
            except BadUpstreamReply:
                continue
            if len(found) == EACH:
                break
    return found


def said(reply: Reply) -> tuple[str, list[tuple[str, Any]], str | None]:
    """Return the text, the calls and the end of a reply's first answer."""
    if not reply.choices:
        return "", [], None
    choice = reply.choices[0]
    text = "".join(part.text for part in choice.parts if type(part) is Text)
    calls = [
        (part.name, json.loads(part.arguments or "{}"))
        for part in choice.parts
        if type(part) is ToolCall and part.kind == "function"
    ]
    return text, calls, choice.finish


@pytest.mark.parametrize("caller", ASKED)
@pytest.mark.parametrize("operation", APIS.values())
def test_a_reply_that_comes_whole_is_streamed_as_it_is(operation: str, caller: str) -> None:
    dialect = OPERATIONS[operation].dialect
    if caller == dialect:
        pytest.skip("the same dialect passes as it is")
    name, body = ASKED[caller]
    question = Question(OPERATIONS[name], json.dumps(body).encode(), model="m", stream=True)
    upstream = "generate_content" if operation == "generate_content" else operation
    seen = 0
    for raw, reply in replies(operation):
        count = iter(range(1000))
        given = Given(request_id="r", created=1, new_id=lambda prefix, count=count: f"{prefix}{next(count)}")
        translation = Translation(question, upstream, Target(model="m", dialect=dialect), given)
        decoder = LANGUAGES[OPERATIONS[name].dialect].Decoder()
        stream = translation.replay(raw)
        frames = [*decoder.feed(stream), *decoder.flush()]
        events = [event for frame in frames for event in frame.events if not getattr(event, "choice", 0)]
        text, names, arguments = "", {}, {}
        parts: dict[int, Any] = {}
        for event in events:
            if type(event) is PartStarted:
                parts[event.index] = event.part
                if type(event.part) is Text:
                    text += event.part.text
                elif type(event.part) is ToolCall and event.part.kind == "function":
                    names[event.index] = event.part.name
                    arguments[event.index] = event.part.arguments if event.part.arguments != "{}" else ""
            elif type(event) is TextDelta and type(parts.get(event.index)) is Text:
                text += event.text
            elif type(event) is ArgumentsDelta:
                arguments[event.index] = arguments.get(event.index, "") + event.text
        calls = [(names[index], json.loads(arguments[index] or "{}")) for index in names]
        expected, called, _ = said(reply)
        if caller == "gemini":  # arguments that are no object become one
            called = [(name, told if isinstance(told, dict) else {"input": told}) for name, told in called]
        if reply.choices:
            assert text.strip() == expected.strip(), raw[:300]
            assert calls == called, raw[:300]
            assert any(type(event) is Finished for event in events)
        if reply.usage is not None:
            told = [event.usage for event in events if type(event) is Used]
            assert told, raw[:300]
            assert told[-1].output_total == reply.usage.output_total
        seen += 1
    assert seen >= 20
