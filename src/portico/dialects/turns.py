"""A conversation in alternating turns, for the dialects that want it so: Anthropic's and Bedrock's.

A user turn begins with the results of the tools that the turn before called, one for each call; turns of one side that
follow each other are one. What a dialect writes for a part is its own: it fills in the methods of `Turns`.
"""

from typing import Any

from portico.dialects.crossing import Notes
from portico.ir import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)

Block = dict[str, Any]
HOISTED = ("system", "developer")
BEGUN = "(The conversation begins.)"
"""What a user says who has said nothing, or nothing before the assistant did."""
UNANSWERED = "No result was given."
"""What is given as the result of a call that has none."""

FAILED = "The tool failed and said nothing."
"""What is given as the result of a tool that failed without a word."""


GO_ON = "Go on."
"""What a user says where the conversation ends with an answer, and the model goes on from none."""


class Turns:
    """Alternating turns, made from messages of any order. With `prefill` false they do not end with an answer.

    `used` are the names of the tools that were called; `begun_without_thought` says that the last answer calls tools
    and that no thought of the same maker leads it.
    """

    def __init__(self, notes: Notes, *, prefill: bool = True) -> None:
        self.notes = notes
        self._prefill = prefill
        self._begun = False
        self.turns: list[tuple[str, list[Block]]] = []
        self.used: dict[str, None] = {}
        self.begun_without_thought = False
        self._ids: dict[str, str] = {}
        self._taken: set[str] = set()
        self._open: dict[str, None] = {}
        self._results: list[Block] = []
        self._said: list[Block] = []
        self._answer: list[Block] | None = None

    # What a dialect writes; each returns no, one or several blocks.

    def text(self, part: Text | Refusal, text: str) -> list[Block]:
        """Write text that is not blank."""
        raise NotImplementedError

    def media(self, part: Image | File | Audio | Video) -> list[Block]:
        """Write an image, a document, sound or a film; note what cannot be."""
        raise NotImplementedError

    def thought(self, part: Thinking) -> list[Block]:
        """Write a thought of an earlier turn; note what cannot be."""
        raise NotImplementedError

    def call(self, part: ToolCall, call_id: str) -> list[Block]:
        """Write a tool call under this id."""
        raise NotImplementedError

    def result(self, part: ToolResult, call_id: str, content: list[Block]) -> list[Block]:
        """Write a tool's result."""
        raise NotImplementedError

    def json(self, data: Any) -> list[Block]:
        """Write data that a tool answered."""
        raise NotImplementedError

    def legal(self, call_id: str) -> str:
        """Return an id of the dialect's form that follows from this one alone."""
        raise NotImplementedError

    # The order

    def add(self, message: Message) -> None:
        """Add one message."""
        self._begun = True
        if message.name is not None and message.role != "tool":
            self.notes.lost("participant_name", message.name)
        if message.role == "assistant":
            self._assistant(message)
        elif message.role in HOISTED:
            for part in message.parts:
                if type(part) is Text and part.text.strip():
                    self._said.extend(self.text(part, f"<system>\n{part.text}\n</system>"))
                elif type(part) is not Text:
                    self._user(part)
        else:
            for part in message.parts:
                self._user(part)

    def close(self) -> None:
        """End the conversation."""
        if not self._prefill and self._answer is not None and not self._results and not self._said:
            self.notes.lost("prefill")
            self._said.extend(self.text(Text(text=GO_ON), GO_ON))
        self._end_user()
        if (self.turns and self.turns[0][0] == "assistant") or (self._begun and not self.turns):
            self.turns.insert(0, ("user", self.text(Text(text=BEGUN), BEGUN)))

    def _assistant(self, message: Message) -> None:
        self._end_user()
        blocks: list[Block] = []
        shown: list[Block] = []
        calls = False
        for part in message.parts:
            if type(part) is ToolCall:
                blocks.extend(self._call(part))
                calls = calls or part.kind != "server"
                continue
            match part:
                case Text() | Refusal():
                    if type(part) is Text and part.citations:
                        self.notes.lost("citations")
                    if part.text.strip():
                        blocks.extend(self.text(part, part.text))
                case Thinking():
                    blocks.extend(self.thought(part))
                case ToolResult():
                    self.notes.lost("server_tool_history")
                case Audio(transcript=transcript) if transcript and transcript.strip():
                    blocks.extend(self.text(Text(text=transcript), transcript))
                case Image() | File() | Audio() | Video():
                    # An answer holds no media here; what it showed goes on as the user's.
                    shown.extend(self.media(part))
                case Opaque():
                    self.notes.lost("opaque")
        if blocks:
            if self._answer is None:
                self._answer = blocks
                self.turns.append(("assistant", blocks))
                self.begun_without_thought = False
            else:
                self._answer.extend(blocks)
            self.begun_without_thought = (calls or self.begun_without_thought) and not self.leads(self._answer[0])
        self._said.extend(shown)

    def leads(self, block: Block) -> bool:
        """Return whether a block is a thought."""
        raise NotImplementedError

    def _call(self, part: ToolCall) -> list[Block]:
        if part.kind == "server":
            self.notes.lost("server_tool_history")
            return []
        call_id = self.legal(part.id or "call")
        if call_id in self._taken:
            call_id = f"{call_id[:48]}_{len(self._taken)}"
        self._taken.add(call_id)
        self._ids[part.id] = call_id
        self._open[call_id] = None
        self.used[part.name] = None
        return self.call(part, call_id)

    def _user(self, part: Part) -> None:
        if type(part) is ToolResult:
            self._result(part)
            return
        match part:
            case Text() | Refusal():
                if part.text.strip():
                    self._said.extend(self.text(part, part.text))
            case Image() | File() | Audio() | Video():
                self._said.extend(self.media(part))
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
        content = self._answered(part)
        call_id = self._ids.get(part.id)
        if call_id is None or call_id not in self._open:
            # Its call is not in the turn before: the provider would refuse it as a result.
            title = f"Result of the tool {part.name}:" if part.name else "Result of a tool:"
            self._said.extend(self.text(Text(text=title), title))
            self._said.extend(content)
            return
        del self._open[call_id]
        self._results.extend(self.result(part, call_id, content))

    def _answered(self, result: ToolResult) -> list[Block]:
        content: list[Block] = []
        for part in result.parts:
            match part:
                case Text() | Refusal():
                    if part.text.strip():
                        content.extend(self.text(part, part.text))
                case Image() | File() | Audio() | Video():
                    content.extend(self.media(part))
                case Opaque() | Thinking() | ToolCall() | ToolResult():
                    self.notes.lost("opaque")
        if result.data is not None:
            content.extend(self.json(result.data))
        return content

    def _end_user(self) -> None:
        if not self._results and not self._said:
            return
        # Each call wants its result, and gets none later.
        for call_id in self._open:
            missing = ToolResult(id=call_id, error=True)
            said = self.text(Text(text=UNANSWERED), UNANSWERED)
            self._results.extend(self.result(missing, call_id, said))
        told = [*self._results, *self._said]
        if self.turns and self.turns[-1][0] == "user":
            # Of the answer between there was nothing to tell.
            self.turns[-1][1].extend(told)
        else:
            self.turns.append(("user", told))
        self._open.clear()
        self._results, self._said, self._answer = [], [], None
