"""Messages, written for a provider.

Tool results are messages of their own here: those that another dialect puts into a user's turn are taken out of it
and stand first. Providers of this dialect take no images from tools or from the model itself: these go into the
user's next turn.
"""

from typing import Any

import msgspec

from portico.dialects.chat.beside import render_audio, render_citation
from portico.dialects.chat.calls import fitting_id, render_call
from portico.dialects.chat.hints import HINTS, NONE, Table, reopened
from portico.dialects.chat.marks import render_mark
from portico.dialects.chat.parts import document_text, render_part
from portico.dialects.chat.thoughts import render_thoughts
from portico.dialects.crossing import Notes, Target
from portico.ir import (
    Audio,
    Citation,
    File,
    Image,
    Message,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)

# Roles that are written as they are.
_PLAIN = frozenset(("system", "user", "assistant"))


class Conversation:
    """Writes the messages of a request for a target. What goes into the user's next turn is `carried` until then."""

    def __init__(self, request: Request, target: Target, notes: Notes) -> None:
        self.own = request.dialect == "chat"
        self.request = request
        self.target = target
        self.notes = notes
        self.written: list[Table] = []
        self.carried: list[Part] = []
        self._calls: set[str] = set()

    def render(self) -> list[Table]:
        """Write them all."""
        request = self.request
        own = self.own
        written = self.written
        if request.system:
            self._render_content("system", None, request.system, NONE, {})
        last = len(request.messages) - 1
        for at, message in enumerate(request.messages):
            parts = message.parts
            if (
                len(parts) == 1
                and type(part := parts[0]) is Text
                and not self.carried
                and message.name is None
                and (not message.extra or not own)
                and part.cache is None
                and not part.citations
                and part.text
                and message.role in _PLAIN
            ):
                written.append({"role": message.role, "content": part.text})
                continue
            if message.role == "assistant":
                if self.carried:
                    self._flush()
                self._render_assistant(message)
            elif message.role == "tool" or ToolResult in map(type, parts):
                self._render_results(message)
            else:
                self._render_other(message)
            if at == last:
                self._flush()
        if request.documents and not own:
            self._documents()
        return written

    def _flush(self) -> None:
        if self.carried:
            parts = tuple(self.carried)
            self.carried.clear()
            self._render_content("user", None, parts, NONE, {})

    def _documents(self) -> None:
        """Put the documents before what the user asks last."""
        rendered = [self._part(document) for document in self.request.documents]
        listed = [item for item in rendered if item is not None]
        for message in reversed(self.written):
            if message["role"] == "user":
                content = message["content"]
                asked = [{"type": "text", "text": content}] if type(content) is str else content or []
                message["content"] = listed + asked
                return
        if listed:
            self.written.append({"role": "user", "content": listed})

    def _part(self, part: Part) -> Any:
        return render_part(part, self.own, self.target, self.notes)

    def _role(self, role: str) -> str:
        if role == "developer" and not self.own and "developer_role" not in self.target.quirks:
            return "system"
        return role

    def _render_other(self, message: Message) -> None:
        fields, hints = reopened(message, self.own)
        parts = message.parts
        if self.carried and message.role == "user":
            parts = (*self.carried, *parts)
            self.carried.clear()
        self._render_content(message.role, message.name, parts, hints, fields)

    def _render_content(
        self, role: str, name: str | None, parts: tuple[Part, ...], hints: Table, fields: Table
    ) -> None:
        fields["role"] = self._role(role)
        if name is not None:
            fields["name"] = name
        content = self._content(parts, hints, fields)
        if content is None and not self.own:
            return
        if "absent" not in hints:
            fields["content"] = content
        self.written.append(fields)

    def _content(self, parts: tuple[Part, ...] | list[Part], hints: Table, fields: Table) -> Any:
        """Return a content: a string where it is one text without more, else a list; None where nothing is left."""
        if not parts:
            return hints.get("empty") if "list" not in hints else []
        if len(parts) == 1 and type(part := parts[0]) is Text and "list" not in hints and part.text:
            if part.cache is None:
                return part.text
            if "marked" in hints:
                render_mark(fields, part.cache, hints, self.own, self.target, self.notes)
                return part.text
        if not self.own and any(type(part) is File and (part.parts or part.context) for part in parts):
            parts = [each for part in parts for each in _opened(part)]
        rendered = [self._part(part) for part in parts]
        listed = [item for item in rendered if item is not None] if None in rendered else rendered
        if not self.own:
            if not listed:
                return None
            if len(listed) == 1 and listed[0].keys() == {"type", "text"}:
                return listed[0]["text"]
        return listed

    def _render_results(self, message: Message) -> None:
        """Write each result as a message of its own, then what else the turn holds."""
        rest: list[Part] = []
        for part in message.parts:
            if type(part) is ToolResult and not part.server:
                if self.own or part.id in self._calls:
                    self._render_result(message, part)
                else:
                    rest += self._without_call(part)
            elif type(part) is ToolResult:
                self.notes.lost("server_tool_history", part.name or "")
            else:
                rest.append(part)
        if not rest:
            return
        if message.role == "tool":
            self.carried += rest
            return
        parts = (*self.carried, *rest)
        self.carried.clear()
        self._render_content(message.role, message.name, parts, NONE, {})

    def _without_call(self, result: ToolResult) -> list[Part]:
        """Return a result that no call asked for, which providers refuse, as a user's words."""
        told = Text(text=f"[{result.name or result.id}]")
        if result.data is not None:
            return [told, Text(text=msgspec.json.encode(result.data).decode())]
        return [told, *result.parts]

    def _render_result(self, message: Message, result: ToolResult) -> None:
        if not self.own:
            told: Table = {"role": "tool", "tool_call_id": fitting_id(result.id, False, self.target)}
            if result.name is not None and "tool_result_name" in self.target.quirks:
                told["name"] = result.name
            told["content"] = self._answered(result)
            self.written.append(told)
            return
        fields, hints = reopened(message, True) if message.role == "tool" else ({}, NONE)
        if "function" in hints:
            fields["role"] = "function"
        else:
            fields["role"] = "tool"
            if result.id:
                fields["tool_call_id"] = fitting_id(result.id, True, self.target)
        if result.name is not None:
            fields["name"] = result.name
        content = self._content(result.parts, hints, fields)
        if "absent" not in hints:
            fields["content"] = content
        self.written.append(fields)

    def _answered(self, result: ToolResult) -> Any:
        """Return what a tool of a foreign conversation answered; what is no text goes into the user's next turn."""
        texts: list[str] = []
        media: list[Part] = []
        if result.error:
            self.notes.lost("tool_error", result.name or result.id)
        if result.data is not None:
            texts.append(result.data if type(result.data) is str else msgspec.json.encode(result.data).decode())
        for part in result.parts:
            if type(part) is Text:
                if part.cache is not None and "cache_control" not in self.target.quirks:
                    self.notes.lost("cache_mark")
                if part.text:
                    texts.append(part.text)
            elif isinstance(part, Image | Audio | Video | File):
                media.append(part)
            elif type(part) is Refusal:
                texts.append(part.text)
            else:
                self.notes.lost("opaque")
        if result.cache is not None and "cache_control" not in self.target.quirks:
            self.notes.lost("cache_mark")
        if media and "tool_result_media" in self.target.quirks:
            rendered = [self._part(part) for part in media]
            return [{"type": "text", "text": text} for text in texts] + [item for item in rendered if item is not None]
        if media:
            texts.append("(what the tool returned besides follows in the next message)")
            self.carried += media
        if len(texts) == 1:
            return texts[0]
        return [{"type": "text", "text": text} for text in texts] if texts else ""

    def _render_assistant(self, message: Message) -> None:
        own = self.own
        fields, hints = reopened(message, own)
        thoughts: list[Thinking] = []
        content: list[Part] = []
        calls: list[Table] = []
        citations: list[Citation] = []
        images: list[Image] = []
        for part in message.parts:
            if type(part) is Text:
                content.append(part)
                if calls and not own:
                    self.notes.lost("part_order")
                citations += part.citations
            elif type(part) is ToolCall:
                if part.kind == "server":
                    self.notes.lost("server_tool_history", part.name)
                elif "function_call" in hints:
                    fields["function_call"] = render_call(part, own, self.target, self.notes)["function"]
                else:
                    self._calls.add(part.id)
                    if part.kind == "custom" and not own and "custom_tools" not in self.target.quirks:
                        arguments = msgspec.json.encode({"input": part.arguments}).decode()
                        part = msgspec.structs.replace(part, kind="function", arguments=arguments)
                    calls.append(render_call(part, own, self.target, self.notes))
            elif type(part) is Thinking:
                if own and part.extra.get(HINTS, NONE).get("in") == "content":
                    content.append(part)
                else:
                    thoughts.append(part)
            elif type(part) is Refusal:
                if own and HINTS in part.extra:
                    content.append(part)
                elif own or not content:
                    fields["refusal"] = part.text
                else:
                    content.append(Text(text=part.text))
            elif type(part) is Audio and (not own or part.extra.get(HINTS, NONE).get("in") == "audio"):
                self._spoken(part, fields, content)
            elif type(part) is Image and (not own or "images" in hints):
                images.append(part)
            elif type(part) is ToolResult:
                self.notes.lost("server_tool_history", part.name or "")
            elif not own and isinstance(part, File | Video):
                self.carried.append(part)
            else:
                content.append(part)
        if thoughts:
            render_thoughts(fields, thoughts, own, self.target, self.notes)
        if citations:
            self._cite(fields, citations)
        if images and ("images" in hints or "images" in self.target.quirks):
            fields["images"] = [self._part(part) for part in images]
        else:
            self.carried += images
        fields["role"] = "assistant"
        if message.name is not None:
            fields["name"] = message.name
        written = self._content(content, hints, fields)
        if calls:
            fields["tool_calls"] = calls
        elif written is None and not own and "refusal" not in fields and "audio" not in fields:
            return
        if "absent" not in hints:
            fields["content"] = written
        self.written.append(fields)

    def _spoken(self, part: Audio, fields: Table, content: list[Part]) -> None:
        """Write what was said: by its id where this dialect's provider keeps it, else in words."""
        if self.own:
            fields["audio"] = render_audio(part, True)
        elif part.transcript:
            content.append(Text(text=part.transcript))
        else:
            self.carried.append(part)

    def _cite(self, fields: Table, citations: list[Citation]) -> None:
        if not self.own:
            self.notes.lost("citations")
            return
        fields["annotations"] = [render_citation(citation, True) for citation in citations]


def _opened(part: Part) -> list[Part]:
    """Return a part with what is said of it, where it is a document of bytes, and with what a document shows."""
    if type(part) is not File:
        return [part]
    said = [Text(text=part.context)] if part.context and document_text(part) is None else []
    return [*said, part, *[each for each in part.parts if type(each) is not Text]]
