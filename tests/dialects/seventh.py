"""A seventh dialect, as small as one can be: proof that a dialect is one module and its name in `portico.types`.

Loaded as a plugin of pytest (`-p dialects.seventh`) it puts itself where `portico.dialects` looks and adds its name to
the one list, before anything of the gateway is imported; `test_every_dialect.py` then runs over it as over the others.

A conversation is an object with `turns`, each of `parts` with a text, a call or an answer; a stream is a line of JSON
for each event.
"""

import sys
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from portico import types

types.Dialect = Literal[(*get_args(types.Dialect), "seventh")]  # type: ignore[misc]  # the one line
sys.modules["portico.dialects.seventh"] = sys.modules[__name__]

from portico.dialects.observer import Observer  # noqa: E402  # after the line above
from portico.dialects.operation import Operation  # noqa: E402
from portico.dialects.spoken import Spoken  # noqa: E402
from portico.errors import BadUpstreamReply, InvalidRequest, PorticoError  # noqa: E402
from portico.ir import (  # noqa: E402
    ArgumentsDelta,
    Choice,
    Ended,
    Finished,
    Frame,
    Message,
    Part,
    PartEnded,
    PartStarted,
    Reply,
    Request,
    Started,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolResult,
    Used,
)
from portico.types import Usage  # noqa: E402

if TYPE_CHECKING:
    from portico.dialects.crossing import Complaint, Given, Notes, Target


def read_usage(body: bytes) -> Usage | None:
    """Read what a reply says was used."""
    found = msgspec.json.decode(body).get("used")
    return Usage(input=found[0], output=found[1]) if found else None


def _failed(error: PorticoError, call: str) -> bytes:
    return msgspec.json.encode({"failed": error.message, "call": call})


SPOKEN = Spoken(
    title="A seventh",
    operations=(Operation(name="seventh", dialect="seventh", streams="body"),),  # type: ignore[arg-type]
    routes={"/v7/talk": "seventh"},
    paths={"seventh": "/talk"},
    whole="seventh",
    streamed="seventh",
    error=lambda error, call: ([], _failed(error, call)),
    stream_error=lambda error, call: _failed(error, call) + b"\n",
    usage={"seventh": read_usage},
    observers={"seventh": Observer},
    loses=dict.fromkeys(("seed", "temperature_above_1", "opaque", "field"), "drop") | {"image": "refuse"},
)


def _read(part: dict[str, Any]) -> Part:
    if "call" in part:
        return ToolCall(id=part["call"], name=part["of"], arguments=part["with"])
    if "answer" in part:
        return ToolResult(id=part["answer"], parts=(Text(text=part["text"]),))
    return Text(text=part["text"])


def _written(part: Part, notes: "Notes | None") -> list[dict[str, Any]]:
    match part:
        case Text():
            return [{"text": part.text}]
        case ToolCall():
            return [{"call": part.id, "of": part.name, "with": part.arguments}]
        case ToolResult():
            data = [] if part.data is None else [msgspec.json.encode(part.data).decode()]
            told = data + [one.text for one in part.parts if isinstance(one, Text)]
            return [{"answer": part.id, "text": "\n".join(told)}]
    if notes is not None:
        notes.lost("opaque")
    return []


def parse_request(body: bytes, *, model: str, stream: bool, members: object = None) -> Request:
    """Read a caller's request."""
    try:
        asked = msgspec.json.decode(body)
        messages = tuple(
            Message(role=turn["by"], parts=tuple(_read(part) for part in turn["parts"])) for turn in asked["turns"]
        )
        tools = tuple(
            Tool(name=tool["name"], description=tool.get("about"), parameters=tool.get("form"))
            for tool in asked.get("tools", [])
        )
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise InvalidRequest(f"this is no conversation: {error}", param="turns") from error
    seventh: Any = "seventh"
    return Request(
        dialect=seventh, model=model, messages=messages, tools=tools, stream=stream, max_tokens=asked.get("most")
    )


def render_request(request: Request, target: "Target", notes: "Notes") -> bytes:
    """Write a request for a provider."""
    if request.seed is not None:
        notes.lost("seed")
    turns = [{"by": "system", "parts": [one for part in request.system for one in _written(part, notes)]}]
    turns += [
        {"by": message.role, "parts": [one for part in message.parts for one in _written(part, notes)]}
        for message in request.messages
    ]
    tools = [{"name": tool.name, "about": tool.description, "form": tool.parameters} for tool in request.tools]
    asked = {"model": target.model, "turns": [turn for turn in turns if turn["parts"]], "tools": tools}
    return msgspec.json.encode(asked | {"most": request.max_tokens, "stream": request.stream})


def parse_reply(body: bytes) -> Reply:
    """Read a provider's reply."""
    try:
        said = msgspec.json.decode(body)
        choice = Choice(parts=tuple(_read(part) for part in said["parts"]), finish=said["end"])
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise BadUpstreamReply(f"this is no answer: {error}") from error
    seventh: Any = "seventh"
    return Reply(dialect=seventh, model=said["model"], choices=(choice,), usage=read_usage(body))


def render_reply(reply: Reply, request: Request, given: "Given") -> bytes:
    """Write a reply for a caller."""
    choice = reply.choices[0]
    parts = [one for part in choice.parts for one in _written(part, None)]
    said: dict[str, Any] = {"model": reply.model, "parts": parts, "end": choice.finish}
    if reply.usage is not None:
        said["used"] = [reply.usage.input_total, reply.usage.output_total]
    return msgspec.json.encode(said)


def parse_error(status: int, headers: Any, body: bytes) -> "Complaint":
    """Read a provider's error."""
    from portico.dialects.crossing import Complaint  # which knows all dialects: not before this one is whole

    said = msgspec.json.decode(body)
    wait = next((float(value) for name, value in headers if name == b"retry-after"), None)
    return Complaint(status=status, message=said["failed"], request_id=said["call"] or None, retry_after=wait)


class Decoder:
    """Reads a provider's stream."""

    def __init__(self) -> None:
        self._held = b""
        self._index = -1
        self._kind = ""

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return a frame for each line that is whole."""
        *lines, self._held = (self._held + chunk).split(b"\n")
        return [self._frame(msgspec.json.decode(line)) for line in lines if line]

    def flush(self) -> list[Frame]:
        """Return nothing: every event ends its line."""
        return []

    def _frame(self, said: dict[str, Any]) -> Frame:
        seventh: Any = "seventh"
        events: list[Any] = []
        if "failed" in said:
            raise BadUpstreamReply(said["failed"])
        if "end" in said:
            events = [*self._close(), Used(usage=Usage(input=said["used"][0], output=said["used"][1]))]
            events += [Finished(finish=said["end"]), Ended()]
        elif "call" in said:
            events = self._open("call", ToolCall(id=said["call"], name=said["of"], arguments=""))
        elif "with" in said:
            events = [ArgumentsDelta(index=self._index, text=said["with"])]
        else:
            events = [] if self._kind == "text" else self._open("text", Text(text=""))
            events.append(TextDelta(index=self._index, text=said["text"]))
        return Frame(dialect=seventh, events=tuple(events))

    def _open(self, kind: str, part: Part) -> list[Any]:
        events = self._close() if self._kind else [Started(model="t")]
        self._kind = kind
        self._index += 1
        return [*events, PartStarted(index=self._index, part=part)]

    def _close(self) -> list[Any]:
        return [PartEnded(index=self._index)] if self._kind else []


class Encoder:
    """Writes a caller's stream."""

    def __init__(self, request: Request, given: "Given") -> None:
        self._given = given
        self._used = [0, 0]
        self._end = "other"

    def feed(self, frame: Frame) -> bytes:
        """Return the lines of a frame."""
        lines: list[dict[str, Any]] = []
        for event in frame.events:
            match event:
                case PartStarted(part=ToolCall() as call):
                    lines.append({"call": call.id, "of": call.name})
                    if call.arguments not in ("", "{}"):
                        lines.append({"with": call.arguments})
                case PartStarted(part=Text(text=text)) if text:
                    lines.append({"text": text})
                case TextDelta():
                    lines.append({"text": event.text})
                case ArgumentsDelta():
                    lines.append({"with": event.text})
                case Used():
                    self._used = [event.usage.input_total, event.usage.output_total]
                case Finished():
                    self._end = event.finish
        return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)

    def fail(self, error: PorticoError) -> bytes:
        """Return the line that ends a stream with an error."""
        return SPOKEN.stream_error(error, self._given.request_id)

    def finish(self) -> bytes:
        """Return the last line."""
        return msgspec.json.encode({"end": self._end, "used": self._used}) + b"\n"
