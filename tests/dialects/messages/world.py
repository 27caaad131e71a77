"""What the tests of Messages and of Converse share: recorded calls, generated conversations, short ways to render."""

import itertools
import json
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from tests.framing.recordings import load

from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.translate import LANGUAGES
from portico.ir import (
    AnyEvent,
    CacheMark,
    Ended,
    File,
    Finished,
    Frame,
    Image,
    Message,
    Output,
    Part,
    PartEnded,
    PartStarted,
    Reasoning,
    Request,
    Source,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Used,
)
from portico.types import Dialect, Usage

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="


@cache
def recorded(api: str) -> tuple[dict[str, Any], ...]:
    """Return the recorded calls of Anthropic's API wherever it is hosted, or of Converse."""
    names = {
        "messages": ("messages", "rawPredict", "streamRawPredict"),
        "converse": ("converse", "converse_stream"),
    }[api]
    return tuple(record for record in load() if record["api"] in names)


def given() -> Given:
    """Return what a reply needs; ids are numbered."""
    numbers = itertools.count(1)
    return Given(request_id="req_1", created=1_700_000_000, new_id=lambda prefix: f"{prefix}{next(numbers)}")


def foreign(dialect: Dialect = "chat", **fields: Any) -> Request:
    """Return a request of another dialect."""
    fields.setdefault("messages", (user("hi"),))
    return Request(dialect=dialect, model="asked", **fields)


def written(dialect: Dialect, request: Request, model: str, *, strict: bool = False) -> tuple[Any, list[str]]:
    """Return the body that a request comes to at a provider of a dialect, and what was lost."""
    notes = Notes(dialect, strict=strict)
    body = LANGUAGES[dialect].render_request(request, Target(model=model, dialect=dialect), notes)
    return json.loads(body), notes.dropped


def user(*parts: Part | str) -> Message:
    """Return a user's turn."""
    return Message(role="user", parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    """Return an answer."""
    return Message(role="assistant", parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def tool(*parts: Part) -> Message:
    """Return what tools answered."""
    return Message(role="tool", parts=parts)


def frames(*events: AnyEvent, dialect: Dialect = "chat") -> list[Frame]:
    """Return a frame for each event."""
    return [Frame(dialect=dialect, events=(event,)) for event in events]


def spoken(*events: AnyEvent) -> list[Frame]:
    """Return a stream of another dialect around these events."""
    return frames(
        Started(id="chatcmpl-1", model="gpt-5"),
        *events,
        Finished(finish="stop"),
        Used(usage=Usage(input=7, cache_read=3, output=4, reasoning=2)),
        Ended(),
    )


def text_part(index: int, *pieces: str) -> list[AnyEvent]:
    """Return the events of one text."""
    return [
        PartStarted(index=index, part=Text(text="")),
        *(TextDelta(index=index, text=piece) for piece in pieces),
        PartEnded(index=index),
    ]


# Generated conversations

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda text: text.strip() == text)
names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,12}", fullmatch=True)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(words, values, max_size=3)
marks = st.none() | st.sampled_from([CacheMark("5m"), CacheMark("1h")])
texts = st.builds(Text, text=words, cache=marks)
images = st.builds(
    Image,
    source=st.builds(Source, data=st.just("AA=="), media_type=st.sampled_from(["image/png", "image/webp"])),
    cache=marks,
)
files = st.builds(
    File,
    source=st.builds(Source, data=st.just(PDF), media_type=st.just("application/pdf")),
    name=names,
    cache=marks,
)


@st.composite
def rounds(draw: st.DrawFn) -> list[Message]:
    """A user's turn, perhaps a round of tools, and an answer."""
    asked = Message(role="user", parts=tuple(draw(st.lists(texts | images, min_size=1, max_size=3))))
    calls = []
    for number in range(draw(st.integers(0, 3))):
        arguments = msgspec.json.encode(draw(objects)).decode()
        calls.append(ToolCall(id=f"c{draw(st.integers(0, 10**9))}_{number}", name=draw(names), arguments=arguments))
    if not calls:
        return [asked, assistant(draw(words))]
    results = tuple(
        ToolResult(
            id=call.id,
            parts=tuple(draw(st.lists(texts.filter(lambda one: one.cache is None) | images, min_size=1, max_size=2))),
            error=draw(st.sampled_from([None, True])),
        )
        for call in calls
    )
    return [asked, assistant(*draw(st.lists(words, max_size=1)), *calls), tool(*results), assistant(draw(words))]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A conversation of another dialect."""
    turns = [message for some in draw(st.lists(rounds(), max_size=3)) for message in some]
    tools = tuple(
        Tool(name=f"{name}{at}", description=draw(st.none() | words), parameters={"type": "object", **draw(objects)})
        for at, name in enumerate(draw(st.lists(names, max_size=3)))
    )
    choices = st.sampled_from([ToolChoice(mode="auto"), ToolChoice(mode="required")])
    return foreign(
        messages=(*turns, user(draw(words))),
        system=tuple(draw(st.lists(texts, max_size=2))),
        tools=tools,
        tool_choice=draw(st.none() | choices) if tools else None,
        max_tokens=draw(st.none() | st.integers(1, 9000)),
        temperature=draw(st.none() | st.floats(0, 1)),
        stop=tuple(draw(st.lists(words, max_size=2))),
        stream=draw(st.booleans()),
        reasoning=draw(st.none() | st.builds(Reasoning, effort=st.sampled_from(["low", "high"]))),
        output=draw(st.none() | st.just(Output(kind="json_schema", schema={"type": "object", "properties": {}}))),
    )


def shown(messages: tuple[Message, ...]) -> list[Any]:
    """Return what a conversation says, in order, whoever's turn it is said in."""
    told: list[Any] = []
    numbers: dict[str, int] = {}  # an id may be used again; the call before a result is meant
    for message in messages:
        for part in message.parts:
            match part:
                case Text():
                    told.append(("text", part.text, part.cache))
                case Image() | File():
                    told.append((type(part).__name__, part.source, part.cache))
                case ToolCall():
                    numbers[part.id] = len(told)
                    told.append(("call", part.name, _data(part.arguments)))
                case ToolResult():
                    told.append(("result", numbers[part.id], [_inner(one) for one in part.parts], bool(part.error)))
                case _:
                    raise AssertionError(part)
    return told


def _data(arguments: str) -> Any:
    return msgspec.json.decode(arguments)


def _inner(part: Part) -> Any:
    # A cache mark inside a result may move behind it.
    return part.text if isinstance(part, Text) else getattr(part, "source", part)
