"""A conversation of another dialect as the items of an input."""

from typing import Any

import msgspec

from portico.dialects.crossing import Notes, Target
from portico.dialects.documents import file_name
from portico.dialects.responses.citations import write_annotation
from portico.dialects.responses.content import (
    Object,
    document_text,
    write_audio,
    write_file,
    write_image,
)
from portico.hashing import blake2b
from portico.ir import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)

_ID_LIMIT = 64
# Files that OpenAI keeps are the same for its two APIs.
_SHARES_FILES = ("chat", "responses")
_encode = msgspec.json.encode


def write_system(system: tuple[Part, ...], items: list[Object], notes: Notes) -> str:
    """Return the instructions; what is no text in them goes to `items` as a developer's message."""
    texts = []
    others: list[Part] = []
    for part in system:
        if type(part) is Text:
            if part.cache is not None:
                notes.lost("cache_mark")
            if part.text:
                texts.append(part.text)
        else:
            others.append(part)
    if others:
        _Writer(items, notes, frozenset(), shares_files=False).message("developer", others)
    return "\n\n".join(texts)


def write_history(request: Request, target: Target, notes: Notes, items: list[Object]) -> None:
    """Write the documents and messages of a request at the end of `items`."""
    writer = _Writer(items, notes, target.quirks, shares_files=request.dialect in _SHARES_FILES)
    if request.documents:
        writer.message("user", request.documents)
    for message in request.messages:
        writer.turn(message)


def short_id(call_id: str) -> str:
    """Return an id of a call that the API takes: one that is too long becomes another, always the same."""
    if len(call_id) <= _ID_LIMIT:
        return call_id
    return "call_" + blake2b(call_id.encode("utf-8", "replace"), digest_size=16).hexdigest()


class _Writer:
    """Writes messages, and remembers the calls that results may answer."""

    def __init__(self, items: list[Any], notes: Notes, quirks: frozenset[str], *, shares_files: bool) -> None:
        self._items = items
        self._notes = notes
        self._quirks = quirks
        self._shares_files = shares_files
        self._calls: dict[str, str] = {}

    def turn(self, message: Message) -> None:
        """Write one message."""
        if message.name is not None:
            self._notes.lost("participant_name", message.name)
        if message.role == "assistant":
            self._assistant(message.parts)
        elif message.role == "developer" and "no_developer_role" in self._quirks:
            self.message("system", message.parts)
        else:
            self.message("user" if message.role == "tool" else message.role, message.parts)

    def message(self, role: str, parts: tuple[Part, ...] | list[Part] | tuple[File, ...]) -> None:
        """Write a message that is not the model's; tool results in it are items of their own, in order."""
        content: list[Object] = []
        for part in parts:
            if type(part) is ToolResult:
                self._say(role, content)
                content = []
                self._result(part)
            else:
                self._put(part, content)
        self._say(role, content)

    def _say(self, role: str, content: list[Object]) -> None:
        if not content:
            return
        if len(content) == 1 and content[0]["type"] == "input_text":
            self._items.append({"role": role, "content": content[0]["text"]})
        else:
            self._items.append({"role": role, "content": content})

    def _put(self, part: Part, content: list[Object]) -> None:
        """Write a part of a message or of a tool's answer."""
        notes = self._notes
        if isinstance(part, Text):
            if part.cache is not None:
                notes.lost("cache_mark")
            if part.text:
                content.append({"type": "input_text", "text": part.text})
        elif isinstance(part, Image):
            self._media(part.source, part.cache is not None)
            content.append(write_image(part))
        elif isinstance(part, File):
            self._document(part, content)
        elif isinstance(part, Audio):
            notes.lost("audio")
            written = write_audio(part)
            if written is not None:
                content.append(written)
        elif isinstance(part, Video):
            notes.lost("video")
        elif isinstance(part, Refusal):
            content.append({"type": "input_text", "text": part.text})
        elif isinstance(part, Opaque):
            notes.lost("opaque")
        elif isinstance(part, Thinking):
            notes.lost("thinking_history")
        elif isinstance(part, ToolCall):
            notes.lost("opaque", part.name)

    def _media(self, source: Source, marked: bool) -> None:
        if marked:
            self._notes.lost("cache_mark")
        if source.file_id is not None and not self._shares_files:
            self._notes.lost("file_id")

    def _document(self, part: File, content: list[Object]) -> None:
        self._media(part.source, part.cache is not None)
        source = part.source
        if source.text is not None or part.data is not None or part.parts:
            text = document_text(part)
            if text:
                content.append({"type": "input_text", "text": text})
            for inner in part.parts:
                if type(inner) is not Text:
                    self._put(inner, content)
            return
        value = write_file(part)
        if source.data is not None:
            value["filename"] = file_name(part)
        else:
            # The API refuses a name beside an address or an id.
            value.pop("filename", None)
        if part.context:
            content.append({"type": "input_text", "text": part.context})
        content.append(value)

    def _result(self, result: ToolResult) -> None:
        notes = self._notes
        if result.cache is not None:
            notes.lost("cache_mark")
        if result.server:
            notes.lost("server_tool_history", result.name or result.id)
            return
        if result.error:
            notes.lost("tool_error", result.name or result.id)
        content: list[Object] = []
        if result.data is not None:
            text = result.data if type(result.data) is str else _encode(result.data).decode()
            content.append({"type": "input_text", "text": text})
        for part in result.parts:
            self._put(part, content)
        kind = self._calls.get(result.id)
        if kind is None:
            # The API refuses an answer to a call that it has not seen.
            called = f" of {result.name}" if result.name else ""
            self._say("user", [{"type": "input_text", "text": f"Result{called} ({result.id}):"}, *content])
            return
        output: Any = content
        if not content:
            output = ""
        elif len(content) == 1 and content[0]["type"] == "input_text":
            output = content[0]["text"]
        self._items.append({"type": kind, "call_id": short_id(result.id), "output": output})

    def _assistant(self, parts: tuple[Part, ...]) -> None:
        content: list[Object] = []
        for part in parts:
            if isinstance(part, Text):
                if part.cache is not None:
                    self._notes.lost("cache_mark")
                if part.text:
                    content.append(self._text(part))
                continue
            if isinstance(part, Refusal):
                content.append({"type": "refusal", "refusal": part.text})
                continue
            if isinstance(part, Audio) and part.transcript:
                content.append({"type": "output_text", "text": part.transcript})
                continue
            content = self._spoken(content)
            if isinstance(part, ToolCall):
                self._call(part)
            elif isinstance(part, Thinking):
                self._thought(part)
            elif isinstance(part, ToolResult):
                self._result(part)
            else:
                # The API takes images and files from users only.
                shown: list[Object] = []
                self._put(part, shown)
                self._say("user", shown)
        self._spoken(content)

    def _spoken(self, content: list[Object]) -> list[Object]:
        if content:
            only = content[0]
            bare = len(content) == 1 and only["type"] == "output_text" and "annotations" not in only
            self._items.append({"role": "assistant", "content": only["text"] if bare else content})
            return []
        return content

    def _text(self, part: Text) -> Object:
        value: Object = {"type": "output_text", "text": part.text}
        known = [cited for cited in part.citations if cited.url is not None]
        if len(known) < len(part.citations):
            self._notes.lost("citations")
        if known:
            value["annotations"] = [write_annotation(cited, length=len(part.text)) for cited in known]
        return value

    def _call(self, call: ToolCall) -> None:
        if call.cache is not None:
            self._notes.lost("cache_mark", call.name)
        if call.signature is not None:
            self._notes.lost("thinking_history", call.name)
        if call.kind == "server":
            self._notes.lost("server_tool_history", call.name)
            return
        item = {"type": "function_call", "call_id": short_id(call.id), "name": call.name}
        if call.kind == "custom":
            item["type"] = "custom_tool_call"
            item["input"] = call.arguments
            self._calls[call.id] = "custom_tool_call_output"
        else:
            item["arguments"] = call.arguments or "{}"
            self._calls[call.id] = "function_call_output"
        self._items.append(item)

    def _thought(self, thought: Thinking) -> None:
        if thought.maker == "responses" and thought.opaque is not None:
            item: Object = {"type": "reasoning", "summary": [], "encrypted_content": thought.opaque}
            if thought.id is not None:
                item["id"] = thought.id
            if thought.text:
                item["summary"] = [{"type": "summary_text", "text": thought.text}]
            self._items.append(item)
        elif thought.text and thought.opaque is None and "reasoning_text" in self._quirks:
            piece = {"type": "reasoning_text", "text": thought.text}
            self._items.append({"type": "reasoning", "summary": [], "content": [piece]})
        elif thought.text or thought.opaque:
            self._notes.lost("thinking_history")
