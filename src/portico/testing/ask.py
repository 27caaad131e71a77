"""What a request asks for, whatever dialect it came in, and the answer that the mock gives to it.

A shape reads a request into an `Ask`; `answer` decides, by nothing but the ask and the controls, what is said; the
shape writes that out.
"""

import zlib
from base64 import b64encode
from typing import Any, Literal, NamedTuple

import msgspec

from portico.testing.controls import Controls, without_controls
from portico.testing.examples import example_json
from portico.testing.words import TOKEN, passage, tokens
from portico.types import Usage

CREATED = 1_760_000_000
"""The moment at which every answer says it was made."""

Finish = Literal["stop", "length", "tool_calls", "stop_sequence"]


class Request(msgspec.Struct, frozen=True):
    """A request as the server got it."""

    method: str
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> str:
        """Return the first header of this lowercased name, or an empty text."""
        for field, value in self.headers:
            if field == name:
                return value.decode("latin-1")
        return ""


class Piece(NamedTuple):
    """One chunk of a reply, and the tokens that are served once it is written."""

    data: bytes
    output: int = 0
    reasoning: int = 0


class Tool(NamedTuple):
    """A function that the model may call."""

    name: str
    schema: Any


class Ask(msgspec.Struct, kw_only=True):
    """What a request asks for. `force` is a tool's name or "any"; `format` is "json" or a JSON schema."""

    model: str
    prompt: str = ""
    input: int = 0
    stream: bool = False
    tools: list[Tool] = []
    force: str | None = None
    forbid: bool = False
    answering: bool = False  # the last turn is a tool's result
    question: str = ""  # what the caller itself said last
    rounds: int = 0  # how often tools have answered since
    format: Any = None
    think: Literal["no", "hidden", "shown"] = "no"
    n: int = 1
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    include_usage: bool = False
    counts: Usage | None = None  # what is consumed besides text out, where that is not plainly `input`
    body: Any = None  # the request in its own words, for what is one dialect's alone

    def hear(self, text: str, *, own: bool = False, answering: bool = False) -> None:
        """Take a turn of the conversation: the model's `own`, what its tools answered, or what the caller says."""
        if answering:
            self.rounds += not self.answering
        elif not own:
            self.question, self.rounds = text, 0
        self.prompt, self.answering = text, answering


class ToolCall(NamedTuple):
    """A call of a tool: its arguments are JSON (cut short where the answer's length was)."""

    id: str
    name: str
    arguments: str


class Choice(msgspec.Struct, kw_only=True):
    """One of the answers that were asked for."""

    text: str = ""
    calls: list[ToolCall] = []
    finish: Finish = "stop"
    stopped_by: str | None = None

    @property
    def output(self) -> int:
        """Tokens of text and tool calls."""
        return tokens(self.text) + sum(tokens(call.name) + tokens(call.arguments) for call in self.calls)


class Answer(msgspec.Struct, kw_only=True):
    """What the mock says. Counts are tokens; `output` is without reasoning, `input` is what no cache served."""

    seed: int
    model: str
    choices: list[Choice]
    reasoning: str = ""
    shown: bool = False
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoned: int = 0
    report: bool = True  # whether usage is reported in the stream
    silent: bool = False  # whether it is reported nowhere
    chunk: int = 1  # tokens in one streamed event
    rare: bool = False  # whether a stream is written in grammar that is seldom
    counts: Usage | None = None

    @property
    def input_total(self) -> int:
        """All tokens in."""
        return self.input + self.cached + self.cache_write

    @property
    def output_total(self) -> int:
        """All tokens out, reasoning too."""
        return self.output + self.reasoned

    @property
    def usage(self) -> Usage:
        """The whole in Portico's buckets."""
        if self.counts is not None:
            return msgspec.structs.replace(self.counts, output=self.output, reasoning=self.reasoned)
        return Usage(
            input=self.input,
            cache_read=self.cached,
            cache_write_5m=self.cache_write,
            output=self.output,
            reasoning=self.reasoned,
        )

    @property
    def signature(self) -> str:
        """What seals the reasoning of this answer, in base64: another one for another answer."""
        return b64encode(b"mock signature %08x" % self.seed).decode()

    def id(self, prefix: str) -> str:
        """Return the answer's id in the manner of a dialect."""
        return f"{prefix}mock{self.seed:08x}"


def seed_of(*parts: str) -> int:
    """Return the number that everything random about an answer comes from."""
    seed = 0
    for part in parts:
        seed = zlib.crc32(part.encode("utf-8", "surrogatepass"), seed)
    return seed


def answer(ask: Ask, say: Controls) -> Answer:
    """Return the answer to an ask: the same for the same request and controls."""
    prompt = without_controls(ask.prompt)
    seed = seed_of(ask.model, prompt, str(ask.input))
    room = ask.max_tokens
    reasoning = ""
    if say.reasoning is not None or ask.think != "no":
        count = 12 + seed % 20 if say.reasoning is None else say.reasoning
        reasoning = passage(seed + 1, count if room is None else min(count, room))
    reasoned = tokens(reasoning)
    if room is not None:
        room -= reasoned
    choices = [_choice(ask, say, prompt, seed + 7919 * place, room) for place in range(ask.n)]
    cached = min(say.cached, ask.input)
    written = min(say.cache_write, ask.input - cached)
    return Answer(
        seed=seed,
        model=ask.model,
        choices=choices,
        reasoning=reasoning,
        shown=ask.think == "shown" or say.reasoning is not None,
        input=ask.input - cached - written,
        cached=cached,
        cache_write=written,
        output=sum(choice.output for choice in choices) + say.overrun,
        reasoned=reasoned,
        report=say.usage == "always" or (say.usage == "asked" and ask.include_usage),
        silent=say.usage == "never",
        chunk=say.chunk,
        rare=say.rare,
        counts=ask.counts,
    )


def _choice(ask: Ask, say: Controls, prompt: str, seed: int, room: int | None) -> Choice:
    """Return one choice of at most `room` tokens."""
    calls = _calls(ask, say, prompt, seed)
    if calls:
        return _cut_calls(calls, room)
    stopped_by = None
    if say.text is not None:
        text = say.text
    elif say.echo:
        text = prompt
    elif ask.format is not None:
        schema = {"type": "object", "properties": {"answer": {}}} if ask.format == "json" else ask.format
        text = example_json(schema, seed)
    else:
        count = 16 + seed % 32 if say.tokens is None else say.tokens
        # One token more than there is room for: so it is cut below, and lacks the full stop of a natural end.
        text = passage(seed, count if room is None else min(count, room + 1))
    for word in ask.stop:
        at = text.find(word) if word else -1
        if at >= 0:
            text, stopped_by = text[:at], word
    if room is not None and tokens(text) > room:
        return Choice(text=text[: max(room, 0) * TOKEN], finish="length")
    return Choice(text=text, finish="stop_sequence" if stopped_by else "stop", stopped_by=stopped_by)


def _calls(ask: Ask, say: Controls, prompt: str, seed: int) -> list[ToolCall]:
    """Return the tool calls to make: those demanded, told by a control, or named in the prompt."""
    if not ask.tools or ask.forbid:
        return []
    tools = ask.tools
    if say.turns is not None and ask.rounds >= say.turns:
        chosen = []
    elif say.calls is not None or say.turns is not None:
        chosen = [tools[place % len(tools)] for place in range(1 if say.calls is None else say.calls)]
    elif ask.force is not None:
        named = [tool for tool in tools if tool.name == ask.force]
        chosen = named[:1] or [tools[seed % len(tools)]]
    elif ask.answering:
        chosen = []
    else:
        chosen = [tool for tool in tools if tool.name in prompt][:1]
    return [
        ToolCall(
            f"call_mock{(seed + place) & 0xFFFFFFFF:08x}{place}",
            tool.name,
            example_json(tool.schema or {"type": "object"}, seed + place),
        )
        for place, tool in enumerate(chosen)
    ]


def _cut_calls(calls: list[ToolCall], room: int | None) -> Choice:
    """Return a choice of tool calls, cut where there is no more room, as a real model's are."""
    if room is None:
        return Choice(calls=calls, finish="tool_calls")
    kept: list[ToolCall] = []
    for call in calls:
        room -= tokens(call.name)
        if room < 0:
            return Choice(calls=kept, finish="length")
        if tokens(call.arguments) > room:
            kept.append(call._replace(arguments=call.arguments[: room * TOKEN]))
            return Choice(calls=kept, finish="length")
        room -= tokens(call.arguments)
        kept.append(call)
    return Choice(calls=kept, finish="tool_calls")
