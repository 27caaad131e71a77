"""A conversation in alternating turns, for the dialects that want it so: Anthropic's and Bedrock's.

A user turn begins with the results of the tools that the turn before called, one for each call; turns of one side that
follow each other are one. What a dialect writes for a part is its own: it fills in the methods of `Turns`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from portico.dialects.crossing import Notes
from portico.ir import (
    Audio,
    CacheMark,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)

Block = dict[str, Any]
HOISTED = ("system", "developer")
"""Whose messages are instructions."""
JSON_ALONE = "Answer with one valid JSON object and nothing else: no words about it, no code fence."
"""What instructions say besides, where JSON is asked for that has no schema."""
BEGUN = "(The conversation begins.)"
"""What a user says who has said nothing, or nothing before the assistant did."""
UNANSWERED = "No result was given."
"""What is given as the result of a call that has none."""

FAILED = "The tool failed and said nothing."
"""What is given as the result of a tool that failed without a word."""
GO_ON = "Go on."
"""What a user says where the conversation ends with an answer, and the model goes on from none."""


def hoisted(
    request: Request, notes: Notes, write: Callable[[Iterable[Part], Notes], list[Block]]
) -> tuple[list[Block], Sequence[Message]]:
    """Return the instructions that lead, as `write` has them, and the messages that are left.

    Of instructions alone the last is left, as the user's.
    """
    messages = request.messages
    leading = 0
    while leading < len(messages) and messages[leading].role in HOISTED:
        leading += 1
    left: Sequence[Message] = messages[leading:]
    if leading and not left:
        leading -= 1
        left = (Message(role="user", parts=messages[leading].parts),)
    system = write(request.system, notes)
    for message in messages[:leading]:
        system.extend(write(message.parts, notes))
    return system, left


class Turns:
    """Alternating turns, made from messages of any order. With `prefill` false they do not end with an answer.

    `legal` returns for a call's id one of the dialect's form, which follows from it alone. `used` are the names of the
    tools that were called.
    """

    def __init__(self, notes: Notes, legal: Callable[[str], str], *, prefill: bool = True) -> None:
        self.notes = notes
        self._legal = legal
        self._prefill = prefill
        self._begun = False
        self.turns: list[tuple[str, list[Block]]] = []
        self.used: dict[str, None] = {}
        self._ids: dict[str, str] = {}
        self._taken: set[str] = set()
        self._open: dict[str, None] = {}
        self._results: list[Block] = []
        self._said: list[Block] = []
        self._answer: list[Block] | None = None
        self._last: list[Block] = []
        self._calls = False

    @property
    def begun_without_thought(self) -> bool:
        """Whether the last answer calls tools, and no thought of the same maker leads it."""
        return self._calls and not self.leads(self._last[0])

    # What a dialect writes: each adds no, one or several blocks to `out`.

    def text(self, text: str, cache: CacheMark | None, out: list[Block]) -> None:
        """Write text that is not blank, and its mark."""
        raise NotImplementedError

    def media(self, part: Image | File | Audio | Video, out: list[Block]) -> None:
        """Write an image, a document, sound or a film; note what cannot be."""
        raise NotImplementedError

    def thought(self, part: Thinking, out: list[Block]) -> None:
        """Write a thought of an earlier turn; note what cannot be."""
        raise NotImplementedError

    def call(self, part: ToolCall, call_id: str, out: list[Block]) -> None:
        """Write a tool call under this id."""
        raise NotImplementedError

    def result(self, part: ToolResult, call_id: str, content: list[Block], out: list[Block]) -> None:
        """Write a tool's result."""
        raise NotImplementedError

    def json(self, data: Any, out: list[Block]) -> None:
        """Write data that a tool answered."""
        raise NotImplementedError

    # The order

    def add(self, message: Message) -> None:
        """Add one message."""
        self._begun = True
        role = message.role
        if message.name is not None and role != "tool":
            self.notes.lost("participant_name", message.name)
        if role == "assistant":
            self._assistant(message.parts)
        elif role in HOISTED:
            for part in message.parts:
                if type(part) is not Text:
                    self._user(part)
                elif part.text.strip():
                    self.text(f"<system>\n{part.text}\n</system>", part.cache, self._said)
        else:
            for part in message.parts:
                if type(part) is ToolResult:
                    self._result(part)
                elif type(part) is not Text:
                    self._user(part)
                elif part.text.strip():
                    self.text(part.text, part.cache, self._said)

    def show(self, shown: list[Block]) -> None:
        """Put what stood beside the messages before what the user said first."""
        if shown:
            if self.turns and self.turns[0][0] == "user":
                self.turns[0] = ("user", [*shown, *self.turns[0][1]])
            else:
                self.turns.insert(0, ("user", shown))

    def close(self) -> None:
        """End the conversation."""
        if not self._prefill and self._answer is not None and not self._results and not self._said:
            self.notes.lost("prefill")
            self.text(GO_ON, None, self._said)
        self._end_user()
        if (self.turns and self.turns[0][0] == "assistant") or (self._begun and not self.turns):
            begun: list[Block] = []
            self.text(BEGUN, None, begun)
            self.turns.insert(0, ("user", begun))

    def _assistant(self, parts: tuple[Part, ...]) -> None:
        if self._results or self._said:
            self._end_user()
        blocks: list[Block] = []
        shown: list[Block] = []
        calls = False
        for part in parts:
            if type(part) is ToolCall:
                if part.kind == "server":
                    self.notes.lost("server_tool_history")
                else:
                    self._call(part, blocks)
                    calls = True
                continue
            match part:
                case Text():
                    if part.citations:
                        self.notes.lost("citations")
                    if part.text.strip():
                        self.text(part.text, part.cache, blocks)
                case Refusal():
                    if part.text.strip():
                        self.text(part.text, None, blocks)
                case Thinking():
                    self.thought(part, blocks)
                case ToolResult():
                    self.notes.lost("server_tool_history")
                case Audio(transcript=transcript) if transcript and transcript.strip():
                    self.text(transcript, None, blocks)
                case Image() | File() | Audio() | Video():
                    # An answer holds no media here; what it showed goes on as the user's.
                    self.media(part, shown)
                case Opaque():
                    self.notes.lost("opaque")
        if blocks:
            if self._answer is None:
                self._answer = self._last = blocks
                self._calls = calls
                self.turns.append(("assistant", blocks))
            else:
                self._answer += blocks
                self._calls = calls or self._calls
        if shown:
            self._said += shown

    def leads(self, block: Block) -> bool:
        """Return whether a block is a thought."""
        raise NotImplementedError

    def _call(self, part: ToolCall, out: list[Block]) -> None:
        call_id = self._legal(part.id or "call")
        if call_id in self._taken:
            call_id = f"{call_id[:48]}_{len(self._taken)}"
        self._taken.add(call_id)
        self._ids[part.id] = call_id
        self._open[call_id] = None
        self.used[part.name] = None
        self.call(part, call_id, out)

    def _user(self, part: Part) -> None:
        match part:
            case Text():
                if part.text.strip():
                    self.text(part.text, part.cache, self._said)
            case Refusal():
                if part.text.strip():
                    self.text(part.text, None, self._said)
            case Image() | File() | Audio() | Video():
                self.media(part, self._said)
            case ToolResult():
                self._result(part)
            case Thinking():
                self.notes.lost("thinking_history")
            case ToolCall():
                self.notes.lost("server_tool_history")
            case Opaque():
                self.notes.lost("opaque")

    def _result(self, part: ToolResult) -> None:
        if part.server:
            self.notes.lost("server_tool_history")
            return
        content: list[Block] = []
        for each in part.parts:
            if type(each) is Text:
                if each.text.strip():
                    self.text(each.text, each.cache, content)
            elif type(each) is Refusal:
                if each.text.strip():
                    self.text(each.text, None, content)
            elif isinstance(each, Image | File | Audio | Video):
                self.media(each, content)
            else:
                self.notes.lost("opaque")
        if part.data is not None:
            self.json(part.data, content)
        call_id = self._ids.get(part.id)
        if call_id is None or call_id not in self._open:
            # Its call is not in the turn before: the provider would refuse it as a result.
            title = f"Result of the tool {part.name}:" if part.name else "Result of a tool:"
            self.text(title, None, self._said)
            self._said += content
            return
        del self._open[call_id]
        self.result(part, call_id, content, self._results)

    def _end_user(self) -> None:
        told = self._results
        if not told and not self._said:
            return
        if self._open:
            # Each call wants its result, and gets none later.
            for call_id in self._open:
                said: list[Block] = []
                self.text(UNANSWERED, None, said)
                self.result(ToolResult(id=call_id, error=True), call_id, said, told)
            self._open.clear()
        told += self._said
        if self.turns and self.turns[-1][0] == "user":
            # Of the answer between there was nothing to tell.
            self.turns[-1][1].extend(told)
        else:
            self.turns.append(("user", told))
        self._results, self._said, self._answer = [], [], None
